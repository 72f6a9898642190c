"""Which of the two httpx libraries an object is of, told by the libraries' own classes, and what is derived from them.

Never by a class's `__module__`: generated SDKs rename the classes of other people's libraries. The streams here are
combined with a library's own base classes, handed on as they are, and noted in passing.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from otas_middleware._outbound import ended, failed, note_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

    from otas_middleware._capture import Capture

NAMES = ("httpx2", "httpx")
"""In the order in which they are taken where both are installed."""


class Library:
    """One of the two libraries, with our classes derived from its own.

    Args:
        name: `httpx2` or `httpx`.

    Raises:
        ImportError: It is not installed.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.module: Any = import_module(name)
        self._kinds = self.module.SyncByteStream, self.module.AsyncByteStream

    def tapped(self, tap: type, inner: Any, call: Capture) -> Any:
        """Return a stream that is noted in passing, of the kinds by which the library's code tells what may read it."""
        return derived(tap, *(kind for kind in self._kinds if isinstance(inner, kind)))(inner, call)


@lru_cache(maxsize=16)
def derived(mixin: type, *bases: type) -> Any:
    """Return a class of ours on a library's own base classes."""
    return type(mixin.__name__, (mixin, *bases), {"__module__": mixin.__module__})


@lru_cache(maxsize=2)
def library(name: str) -> Library:
    """Return the library of this name.

    Raises:
        ValueError: It is neither of the two.
        ImportError: It is not installed.
    """
    if name not in NAMES:
        raise ValueError(f"library must be 'httpx2' or 'httpx', not {name!r}")
    return Library(name)


def installed(name: str | None) -> Library:
    """Return a library: the one named, else the one that is installed, `httpx2` where both are.

    Raises:
        ValueError: The name is neither of the two.
        ImportError: It is not installed.
    """
    names = NAMES if name is None else (name,)
    for each in names:
        with suppress(ModuleNotFoundError):
            return library(each)
    advice = "" if name is None else ", or leave library= out"
    raise ModuleNotFoundError(f"{names[0]} is not installed: pip install {names[0]}{advice}")


def _find(thing: object, *classes: str) -> Library | None:
    for name in NAMES:
        module: Any = sys.modules.get(name)  # whose objects there are has been imported
        if module is not None and isinstance(thing, tuple(getattr(module, each) for each in classes)):
            return library(name)
    return None


def library_of_client(thing: object) -> Library | None:
    """Return the library that an object is a client of, or None when it is no such client."""
    return _find(thing, "Client", "AsyncClient")


def library_of_transport(thing: object, *, own: bool = False) -> Library | None:
    """Return the library that a transport is of, or None when that cannot be told.

    Args:
        thing: The transport.
        own: Whether only the libraries' own transports count, which send requests of their library alone.
    """
    if own:
        return _find(thing, "HTTPTransport", "AsyncHTTPTransport")
    return _find(thing, "BaseTransport", "AsyncBaseTransport")


_of_requests: dict[object, Library] = {}


def library_of_request(request: Any) -> Library:
    """Return the library that a request is of; of one that is neither's, the one that is installed."""
    kind: Any = cast("object", type(request))
    known = _of_requests.get(kind)
    if known is None:
        known = _of_requests[kind] = _find(request, "Request") or installed(None)
    return known


class _Stream:
    """A stream that is handed on as it is, and noted in passing; of either kind of client, as the inner one is.

    Args:
        inner: The stream.
        call: The record.
    """

    def __init__(self, inner: Any, call: Capture) -> None:
        self._inner = inner
        self._call = call


class RequestStream(_Stream):
    """A request's stream, noted as it is sent."""

    def __iter__(self) -> Iterator[bytes]:
        for chunk in cast("Iterable[bytes]", self._inner):
            note_request(self._call, chunk)
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in cast("AsyncIterable[bytes]", self._inner):
            note_request(self._call, chunk)
            yield chunk

    def close(self) -> None:
        self._inner.close()

    async def aclose(self) -> None:
        await self._inner.aclose()


class ResponseStream(_Stream):
    """A response's stream, noted as it is consumed."""

    def __iter__(self) -> Iterator[bytes]:
        call = self._call
        try:
            for chunk in cast("Iterable[bytes]", self._inner):
                call.sent(chunk)
                yield chunk
        except BaseException as error:
            failed(call, error)
            raise
        ended(call)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        call = self._call
        chunks = aiter(cast("AsyncIterable[bytes]", self._inner))
        try:
            async for chunk in chunks:
                call.sent(chunk)
                yield chunk
        except BaseException as error:
            failed(call, error)
            raise
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()
        ended(call)

    def close(self) -> None:
        try:
            self._inner.close()
        finally:
            self._call.finish()

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            self._call.finish()

    def __del__(self) -> None:
        if not self._call.finished:
            self._call.finish()  # of a stream that nobody closed
