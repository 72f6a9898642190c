"""Instrumentation of httpx and of its continuation httpx2: a transport around the client's own.

A transport sees every request as it is sent, redirects and retries included, and knows the very host that will be
connected to. The caller's request object is not changed: where a header has to go in or out, a copy is sent. So
neither `response.request` nor a redirect can carry the token on.
"""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Any, Self

from otas_middleware._capture.body import without_coding
from otas_middleware._config.origins import Location
from otas_middleware._errors import report_internal_error
from otas_middleware._outbound import (
    Layer,
    OutgoingRequest,
    Scope,
    confirmed,
    ended,
    failed,
    has_layer,
    head_for,
    innermost,
    note_request,
)
from otas_middleware._outbound.httpx_library import (
    RequestStream,
    ResponseStream,
    derived,
    installed,
    library_of_request,
    library_of_transport,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

    import httpx2 as httpx

    from otas_middleware._capture import Capture
    from otas_middleware._outbound import OutboundPolicy, RawHeaders
    from otas_middleware._outbound.httpx_library import Library


def wrap_transport(inner: Any, policy: OutboundPolicy) -> Any:
    """Return a transport around another of either kind; the same one if this policy has wrapped it already.

    Its class is derived from the library's own base classes, since others may ask for them.
    """
    if has_layer(inner, policy):
        return inner
    module = (library_of_transport(inner) or installed(None)).module
    return derived(InstrumentedTransport, module.BaseTransport, module.AsyncBaseTransport)(inner, policy)


class OwnTransport:
    """Sends by the library's own transport, whichever library the first request is of.

    For `session.transport()`: it is made before anybody knows which client it will be given to.

    Args:
        kind: `HTTPTransport`, or `AsyncHTTPTransport` for asynchronous clients.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._lock = threading.Lock()
        self._made: Any = None

    def _for(self, request: Any) -> Any:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = getattr(library_of_request(request).module, self._kind)()
        return self._made

    def handle_request(self, request: Any) -> Any:
        """Send a request (see `httpx.BaseTransport`)."""
        return self._for(request).handle_request(request)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened."""
        if self._made is not None:
            self._made.close()

    def handle_async_request(self, request: Any) -> Any:
        """Send a request (see `httpx.AsyncBaseTransport`)."""
        return self._for(request).handle_async_request(request)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close what was opened."""
        if self._made is not None:
            await self._made.aclose()


class InstrumentedTransport(Layer):
    """A transport that asks the policy first: synchronous or asynchronous, as the one within is.

    Args:
        inner: The transport that sends.
        policy: Decides.
    """

    def __init__(self, inner: Any, policy: OutboundPolicy) -> None:
        self.inner = inner
        self.policy = policy
        self._only = library_of_transport(innermost(inner), own=True)

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # while it is being made or copied
            raise AttributeError(name)
        return getattr(self.inner, name)

    def _scope(self, request: httpx.Request) -> tuple[Scope, Location]:
        """Return where a request goes.

        Raises:
            TypeError: The client is of one httpx library, and the transport that sends is the other one's own.
        """
        if self._only is not None and not isinstance(request, self._only.module.Request):
            theirs = library_of_request(request).name
            raise TypeError(
                f"This transport sends by {self._only.name}, and the client that it was given to is one of {theirs}; "
                f'write session.transport(library="{theirs}"), or session.client(library="{theirs}").'
            )
        return scope_of(self.policy, request)

    def _inside(self, request: httpx.Request, location: Location, token: str | None) -> httpx.Request:
        """Return what is to be sent to a host inside.

        Raises:
            SecretInUrlError: The URL holds a key.
        """
        headers = head_for(self.policy, Scope.INSIDE, request.headers.raw, location, token)
        return request if headers is None else copied(request, headers)

    def _outside(self, request: httpx.Request, location: Location) -> tuple[httpx.Request, Capture | None]:
        """Return what is to be sent to a host outside, and the record that was begun.

        Raises:
            SecretInUrlError: The URL holds a secret.
        """
        raw = request.headers.raw
        headers = head_for(self.policy, Scope.OUTSIDE, raw, location, None)
        if headers is not None:
            raw = headers
            request = copied(request, headers)
        library = library_of_request(request)
        call = self.policy.begin(OutgoingRequest(library.name, request.method, location, raw))
        if call is not None:
            if isinstance(request.stream, library.module.ByteStream):  # the whole body, in memory
                if body := request.read():
                    note_request(call, body)
            else:
                request = copied(request, raw)
                request.stream = library.tapped(RequestStream, request.stream, call)
        return request, call

    def _answered(self, response: httpx.Response, call: Capture, library: Library) -> None:
        """Note the head of an answer, and have its body noted as it is consumed."""
        try:
            reason = response.extensions.get("reason_phrase")
            call.started(response.status_code, response.headers.raw, reason.decode("latin-1") if reason else None)
            if response.status_code == 101:  # another protocol follows; there is no body
                ended(call)
            elif response.is_closed:  # a transport that had the whole body at hand
                if response.num_bytes_downloaded != len(response.content):  # and has undone its coding
                    call.response_headers = without_coding(response.headers.multi_items())
                call.sent(response.content)
                ended(call)
            else:
                response.stream = library.tapped(ResponseStream, response.stream, call)
        except Exception:
            report_internal_error("outbound.httpx")
            call.finish()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request (see `httpx.BaseTransport`)."""
        scope, location = self._scope(request)
        if scope is Scope.EXEMPT:
            return self.inner.handle_request(request)  # type: ignore[no-any-return]  # of either library
        if scope is Scope.INSIDE:
            token = self.policy.token_at_hand() or self.policy.token()
            sent = self._inside(request, location, token)
            return self.inner.handle_request(sent)  # type: ignore[no-any-return]  # as above
        request, call = self._outside(request, location)
        try:
            response: httpx.Response = self.inner.handle_request(request)
        except BaseException as error:
            failed(call, error)
            raise
        if call is not None:
            self._answered(response, call, library_of_request(request))
        return response

    def close(self) -> None:
        """Close the transport that sends."""
        self.inner.close()

    def __enter__(self) -> Self:
        self.inner.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.inner.__exit__(*error)

    def handle_async_request(self, request: httpx.Request) -> Coroutine[Any, Any, httpx.Response]:
        """Send a request; not `async` itself, so that a call inside costs no coroutine more than without us."""
        scope, location = self._scope(request)
        if scope is Scope.EXEMPT:
            return self.inner.handle_async_request(request)  # type: ignore[no-any-return]  # of either library
        if scope is Scope.OUTSIDE:
            return self._recorded(request, location)
        token = self.policy.token_at_hand()
        if token is None and self.policy.may_wait:
            return self._send_with_token(request, location)
        sent = self._inside(request, location, token)
        return self.inner.handle_async_request(sent)  # type: ignore[no-any-return]  # as above

    async def _send_with_token(self, request: httpx.Request, location: Location) -> httpx.Response:
        from anyio import to_thread  # noqa: PLC0415  # comes with httpx; asyncio and trio

        token = await to_thread.run_sync(self.policy.token, abandon_on_cancel=True)
        response: httpx.Response = await self.inner.handle_async_request(self._inside(request, location, token))
        return response

    async def _recorded(self, request: httpx.Request, location: Location) -> httpx.Response:
        request, call = self._outside(request, location)
        try:
            response: httpx.Response = await self.inner.handle_async_request(request)
        except BaseException as error:
            failed(call, error)
            raise
        if call is not None:
            self._answered(response, call, library_of_request(request))
        return response

    async def aclose(self) -> None:
        """Close the transport that sends."""
        await self.inner.aclose()

    async def __aenter__(self) -> Self:
        await self.inner.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.inner.__aexit__(*error)


def scope_of(policy: OutboundPolicy, request: httpx.Request) -> tuple[Scope, Location]:
    """Return where a request goes, as a policy sees it and as the network layer will have it."""
    location = location_of(request)
    scope = policy.scope(*location)
    if scope is Scope.INSIDE:
        scope = confirmed(policy, location, request.headers.raw)
    return scope, location


def location_of(request: httpx.Request) -> Location:
    """Return where a request goes (see `Domain.covers`), as the network layer will have it.

    An extension may put another target into the request line. One that names a host of its own may lead anywhere, by
    way of a proxy: such a request gets a scheme that is inside no domain.
    """
    url = request.url
    if "target" not in request.extensions:
        return Location(url.scheme, url.raw_host, url.port, url.raw_path)
    given: object = request.extensions["target"]
    target = given if isinstance(given, bytes) else str(given).encode("ascii", "replace")
    return Location(url.scheme if target.startswith((b"/", b"*")) else "", url.raw_host, url.port, target)


def copied(request: httpx.Request, headers: RawHeaders) -> httpx.Request:
    """Return a request that differs in its headers only; body, stream and extensions are shared."""
    kind = library_of_request(request).module.Request
    if type(request) is kind:
        made: httpx.Request = kind(
            request.method, request.url, headers=headers, stream=request.stream, extensions=request.extensions
        )
        return made
    made = copy.copy(request)  # of a class derived from it; copying leaves these two out
    made.headers = type(request.headers)(headers)
    made.stream = request.stream
    made.extensions = request.extensions
    return made
