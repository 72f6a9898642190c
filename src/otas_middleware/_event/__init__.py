"""Bytes become the record, in the background: here the record, which everything else exists for, and its limits.

In comes a finished capture; out goes an `Envelope` with a redacted and fitted `BackendEvent`: what happened in one HTTP
call. It is built by the worker from a finished request (`build.py`), by the agent side, or by user code. Its fields are
those that Brain's log endpoints know. The class says what each field means and which values Brain can store; building
one with a value out of range is no error, for two steps around redaction make every event keep those limits: `coerce`
gives each field its type, `fit` its size. Both take the fields of an event by name, so that an event is built once, at
the end. The room imports `_capture` and `_config` and nothing of delivery.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import to_json

if TYPE_CHECKING:
    from collections.abc import Callable

EventSource = Literal["backend", "agent"]
"""Who logs an event, and so which of Brain's two log endpoints it is for."""

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
        "At most 2,600 UTF-8 bytes; the rest of a longer one is `metadata.path_rest`."
    )
    method: str = Field(description="HTTP method. At most 20 characters.")
    status_code: int = Field(
        description="HTTP status, 0 … 2147483647. When no response was started: 500 after an exception, 499 when the "
        "client had gone."
    )
    latency_ms: float = Field(
        description="Milliseconds from the request's arrival to the last byte of the response body; to its headers "
        "where the response is open for as long as the client wants it. Finite, 0 or more."
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
        default="{}",
        description="JSON object of the response's headers, as `request_headers`, and of its trailers (ASGI).",
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
        default_factory=dict, description="What the application added with `annotate()`: any JSON."
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
        source: Who logs it.
    """

    event: BackendEvent
    token: str = field(repr=False)
    session_id: str
    agent_id: str
    source: EventSource = "backend"


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


CUT = " [CUT]"
_OTHER_TEXTS = ("query_params", "request_headers", "response_headers")
_OBJECT_BYTES = 262_144
_BODIES = ("response_body", "request_body", "post_data")
_MAX_UTF8 = 4  # bytes of a character
_MAX_ESCAPE = 6  # bytes of a character in JSON
_MARGIN = 2_048  # bytes of the event's names, numbers and marks
_REST_CHARACTERS = 32_768
_PROJECT_CHARACTERS = 64
_MAX_MILLISECONDS = 1e12
_ATTEMPTS = 12

_texts_of = cast("Callable[[dict[str, Any]], tuple[str, ...]]", itemgetter(*TEXT_FIELDS))
_validated = TypeAdapter(BackendEvent).validator.validate_python  # `model_validate` takes a third longer


def coerce(fields: dict[str, Any]) -> None:
    """Give each field its type, in place: `before_send` may have put anything there."""
    for name in TEXT_FIELDS:
        if type(fields[name]) is not str:
            fields[name] = _text(fields[name])
    for name in DICT_FIELDS:
        value = fields[name]
        if type(value) is not dict:
            fields[name] = {} if value is None else {"value": value}
    coerce_numbers(fields)


def coerce_numbers(fields: dict[str, Any]) -> None:
    """Bring the numbers of an event into their range, in place."""
    for name in ("request_size_bytes", "response_size_bytes", "status_code"):
        value = fields[name]
        if type(value) is not int or not 0 <= value <= MAX_INTEGER:
            fields[name] = None if value is None and name != "status_code" else _integer(value)
    value = fields["latency_ms"]
    if type(value) is not float or not 0.0 <= value <= _MAX_MILLISECONDS:
        fields["latency_ms"] = milliseconds(value)


def fit(fields: dict[str, Any], *, objects: int | None = None) -> BackendEvent:
    """Return the event of these fields, within every limit of Brain.

    Args:
        fields: Coerced and redacted; the objects in it are plain JSON.
        objects: So many bytes of JSON its objects have at most; they are counted where nobody knows.
    """
    texts = "".join(_texts_of(fields))
    characters = len(texts)
    if not texts.isascii() or "\x00" in texts:  # rare enough to look for the one in a second pass
        fields.update((name, storable(fields[name])) for name in TEXT_FIELDS)
    fields["project_id"] = fields["project_id"][:_PROJECT_CHARACTERS] or NIL_PROJECT
    fields["method"] = fields["method"][:MAX_METHOD_CHARACTERS]
    for name in ("request_content_type", "response_content_type"):
        fields[name] = fields[name][:MAX_CONTENT_TYPE_CHARACTERS]
    if len(fields["path"]) * _MAX_UTF8 > MAX_PATH_BYTES:
        _fit_path(fields)
    if objects is None:
        objects = len(to_json(fields["custom_properties"])) + len(to_json(fields["metadata"]))
    event: BackendEvent = _validated(fields)
    if characters * _MAX_ESCAPE + objects + _MARGIN > MAX_EVENT_BYTES:
        _fit_size(event)
    return event


def _fit_path(fields: dict[str, Any]) -> None:
    path: str = fields["path"]
    kept = path.encode()[:MAX_PATH_BYTES].decode("utf-8", "ignore")
    if kept != path:
        fields["path"] = kept
        fields["metadata"]["path_rest"] = path[len(kept) :][:_REST_CHARACTERS]


def _fit_size(event: BackendEvent) -> None:
    """Cut what is large until the event's JSON is small enough; the error, which makes it a failure, comes last."""
    for name in DICT_FIELDS:
        if len(to_json(getattr(event, name))) > MAX_EVENT_BYTES // 2:
            setattr(event, name, _first_of(getattr(event, name)))
    if _cut(event, _BODIES):
        return
    for name in DICT_FIELDS:
        setattr(event, name, _first_of(getattr(event, name)))
    if not _cut(event, _OTHER_TEXTS):
        _cut(event, ("error",))


def _cut(event: BackendEvent, names: tuple[str, ...]) -> bool:
    """Cut these texts, the largest first; return whether the event is small enough."""
    for attempt in range(_ATTEMPTS):
        over = len(event.to_json()) - MAX_EVENT_BYTES
        if over <= 0:
            return True
        sizes = {name: len(to_json(getattr(event, name))) for name in names}
        largest = max(sizes, key=lambda name: sizes[name])
        text: str = getattr(event, largest)
        share = 1 - (over + _MARGIN) / sizes[largest]
        # Escapes need not be spread evenly; what a few cuts do not achieve, emptying the field does.
        kept = text[: int(len(text) * share)] + CUT if share > 0 and attempt < _ATTEMPTS // 2 else ""
        setattr(event, largest, kept)
        event.metadata.setdefault("truncated", {}).setdefault(largest, {})["fitted"] = len(kept)
    return len(event.to_json()) <= MAX_EVENT_BYTES


def _first_of(objects: dict[str, Any]) -> dict[str, Any]:
    """Return an object whose members take up to `_OBJECT_BYTES`; one that does not fit is marked."""
    kept: dict[str, Any] = {}
    room = _OBJECT_BYTES
    for key, value in objects.items():
        for shown in (value, CUT.strip()):
            size = len(to_json({key: shown}))
            if size <= room:
                kept[key] = shown
                room -= size
                break
    return kept


def _text(value: Any) -> str:
    if value is None:
        return ""
    try:
        if isinstance(value, bytes | bytearray):
            return value.decode("utf-8", "replace")
        if type(value) in {dict, list, tuple}:
            return to_json(value, fallback=str).decode()
        return str.__str__(value) if isinstance(value, str) else str(value)
    except Exception:  # foreign code: __str__
        return f"[UNREADABLE: {type(value).__name__}]"


def _integer(value: Any) -> int:
    try:
        return min(max(int(value), 0), MAX_INTEGER)
    except (ValueError, TypeError, OverflowError, ArithmeticError):
        return 0


def milliseconds(value: Any) -> float:
    """Return a finite number of milliseconds, 0 or more; 0 for what is none."""
    try:
        number = float(value)
    except (ValueError, TypeError, OverflowError, ArithmeticError):
        return 0.0
    return min(max(number, 0.0), _MAX_MILLISECONDS) if math.isfinite(number) else 0.0
