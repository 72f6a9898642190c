"""Agnost's two endpoints, the second destination for events."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, cast
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

from otas_middleware.localbrain.agnost_forms import EVENT_FORMS, SESSION, problems
from otas_middleware.localbrain.checks import InvalidJsonError, UnreadableBodyError, read_json
from otas_middleware.localbrain.pages import DjangoJSON, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

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
