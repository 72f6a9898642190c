"""The settings model: every setting with its type, default, bounds and description.

Where the values come from (keywords, framework configuration, environment) is `_config.sources`'s business.
The settings tables of the documents are generated from this model.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self, cast
from uuid import UUID

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator

from otas_middleware._config.types import (
    BaseUrl,
    Callback,
    Callbacks,
    FilePath,
    Names,
    Number,
    Origins,
    Patterns,
    Positive,
    Seconds,
    Whole,
    explain,
)
from otas_middleware._errors import ConfigurationError
from otas_middleware._version import SETTINGS_URL

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from otas_middleware._config.types import SettingOptions


class OtasSettings(BaseModel, frozen=True, extra="forbid", arbitrary_types_allowed=True):
    """Everything that can be set, with its default.

    Instances are immutable and hashable. Build one with keywords and pass it as `settings=`, or let the adapter
    collect the values (`load_settings`). Times are seconds, sizes are bytes unless a name says otherwise.
    """

    enabled: bool = Field(
        default=True, description="`0` switches everything off: the application runs as if without the middleware."
    )
    sdk_key: SecretStr | None = Field(
        default=None,
        description="The project's backend SDK key, `otas_<prefix>_<secret>`. Without it the middleware is off.",
    )
    project_id: UUID | None = Field(
        default=None,
        description="The project's id. May be left out: Brain stores the project of the SDK key.",
    )
    brain_url: BaseUrl = Field(default="http://localhost:8002", description="Where Brain is.")
    uasam_url: BaseUrl | None = Field(
        default=None,
        description="Where UASAM is. Agents need it; in a backend it tells a bad key from an outage.",
    )
    agent_key: SecretStr | None = Field(
        default=None, description="An agent's key, `agent_<prefix>_<secret>`. Only the agent's side needs it."
    )
    project_domain: Origins = Field(
        default=(),
        description="Where an agent's calls carry its session token: origins such as `https://api.example.com`, "
        "`https://*.example.com` for sub-domains, `https://example.com/api/*` for a part. No other host gets it.",
    )
    propagate_to: Origins = Field(
        default=(),
        description="Where a backend's own calls carry the session token of the request that it is handling, written "
        "as `project_domain`.",
    )
    max_body_bytes: Whole = Field(
        default=65536,
        le=1_048_576,
        description="How much of each request body and of each response body is recorded, in bytes. "
        "All bytes are counted.",
    )
    capture_traceback: bool = Field(
        default=False, description="Record the traceback of an exception beside its type and message."
    )
    session_secret: SecretStr | None = Field(
        default=None,
        description="The secret that session tokens are signed with (HS256); signatures are then verified "
        "(extra `verify`).",
    )
    session_jwks_url: BaseUrl | None = Field(
        default=None,
        description="Where the public keys of session tokens are; signatures are then verified in the background "
        "(extra `verify`).",
    )
    ignore_paths: Names = Field(
        default=(),
        description="Paths not to record: exact (`/health`), a prefix that ends in a slash (`/static/`), "
        "or a pattern (`/*/internal`).",
    )
    ignore_methods: Names = Field(default=(), description="Methods not to record, such as `OPTIONS`.")
    ignore_operations: Names = Field(
        default=(),
        description="What was called in a request that is not to be recorded, by its name or method: `tools/list`, "
        "`ping`, `notifications/*`.",
    )
    should_record: Callback | None = Field(
        default=None,
        description="A function that gets the request (`otas_middleware.RequestInfo`) and says whether to record it.",
    )
    session_sample_rate: Number = Field(
        default=1.0,
        le=1,
        description="The share of sessions to record. A session is kept or dropped whole; errors are always kept.",
    )
    session_max_events_per_second: Positive | None = Field(
        default=None,
        description="How many events a session may bring per second, with bursts of ten seconds' worth; "
        "what is over is counted, not stored.",
    )
    session_max_bytes_per_second: Positive | None = Field(
        default=None,
        description="How many bytes of events a session may bring per second; what is over is counted, not stored.",
    )
    sensitive_headers: Names = Field(
        default=(),
        description="Header names to redact, in addition to the defaults; whole names, `*` stands for anything.",
    )
    sensitive_fields: Names = Field(
        default=(),
        description="Names of fields (JSON, forms, query, XML) to redact, in addition to the defaults; whole names, "
        "`*` stands for anything.",
    )
    redact_keep: Names = Field(
        default=(),
        description="Names that are not redacted although a default says so, such as `token_type`, `session_*`.",
    )
    redact_patterns: Patterns = Field(
        default=(),
        description="Regular expressions; what they match in any text is redacted, in addition to the shapes that "
        "are known. Keep them free of nested repetitions.",
    )
    redact_path_patterns: Patterns = Field(
        default=(),
        description="Regular expressions for secrets in paths, such as `/reset/([^/]+)`; their groups are redacted, or "
        "the whole match when there are none.",
    )
    redact_emails: bool = Field(default=False, description="Redact e-mail addresses.")
    redact_phones: bool = Field(default=False, description="Redact telephone numbers.")
    redact_ips: bool = Field(default=False, description="Redact IP addresses.")
    capture_headers: bool = Field(default=True, description="Record the headers of requests and responses.")
    capture_request_body: bool = Field(default=True, description="Record request bodies. Their size always is.")
    capture_response_body: bool = Field(default=True, description="Record response bodies. Their size always is.")
    skip_header_paths: Names = Field(
        default=(), description="Paths of which no headers are recorded; written as in `ignore_paths`."
    )
    skip_request_body_paths: Names = Field(default=(), description="Paths of which no request body is recorded.")
    skip_response_body_paths: Names = Field(default=(), description="Paths of which no response body is recorded.")
    operation_protocols: Callbacks = Field(
        default=(),
        description="Protocols of your own: functions that get an `Exchange` and return an `Operation` or None "
        "(`otas_middleware.operations`), each as `package.module:name`.",
    )
    before_send: Callback | None = Field(
        default=None,
        description="A function that gets each redacted event (`BackendEvent`) and returns it, changed or not, or "
        "None to withhold it. What it returns is redacted again; when it raises, the event is withheld.",
    )
    queue_max_events: Whole = Field(default=10_000, ge=1, description="How many events may wait in memory.")
    queue_max_bytes: Whole = Field(
        default=67_108_864, ge=65_536, description="How many bytes the waiting events may hold."
    )
    max_connections: Whole = Field(
        default=8,
        ge=1,
        le=64,
        description="How many requests to one destination may be under way; fewer while it is slow.",
    )
    request_timeout: Seconds = Field(
        default=30.0,
        description="How long one delivery may take, in seconds. Brain needs up to 3 s; below 10 s events are lost.",
    )
    connect_timeout: Seconds = Field(default=5.0, description="How long connecting may take, in seconds.")
    max_retries: Whole = Field(
        default=5,
        description="How often an event that a destination fails on is tried again, once others have passed it. "
        "While the destination is away, events are kept.",
    )
    max_retry_delay: Seconds = Field(
        default=30.0, description="The longest pause between two tries while a destination is away, in seconds."
    )
    agnost_org_id: UUID | None = Field(
        default=None,
        description="Your organisation at Agnost. When it is set, the same events go there too, or only there without "
        "an SDK key.",
    )
    agnost_url: BaseUrl = Field(default="https://api.agnost.ai", description="Where Agnost is.")
    destinations: Names = Field(
        default=(),
        description="Destinations of your own, beside Brain, each as `package.module:name`: a `Destination`, or a "
        "function that takes the settings and makes one.",
    )
    celery_app: str | None = Field(
        default=None,
        pattern=r"^[\w.]+:[\w.]+$",
        description="With `transport=celery`: your Celery application, as `package.module:name`.",
    )
    celery_queue: str = Field(
        default="otas",
        min_length=1,
        description="With `transport=celery`: the queue that events go to; what cannot be delivered goes to the queue "
        "of this name with `.dead` behind it.",
    )
    celery_rate_limit: str | None = Field(
        default=None,
        description="With `transport=celery`: the most events that one worker delivers, in Celery's notation: `12/s`.",
    )
    spool_dir: FilePath | None = Field(
        default=None,
        description="A directory of its own for events that memory should not hold: while a destination is away, "
        "when the queue is full, and at the end of the process.",
    )
    spool_max_bytes: Whole = Field(
        default=268_435_456, ge=1_048_576, description="How large the spool may grow, in bytes, for each destination."
    )
    spool_key: SecretStr | None = Field(
        default=None,
        description="A Fernet key that encrypts the session tokens in the spool (extra `encryption`). Several keys "
        "separated by commas: the first encrypts, all decrypt.",
    )
    durability: Literal["memory", "spool", "relay"] = Field(
        default="memory",
        description="`spool` writes each event to disk before the response's last byte is handed on: nothing that a "
        "client saw completed is lost even by `kill -9`. `relay` hands it over to the relay before that byte.",
    )
    relay: str | None = Field(
        default=None,
        pattern=r"^(auto|/.+)$",
        description="The socket, as an absolute path, of the process that delivers for this one (`otas-middleware "
        "relay`, extra `relay`, Linux), or `auto`: one is found or started.",
    )
    relay_batch: bool = Field(
        default=False,
        description="Hand over to the relay many events at once, by a thread: cheaper, but the last 30 ms are lost "
        "by `kill -9`.",
    )
    relay_log: FilePath | None = Field(
        default=None,
        description="Where a relay that `relay=auto` starts writes its log; beside its socket when left out.",
    )
    on_loss: Callback | None = Field(
        default=None,
        description="`(summary, reason)`: called in the background when events were lost, with their `count`, the "
        "`total` for this reason and the `destination`.",
    )
    stats_interval: Number = Field(
        default=0.0, le=86_400, description="Every so many seconds one line with the counters is logged; 0 is never."
    )
    transport: str = Field(
        default="direct",
        pattern=r"^(direct|httpx|celery|auto|fast|[\w.]+:[\w.]+)$",
        description="Who carries the events: `direct` (connections of our own), `httpx` (with the environment's "
        "proxies and HTTP/2), `celery` (extra `celery`), or your own as `package.module:name`.",
    )
    shutdown_timeout: Number = Field(
        default=2.0, le=300, description="How long the end of the process may wait for delivery, in seconds."
    )

    @field_validator("sdk_key", "agent_key", "session_secret", "spool_key", mode="before")
    @classmethod
    def _strip_secret(cls, value: object) -> object:
        # Keys often come out of files with a line break at their end; an empty key is a missing key.
        value = value.get_secret_value() if isinstance(value, SecretStr) else value
        return (value.strip() or None) if isinstance(value, str) else value

    @field_validator("sdk_key", "agent_key")
    @classmethod
    def _check_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _HEADER_SAFE.fullmatch(value.get_secret_value()):
            raise ValueError("it holds blanks, or what an HTTP header cannot carry; copy the key alone")
        return value

    if TYPE_CHECKING:

        def __init__(self, **values: Unpack[SettingOptions]) -> None: ...

    else:

        def __init__(self, *, _spellings: Mapping[str, str] = MappingProxyType({}), **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                # `from None`: pydantic's error holds the input values, a key among them.
                raise _configuration_error(error, _spellings) from None

    @classmethod
    def spelled(cls, values: Mapping[str, object], spellings: Mapping[str, str]) -> Self:
        """Build settings whose errors name each field as the user spelled it.

        Args:
            values: Field names to values.
            spellings: Field names to spellings, such as `OTAS_MAX_BODY_BYTES`.

        Raises:
            ConfigurationError: A value cannot be used.
        """
        build: Any = cls
        return cast("Self", build(**values, _spellings=spellings))

    def replace(self, **changes: Unpack[SettingOptions]) -> Self:
        """Return a copy with some fields changed, validated.

        Args:
            **changes: Field names to new values.

        Raises:
            ConfigurationError: A name is unknown or a value cannot be used.
        """
        kept: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**cast("Any", {**kept, **changes}))


_HEADER_SAFE = re.compile(r"[\x21-\x7e]{1,4096}")


def _configuration_error(error: ValidationError, spellings: Mapping[str, str]) -> ConfigurationError:
    """Turn pydantic's error into one line per setting, without any secret's value.

    Args:
        error: What the validation raised.
        spellings: Field name → how the user spelled it; other fields are named as keywords.

    Returns:
        The error to raise, with the setting, the problem and the fix in its text.
    """
    lines: list[str] = []
    for problem in error.errors(include_url=False, include_context=False):
        name = str(problem["loc"][0]) if problem["loc"] else "settings"
        spelling = spellings.get(name, f"{name}=")
        if problem["type"] == "extra_forbidden":
            lines.append(f"{spelling} is not a setting; correct or remove it (all settings: {SETTINGS_URL}).")
            continue
        field = OtasSettings.model_fields.get(name)
        secret = field is None or "Secret" in str(field.annotation)
        found = explain(problem["type"], problem["msg"], str(problem["input"]), secret=secret, url="url" in name)
        fix = f" What belongs there: {field.description}" if field is not None and field.description else ""
        lines.append(f"{spelling} cannot be used: {found}.{fix}")
    return ConfigurationError("otas_middleware: " + "\n".join(dict.fromkeys(lines)))
