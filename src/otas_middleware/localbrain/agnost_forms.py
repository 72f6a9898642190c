"""What Agnost demands of a body: its session, and the two published forms of its event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class _Rule(NamedTuple):
    """What a field must be."""

    holds: Callable[[object], bool]
    demand: str
    required: bool = False


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_uuid(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(UUID(value))
    except ValueError:
        return False


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _holds_texts(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_text, cast("dict[str, object]", value).values()))


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_primitive(value: object) -> bool:
    return value in ("tool", "resource", "prompt")


def _holds_names(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_name, cast("list[object]", value)))


def _is_user(value: object) -> bool:
    """Say whether this names a user by either spelling, or by both alike."""
    if not isinstance(value, dict):
        return False
    user = cast("dict[str, object]", value)
    ids = [user[key] for key in ("user_id", "userId") if key in user]
    return all(map(_is_text, ids)) and len(set(ids)) <= 1


def _is_checkpoint(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    point = cast("dict[str, object]", value)
    return (
        _is_text(point.get("name")) and _is_integer(point.get("timestamp")) and _holds_texts(point.get("metadata", {}))
    )


def _holds_checkpoints(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_checkpoint, cast("list[object]", value)))


_TEXT = _Rule(_is_text, "a string")
_MILLISECONDS = _Rule(_is_integer, "an integer, in milliseconds")

SESSION: Mapping[str, _Rule] = {
    "session_id": _TEXT,
    "user_data": _Rule(_is_user, "an object whose user_id and userId are one string"),
    "client_config": _TEXT,
    "connection_type": _TEXT,
    "ip": _TEXT,
    "tools": _Rule(_holds_names, "an array of names"),
    "metadata": _Rule(_is_object, "an object"),
    "timestamp": _MILLISECONDS,
}
EVENT_FORMS: Mapping[str, Mapping[str, _Rule]] = {
    "first": {
        "session_id": _Rule(_is_name, "a string", required=True),
        "primitive_name": _Rule(_is_name, "a string", required=True),
        "primitive_type": _Rule(_is_primitive, "one of tool, resource, prompt", required=True),
        "success": _Rule(_is_flag, "true or false", required=True),
        "latency": _MILLISECONDS._replace(required=True),
        "args": _TEXT,
        "result": _TEXT,
        "checkpoints": _Rule(_holds_checkpoints, "an array of {name, timestamp in milliseconds, metadata of strings}"),
        "metadata": _Rule(_is_object, "an object"),
    },
    "second": {
        "event_id": _Rule(_is_uuid, "a UUID", required=True),
        "session_id": _Rule(_is_uuid, "a UUID", required=True),
        "primitive_name": _Rule(_is_name, "a string", required=True),
        "args": _TEXT._replace(required=True),
        "result": _TEXT._replace(required=True),
        "success": _Rule(_is_flag, "true or false"),
        "latency": _MILLISECONDS,
        "timestamp": _MILLISECONDS,
        "parent_id": _Rule(_is_uuid, "a UUID"),
        "metadata": _Rule(_holds_texts, "an object of strings"),
    },
}


def problems(body: Mapping[str, Any], rules: Mapping[str, _Rule]) -> list[str]:
    """Say what is wrong with a body under these rules; unknown fields are ignored."""
    found: list[str] = []
    for name, rule in rules.items():
        if name not in body:
            if rule.required:
                found.append(f"{name} is required")
        elif not rule.holds(body[name]):
            found.append(f"{name} must be {rule.demand}")
    return found
