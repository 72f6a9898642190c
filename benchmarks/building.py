"""Part "building": what the worker does to a recorded request before it is sent.

Every kind of body is measured as the response's, in several sizes, without anything secret in it and with one secret.
`rendering` and `redaction` are those of the body alone; `whole` is everything from the finished capture to the bytes
that are sent, headers and metadata included. The request has a JSON body of 100 bytes; or, in the sizes that say so,
of the response's size, with a secret where that has one. Of each body, what is over the default limit is cut off.
"""

from __future__ import annotations

import gzip
import json
import time
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.report import table
from otas_middleware import OtasSettings
from otas_middleware._capture import Capture
from otas_middleware._capture.session import SessionInfo
from otas_middleware._event.build import _mask_body, build
from otas_middleware._event.redact import Masker, redactor_for
from otas_middleware._event.render import render_body

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = {"1 KB": 1024, "50 KB": 51_200}
BOTH_SIDES = {"40 KB, the request's too": 40_960, "100 KB, the request's too": 102_400}
KINDS_OF_BOTH_SIDES = ("JSON", "JSON, gzip", "text", "event stream")
"""The kinds whose cost for large bodies on both sides is of interest; the others take long."""

LIMIT = OtasSettings().max_body_bytes
SECRET = "correct-horse-battery"  # what redaction is to find
REQUEST_HEADERS = [
    (b"host", b"api.example.com"),
    (b"user-agent", b"agent/1.0"),
    (b"accept", b"*/*"),
    (b"content-type", b"application/json"),
    (b"authorization", b"Bearer 0123456789abcdef0123456789abcdef"),
    (b"x-request-id", b"0b0f6c1e-6a0e-4b57-9d0a-6f6f3c1b2a11"),
]
TOKEN = "header.payload.signature"  # nobody's
SESSION = SessionInfo("agent-1", "session-1", False, "0123456789abcdef", None, None, TOKEN)  # noqa: FBT003  # its fields
REQUEST = json.dumps({"order": 42, "items": ["tea", "cup"], "note": "x" * 40}).encode()


class Kind(NamedTuple):
    """One kind of body."""

    name: str
    content_type: str
    content_coding: str
    data: bytes


def kinds(size: int, *, secret: bool) -> list[Kind]:
    """Return a body of every kind, of at least so many bytes before any content coding, and few more."""
    hidden = f'"password": "{SECRET}"'
    member = '{{"id": {n}, "name": "item {n}", "price": {n}.5, "tags": "new"}}'
    members = _filled(size, member, ", ", f"{{{hidden}}}" if secret else "")
    document = f"[{members}]".encode()
    lines = _filled(size, member, "\n", f"{{{hidden}}}" if secret else "")
    form = _filled(size, "field{n}=" + "x" * 60, "&", f"password={SECRET}" if secret else "")
    prose = "The quick brown fox jumps over the lazy dog, and nobody minds."
    text = _filled(size, prose, " ", f"Authorization: Bearer {SECRET}" if secret else "")
    item = "<item id='{n}'><name>item {n}</name><price>{n}</price></item>"
    xml = _filled(size, item, "", f"<password>{SECRET}</password>" if secret else "")
    parts = _filled(size, _part("field{n}", "x" * 60), "", _part("password", SECRET) if secret else "")
    events = _filled(size, f"data: {member}\n\n", "", f"data: {{{hidden}}}\n\n" if secret else "")
    return [
        Kind("JSON", "application/json", "", document),
        Kind("JSON, gzip", "application/json", "gzip", gzip.compress(document)),
        Kind("JSON lines", "application/x-ndjson", "", lines.encode()),
        Kind("form", "application/x-www-form-urlencoded", "", form.encode()),
        Kind("multipart", "multipart/form-data; boundary=b", "", f"{parts}--b--\r\n".encode()),
        Kind("text", "text/plain; charset=utf-8", "", text.encode()),
        Kind("XML", "application/xml", "", f"<items>{xml}</items>".encode()),
        Kind("event stream", "text/event-stream", "", events.encode()),
        *([] if secret else [Kind("binary", "image/png", "", bytes(range(256)) * (size // 256))]),
    ]


def _filled(size: int, piece: str, between: str, special: str) -> str:
    """Return numbered pieces of so many characters together, the special one in their midst."""
    pieces: list[str] = []
    length = 0
    while length < size:
        pieces.append(piece.format(n=len(pieces)))
        length += len(pieces[-1]) + len(between)
    if special:
        pieces.insert(len(pieces) // 2, special)
    return between.join(pieces)


def _part(name: str, value: str) -> str:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'


def measure(rounds: int) -> dict[str, Any]:
    """Measure every kind.

    Returns:
        Size → kind → figures in microseconds of CPU, with and without a secret.
    """
    found: dict[str, Any] = {}
    for label, size in SIZES.items():
        found[label] = {kind.name: _figures(kind, REQUEST, rounds, "") for kind in kinds(size, secret=False)}
        for kind in kinds(size, secret=True):
            found[label][kind.name] |= _figures(kind, REQUEST, rounds, ", a secret")
    for label, size in BOTH_SIDES.items():
        found[label] = {name: {} for name in KINDS_OF_BOTH_SIDES}
        for secret in (False, True):
            by_name = {kind.name: kind for kind in kinds(size, secret=secret)}
            for name in KINDS_OF_BOTH_SIDES:
                suffix = ", a secret" if secret else ""
                found[label][name] |= _figures(by_name[name], by_name["JSON"].data, rounds, suffix)
    return found


def _figures(kind: Kind, request: bytes, rounds: int, suffix: str) -> dict[str, Any]:
    settings = OtasSettings()
    masker = Masker(redactor_for(settings), TOKEN)

    def rendered() -> Any:
        return render_body(kind.data[:LIMIT], len(kind.data), kind.content_type, kind.content_coding, LIMIT)

    body = rendered()

    def whole() -> None:
        envelope = build(_capture(kind, request), settings)
        assert envelope is not None
        envelope.event.to_json()

    nothing = _microseconds(lambda: _capture(kind, request), rounds)
    return {
        f"rendering{suffix}": _microseconds(rendered, rounds),
        f"redaction{suffix}": _microseconds(lambda: _mask_body(body, masker, masker), rounds),
        f"whole{suffix}": round(_microseconds(whole, rounds) - nothing, 1),
    }


def _capture(kind: Kind, request: bytes) -> Capture:
    capture = Capture(lambda _: None, SESSION, limit=LIMIT, with_traceback=False)
    capture.method, capture.path, capture.framework = "POST", "/orders/42", "starlette"
    capture.request_headers = REQUEST_HEADERS
    capture.request.add(request)
    headers = [(b"content-type", kind.content_type.encode())]
    if kind.content_coding:
        headers.append((b"content-encoding", kind.content_coding.encode()))
    capture.started(200, headers)
    capture.sent(kind.data)
    capture.ended()
    capture.finish()
    return capture


def _microseconds(work: Callable[[], object], rounds: int) -> float:
    """Return the median CPU time of one call, over rounds of as many calls as take some milliseconds."""
    work()
    began = time.thread_time()
    work()
    calls = max(1, min(200, int(0.004 / max(time.thread_time() - began, 1e-6))))
    times: list[float] = []
    for _ in range(rounds):
        began = time.thread_time()
        for _ in range(calls):
            work()
        times.append((time.thread_time() - began) / calls)
    return round(median(times) * 1e6, 1)


def show(found: dict[str, Any]) -> None:
    """Print a table for each size."""
    for size, by_kind in found.items():
        columns = list(next(iter(by_kind.values())))
        rows = [
            [name, *(f"{figures[column]:.1f}" if column in figures else "" for column in columns)]
            for name, figures in by_kind.items()
        ]
        print(table(f"Making an event, response body of {size}: CPU µs in the worker", ["body", *columns], rows))
