"""What came for Agnost, the second destination: how much, and the latest of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from otas_middleware.localbrain.page.http import Json

if TYPE_CHECKING:
    import sqlite3

    from starlette.responses import Response

    from otas_middleware.localbrain.incoming import Incoming
    from otas_middleware.localbrain.store import Store

_SHOWN = 50
_LONGEST_NAME = 300


class AgnostRecords:
    """Answers for Agnost's records."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def agnost(self, incoming: Incoming) -> Response:  # noqa: ARG002  # an answer's form
        """`GET /_page/agnost`: the numbers of sessions and events, and the latest events, newest first."""
        with self._store.reading() as connection:
            sessions = connection.execute("SELECT count(*) FROM agnost_session").fetchone()[0]
            events = connection.execute("SELECT count(*) FROM agnost_event").fetchone()[0]
            latest = connection.execute("SELECT * FROM agnost_event ORDER BY id DESC LIMIT ?", (_SHOWN,)).fetchall()
        return Json({"sessions": sessions, "events": events, "latest": [_event(row) for row in latest]})


def _event(row: sqlite3.Row) -> dict[str, Any]:
    """Name what matters of an event; `problem` is what a sender that means both forms and a session has got wrong."""
    body = json.loads(row["body"])
    lacking = {"first": "it satisfies only the first form", "second": "it satisfies only the second form"}
    return {
        "arrived_at": row["arrived_at"],
        "session": row["session_uuid"],
        "name": str(body.get("primitive_name", ""))[:_LONGEST_NAME],
        "success": body.get("success", True) is True,
        "latency": _milliseconds(body.get("latency")),
        "problem": lacking.get(row["forms"], "") if row["session_known"] else "its session was not captured before it",
    }


def _milliseconds(latency: object) -> int | None:
    return latency if isinstance(latency, int) and not isinstance(latency, bool) else None
