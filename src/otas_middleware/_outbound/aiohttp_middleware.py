"""Instrumentation of aiohttp: a client middleware, as aiohttp 3.12 and later take them.

A middleware sees every request as it is sent, redirects and retries included. The token is taken out of the request's
headers again when the answer has begun, so that neither `response.request_info` nor an exception shows it. Bodies are
handed on as they are, with a note of what passes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from aiohttp import BytesPayload

from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._internal_errors import report_internal_error
from otas_middleware._outbound.aiohttp_responses import note_response
from otas_middleware._outbound.policy import OutgoingRequest, Scope, clean, confirmed, failed, has_token, is_clean

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import ClientRequest, ClientResponse

    from otas_middleware._capture.capture import Capture
    from otas_middleware._outbound.policy import OutboundPolicy, RawHeaders, Whereabouts

    Handler = Callable[[ClientRequest], Awaitable[ClientResponse]]
    Function = Callable[..., Any]


class AiohttpMiddleware:
    """Has the calls of an aiohttp session carry the token and be logged.

    Args:
        policy: Decides over each request.
    """

    def __init__(self, policy: OutboundPolicy) -> None:
        self._policy = policy

    async def __call__(self, request: ClientRequest, handler: Handler) -> ClientResponse:
        """Send a request and return the response (see aiohttp's client middlewares).

        Raises:
            SecretInUrlError: The URL holds a token or a key that must not go there; nothing was sent.
        """
        location = _whereabouts(request)
        scope = self._policy.scope(*location)
        if scope is Scope.EXEMPT:
            return await handler(request)
        if scope is Scope.INSIDE and confirmed(self._policy, location, _raw(request)) is scope:
            return await self._inside(request, location, handler)
        raw = self._right_head(request, Scope.OUTSIDE, location, None)
        call = await self._begin(request, location, raw)
        task = asyncio.current_task()
        cancelled_before = 0 if task is None else task.cancelling()
        try:
            response = await handler(request)
        except asyncio.CancelledError as error:
            asyncio.get_running_loop().call_soon(_cancelled, call, error, task, cancelled_before)
            raise
        except BaseException as error:
            failed(call, error)
            raise
        if call is not None:
            note_response(call, response, undoes=request.session.auto_decompress)
        return response

    async def _inside(self, request: ClientRequest, location: Whereabouts, handler: Handler) -> ClientResponse:
        policy = self._policy
        token = policy.token_at_hand()
        if token is None and policy.may_wait:
            token = await asyncio.to_thread(policy.token)
        raw = self._right_head(request, Scope.INSIDE, location, token)
        if token is None or (not policy.exclusive and has_token(raw)):
            return await handler(request)
        request.headers[TOKEN_HEADER] = token
        try:
            return await handler(request)
        finally:
            request.headers.pop(TOKEN_HEADER, None)

    def _right_head(self, request: ClientRequest, scope: Scope, location: Whereabouts, token: str | None) -> RawHeaders:
        """Take out of the request's headers what must not go along; return what is left.

        Raises:
            SecretInUrlError: The URL holds it.
        """
        policy = self._policy
        raw = _raw(request)
        if is_clean(raw, location[3], policy.secrets(scope)):
            return raw
        left = clean(policy, scope, raw, location, token)
        for name in {name for name, _ in raw} - {name for name, _ in left}:
            del request.headers[name.decode()]
        return left

    async def _begin(self, request: ClientRequest, location: Whereabouts, raw: RawHeaders) -> Capture | None:
        scheme, host, port, target = location
        if request.compress:  # what aiohttp itself compresses is seen before it does
            raw = [(name, value) for name, value in raw if name.lower() != b"content-encoding"]
        call = self._policy.begin(
            OutgoingRequest("aiohttp", request.method, scheme, host.decode("ascii"), port, target, raw)
        )
        if call is not None:
            try:
                body: Any = request.body
                if isinstance(body, BytesPayload):  # all of it in memory
                    call.request.add(await body.as_bytes())
                elif body:
                    record_writing(body, call)
            except Exception:
                report_internal_error("outbound.aiohttp")
        return call


def _cancelled(
    call: Capture | None, error: BaseException, task: asyncio.Task[object] | None, cancelled_before: int
) -> None:
    """Note why a call was cancelled, once those around it have had their say.

    aiohttp's `ClientTimeout(total=...)`, as `asyncio.timeout`, cancels the task and takes that back when it raises.
    """
    if task is not None and not task.cancelled() and task.cancelling() <= cancelled_before:
        failed(call, TimeoutError("The time was up before the answer came"))
    else:
        failed(call, error)


def _raw(request: ClientRequest) -> RawHeaders:
    return [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in request.headers.items()]


def _whereabouts(request: ClientRequest) -> Whereabouts:
    """Return where a request goes (see `Domain.covers`)."""
    url = request.url
    return url.scheme, (url.raw_host or "").encode("ascii", "replace"), url.port, url.raw_path_qs.encode()


def record_writing(body: Any, call: Capture) -> None:
    """Note a request's body as it is written: a file's, a form's or a stream's.

    Args:
        body: A payload of aiohttp.
        call: The record.
    """

    class Writer:
        """Writes what another does, and notes it."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        async def write(self, chunk: bytes) -> None:
            if not call.finished:
                call.request.add(bytes(chunk))
            await self._inner.write(chunk)

        async def write_eof(self, chunk: bytes = b"") -> None:
            if chunk and not call.finished:
                call.request.add(bytes(chunk))
            await self._inner.write_eof(chunk)

    kind: Any = cast("object", type(body))
    own: Callable[..., Awaitable[None]] = kind.write_with_length

    async def write_with_length(writer: Any, content_length: int | None) -> None:
        del body.write_with_length  # for this one time: a redirect writes the same payload again
        await own(body, Writer(writer), content_length)

    body.write_with_length = write_with_length
