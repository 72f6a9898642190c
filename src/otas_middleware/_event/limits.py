"""Every event satisfies the destination's limits, whatever came in.

Two steps around redaction: `coerce` gives each field its type, `fit` its size. Both take the fields of an event by
name, so that an event is built once, at the end.
"""

from __future__ import annotations

import math
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

from pydantic_core import to_json

from otas_middleware._event.model import (
    DICT_FIELDS,
    MAX_CONTENT_TYPE_CHARACTERS,
    MAX_EVENT_BYTES,
    MAX_INTEGER,
    MAX_METHOD_CHARACTERS,
    MAX_PATH_BYTES,
    NIL_PROJECT,
    TEXT_FIELDS,
    BackendEvent,
    storable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

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
    event = BackendEvent.model_validate(fields)
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
