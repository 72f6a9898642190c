"""The one record that everything else exists for: what happened in one HTTP call.

A `BackendEvent` is built by the worker from a finished request (`build.py`), by the agent side, or by user code. Its
fields are those that Brain's log endpoints know. The class says what each field means and which values Brain can
store; `limits.py` is what makes an event keep those limits, so building one with a value out of range is no error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

NIL_PROJECT = "00000000-0000-0000-0000-000000000000"
"""Sent while the project is unknown: Brain demands the key and stores the SDK key's own project."""

MAX_INTEGER = 2_147_483_647
"""The largest status code or size that Brain's integer columns hold."""

MAX_METHOD_CHARACTERS = 20
MAX_CONTENT_TYPE_CHARACTERS = 255

MAX_PATH_BYTES = 2_600
"""UTF-8 bytes of `path`. Brain indexes the column, and an index row ends at about 2,690 incompressible bytes."""

MAX_EVENT_BYTES = 2_621_440
"""Bytes of one event as JSON; one byte more and Brain refuses the request."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class BackendEvent(BaseModel):
    """One HTTP call: what was asked, what was answered, how long it took.

    Texts are always strings (empty when there is nothing to say), sizes are left out of the JSON while they are
    `None`, and nothing is validated on assignment: `before_send` may put anything in, and the fit step, which runs
    after it, makes it storable.
    """

    model_config = ConfigDict(extra="forbid")

    project_id: str = Field(
        default=NIL_PROJECT,
        description="UUID of the project. Brain needs the key and stores the SDK key's own project.",
    )
    path: str = Field(
        description="The path as the client called it, decoded, mounts included, without the query string. "
        "At most 2,600 UTF-8 bytes; the rest of a longer one is `metadata.path_rest`.",
    )
    method: str = Field(description="HTTP method. At most 20 characters.")
    status_code: int = Field(
        description="HTTP status, 0 … 2147483647. When no response was started: 500 after an exception, 499 when the "
        "client had gone.",
    )
    latency_ms: float = Field(
        description="Milliseconds from the request's arrival to the last byte of the response body; to its headers "
        "where the response is open for as long as the client wants it. Finite, 0 or more.",
    )
    request_size_bytes: int | None = Field(
        default=None,
        description="Bytes of the request body that passed, kept or not. 0 … 2147483647; left out if unknown.",
    )
    response_size_bytes: int | None = Field(
        default=None,
        description="Bytes of the response body that passed, kept or not. 0 … 2147483647; left out if unknown.",
    )
    request_headers: str = Field(
        default="{}",
        description="JSON object of the request's headers: lower-case names; a list where a name came more than once; "
        "`{}` when there are none, empty when they are not recorded.",
    )
    response_headers: str = Field(
        default="{}", description="JSON object of the response's headers, as `request_headers`."
    )
    request_body: str = Field(
        default="",
        description="The request body as text: up to `max_body_bytes`, secrets masked. A note where it is binary.",
    )
    response_body: str = Field(default="", description="The response body as text, as `request_body`.")
    query_params: str = Field(default="", description="The query string without `?`, as sent, secrets masked.")
    post_data: str = Field(
        default="",
        description="Form data: the urlencoded form as sent, or a JSON list of the parts of a multipart form "
        "(fields with their values; files with name, content type and size, never their content).",
    )
    request_content_type: str = Field(default="", description="The request's Content-Type. At most 255 characters.")
    response_content_type: str = Field(default="", description="The response's Content-Type. At most 255 characters.")
    custom_properties: dict[str, Any] = Field(
        default_factory=dict,
        description="What the application added with `annotate()`: any JSON.",
    )
    metadata: dict[str, Any] = Field(
        default_factory=dict,
        description="What this package knows about the call, under the stable keys that docs/events.md lists.",
    )
    error: str = Field(
        default="",
        description="What went wrong, such as `ValueError: bad id` or `404 Not Found`. Never empty when the status is "
        "400 or above, or when the operation failed: Brain counts an event as an error by this text alone.",
    )

    def to_json(self) -> bytes:
        """Return the event as Brain wants it: plain UTF-8 JSON, without the sizes that are unknown.

        Raises:
            pydantic_core.PydanticSerializationError: If the event holds what JSON cannot; never after the fit step.
        """
        return to_json(self, exclude_none=True)


TEXT_FIELDS = tuple(name for name, info in BackendEvent.model_fields.items() if info.annotation is str)
DICT_FIELDS = ("custom_properties", "metadata")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A finished event (redacted and fitted) and what is needed to send it.

    Attributes:
        event: The record.
        token: The raw session token, for the request header that names the session; never part of the event.
        session_id: The token's session, by which destinations group events.
        agent_id: The token's agent.
        source: Which of Brain's two log endpoints the event is for.
    """

    event: BackendEvent
    token: str = field(repr=False)
    session_id: str
    agent_id: str
    source: Literal["backend", "agent"] = "backend"


def storable(text: str) -> str:
    """Return the text with what Brain refuses replaced visibly: U+0000 by `␀`, a lone surrogate by `�`."""
    if "\x00" not in text:
        if text.isascii():
            return text
        try:
            text.encode()
        except UnicodeEncodeError:
            pass
        else:
            return text
    return _UNSTORABLE.sub(lambda match: "\u2400" if match[0] == "\x00" else "\ufffd", text)
