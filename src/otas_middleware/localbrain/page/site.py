"""The page put together: which path is answered by what."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response

from otas_middleware.localbrain.page.charts import Charts
from otas_middleware.localbrain.page.exports import Exports
from otas_middleware.localbrain.page.http import HEADERS, Changing, Json, Reading
from otas_middleware.localbrain.page.listing import AgnostRecords, Listing
from otas_middleware.localbrain.page.senders import Senders
from otas_middleware.localbrain.page.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp

    from otas_middleware.localbrain.incoming import Incoming
    from otas_middleware.localbrain.page.feed import Feed
    from otas_middleware.localbrain.page.senders import Refusals
    from otas_middleware.localbrain.store import Store


class Site:
    """All of the page.

    Args:
        store: Where the events are.
        feed: Tells open pages of news.
        refusals: What the log endpoints refused.
        new_token: Creates a session of the first agent, and returns its token.
    """

    def __init__(self, store: Store, feed: Feed, refusals: Refusals, new_token: Callable[[], str]) -> None:
        self._store = store
        self._feed = feed
        self._new_token = new_token
        self._senders = Senders(store, refusals)
        self.watch = refusals.watch

    def endpoints(self) -> Mapping[str, ASGIApp]:
        """Return an application for each path."""
        listing, sessions, exports = Listing(self._store), Sessions(self._store), Exports(self._store)
        return {
            **assets(),
            "/_page/feed": self._feed,
            "/_page/events": Reading(listing.events),
            "/_page/count": Reading(listing.count),
            "/_page/event": Reading(listing.event),
            "/_page/sessions": Reading(sessions.sessions),
            "/_page/session": Reading(sessions.session),
            "/_page/charts": Reading(Charts(self._store).charts),
            "/_page/senders": Reading(self._senders.senders),
            "/_page/agnost": Reading(AgnostRecords(self._store).agnost),
            "/_page/export.json": Reading(exports.as_json),
            "/_page/export.har": Reading(exports.as_har),
            "/_page/new-session": Changing(self._new_session),
            "/_page/clear": Changing(self._clear),
        }

    def _new_session(self, incoming: Incoming) -> Response:  # noqa: ARG002  # an answer's form
        """`POST /_page/new-session`: a token to try things with."""
        token = self._new_token()
        self._feed.publish()
        return Json({"token": token})

    def _clear(self, incoming: Incoming) -> Response:  # noqa: ARG002  # an answer's form
        """`POST /_page/clear`: delete all events and sessions."""
        self._store.clear()
        self._feed.publish()
        return Json({"cleared": True})


_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


@cache
def assets() -> Mapping[str, Reading]:
    """Return an endpoint for each file: the document at `/`, all others below `/_page/`, by exact path."""
    found: dict[str, Reading] = {}
    for file in sorted(_FOLDER.rglob("*")):
        if file.suffix in _TYPES:
            name = file.relative_to(_FOLDER).as_posix()
            is_document = name == "index.html"
            path = "/" if is_document else f"/_page/{name}"
            content = Response(file.read_bytes(), media_type=_TYPES[file.suffix], headers=HEADERS)
            found[path] = Reading(content, public=is_document)
    return found
