"""The types that settings are made of: lists, callables, URLs, as people write them in code and in the environment.

`SettingOptions` has the settings as keyword arguments, for editors and type checkers: each key is a field of
`OtasSettings` with every form that the field accepts. `tests/typing` holds the two to each other.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from inspect import iscoroutinefunction
from os import PathLike  # noqa: TC003
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict
from urllib.parse import quote, urlsplit
from uuid import UUID  # noqa: TC003

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StringConstraints


def _split(value: object, separator: str = ",") -> object:
    """Let a list be written as one string, as environment variables need."""
    if isinstance(value, str):
        return tuple(part for raw in value.split(separator) if (part := raw.strip()))
    return value


def _split_names(value: object) -> object:
    """Let names be written as one string, also in the brackets and quotes that files of variables keep.

    A name with a quote that nobody meant would match nothing, and what it is to mask would stay readable.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    return tuple(name for part in text.split(",") if (name := part.strip(" \t\r\n\"'")))


def _expand_home(value: Path) -> Path:
    try:
        return value.expanduser()
    except RuntimeError:
        raise ValueError("~ stands for no directory here; write the whole path") from None


def _check_pattern(value: str) -> str:
    try:
        pattern = re.compile(value)
    except re.error as error:
        raise ValueError(f"it is not a regular expression: {error}") from None
    if pattern.search("") is not None:
        raise ValueError("it matches the empty text, and so everywhere; let it match at least one character")
    return value


def import_path(path: str) -> Any:
    """Import what a path names.

    Args:
        path: Such as `shop.telemetry:Archive` or `shop.telemetry.Archive`.

    Raises:
        ValueError: It leads nowhere, or what it imports fails.
    """
    module, separator, name = path.partition(":")
    if not separator:
        module, _, name = path.rpartition(".")
    if not module:
        raise ValueError("it names no module; write it as package.module:name")
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"it cannot be imported ({type(error).__name__}: {error}); write it as package.module:name"
        ) from error
    except Exception as error:  # the user's code; its message may hold anything
        raise ValueError(
            f"it cannot be imported, because {module} raises {type(error).__name__}; import it in a shell to see where"
        ) from error
    return found


def _import(value: object) -> object:
    """Let a callable be named by its import path, as environment variables need."""
    return import_path(value) if isinstance(value, str) else value


def _synchronous(value: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse what returns a coroutine, which nobody would await."""
    if iscoroutinefunction(value) or iscoroutinefunction(getattr(value, "__call__", None)):  # noqa: B004  # an object's
        raise ValueError("it is asynchronous, and is called where nobody can await it; write it with def")
    return value


def check_url(value: str) -> str:
    """Return the base URL without its trailing slash (a doubled slash is a 404 in Brain, see the contract), in ASCII.

    Raises:
        ValueError: It is not an `http` or `https` URL with a host, or it carries credentials, a query or a fragment.
    """
    text = value.strip().rstrip("/")
    if text[:1] in {'"', "'"}:
        raise ValueError("it holds the quotes that stood around it; take them out")
    try:
        parts = urlsplit(text)
        port_ok = parts.port is None or 0 < parts.port < 65536
    except ValueError:
        port_ok = False
        parts = urlsplit("")
    if not port_ok or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("it is not an http(s) URL; write it like https://brain.example.com or http://localhost:8002")
    if parts.username is not None or parts.password is not None:
        raise ValueError("it holds a user name or password; leave them out, OTAS authenticates by keys")
    if parts.query or parts.fragment or any(ord(char) <= 32 or ord(char) == 127 for char in text):
        raise ValueError("it holds a query, a fragment or blanks; only scheme, host, port and path belong here")
    if not parts.netloc.isascii():
        from otas_middleware._config.origins import normal_host  # noqa: PLC0415  # few hosts need it

        host = normal_host(parts.hostname)
        if host is None:
            raise ValueError("its host holds letters that no name of a host has; write it in its ASCII form (xn--…)")
        text = text.replace(parts.netloc, host if parts.port is None else f"{host}:{parts.port}", 1)
    return quote(text, safe=string.punctuation)


def _check_origin(value: str) -> str:
    from otas_middleware._config.origins import parse  # noqa: PLC0415  # for those who name some

    parse(value)
    return value


Names = Annotated[tuple[Annotated[str, StringConstraints(min_length=1)], ...], BeforeValidator(_split_names)]
"""A list of names; in the environment separated by commas."""

Patterns = Annotated[
    tuple[Annotated[str, AfterValidator(_check_pattern)], ...], BeforeValidator(partial(_split, separator="\n"))
]
"""A list of regular expressions; in the environment one a line, since they may hold commas."""

Callback = Annotated[Callable[..., Any], BeforeValidator(_import), AfterValidator(_synchronous)]
"""A synchronous callable, or its import path `package.module:name`."""

Callbacks = Annotated[tuple[Callback, ...], BeforeValidator(_split)]
"""A list of callables; in the environment import paths separated by commas."""

Origins = Annotated[tuple[Annotated[str, AfterValidator(_check_origin)], ...], BeforeValidator(_split)]
"""A list of patterns of origins (`origins`); in the environment separated by commas."""

FilePath = Annotated[Path, AfterValidator(_expand_home)]
"""A path, in which `~` stands for the user's directory as in a shell."""

BaseUrl = Annotated[str, AfterValidator(check_url)]
"""An `http` or `https` URL without a trailing slash."""


def _refuse_bool(value: object) -> object:
    """Refuse True and False, which Python counts as 1 and 0: somebody took the setting for a switch."""
    if isinstance(value, bool):
        raise ValueError("it is no number")  # noqa: TRY004  # pydantic lets a TypeError pass
    return value


Whole = Annotated[int, BeforeValidator(_refuse_bool), Field(ge=0, lt=2**63)]
"""A whole number that 64 bits hold, as the relay and SQLite need it."""

Number = Annotated[float, BeforeValidator(_refuse_bool), Field(ge=0, allow_inf_nan=False)]
"""A finite number, not below zero."""

Positive = Annotated[Number, Field(gt=0)]

Seconds = Annotated[Positive, Field(le=86_400)]
"""A time to wait: what a day does not suffice for, the system's clocks and sockets may not take."""

_KEY = re.compile(r"[\s\"']*(?:otas_|agent_|eyJ|Bearer )")
_IN_PLAIN_WORDS = {
    "bool_parsing": "it is neither yes nor no; write 1 or 0",
    "int_parsing": "it is no whole number",
    "int_from_float": "it is no whole number",
    "float_parsing": "it is no number",
    "uuid_parsing": "it is no UUID",
    "string_type": "it is no text",
    "tuple_type": "it is no list",
    "callable_type": "it is no function",
    "string_pattern_mismatch": "it is none of what can be given",
}
"""What pydantic finds wrong with a value, by its name for that."""


def explain(problem: str, otherwise: str, value: str, *, secret: bool, url: bool) -> str:
    """Say what is wrong with a value, and show it where it holds no secret.

    Args:
        problem: Pydantic's name for it.
        otherwise: Pydantic's words for it, or those of a validator of ours.
        value: The value.
        secret: Whether secrets belong there.
        url: Whether URLs belong there, which may hold a password.
    """
    if not secret and _KEY.match(value):
        return "it is a key or a token, which belongs elsewhere"
    found = _IN_PLAIN_WORDS.get(problem) or otherwise.removeprefix("Value error, ")
    return found if secret or url or "@" in value else f"{found} (it is {value[:80]!r})"


class CommonOptions(TypedDict, total=False):
    """Every setting but `project_domain`, which `AgentSession` takes as its first argument."""

    enabled: bool
    sdk_key: str | SecretStr | None
    project_id: str | UUID | None
    brain_url: str
    uasam_url: str | None
    agent_key: str | SecretStr | None
    propagate_to: str | Iterable[str]
    max_body_bytes: int
    capture_traceback: bool
    session_secret: str | SecretStr | None
    session_jwks_url: str | None
    ignore_paths: str | Iterable[str]
    ignore_methods: str | Iterable[str]
    ignore_operations: str | Iterable[str]
    should_record: str | Callable[..., Any] | None
    session_sample_rate: float
    session_max_events_per_second: float | None
    session_max_bytes_per_second: float | None
    sensitive_headers: str | Iterable[str]
    sensitive_fields: str | Iterable[str]
    redact_keep: str | Iterable[str]
    redact_patterns: str | Iterable[str]
    redact_path_patterns: str | Iterable[str]
    redact_emails: bool
    redact_phones: bool
    redact_ips: bool
    capture_headers: bool
    capture_request_body: bool
    capture_response_body: bool
    skip_header_paths: str | Iterable[str]
    skip_request_body_paths: str | Iterable[str]
    skip_response_body_paths: str | Iterable[str]
    operation_protocols: str | Iterable[str | Callable[..., Any]]
    before_send: str | Callable[..., Any] | None
    queue_max_events: int
    queue_max_bytes: int
    max_connections: int
    request_timeout: float
    connect_timeout: float
    max_retries: int
    max_retry_delay: float
    agnost_org_id: str | UUID | None
    agnost_url: str
    destinations: str | Iterable[str]
    celery_app: str | None
    celery_queue: str
    celery_rate_limit: str | None
    spool_dir: str | PathLike[str] | None
    spool_max_bytes: int
    spool_key: str | SecretStr | None
    durability: Literal["memory", "spool", "relay"]
    relay: str | None
    relay_batch: bool
    relay_log: str | PathLike[str] | None
    on_loss: str | Callable[..., Any] | None
    stats_interval: float
    transport: str
    shutdown_timeout: float


class SettingOptions(CommonOptions, total=False):
    """Every setting."""

    project_domain: str | Iterable[str]
