"""Tells open pages that something arrived, by server-sent events.

A message says only that there is news, and at most every fifth of a second: the page then asks for what it shows, with
its filter. So a flood of events costs an open page the same as a trickle, and a lost message loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from otas_middleware.localbrain.page.http import HEADERS, Json

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_PAUSE = 0.2
_HEARTBEAT = 15.0
_MOST_PAGES = 32


class Feed:
    """An ASGI application, `GET /_page/feed`: a stream that ends with the connection."""

    def __init__(self) -> None:
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
            writing = asyncio.create_task(_write(me[1], send))
            try:
                while (await receive())["type"] != "http.disconnect":
                    pass
            finally:
                self._waiting.discard(me)
                writing.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError):
                    await writing


async def _write(news: asyncio.Event, send: Send) -> None:
    pairs = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream"), *pairs]}
    )
    message = b"retry: 1000\nevent: news\ndata:\n\n"  # what arrived before the page listened is news to it
    while True:
        await send({"type": "http.response.body", "body": message, "more_body": True})
        await asyncio.sleep(_PAUSE)
        try:
            await asyncio.wait_for(news.wait(), _HEARTBEAT)
            news.clear()
            message = b"event: news\ndata:\n\n"
        except TimeoutError:
            message = b":\n\n"
