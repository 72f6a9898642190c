"""Agnost: the same events in its terms, each behind the session that it belongs to.

One body satisfies both published forms of `capture-event`. A session is announced once, before its first event: the
process remembers those it has announced, and with a spool directory the processes of a host and their successors share
that memory.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from otas_middleware._delivery.destinations import agnost_form
from otas_middleware._delivery.protocols import DELIVERED, Outcome, Request, Response, Verdict
from otas_middleware._delivery.retry import by_status
from otas_middleware._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otas_middleware._delivery.destinations.announced_sessions import AnnouncedSessions
    from otas_middleware._event.model import BackendEvent, Envelope

_MOST_SESSIONS = 10_000
_MOST_SERVERS = 256

_ORGANISATION = "Check OTAS_AGNOST_ORG_ID: Agnost does not know this organisation."
_ADDRESS = "Check OTAS_AGNOST_URL: what answers there is not Agnost."


class AgnostDestination:
    """Agnost, for one organisation.

    Args:
        url: Agnost's base URL, without a trailing slash.
        organisation: The organisation's id.
        directory: Where to remember the announced sessions beyond this process; None remembers them here only.
    """

    name = "agnost"

    def __init__(self, url: str, organisation: str, directory: Path | None = None) -> None:
        self._session_url = f"{url}/api/v1/capture-session"
        self._event_url = f"{url}/api/v1/capture-event"
        self._headers = (
            ("Content-Type", "application/json"),
            ("Accept", "application/json"),
            ("User-Agent", f"otas-middleware/{__version__}"),
            ("X-Org-Id", organisation),
        )
        self._announced: OrderedDict[str, None] = OrderedDict()
        self._tools: OrderedDict[str, list[str]] = OrderedDict()  # by the path of the server that named them
        self._lock = threading.Lock()
        self._book: AnnouncedSessions | None = None
        if directory is not None:
            from otas_middleware._delivery.destinations.announced_sessions import AnnouncedSessions  # noqa: PLC0415  # sqlite3

            self._book = AnnouncedSessions(directory, f"{url} {organisation}")

    def prologue(self, envelope: Envelope, send: Callable[[Request], Outcome]) -> Outcome | None:
        """Announce the event's session, unless that has been done; return the outcome if it could not be."""
        self._note_tools(envelope.event)
        session = agnost_form.session_uuid(envelope.session_id)
        if session in self._announced:
            return None
        with self._lock:  # threads that send further events of this session wait for the announcement
            if session in self._announced:
                return None
            if self._book is None or self._book.claim(session):
                tools = self._tools.get(envelope.event.path, ())
                settle = None if self._book is None else self._book.release
                try:
                    outcome = send(self._request(self._session_url, agnost_form.session_body(envelope, tools)))
                    if outcome.verdict is not Verdict.DELIVERED:
                        return outcome
                    settle = None if self._book is None else self._book.confirm
                finally:
                    if settle is not None:
                        settle(session)
            self._announced[session] = None
            while len(self._announced) > _MOST_SESSIONS:
                self._announced.popitem(last=False)
        return None

    def _note_tools(self, event: BackendEvent) -> None:
        tools = agnost_form.tools_told(event)
        if tools is not None:
            with self._lock:
                self._tools[event.path] = tools
                self._tools.move_to_end(event.path)
                while len(self._tools) > _MOST_SERVERS:
                    self._tools.popitem(last=False)

    def request(self, envelope: Envelope) -> Request:
        """Return the POST of one event. The session token stays here: it is Brain's business."""
        return self._request(self._event_url, agnost_form.event_body(envelope))

    def outcome(self, response: Response) -> Outcome:
        """Judge an answer: Agnost says an id for whatever it took."""
        if 200 <= response.status < 300:
            if b'"event_id"' in response.body or b'"session_id"' in response.body:
                return DELIVERED
            return Outcome(Verdict.MISCONFIGURED, f"http_{response.status}", _ADDRESS)
        outcome = by_status(response)
        if response.status == 401:
            return Outcome(Verdict.MISCONFIGURED, "unknown_organisation", _ORGANISATION, outcome.retry_after)
        return outcome

    def _request(self, url: str, body: dict[str, object]) -> Request:
        return Request(url, self._headers, json.dumps(body, ensure_ascii=False, allow_nan=False).encode())
