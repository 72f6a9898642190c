"""Requests of httpx as they are sent: looked at and changed at little cost, and never the caller's own object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._outbound.secrets import OUR_NAMES
from otas_middleware._outbound.secrets import is_clean as secrets_are_clean

if TYPE_CHECKING:
    import httpx2 as httpx

    from otas_middleware._outbound.secrets import Secrets

_TOKEN_ENTRY = (TOKEN_HEADER.encode(), TOKEN_HEADER.lower().encode())


def whereabouts(request: httpx.Request) -> tuple[str, bytes, int | None, bytes]:
    """Return where a request goes (see `Domain.covers`), as the network layer will have it.

    An extension may put another target into the request line. One that names a host of its own may lead anywhere, by
    way of a proxy: such a request gets a scheme that is inside no domain.
    """
    url = request.url
    if "target" not in request.extensions:
        return url.scheme, url.raw_host, url.port, url.raw_path
    given: object = request.extensions["target"]
    target = given if isinstance(given, bytes) else str(given).encode("ascii", "replace")
    return url.scheme if target.startswith((b"/", b"*")) else "", url.raw_host, url.port, target


def is_clean(headers: Any, target: bytes, secrets: Secrets) -> bool:
    """Say whether nothing of OTAS is anywhere in a request's head (as `secrets.is_clean`, and faster)."""
    if not _is_plain(headers):
        return secrets_are_clean(headers.raw, target, secrets)
    shortest = secrets.shortest
    for raw, name, value in headers._list:  # noqa: SLF001  # `raw` would be made anew; see `_is_plain`
        if name in OUR_NAMES:
            return False
        if (len(value) >= shortest or len(raw) >= shortest) and (secrets.are_in(value) or secrets.are_in(raw)):
            return False
    return not secrets.are_in(target)


def with_token(request: httpx.Request, token: str) -> httpx.Request:
    """Return a request that has the token too; it must not have one yet."""
    twin = copied(request)
    headers: Any = type(request.headers)(request.headers)
    twin.headers = headers
    if _is_plain(headers):
        headers._list.append((*_TOKEN_ENTRY, token.encode("latin-1")))  # noqa: SLF001  # see `_is_plain`
    else:
        headers[TOKEN_HEADER] = token
    return twin


def with_headers(request: httpx.Request, raw: list[tuple[bytes, bytes]], token: str | None) -> httpx.Request:
    """Return a request with other headers, and with the token in place of any other."""
    twin = copied(request)
    twin.headers = headers = type(request.headers)(raw)
    if token is not None:
        headers[TOKEN_HEADER] = token
    return twin


def copied(request: httpx.Request) -> httpx.Request:
    """Return another request that is the same; headers, body, stream and extensions are shared."""
    kind: Any = type(request)
    plain = _plain_requests.get(kind)
    if plain is None:
        plain = _plain_requests[kind] = _consists_of(kind, _ATTRIBUTES)
    twin: Any = object.__new__(kind)
    if not plain:
        twin.__dict__.update(request.__dict__)
        return cast("httpx.Request", twin)
    # One by one, since asking for `__dict__` turns an object's compact form into a slower one.
    twin.method = request.method
    twin.url = request.url
    twin.headers = request.headers
    twin.extensions = request.extensions
    twin.stream = request.stream
    content = getattr(request, "_content", None)  # a request whose body is a stream has none
    if content is not None:
        twin._content = content  # noqa: SLF001  # so that a transport need not read the body again
    return cast("httpx.Request", twin)


_ATTRIBUTES = {"method", "url", "headers", "extensions", "stream", "_content"}
_plain_requests: dict[object, bool] = {}


def _consists_of(kind: Any, attributes: set[str]) -> bool:
    """Say whether a class of requests is the library's own, and has these attributes and no other."""
    if kind.__module__.partition(".")[0] not in {"httpx", "httpx2"}:
        return False
    sample: Any = kind("GET", "http://localhost")
    return set(sample.__dict__) == attributes


_plain_headers: dict[object, bool] = {}


def _is_plain(headers: Any) -> bool:
    """Say whether headers are a list of (name, name in lower case, value), as they have long been."""
    kind: Any = cast("object", type(headers))
    plain = _plain_headers.get(kind)
    if plain is None:
        stored: object = getattr(kind([(b"A", b"b")]), "_list", None)
        plain = _plain_headers[kind] = stored == [(b"A", b"a", b"b")]
    return plain
