"""Instrumentation of requests: an adapter around each of a session's own.

An adapter sees every request as it is sent, redirects and retries included. As with httpx, the caller's request object
is not changed: where a header has to go in or out, a copy is sent, and the response names the original.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from requests import Session
from requests.adapters import BaseAdapter
from requests.exceptions import RequestException
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._config.origins import Location, locate, normal_host
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
from otas_middleware._outbound.requests_responses import RecordedRaw, Tries, send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from requests import PreparedRequest, Response

    from otas_middleware._capture import Capture
    from otas_middleware._outbound import OutboundPolicy, RawHeaders


class InstrumentedSession(Session):
    """A session whose adapters are ours, those too that are mounted later.

    Args:
        policy: Decides over each request.
    """

    _policy: OutboundPolicy | None = None  # what a pickled session has where it is loaded

    def __init__(self, policy: OutboundPolicy) -> None:
        self._policy = policy
        super().__init__()

    def mount(self, prefix: str | bytes, adapter: BaseAdapter) -> None:
        """Mount an adapter (see `requests.Session.mount`)."""
        super().mount(prefix, adapter if self._policy is None else wrap_adapter(adapter, self._policy))


def wrap_session(session: Session, policy: OutboundPolicy) -> None:
    """Put our adapter around each that is mounted in a session; once per policy."""
    for prefix, adapter in list(session.adapters.items()):
        session.mount(prefix, wrap_adapter(adapter, policy))


def wrap_adapter(inner: BaseAdapter, policy: OutboundPolicy) -> BaseAdapter:
    """Return an adapter around another; the same one if this policy has wrapped it already."""
    return inner if has_layer(inner, policy) else InstrumentedAdapter(inner, policy)


_OWN = frozenset({"inner", "policy"})


class InstrumentedAdapter(Layer, BaseAdapter):
    """Sends by another adapter, after asking the policy; for everything else it is that adapter.

    Args:
        inner: The adapter that sends.
        policy: Decides.
    """

    inner: BaseAdapter

    def __init__(self, inner: BaseAdapter, policy: OutboundPolicy) -> None:
        super().__init__()
        self.inner = inner
        self.policy = policy

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:  # while it is being made or copied
            raise AttributeError(name)
        return getattr(self.inner, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self.inner, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the adapter that sends: where it is loaded, there is no session of ours."""
        return _itself, (self.inner,)

    def __copy__(self) -> Self:
        return type(self)(self.inner, self.policy)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)(copy.deepcopy(self.inner, memo), self.policy)

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        """Send a request and return the response (see `requests.adapters.BaseAdapter.send` for the arguments)."""
        location = _locate(request.url or "")
        scope = Scope.OUTSIDE if location is None else self.policy.scope(*location)
        if scope is Scope.EXEMPT:
            return self.inner.send(request, *args, **options)
        if location is None:
            location = Location("", b"", None, (request.url or "").encode("utf-8", "replace"))
        if scope is Scope.INSIDE:
            scope = confirmed(self.policy, location, _raw(request))
        inside = scope is Scope.INSIDE
        token = self.policy.token_at_hand() or self.policy.token() if inside else None
        sent = self._with_right_head(request, scope, location, token)
        try:
            if inside:
                response = self.inner.send(sent, *args, **options)
            else:
                response = self._recorded(sent, location, args, options)
        except RequestException as error:
            if error.request is sent:
                error.request = request
            raise
        if response.request is sent:
            response.request = request
        if hasattr(response, "connection"):  # what digest, NTLM and Kerberos send their second request by
            response.connection = self  # type: ignore[assignment]  # it has what an HTTPAdapter has
        return response

    def _with_right_head(
        self, request: PreparedRequest, scope: Scope, location: Location, token: str | None
    ) -> PreparedRequest:
        """Return what is to be sent: the request itself, or a copy with other headers.

        Raises:
            SecretInUrlError: The URL holds what must not go there.
        """
        headers = head_for(self.policy, scope, _raw(request), location, token)
        return request if headers is None else _with(request, dict(headers))

    def _recorded(
        self, request: PreparedRequest, location: Location, args: tuple[Any, ...], options: dict[str, Any]
    ) -> Response:
        outgoing = OutgoingRequest("requests", request.method or "", location, _raw(request))
        body = cast("Any", request.body)
        at_hand = body if _is_at_hand(body) else None

        def begin() -> Capture | None:
            call = self.policy.begin(outgoing)
            if call is not None and at_hand is not None:
                note_request(call, at_hand)
            return call

        tries = Tries(innermost(self.inner), begin)
        if tries.call is None:
            return self.inner.send(request, *args, **options)
        sent = request
        if body is not None and at_hand is None:
            sent = request.copy()
            sent.body = _recorded_body(body, tries.note_body)
        try:
            response: Response = send(tries, lambda: self.inner.send(sent, *args, **options))
        except BaseException as error:
            if isinstance(error, RequestException) and error.request is sent:
                error.request = request
            failed(tries.call, error)
            raise
        if response.request is sent:
            response.request = request
        _note_response(tries.call, response)
        return response

    def close(self) -> None:
        """Close the adapter that sends."""
        self.inner.close()


def _itself(adapter: BaseAdapter) -> BaseAdapter:
    return adapter


def _note_response(call: Capture | None, response: Response) -> None:
    """Note the head of an answer, and have its body noted as it is consumed."""
    if call is None:
        return
    try:
        call.opaque = False
        call.started(response.status_code, _headers_of(response), response.reason)
        if response.raw is None or response.status_code == 101:  # another protocol follows; there is no body
            ended(call)
        else:
            response.raw = RecordedRaw(response.raw, call)
    except Exception:
        report_internal_error("outbound.requests")
        call.finish()


def _headers_of(response: Response) -> list[tuple[str, str]]:
    """Return the headers as they came: requests joins those of one name, urllib3 does not."""
    own: object = getattr(response.raw, "headers", None)
    headers = cast("Mapping[str, str]", own) if isinstance(own, Mapping) else response.headers
    return list(headers.items())


def _locate(url: str) -> Location | None:
    """Return where a URL points, or None where two parsers differ: then it is inside no domain.

    requests connects to what `urllib.parse` reads, earlier releases to what urllib3 reads.
    """
    location = locate(url)
    try:
        other = parse_url(url)
    except LocationParseError:
        return None
    if location is None or (other.scheme, other.port) != (location.scheme, location.port):
        return None
    return location if normal_host(other.host or "") == location.host.decode("ascii") else None


def _raw(request: PreparedRequest) -> RawHeaders:
    return [(_bytes(name), _bytes(value)) for name, value in request.headers.items()]


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


def _with(request: PreparedRequest, headers: Mapping[bytes, bytes]) -> PreparedRequest:
    """Return a copy with what is left of the headers, and with the token that is among them."""
    made = request.copy()
    kept = {name.lower() for name in headers}
    for name in [name for name in made.headers if _bytes(name).lower() not in kept]:
        del made.headers[name]
    token = headers.get(TOKEN_HEADER.encode())
    if token is not None:
        made.headers[TOKEN_HEADER] = token.decode("latin-1")
    return made


def _is_at_hand(body: object) -> bool:
    """Say whether a request's body is all in memory: text, or anything whose bytes urllib3 takes as they lie there."""
    if isinstance(body, str | bytes):
        return True
    if body is None or hasattr(body, "read"):
        return False
    try:
        memoryview(cast("Any", body))
    except TypeError:
        return False
    return True


def _recorded_body(body: Any, note: Callable[[bytes | str], None]) -> Any:
    return _RecordedFile(body, note) if hasattr(body, "read") else _RecordedIterable(body, note)


class _RecordedIterable:
    def __init__(self, body: Any, note: Callable[[bytes | str], None]) -> None:
        self._body = body
        self._note = note

    def __iter__(self) -> Iterator[bytes | str]:
        for chunk in cast("Iterable[bytes | str]", self._body):
            self._note(chunk)
            yield chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)


class _RecordedFile(_RecordedIterable):
    def read(self, *args: Any) -> bytes | str:
        data: bytes | str = self._body.read(*args)
        self._note(data)
        return data
