"""Reading recorded exchanges: HTTP as it stands on the wire, and HAR files (HTTP Archive 1.2) of browsers and proxies.

On the wire there is a request, and perhaps its response behind it. Line ends may be those of a text file, and the lines
may be marked as `curl -v` marks them (`>`, `<`, `*`).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import datetime  # pydantic reads it
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlencode

from pydantic import BaseModel, ValidationError

from otas_middleware._cli.preview import Exchange, Pairs, Reply, UnreadableError, target_of, value_of

_REQUEST = re.compile(rb"([A-Za-z]+) (\S+)(?: HTTP/[0-9.]+)?\r?\n")
_STATUS = re.compile(rb"HTTP/[0-9.]+ ([1-9][0-9]{2})(?: ([^\r\n]*))?\r?\n")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_NEXT_STATUS = re.compile(rb"(?:^|\n)(?=HTTP/[0-9.]+ [1-9][0-9]{2})")
_CHUNK = re.compile(rb"([0-9A-Fa-f]+)[^\r\n]*\r?\n")
_MARKED = re.compile(rb"^(?:[<>] ?|\* |[{}] \[)", re.MULTILINE)


def looks_like(data: bytes) -> bool:
    """Say whether this begins like an HTTP message."""
    first = data.lstrip().partition(b"\n")[0] + b"\n"
    return bool(re.match(rb"(?:[><*] ?)?[A-Za-z]+ \S+ HTTP/[0-9.]+\s*\n", first)) or data.lstrip().startswith(b"* ")


def read_wire(data: bytes) -> Exchange:
    """Return the request and, if one follows, the response.

    Raises:
        UnreadableError: This is not an HTTP request.
    """
    data = _unmarked(data.lstrip())
    start = _REQUEST.match(data)
    if start is None:
        raise UnreadableError(
            "this does not begin with an HTTP request; its first line should be like: POST /orders/42 HTTP/1.1"
        )
    method, target = start[1].decode("ascii"), start[2].decode("latin-1")
    headers, rest = _head(data, start.end())
    body, rest = _body(headers, rest)
    rest = rest.lstrip()
    return Exchange(
        method.upper(),
        target if target.startswith("/") else target_of(target),
        headers,
        body,
        read_reply(rest) if rest else None,
    )


def read_reply(data: bytes) -> Reply:
    """Return a response; interim ones (1xx) before it are skipped.

    Raises:
        UnreadableError: This is not an HTTP response.
    """
    data = _unmarked(data.lstrip())
    while True:
        start = _STATUS.match(data)
        if start is None:
            raise UnreadableError(
                "what should be the response does not begin with a status line, such as: HTTP/1.1 200 OK"
            )
        headers, rest = _head(data, start.end())
        if start[1] < b"200":
            data = rest.lstrip()
            continue
        body, _ = _body(headers, rest)
        return Reply(int(start[1]), (start[2] or b"").decode("latin-1").strip(), headers, body)


def _head(data: bytes, start: int) -> tuple[Pairs, bytes]:
    if data[start : start + 1] in {b"\n", b""} or data[start : start + 2] == b"\r\n":  # no header at all
        return (), data[start:].removeprefix(b"\r").removeprefix(b"\n")
    end = _HEAD_END.search(data, start)
    head = data[start:] if end is None else data[start : end.start()]
    pairs: list[tuple[str, str]] = []
    for line in head.decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise UnreadableError(f"the line {line[:60]!r} is not a header; a blank line belongs before the body")
        pairs.append((name.strip(), value.strip()))
    return tuple(pairs), b"" if end is None else data[end.end() :]


def _body(headers: Pairs, data: bytes) -> tuple[bytes, bytes]:
    """Split what follows a head into its body and what follows that."""
    if "chunked" in (value_of(headers, "Transfer-Encoding") or "").lower() and _CHUNK.match(data):
        return _dechunked(data)
    length = value_of(headers, "Content-Length")
    if length is not None and length.isdigit() and len(data) >= int(length):
        return data[: int(length)], data[int(length) :]
    following = _NEXT_STATUS.search(data)
    if following is not None:
        return data[: following.start()].rstrip(b"\r\n"), data[following.end() :]
    # An editor ends a file with a line break that was not in the message.
    return data.removesuffix(b"\n").removesuffix(b"\r"), b""


def _dechunked(data: bytes) -> tuple[bytes, bytes]:
    body = bytearray()
    while (line := _CHUNK.match(data)) is not None:
        size = int(line[1], 16)
        data = data[line.end() :]
        if size == 0:
            return bytes(body), data
        body += data[:size]
        data = data[size:].removeprefix(b"\r").removeprefix(b"\n")
    raise UnreadableError("a chunked body ends before its last chunk (a line that is 0)")


def _unmarked(data: bytes) -> bytes:
    """Take the marks of `curl -v` out, and with them its remarks."""
    if not _MARKED.match(data):
        return data
    lines: list[bytes] = []
    for line in data.splitlines(keepends=True):
        if line[:1] in {b">", b"<"}:
            lines.append(line[1:].removeprefix(b" "))
        elif not _MARKED.match(line):
            lines.append(line)
    return b"".join(lines)


_BOUNDARY = "otas-preview-boundary-7MA4YWxkTrZu0gW"


class Part(NamedTuple):
    """One part of a form; with a file's name it is a file."""

    name: str
    content: bytes
    filename: str | None = None
    content_type: str | None = None


def encode(parts: list[Part]) -> tuple[str, bytes]:
    """Return the Content-Type and the body of a form."""
    pieces: list[bytes] = []
    for part in parts:
        head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{_quoted(part.name)}"'
        if part.filename is not None:
            head += f'; filename="{_quoted(part.filename)}"'
        if part.content_type is not None:
            head += f"\r\nContent-Type: {part.content_type}"
        pieces += [head.encode(), b"\r\n\r\n", part.content, b"\r\n"]
    pieces.append(f"--{_BOUNDARY}--\r\n".encode())
    return f"multipart/form-data; boundary={_BOUNDARY}", b"".join(pieces)


def _quoted(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


# What the archive holds is the content after these were undone.
_UNDONE = {"content-encoding", "transfer-encoding"}


class _Pair(BaseModel):
    name: str
    value: str = ""


class _Parameter(_Pair):
    fileName: str | None = None  # noqa: N815  # the format's own names
    contentType: str | None = None  # noqa: N815


class _Content(BaseModel):
    mimeType: str = ""  # noqa: N815
    text: str | None = None
    encoding: str | None = None
    size: int = 0
    params: list[_Parameter] = []


class _Request(BaseModel):
    method: str
    url: str
    headers: list[_Pair] = []
    postData: _Content | None = None  # noqa: N815


class _Response(BaseModel):
    status: int
    statusText: str = ""  # noqa: N815
    headers: list[_Pair] = []
    content: _Content = _Content()


class _Timings(BaseModel):
    send: float = 0
    wait: float = 0


class _Entry(BaseModel):
    startedDateTime: datetime | None = None  # noqa: N815
    time: float = 0
    request: _Request
    response: _Response | None = None
    timings: _Timings | None = None


class _Log(BaseModel):
    entries: list[_Entry]


class _Archive(BaseModel):
    log: _Log


def read_har(text: str) -> list[Exchange]:
    """Return the exchanges of an archive.

    Raises:
        UnreadableError: It is not a HAR file, or one of its requests cannot be read.
    """
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        _fail(f"it is not JSON ({error})")
    try:
        archive = _Archive.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        _fail(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
    # Browsers also list what they made themselves (`data:`, `blob:`).
    entries = [entry for entry in archive.log.entries if entry.request.url.startswith(("http://", "https://"))]
    if not entries:
        _fail("it holds no HTTP requests")
    return [_of_entry(entry) for entry in entries]


def _fail(why: str) -> NoReturn:
    raise UnreadableError(f"this is not a HAR file that can be read: {why}") from None


def _of_entry(entry: _Entry) -> Exchange:
    request = entry.request
    remarks: list[str] = []
    headers = _pairs(request.headers)
    body = b""
    if request.postData is not None:
        headers, body = _posted(headers, request.postData)
    reply = None
    if entry.response is not None and entry.response.status > 0:
        reply = _reply_of(entry.response, remarks)
    timings = entry.timings
    first_byte = None
    if timings is not None and timings.wait > 0:
        first_byte = sum(max(0.0, each) for each in (timings.send, timings.wait)) / 1000
    return Exchange(
        request.method,
        target_of(request.url),
        headers,
        body,
        reply,
        entry.startedDateTime.timestamp() if entry.startedDateTime is not None else None,
        entry.time / 1000 if entry.time > 0 else None,
        first_byte,
        tuple(remarks),
    )


def _pairs(headers: list[_Pair]) -> Pairs:
    """Return the headers without HTTP/2's own, whose names begin with a colon."""
    return tuple((each.name, each.value) for each in headers if not each.name.startswith(":"))


def _posted(headers: Pairs, posted: _Content) -> tuple[Pairs, bytes]:
    if posted.text:
        return headers, _bytes_of(posted)
    if posted.mimeType.startswith("multipart/"):
        parts = [Part(each.name, each.value.encode(), each.fileName, each.contentType) for each in posted.params]
        content_type, body = encode(parts)
        kept = tuple((name, value) for name, value in headers if name.lower() != "content-type")
        return (*kept, ("Content-Type", content_type)), body
    return headers, urlencode([(each.name, each.value) for each in posted.params]).encode()


def _reply_of(response: _Response, remarks: list[str]) -> Reply:
    content = response.content
    if content.text is None and content.size > 0:
        remarks.append("the archive does not hold the response's body; save it with content to see it")
    headers = tuple((name, value) for name, value in _pairs(response.headers) if name.lower() not in _UNDONE)
    return Reply(response.status, response.statusText, headers, _bytes_of(content))


def _bytes_of(content: _Content) -> bytes:
    text = content.text or ""
    if content.encoding == "base64":
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            _fail("a content is said to be base64, and is not")
    return text.encode("utf-8", "surrogatepass")
