"""Agnost's two endpoints, the second destination for events."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

from otas_middleware.localbrain.checks import InvalidJsonError, UnreadableBodyError, read_json
from otas_middleware.localbrain.pages import DjangoJSON, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.responses import Response

    from otas_middleware.localbrain.incoming import Incoming
    from otas_middleware.localbrain.store import Store


class Agnost:
    """Handles the posts of one organisation.

    An event that satisfies either published form is taken; the store says which it satisfies, and whether its session
    was there before it, because a sender wants both forms and the session first.
    """

    def __init__(self, store: Store, org_id: str, on_stored: Callable[[], None]) -> None:
        self._store = store
        self._on_stored = on_stored
        self._org_id = UUID(org_id)

    async def capture_session(self, incoming: Incoming) -> Response:
        """`POST /api/v1/capture-session`: a conversation begins."""
        body = self._body(incoming)
        if wrong := problems(body, SESSION):
            raise _bad(400, "; ".join(wrong))
        session_id = body.get("session_id", "")
        with self._store.write() as connection:
            connection.execute(
                "INSERT INTO agnost_session (arrived_at, org_id, session_id, session_uuid, body) "
                "VALUES (?, ?, ?, ?, ?)",
                (time.time(), str(self._org_id), session_id, _as_uuid(session_id), json.dumps(body)),
            )
        self._on_stored()
        return DjangoJSON({"session_id": session_id})

    async def capture_event(self, incoming: Incoming) -> Response:
        """`POST /api/v1/capture-event`: a tool, a resource or a prompt was used."""
        body = self._body(incoming)
        wrong = {form: problems(body, rules) for form, rules in EVENT_FORMS.items()}
        forms = [form for form, found in wrong.items() if not found]
        if not forms:
            raise _bad(400, "; ".join(wrong["second" if "event_id" in body else "first"]))
        event_id = str(UUID(body["event_id"])) if "second" in forms else str(uuid4())
        session = _as_uuid(body["session_id"])
        with self._store.write() as connection:
            known = connection.execute("SELECT 1 FROM agnost_session WHERE session_uuid = ?", (session,)).fetchone()
            connection.execute(
                "INSERT INTO agnost_event (arrived_at, org_id, event_id, session_uuid, session_known, forms, body) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    time.time(),
                    str(self._org_id),
                    event_id,
                    session,
                    known is not None,
                    ",".join(forms),
                    json.dumps(body),
                ),
            )
        self._on_stored()
        return DjangoJSON({"event_id": event_id})

    def _body(self, incoming: Incoming) -> dict[str, Any]:
        """Check the organisation, then read the body."""
        org_id = incoming.header(b"x-org-id")
        if org_id is None:
            raise _bad(401, "X-Org-Id header is required")
        try:
            is_known = UUID(org_id) == self._org_id and not incoming.outage
        except ValueError:
            is_known = False
        if not is_known:
            raise _bad(401, "unknown organization")
        try:
            body = read_json(incoming.body)
        except (InvalidJsonError, UnreadableBodyError):
            body = None
        if not isinstance(body, dict) or incoming.is_too_large:
            raise _bad(400, "the body must be a JSON object")
        return cast("dict[str, Any]", body)


def _bad(status: int, error: str) -> RefusedError:
    return RefusedError(DjangoJSON({"error": error}, status))


def _as_uuid(session_id: str) -> str:
    """Normalise a session id: a UUID to its usual form, any other text to the same UUID each time."""
    try:
        return str(UUID(session_id))
    except ValueError:
        return str(uuid5(NAMESPACE_OID, session_id))


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
