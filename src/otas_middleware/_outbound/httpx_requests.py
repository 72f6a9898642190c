"""Requests of httpx as they are sent: looked at and changed at little cost, and never the caller's own object."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from otas_middleware._session import TOKEN_HEADER

if TYPE_CHECKING:
    import httpx2 as httpx

_TOKEN_ENTRY = (TOKEN_HEADER.encode(), TOKEN_HEADER.lower().encode())
_ABSENT: Any = object()


def entries(headers: Any) -> list[tuple[bytes, ...]]:
    """Return the names and values of headers, in whatever arrangement; not to be changed."""
    found: list[tuple[bytes, ...]] = headers._list if _is_plain(headers) else headers.raw  # noqa: SLF001
    return found  # `raw` would be made anew


def with_token(request: httpx.Request, token: str) -> httpx.Request:
    """Return a request that has the token too; it must not have one yet."""
    twin = copied(request)
    headers: Any = type(request.headers)(request.headers)
    twin.headers = headers
    if _is_plain(headers):
        entries(headers).append((*_TOKEN_ENTRY, token.encode("latin-1")))
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
    twin = object.__new__(type(request))
    # Not `__dict__`: asking for it turns an object's compact form into a slower one.
    kind: Any = type(request)
    for name in _attributes(kind) or request.__dict__:
        value = getattr(request, name, _ABSENT)
        if value is not _ABSENT:
            setattr(twin, name, value)
    return twin


@lru_cache(maxsize=8)
def _attributes(kind: Any) -> tuple[str, ...]:
    """Return the names of what the library's own requests consist of; nothing for a class derived from them."""
    if kind.__module__.partition(".")[0] not in {"httpx", "httpx2"}:
        return ()
    sample: Any = kind("GET", "http://localhost")
    return tuple(sample.__dict__)


_plain: dict[object, bool] = {}


def _is_plain(headers: Any) -> bool:
    """Say whether headers are a list of (name, name in lower case, value), as they have long been."""
    kind: Any = type(headers)
    plain = _plain.get(kind)
    if plain is None:
        stored: object = getattr(kind([(b"A", b"b")]), "_list", None)
        plain = _plain[kind] = stored == [(b"A", b"a", b"b")]
    return plain
