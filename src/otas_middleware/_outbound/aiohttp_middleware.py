"""Instrumentation of aiohttp: a client middleware, as aiohttp 3.12 and later take them.

A middleware sees every request as it is sent, redirects and retries included. The token is taken out of the request's
headers again when the answer has begun, so that neither `response.request_info` nor an exception shows it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import BytesPayload

from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._internal_errors import report_internal_error
from otas_middleware._outbound.aiohttp_content import RecordedContent, record_release, record_writing
from otas_middleware._outbound.policy import OutgoingRequest, Place, clean, confirmed, failed, has_token, is_clean

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import ClientRequest, ClientResponse

    from otas_middleware._capture.capture import Capture
    from otas_middleware._outbound.policy import OutboundPolicy, RawHeaders, Whereabouts

    Handler = Callable[[ClientRequest], Awaitable[ClientResponse]]


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
        place = self._policy.place(*location)
        if place is Place.EXEMPT:
            return await handler(request)
        if place is Place.INSIDE and confirmed(self._policy, location, _raw(request)) is place:
            return await self._inside(request, location, handler)
        raw = self._right_head(request, Place.OUTSIDE, location, None)
        call = await self._begin(request, location, raw)
        try:
            response = await handler(request)
        except BaseException as error:
            failed(call, error)
            raise
        if call is not None:
            _note_response(call, response)
        return response

    async def _inside(self, request: ClientRequest, location: Whereabouts, handler: Handler) -> ClientResponse:
        policy = self._policy
        token = policy.token_at_hand()
        if token is None and policy.may_wait:
            token = await asyncio.to_thread(policy.token)
        raw = self._right_head(request, Place.INSIDE, location, token)
        if token is None or (not policy.exclusive and has_token(raw)):
            return await handler(request)
        request.headers[TOKEN_HEADER] = token
        try:
            return await handler(request)
        finally:
            request.headers.pop(TOKEN_HEADER, None)

    def _right_head(self, request: ClientRequest, place: Place, location: Whereabouts, token: str | None) -> RawHeaders:
        """Take out of the request's headers what must not go along; return what is left.

        Raises:
            SecretInUrlError: The URL holds it.
        """
        policy = self._policy
        raw = _raw(request)
        _, host, _, target = location
        if is_clean(raw, target, policy.secrets(place)):
            return raw
        left = clean(policy, place, raw, target, host, token)
        for name in {name for name, _ in raw} - {name for name, _ in left}:
            del request.headers[name.decode()]
        return left

    async def _begin(self, request: ClientRequest, location: Whereabouts, raw: RawHeaders) -> Capture | None:
        scheme, host, port, target = location
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


def _raw(request: ClientRequest) -> RawHeaders:
    return [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in request.headers.items()]


def _whereabouts(request: ClientRequest) -> Whereabouts:
    """Return where a request goes (see `Domain.covers`)."""
    url = request.url
    return url.scheme, (url.raw_host or "").encode("ascii", "replace"), url.port, url.raw_path_qs.encode()


def _note_response(call: Capture, response: Any) -> None:
    """Note the head of an answer, and have its body noted as it is consumed."""
    try:
        call.started(response.status, list(response.headers.items()), response.reason)
        if response.status == 101 or response.content.at_eof():  # another protocol follows; there is no body
            call.ended()
            call.finish()
            return
        record_release(response, call)
        response.content = RecordedContent(response.content, call, coded="Content-Encoding" in response.headers)
    except Exception:
        report_internal_error("outbound.aiohttp")
        call.finish()
