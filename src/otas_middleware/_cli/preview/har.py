"""Reading a HAR file (HTTP Archive 1.2), as browsers and proxies save it."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import Any, NoReturn
from urllib.parse import urlencode

from pydantic import BaseModel, ValidationError

from otas_middleware._cli.preview import Exchange, Pairs, Reply, UnreadableError, target_of
from otas_middleware._cli.preview.raw import Part, encode

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


def read(text: str) -> list[Exchange]:
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
    return [_exchange(entry) for entry in entries]


def _fail(why: str) -> NoReturn:
    raise UnreadableError(f"this is not a HAR file that can be read: {why}") from None


def _exchange(entry: _Entry) -> Exchange:
    request = entry.request
    remarks: list[str] = []
    headers = _pairs(request.headers)
    body = b""
    if request.postData is not None:
        headers, body = _posted(headers, request.postData)
    reply = None
    if entry.response is not None and entry.response.status > 0:
        reply = _reply(entry.response, remarks)
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
        return headers, _bytes(posted)
    if posted.mimeType.startswith("multipart/"):
        parts = [Part(each.name, each.value.encode(), each.fileName, each.contentType) for each in posted.params]
        content_type, body = encode(parts)
        kept = tuple((name, value) for name, value in headers if name.lower() != "content-type")
        return (*kept, ("Content-Type", content_type)), body
    return headers, urlencode([(each.name, each.value) for each in posted.params]).encode()


def _reply(response: _Response, remarks: list[str]) -> Reply:
    content = response.content
    if content.text is None and content.size > 0:
        remarks.append("the archive does not hold the response's body; save it with content to see it")
    headers = tuple((name, value) for name, value in _pairs(response.headers) if name.lower() not in _UNDONE)
    return Reply(response.status, response.statusText, headers, _bytes(content))


def _bytes(content: _Content) -> bytes:
    text = content.text or ""
    if content.encoding == "base64":
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            _fail("a content is said to be base64, and is not")
    return text.encode("utf-8", "surrogatepass")
