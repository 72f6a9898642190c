"""An event's request as a curl command, to be pasted into a shell.

An event is untrusted and a shell obeys what it reads, so every word is quoted, no control character reaches the
terminal as it is, and nothing is taken for an option or a file's name.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otas_middleware.localbrain.schema import StoredEvent

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST = re.compile(r"[A-Za-z0-9._~-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_PLAIN = re.compile(r"[\w./:=@%+,-]+", re.ASCII)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_OF_THE_CONNECTION = {
    "host",
    "content-length",
    "connection",
    "transfer-encoding",
    "expect",
    "upgrade",
    "accept-encoding",
}
_BODILESS = {"GET", "HEAD"}


def to_curl(event: StoredEvent) -> str:
    """Return the command; what was redacted stands in it as `[REDACTED]`, a cut body as far as it was recorded."""
    words = ["curl", "--globoff", "--path-as-is"]
    method = event["method"]
    body = event["request_body"]
    if method == "HEAD":
        words.append("--head")
    elif _TOKEN.fullmatch(method) and method != ("POST" if body else "GET"):
        words += ["--request", method]
    words.append(address(event))
    for name, value in sendable_headers(event):
        # curl leaves out a header whose value is empty, unless a semicolon stands for it.
        words += ["--header", f"{name}: {value}" if value.strip() else f"{name};"]
    if body and method not in _BODILESS:
        words += ["--data-raw", body]
    return " ".join(_quoted(word) for word in words)


def address(event: StoredEvent) -> str:
    """Return the URL that was called, as far as the event tells: the scheme only where a proxy named it."""
    headers = {name.lower(): value for name, value in header_pairs(event["request_headers"])}
    host = headers.get("host", "")
    scheme = "https" if headers.get("x-forwarded-proto") == "https" else "http"
    path = quote(event["path"], safe="/:@!$&'()*+,;=~%-._")
    query = event["query_params"]
    url = f"{scheme}://{host if _HOST.fullmatch(host) else 'localhost'}{path if path.startswith('/') else '/' + path}"
    return f"{url}?{quote(query, safe=_IN_QUERY)}" if query else url


_IN_QUERY = "/:@!$&'()*+,;=?~%-._[]"


def sendable_headers(event: StoredEvent) -> Iterator[tuple[str, str]]:
    """Yield the headers that a client sets itself: not those of the connection, nor what is no header's name."""
    for name, value in header_pairs(event["request_headers"]):
        if _TOKEN.fullmatch(name) and name.lower() not in _OF_THE_CONNECTION:
            yield name, value


def header_pairs(text: str | None) -> Iterator[tuple[str, str]]:
    """Yield the headers of a recorded JSON object, one after the other; none when it is something else."""
    try:
        headers = json.loads(text or "{}")
    except ValueError:
        return
    if isinstance(headers, dict):
        for name, value in cast("Mapping[str, object]", headers).items():
            for single in _each(value):
                yield name, single if isinstance(single, str) else json.dumps(single)


def _each(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else [value]


def _quoted(word: str) -> str:
    """Quote a word for sh; with a control or a bidirectional character in it, for bash and zsh (`$'…'`)."""
    if _PLAIN.fullmatch(word):
        return word
    if not _UNSAFE.search(word):
        return "'" + word.replace("'", "'\\''") + "'"
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + _UNSAFE.sub(lambda found: _escape(found[0]), escaped) + "'"


def _escape(char: str) -> str:
    """Write a character as bash reads it in any locale: byte by byte, in three octal digits each."""
    return "".join(f"\\{byte:03o}" for byte in char.encode())
