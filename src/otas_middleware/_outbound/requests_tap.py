"""The tap in requests: an adapter around each of a session's own.

An adapter sees every request as it is sent, redirects included. As with httpx, the caller's request object is not
changed: where a header has to go in or out, a copy is sent, and the response names the original.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from requests.adapters import BaseAdapter
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._config.origins import Location, locate, normal_host
from otas_middleware._internal_errors import report_internal_error
from otas_middleware._outbound.gate import Outgoing, Place
from otas_middleware._outbound.raw_tap import failed, tap_raw
from otas_middleware._outbound.secrets import clean, has_token, is_clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from requests import PreparedRequest, Response, Session

    from otas_middleware._outbound.gate import Gate, RawHeaders


def wrap_session(session: Session, gate: Gate) -> None:
    """Put the tap into a session, around each adapter that is mounted in it, now or later; once per gate."""
    for prefix, adapter in session.adapters.items():
        session.adapters[prefix] = wrap_adapter(adapter, gate)
    session.__dict__["mount"] = partial(_mount, weakref.ref(session), session.__dict__.get("mount"), gate)


def _mount(
    session: weakref.ref[Session],
    earlier: Callable[[str, BaseAdapter], None] | None,
    gate: Gate,
    prefix: str,
    adapter: BaseAdapter,
) -> None:
    """Stand in for a session's `mount`; refers to it weakly, so that it is freed when it is dropped, as without us."""
    alive = session()
    tapped = wrap_adapter(adapter, gate)
    if earlier is not None:
        earlier(prefix, tapped)
    elif alive is not None:
        type(alive).mount(alive, prefix, tapped)


def wrap_adapter(inner: BaseAdapter, gate: Gate) -> BaseAdapter:
    """Return an adapter with the tap around another; the same one if it has this tap already."""
    layer = inner
    while isinstance(layer, TapAdapter):
        if layer.gate is gate:
            return inner
        layer = layer.inner
    return TapAdapter(inner, gate)


class TapAdapter(BaseAdapter):
    """Sends by another adapter, after asking the gate.

    Args:
        inner: The adapter that sends.
        gate: Decides.
    """

    def __init__(self, inner: BaseAdapter, gate: Gate) -> None:
        super().__init__()
        self.inner = inner
        self.gate = gate

    def __getattr__(self, name: str) -> Any:
        if name in {"inner", "gate"}:  # while it is being made or copied
            raise AttributeError(name)
        return getattr(self.inner, name)

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        """Send a request and return the response (see `requests.adapters.BaseAdapter.send` for the arguments)."""
        gate = self.gate
        location = _locate(request.url or "")
        place = Place.OUTSIDE if location is None else gate.place(*location)
        if place is Place.OURS:
            return self.inner.send(request, *args, **options)
        if location is None:
            location = Location("", b"", None, (request.url or "").encode("utf-8", "replace"))
        if place is Place.OUTSIDE:
            return self._outside(request, location, args, options)
        token = gate.token_at_hand() or gate.token()
        return self._send(request, self._headers(request, place, location, token), token, args, options)

    def _headers(
        self, request: PreparedRequest, place: Place, location: Location, token: str | None
    ) -> RawHeaders | None:
        """Return the headers that are left; None when all are.

        Raises:
            SecretInUrlError: The URL holds what must not go there.
        """
        raw = _raw(request)
        if is_clean(raw, location.target, self.gate.secrets(place)):
            return None
        return clean(self.gate, place, raw, location.target, location.host, token)

    def _outside(
        self, request: PreparedRequest, location: Location, args: tuple[Any, ...], options: dict[str, Any]
    ) -> Response:
        scheme, host, port, target = location
        headers = self._headers(request, Place.OUTSIDE, location, None)
        raw = _raw(request) if headers is None else headers
        call = self.gate.begin(
            Outgoing("requests", request.method or "", scheme, host.decode("ascii"), port, target, raw)
        )
        if call is None:
            return self._send(request, headers, None, args, options)
        original, body = request, cast("Any", request.body)
        if isinstance(body, str | bytes):
            call.request.add(body)
        elif body is not None:
            request = request.copy()
            request.body = _tap_body(body, call.request.add)
        try:
            response = self._send(request, headers, None, args, options)
        except BaseException as error:
            failed(call, error)
            raise
        response.request = original
        try:
            call.started(response.status_code, list(response.headers.items()), response.reason)
            tap_raw(response.raw, call)
        except Exception:
            report_internal_error("outbound.requests")
            call.finish()
        return response

    def _send(
        self,
        request: PreparedRequest,
        headers: RawHeaders | None,
        token: str | None,
        args: tuple[Any, ...],
        options: dict[str, Any],
    ) -> Response:
        if token is not None and not self.gate.exclusive and has_token(_raw(request)):
            token = None
        if headers is None and token is None:
            return self.inner.send(request, *args, **options)
        response = self.inner.send(_with(request, headers, token), *args, **options)
        response.request = request
        return response

    def close(self) -> None:
        """Close the adapter that sends."""
        self.inner.close()


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


def _with(request: PreparedRequest, headers: RawHeaders | None, token: str | None) -> PreparedRequest:
    """Return a copy with what is left of the headers, and with a token in place of any other."""
    twin = request.copy()
    if headers is not None:
        kept = {name.lower() for name, _ in headers}
        for name in [name for name in twin.headers if _bytes(name).lower() not in kept]:
            del twin.headers[name]
    if token is not None:
        twin.headers[TOKEN_HEADER] = token
    return twin


def _tap_body(body: Any, note: Callable[[bytes | str], None]) -> Any:
    return _FileTap(body, note) if hasattr(body, "read") else _IterableTap(body, note)


class _IterableTap:
    def __init__(self, body: Iterable[bytes | str], note: Callable[[bytes | str], None]) -> None:
        self._body = body
        self._note = note

    def __iter__(self) -> Iterator[bytes | str]:
        for chunk in self._body:
            self._note(chunk)
            yield chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)


class _FileTap:
    def __init__(self, body: Any, note: Callable[[bytes | str], None]) -> None:
        self._body = body
        self._note = note

    def read(self, *args: Any) -> bytes | str:
        data: bytes | str = self._body.read(*args)
        self._note(data)
        return data

    def __iter__(self) -> Iterator[bytes | str]:
        for chunk in self._body:
            self._note(chunk)
            yield chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)
