"""Which origins are inside: exact scheme, host and port; sub-domains and paths only by an explicit pattern.

A pattern is an origin, such as `https://api.example.com` or `http://localhost:8000`. `https://*.example.com` covers all
sub-domains (and not `example.com` itself); `https://api.example.com/v2/*` covers what lies below that path. What cannot
be compared for certain is outside: the session token goes nowhere by mistake.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from otas_middleware._runtime import BoundedDict

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_PORTS = {"http": 80, "https": 443}
_SAME_AS = {"ws": "http", "wss": "https"}
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")
_UNCLEAR = re.compile(r"(?i)%(?:25)*(?:00|2e|2f|3b|5c|c0|c1)|\\|//|/\.\.?(?:[/;]|$)")
"""What servers may take for another path: dots and slashes, encoded once or twice or longer than UTF-8 allows."""


class Pattern(NamedTuple):
    """One pattern, normalised."""

    scheme: str
    host: str
    """Lower case, IDNA-encoded, without a trailing dot; of a sub-domain pattern what follows `*`, such as `.a.com`."""
    port: int
    prefix: str
    """The path up to its last slash, such as `/v2/`; `/` for all paths."""

    def covers_host(self, host: str) -> bool:
        """Say whether a normalised host is meant."""
        return host.endswith(self.host) if self.host.startswith(".") else host == self.host


class Domain:
    """The set of origins and paths that some patterns cover.

    Args:
        patterns: As users write them (see the module's text).

    Raises:
        ValueError: A pattern cannot be used; the message says what to write instead.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(parse(text) for text in patterns)
        self._prefixes = BoundedDict[tuple[str, bytes, int | None], tuple[str, ...]](1024)

    def covers(self, scheme: str, host: bytes, port: int | None, target: bytes) -> bool:
        """Say whether a request to this place is inside.

        Args:
            scheme: The URL's scheme.
            host: The host that will be connected to, in ASCII; IPv6 with or without brackets.
            port: The port, or None for the scheme's default.
            target: The path as it is sent, percent-encoded; a query may follow.
        """
        prefixes = self._inside(scheme, host, port)
        if not prefixes:
            return False
        if "/" in prefixes:
            return True
        return _is_below(target.decode("latin-1").partition("?")[0], prefixes)

    def _inside(self, scheme: str, host: bytes, port: int | None) -> tuple[str, ...]:
        """Return the path prefixes that are inside at an origin; of the last origins it is remembered."""
        origin = (scheme, host, port)
        prefixes = self._prefixes.get(origin)
        if prefixes is None:
            prefixes = self._prefixes[origin] = self._find(scheme, host.decode("latin-1"), port)
        return prefixes

    def _find(self, scheme: str, host: str, port: int | None) -> tuple[str, ...]:
        scheme = scheme.lower()
        scheme = _SAME_AS.get(scheme, scheme)
        name = normal_host(host)
        if name is None or scheme not in DEFAULT_PORTS:
            return ()
        port = DEFAULT_PORTS[scheme] if port is None else port
        return tuple(
            pattern.prefix
            for pattern in self._patterns
            if pattern.scheme == scheme and pattern.port == port and pattern.covers_host(name)
        )

    def __bool__(self) -> bool:
        return bool(self._patterns)


def _is_below(path: str, prefixes: tuple[str, ...]) -> bool:
    if _UNCLEAR.search(path):
        return False  # a server may take it for another path than we do
    return any(path.startswith(prefix) or path == prefix[:-1] for prefix in prefixes)


def parse(text: str) -> Pattern:
    """Read a pattern.

    Raises:
        ValueError: It cannot be used; the message says what to write instead.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise ValueError(_ADVICE) from None
    scheme = parts.scheme.lower()
    if scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError(_ADVICE)
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("it holds a user name, a query or a fragment; only scheme, host, port and path belong here")
    if port == 0:
        raise ValueError("nothing can listen on port 0; write the port that is connected to, or none for the usual one")
    return Pattern(scheme, _parse_host(parts.hostname), port or DEFAULT_PORTS[scheme], _parse_path(parts.path))


_ADVICE = (
    "it is not an origin; write scheme, host and, where it is not the usual one, port: https://api.example.com, "
    "http://localhost:8000, https://*.example.com for sub-domains, https://api.example.com/v2/* for a part of it"
)


def _parse_host(text: str) -> str:
    wild = text.startswith("*.")
    host = normal_host(text[2:] if wild else text)
    if host is None:
        raise ValueError(_ADVICE)
    if not wild:
        return host
    if ":" in host or host.rpartition(".")[2].isdigit() or ("." not in host and host != "localhost"):
        raise ValueError("it covers too much; `*.` must be followed by a domain of your own, such as *.example.com")
    return "." + host


def _parse_path(path: str) -> str:
    if path in {"", "/", "/*"}:
        return "/"
    prefix = path[:-1]
    if not path.endswith("/*") or "*" in prefix or _UNCLEAR.search(prefix):
        raise ValueError(f"its path is not a pattern; write {path.rstrip('/*')}/* for what lies below it, or no path")
    return prefix


def normal_host(host: str) -> str | None:
    """Return a host in the one form in which hosts are compared, or None when it is not a clear host name.

    Lower case; IDNA in its ASCII form; no trailing dot; an IPv6 address in its shortest form, without brackets.
    """
    host = host.lower()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if ":" in host:
        try:
            return str(IPv6Address(host))
        except ValueError:
            return None
    if not host.isascii():
        import idna  # noqa: PLC0415  # comes with the HTTP client; few hosts need it

        try:
            host = idna.encode(host).decode("ascii")
        except idna.IDNAError:
            return None
    host = host.removesuffix(".")
    return host if _NAME.fullmatch(host) else None


def in_url(host: str) -> str:
    """Return a host as URLs have it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def _is_one_host(written: str, host: str) -> bool:
    """Say whether both generations of IDNA lead to the same host: `faß.example` is `fass.example` to the older."""
    if written.isascii():
        return True
    try:
        return written.encode("idna").decode("ascii").lower().removesuffix(".") == host
    except UnicodeError:
        return False


class Location(NamedTuple):
    """Where a URL points, in the form that `Domain.covers` takes."""

    scheme: str
    host: bytes
    port: int | None
    target: bytes
    """Path and query."""


def locate(url: str) -> Location | None:
    """Read an absolute URL, or return None when parsers may differ about it: then it is inside no domain."""
    if not url.isprintable() or "\\" in url or " " in url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    host = normal_host(parts.hostname or "")
    if host is None or parts.netloc.count("@") > 1 or not _is_one_host(parts.hostname or "", host):
        return None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Location(parts.scheme, host.encode("ascii"), port, target.encode("utf-8"))
