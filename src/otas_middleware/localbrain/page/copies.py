"""One event as something to copy: a curl command, Python, an entry of a HAR file.

An event is untrusted and a shell obeys what it reads, so every word is quoted, no control character reaches the
terminal as it is, and nothing is taken for an option or a file's name.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from http.client import responses
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, quote

from otas_middleware._version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otas_middleware.localbrain.schema import StoredEvent

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST = re.compile(r"[A-Za-z0-9._~-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_PLAIN = re.compile(r"[\w./:=@%+,-]+", re.ASCII)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_OWN_NAMES = "host content-length connection transfer-encoding expect upgrade accept-encoding"
_OF_THE_CONNECTION = frozenset(_OWN_NAMES.split())
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
    headers = _by_name(event["request_headers"])
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


CREATOR = {"name": "otas-middleware brain", "version": __version__}


def har_entry(event: StoredEvent) -> dict[str, Any]:
    """Return the entry. What HAR has no place for is in fields that begin with an underscore, as HAR wants it."""
    latency = event["latency_ms"] if math.isfinite(event["latency_ms"]) else 0.0
    metadata = cast("dict[str, Any]", event["metadata"]) if isinstance(event["metadata"], dict) else {}
    ttfb = metadata.get("ttfb_ms")
    wait = min(float(ttfb), latency) if isinstance(ttfb, (int, float)) and math.isfinite(ttfb) else latency
    return {
        "startedDateTime": _started(event, metadata, latency),
        "time": latency,
        "request": {
            "method": event["method"],
            "url": address(event),
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": _headers(event["request_headers"]),
            "queryString": _pairs(event["query_params"]),
            "headersSize": -1,
            "bodySize": event["request_size_bytes"],
            **_post_data(event),
        },
        "response": {
            "status": event["status_code"],
            "statusText": responses.get(event["status_code"], ""),
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": _headers(event["response_headers"]),
            "content": {
                "size": event["response_size_bytes"],
                "mimeType": event["response_content_type"] or "",
                "text": event["response_body"] or "",
            },
            "redirectURL": _by_name(event["response_headers"]).get("location", ""),
            "headersSize": -1,
            "bodySize": event["response_size_bytes"],
        },
        "cache": {},
        "timings": {"send": 0, "wait": wait, "receive": max(0.0, latency - wait)},
        "_session": event["agent_session_id"],
        "_source": event["source"],
        "_error": event["error"],
        "_custom_properties": event["custom_properties"],
        "_metadata": event["metadata"],
    }


def _post_data(event: StoredEvent) -> dict[str, Any]:
    if not event["request_body"] and not event["post_data"]:
        return {}
    text = event["request_body"] or event["post_data"] or ""
    return {"postData": {"mimeType": event["request_content_type"] or "", "params": [], "text": text}}


def _started(event: StoredEvent, metadata: dict[str, Any], latency: float) -> str:
    try:
        return datetime.fromisoformat(metadata["captured_at"]).astimezone(UTC).isoformat()
    except (KeyError, TypeError, ValueError, OverflowError):
        began = event["arrived_at"] - min(latency / 1000, event["arrived_at"])
        return datetime.fromtimestamp(began, UTC).isoformat()


def _headers(text: str | None) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in header_pairs(text)]


def _by_name(text: str | None) -> dict[str, str]:
    return {name.lower(): value for name, value in header_pairs(text)}


def _pairs(query: str | None) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in parse_qsl(query or "", keep_blank_values=True)]


def to_python(event: StoredEvent) -> str:
    """Return the program; what was redacted stands in it as `[REDACTED]`, a cut body as far as it was recorded."""
    headers = "".join(f"        ({name!r}, {_literal(value)}),\n" for name, value in sendable_headers(event))
    lines = ["import httpx", "", "response = httpx.request(", f"    {event['method']!r},", f"    {address(event)!r},"]
    if headers:
        lines.append(f"    headers=[\n{headers}    ],")
    if event["request_body"]:
        lines.append(f"    content={event['request_body']!r}.encode(),")
    return "\n".join([*lines, ")", "print(response.status_code, response.text)", ""])


def _literal(value: str) -> str:
    """Write a header's value: httpx takes text for ASCII only."""
    return repr(value) if value.isascii() else f"{value!r}.encode()"
