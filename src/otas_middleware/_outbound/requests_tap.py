"""The tap in requests: an adapter around each of a session's own.

An adapter sees every request as it is sent, redirects included. As with httpx, the caller's request object is not
changed: where a header has to go in or out, a copy is sent, and the response names the original.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from requests.adapters import BaseAdapter
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from otas_middleware._guard import swallow
from otas_middleware._outbound.gate import Outgoing, Place, check_target, inside_headers, outside_headers
from otas_middleware._outbound.raw_tap import failed, tap_raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from requests import PreparedRequest, Response, Session

    from otas_middleware._outbound.gate import Gate, RawHeaders


def wrap_session(session: Session, gate: Gate) -> None:
    """Put the tap into a session, around each adapter that is mounted in it; once per gate."""
    for prefix, adapter in session.adapters.items():
        session.adapters[prefix] = wrap_adapter(adapter, gate)


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
        origin = _origin(request.url or "")
        if origin is None:
            return self._outside(request, ("", "", None, request.url or ""), args, options)
        place = gate.place(*origin)
        if place is Place.OURS:
            return self.inner.send(request, *args, **options)
        if place is Place.OUTSIDE:
            return self._outside(request, origin, args, options)
        secrets = gate.secrets(Place.INSIDE)
        check_target(origin[3].encode("utf-8", "replace"), origin[1], secrets)
        token = gate.token_at_hand() or gate.token()
        headers = inside_headers(_raw(request), secrets, token, exclusive=gate.exclusive)
        return self._send(request, headers, args, options)

    def _outside(
        self,
        request: PreparedRequest,
        origin: tuple[str, str, int | None, str],
        args: tuple[Any, ...],
        options: dict[str, Any],
    ) -> Response:
        scheme, host, port, path = origin
        target, secrets, raw = path.encode("utf-8", "replace"), self.gate.secrets(Place.OUTSIDE), _raw(request)
        if self.gate.exclusive:
            check_target(target, host, secrets)
        headers = outside_headers(raw, secrets, exclusive=self.gate.exclusive)
        outgoing = Outgoing(
            "requests", request.method or "", scheme, host, port, target, raw if headers is None else headers
        )
        call = self.gate.begin(outgoing)
        if call is None:
            return self._send(request, headers, args, options)
        body: Any = request.body
        if isinstance(body, str | bytes):
            call.request.add(body)
        elif body is not None:
            request = _with(request, raw)
            request.body = _tap_body(body, call.request.add)
        try:
            response = self._send(request, headers, args, options)
        except BaseException as error:
            failed(call, error)
            raise
        try:
            call.started(response.status_code, list(response.headers.items()), response.reason)
            tap_raw(response.raw, call)
        except Exception:
            swallow("outbound.requests")
        return response

    def _send(
        self, request: PreparedRequest, headers: RawHeaders | None, args: tuple[Any, ...], options: dict[str, Any]
    ) -> Response:
        if headers is None:
            return self.inner.send(request, *args, **options)
        response = self.inner.send(_with(request, headers), *args, **options)
        response.request = request
        return response

    def close(self) -> None:
        """Close the adapter that sends."""
        self.inner.close()


def _origin(url: str) -> tuple[str, str, int | None, str] | None:
    """Return scheme, host, port and path with query, or None where two parsers differ: then it is nobody's origin.

    requests connects to what `urllib.parse` reads, earlier releases to what urllib3 reads.
    """
    try:
        parts, other = urlsplit(url), parse_url(url)
        port = parts.port
    except (ValueError, LocationParseError):
        return None
    host = parts.hostname or ""
    same = (other.host or "").strip("[]").lower() == host and (other.scheme or "").lower() == parts.scheme.lower()
    if not same or other.port != port:
        return None
    return parts.scheme, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _raw(request: PreparedRequest) -> RawHeaders:
    return [(_bytes(name), _bytes(value)) for name, value in request.headers.items()]


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


def _with(request: PreparedRequest, headers: RawHeaders) -> PreparedRequest:
    """Return a copy with these of the request's headers, and with those that are new."""
    twin = request.copy()
    kept = {name.lower() for name, _ in headers}
    for name in list(twin.headers):
        if _bytes(name).lower() not in kept:
            del twin.headers[name]
    for raw_name, value in headers:
        text = raw_name.decode("latin-1")
        if text not in twin.headers or _bytes(twin.headers[text]) != value:
            twin.headers[text] = value.decode("latin-1")
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
