"""The tap in httpx: a transport around the client's own, for `httpx2` and for the older `httpx`.

A transport sees every request as it is sent, redirects and retries included, and knows the very host that will be
connected to. The request object of the caller is not changed: where a header has to go in or out, a twin is sent. So
neither `response.request` nor a redirect can carry the token on.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from otas_middleware._internal_errors import report_internal_error
from otas_middleware._outbound.gate import Outgoing, Place
from otas_middleware._outbound.httpx_requests import copied, is_clean, whereabouts, with_headers, with_token
from otas_middleware._outbound.httpx_streams import (
    AsyncRequestStream,
    AsyncResponseStream,
    RequestStream,
    ResponseStream,
    failed,
)
from otas_middleware._outbound.secrets import clean, has_token

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    import httpx2 as httpx

    from otas_middleware._capture.capture import Capture
    from otas_middleware._outbound.gate import Gate

LIBRARIES = ("httpx2", "httpx")


def library_of(thing: object) -> str | None:
    """Return the name of the httpx library that an object's class comes from, or None when it is another's."""
    for kind in type(thing).__mro__:
        package = kind.__module__.partition(".")[0]
        if package in LIBRARIES:
            return package
    return None


def wrap_client(client: Any, gate: Gate) -> None:
    """Put the tap into a client, around its transport and those of its proxies and mounts; once per gate."""
    wrap = wrap_async_transport if hasattr(client, "aclose") else wrap_transport
    client._transport = wrap(client._transport, gate)  # noqa: SLF001  # no public name; the test suite holds it
    mounts: dict[Any, Any] = client._mounts  # noqa: SLF001  # as above
    for pattern, transport in mounts.items():
        if transport is not None:
            mounts[pattern] = wrap(transport, gate)


def wrap_transport(inner: Any, gate: Gate) -> httpx.BaseTransport:
    """Return a synchronous transport with the tap around another; the same one if it has this tap already."""
    wrapped: httpx.BaseTransport = _wrapped(inner, gate, "transport")
    return wrapped


def wrap_async_transport(inner: Any, gate: Gate) -> httpx.AsyncBaseTransport:
    """Return an asynchronous transport with the tap around another; the same one if it has this tap already."""
    wrapped: httpx.AsyncBaseTransport = _wrapped(inner, gate, "async_transport")
    return wrapped


def _wrapped(inner: Any, gate: Gate, kind: str) -> Any:
    layer = inner
    while isinstance(layer, _Wrapper):
        if layer.gate is gate:
            return inner
        layer = layer.inner
    make = getattr(_kit(library_of(layer) or LIBRARIES[0]), kind)
    return make(inner, gate)


class _Kit(NamedTuple):
    """The tap's classes for one library, whose own code tells streams and transports by their base classes."""

    transport: Callable[[Any, Gate], Any]
    async_transport: Callable[[Any, Gate], Any]
    request_stream: Callable[[Any, Capture], Any]
    async_request_stream: Callable[[Any, Capture], Any]
    response_stream: Callable[[Any, Capture], Any]
    async_response_stream: Callable[[Any, Capture], Any]


@lru_cache(maxsize=2)
def _kit(name: str) -> _Kit:
    library: Any = sys.modules.get(name) or import_module(name)

    def derive(mixin: type, base: type) -> Any:
        return type(mixin.__name__.strip("_"), (mixin, base), {"__module__": mixin.__module__})

    return _Kit(
        derive(_Transport, library.BaseTransport),
        derive(_AsyncTransport, library.AsyncBaseTransport),
        derive(RequestStream, library.SyncByteStream),
        derive(AsyncRequestStream, library.AsyncByteStream),
        derive(ResponseStream, library.SyncByteStream),
        derive(AsyncResponseStream, library.AsyncByteStream),
    )


class _Wrapper:
    """What both kinds of transport have in common.

    Args:
        inner: The transport that sends.
        gate: Decides.
    """

    def __init__(self, inner: Any, gate: Gate) -> None:
        self.inner = inner
        self.gate = gate
        self._library = library_of(self) or LIBRARIES[0]
        kit = _kit(self._library)
        self._request_stream, self._response_stream = self._streams(kit)

    def _streams(self, kit: _Kit) -> tuple[Callable[[Any, Capture], Any], Callable[[Any, Capture], Any]]:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # while it is being made or copied
            raise AttributeError(name)
        return getattr(self.inner, name)

    def _inside(self, request: httpx.Request, host: bytes, target: bytes, token: str | None) -> httpx.Request:
        """Return what is to be sent to a host inside.

        Raises:
            SecretInUrlError: The URL holds a key.
        """
        gate = self.gate
        if is_clean(request.headers, target, gate.secrets(Place.INSIDE)):
            return request if token is None else with_token(request, token)
        raw = request.headers.raw
        if not gate.exclusive and has_token(raw):
            token = None
        return with_headers(request, clean(gate, Place.INSIDE, raw, target, host, token), token)

    def _outside(
        self, request: httpx.Request, scheme: str, host: bytes, port: int | None, target: bytes
    ) -> tuple[httpx.Request, Capture | None]:
        """Return what is to be sent to a host outside, and the record that was begun.

        Raises:
            SecretInUrlError: The URL holds a secret.
        """
        raw = request.headers.raw
        if not is_clean(request.headers, target, self.gate.secrets(Place.OUTSIDE)):
            raw = clean(self.gate, Place.OUTSIDE, raw, target, host, None)
            request = with_headers(request, raw, None)
        call = self.gate.begin(Outgoing(self._library, request.method, scheme, host.decode("ascii"), port, target, raw))
        if call is not None:
            content = getattr(request, "_content", None)  # of a stream there is none, and `content` would raise
            if content is None:
                request = copied(request)
                request.stream = self._request_stream(request.stream, call)
            elif content:
                call.request.add(content)
        return request, call

    def _answered(self, response: httpx.Response, call: Capture) -> httpx.Response:
        """Note the head of an answer, and have its body noted as it is consumed."""
        try:
            reason = response.extensions.get("reason_phrase")
            call.started(response.status_code, response.headers.raw, reason.decode("latin-1") if reason else None)
            if response.is_closed:  # a transport that had the whole body at hand
                call.sent(response.content)
                call.ended()
                call.finish()
            else:
                response.stream = self._response_stream(response.stream, call)
        except Exception:
            report_internal_error("outbound.httpx")
            call.finish()
        return response


class _Transport(_Wrapper):
    inner: httpx.BaseTransport

    def _streams(self, kit: _Kit) -> tuple[Callable[[Any, Capture], Any], Callable[[Any, Capture], Any]]:
        return kit.request_stream, kit.response_stream

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        gate = self.gate
        scheme, host, port, target = whereabouts(request)
        place = gate.place(scheme, host, port, target)
        if place is Place.INSIDE:
            token = gate.token_at_hand() or gate.token()
            return self.inner.handle_request(self._inside(request, host, target, token))
        if place is Place.OURS:
            return self.inner.handle_request(request)
        request, call = self._outside(request, scheme, host, port, target)
        if call is None:
            return self.inner.handle_request(request)
        try:
            response = self.inner.handle_request(request)
        except BaseException as error:
            failed(call, error)
            raise
        return self._answered(response, call)

    def close(self) -> None:
        self.inner.close()

    def __enter__(self) -> Self:
        self.inner.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.inner.__exit__(kind, error, traceback)


class _AsyncTransport(_Wrapper):
    inner: httpx.AsyncBaseTransport

    def _streams(self, kit: _Kit) -> tuple[Callable[[Any, Capture], Any], Callable[[Any, Capture], Any]]:
        return kit.async_request_stream, kit.async_response_stream

    def handle_async_request(self, request: httpx.Request) -> Coroutine[Any, Any, httpx.Response]:
        """Send a request; not `async` itself, so that a call inside costs no coroutine more than without us."""
        gate = self.gate
        scheme, host, port, target = whereabouts(request)
        place = gate.place(scheme, host, port, target)
        if place is Place.INSIDE:
            token = gate.token_at_hand()
            if token is None and gate.may_wait:
                return self._when_there_is_a_token(request, host, target)
            return self.inner.handle_async_request(self._inside(request, host, target, token))
        if place is Place.OURS:
            return self.inner.handle_async_request(request)
        return self._recorded(request, scheme, host, port, target)

    async def _when_there_is_a_token(self, request: httpx.Request, host: bytes, target: bytes) -> httpx.Response:
        from anyio import to_thread  # noqa: PLC0415  # comes with httpx; asyncio and trio

        token = await to_thread.run_sync(self.gate.token, abandon_on_cancel=True)
        return await self.inner.handle_async_request(self._inside(request, host, target, token))

    async def _recorded(
        self, request: httpx.Request, scheme: str, host: bytes, port: int | None, target: bytes
    ) -> httpx.Response:
        request, call = self._outside(request, scheme, host, port, target)
        if call is None:
            return await self.inner.handle_async_request(request)
        try:
            response = await self.inner.handle_async_request(request)
        except BaseException as error:
            failed(call, error)
            raise
        return self._answered(response, call)

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def __aenter__(self) -> Self:
        await self.inner.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.inner.__aexit__(kind, error, traceback)
