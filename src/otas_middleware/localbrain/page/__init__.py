"""The local Brain's page: a live view of what arrives, served to a browser on this machine.

`endpoints` puts it together: which path is answered by what. Each module here answers one kind of question from the
store; `static/` is what the browser loads, as it is, without a build step.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import cache, partial
from importlib.resources import files
from typing import TYPE_CHECKING
from uuid import uuid4

from starlette.responses import Response

from otas_middleware.localbrain.django_http import until_disconnected
from otas_middleware.localbrain.page.figures import Sessions, charts
from otas_middleware.localbrain.page.http import HEADERS, Changing, Document, Json, Reading
from otas_middleware.localbrain.page.listing import Listing
from otas_middleware.localbrain.page.senders import Senders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from otas_middleware.localbrain.django_http import Incoming
    from otas_middleware.localbrain.page.senders import Refusals
    from otas_middleware.localbrain.store import Store


def endpoints(store: Store, feed: Feed, refusals: Refusals, new_token: Callable[[], str]) -> Mapping[str, ASGIApp]:
    """Return an application for each path of the page.

    Args:
        store: Where the events are.
        feed: Tells open pages of news.
        refusals: What the log endpoints refused.
        new_token: Creates a session of the first agent, and returns its token.
    """
    listing, sessions = Listing(store), Sessions(store)

    def new_session(_: Incoming) -> Response:
        """`POST /_page/new-session`: a token to try things with."""
        token = new_token()
        feed.publish()
        return Json({"token": token})

    def clear(_: Incoming) -> Response:
        """`POST /_page/clear`: delete all events and sessions."""
        store.clear()
        feed.publish()
        return Json({"cleared": True})

    return {
        **assets(),
        "/_page/feed": feed,
        "/_page/events": Reading(listing.events),
        "/_page/count": Reading(listing.count),
        "/_page/event": Reading(listing.event),
        "/_page/sessions": Reading(sessions.sessions),
        "/_page/session": Reading(sessions.session),
        "/_page/charts": Reading(partial(charts, store)),
        "/_page/senders": Reading(Senders(store, refusals).senders),
        "/_page/agnost": Reading(listing.agnost),
        "/_page/export.json": Reading(listing.as_json),
        "/_page/export.har": Reading(listing.as_har),
        "/_page/new-session": Changing(new_session),
        "/_page/clear": Changing(clear),
    }


_TYPES = {"css": "text/css", "html": "text/html", "js": "text/javascript", "svg": "image/svg+xml"}


@cache
def assets() -> Mapping[str, Reading]:
    """Return an endpoint for each file: the document at `/`, all others below `/_page/`, by exact path."""
    found: dict[str, Reading] = {}
    folders = [("", files(__name__) / "static")]  # no path of a file system: the package may lie in a zip archive
    for prefix, folder in folders:
        for file in folder.iterdir():
            name = prefix + file.name
            if file.is_dir():
                folders.append((f"{name}/", file))
            elif kind := _TYPES.get(name.rpartition(".")[2]):
                content = Response(file.read_bytes(), media_type=kind, headers=HEADERS)
                if name == "index.html":
                    found["/"] = Document(content)
                else:
                    found[f"/_page/{name}"] = Reading(content)
    return found


_PAUSE = 0.2
_HEARTBEAT = 15.0
_MOST_PAGES = 32


class Feed:
    """An ASGI application, `GET /_page/feed`: a stream that ends with the connection."""

    def __init__(self) -> None:
        self._news = f"event: news\ndata: {uuid4()}\n\n".encode()  # by which a page knows another Brain in its place
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def publish(self) -> None:
        """Tell all open pages that there is news; from any thread."""
        for loop, news in tuple(self._waiting):
            with contextlib.suppress(RuntimeError):  # the loop has just been closed
                loop.call_soon_threadsafe(news.set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one page."""
        headers = dict(scope["headers"])
        if scope["method"] != "GET" or headers.get(b"sec-fetch-site", b"none") not in {b"same-origin", b"none"}:
            await Json({"error": "only this Brain's page reads this"}, 403)(scope, receive, send)
        elif len(self._waiting) >= _MOST_PAGES:
            await Json({"error": "too many pages are open"}, 503)(scope, receive, send)
        else:
            me = (asyncio.get_running_loop(), asyncio.Event())
            self._waiting.add(me)
            writing = asyncio.create_task(_write(me[1], self._news, send))
            try:
                await until_disconnected(receive)
            finally:
                self._waiting.discard(me)
                writing.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError):
                    await writing


async def _write(news: asyncio.Event, told: bytes, send: Send) -> None:
    pairs = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream"), *pairs]}
    )
    message = b"retry: 1000\n" + told  # what arrived before the page listened is news to it
    while True:
        await send({"type": "http.response.body", "body": message, "more_body": True})
        await asyncio.sleep(_PAUSE)
        try:
            await asyncio.wait_for(news.wait(), _HEARTBEAT)
            news.clear()
            message = told
        except TimeoutError:
            message = b":\n\n"
