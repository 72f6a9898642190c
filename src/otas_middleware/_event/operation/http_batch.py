"""Batches of HTTP requests in one: OData's `$batch` as `multipart/mixed` or JSON, and Google's `multipart/mixed`."""

from __future__ import annotations

import re
from http.client import responses
from typing import TYPE_CHECKING

from otas_middleware._event.operation.exchange import as_list, as_object, as_text, parse_json
from otas_middleware._event.operation.model import MAX_ITEMS, Operation
from otas_middleware._event.render.content_type import parse_content_type

if TYPE_CHECKING:
    from otas_middleware._event.operation.exchange import Exchange

_MEDIA = "multipart/mixed"
_STATUS = re.compile(r"HTTP/\d(?:\.\d)? (\d{3})\b")
_DIGITS = 3
_MAX_DEPTH = 3
_MAX_PARTS = 1_000


def read(exchange: Exchange) -> Operation | None:
    """Recognise parts of `application/http`, or the JSON form below `…/$batch`."""
    if exchange.request_media == _MEDIA:
        if exchange.request_bytes:
            if "application/http" not in exchange.request_text.lower():
                return None
        elif not exchange.path.endswith("/$batch"):
            return None
        asked = len(_parts(exchange.request_text, parse_content_type(exchange.request_type).boundary))
        parts = _parts(exchange.response_text, parse_content_type(exchange.response_type).boundary)
        answers = [(int(match[1]), _message_in(part)) for part in parts if (match := _STATUS.match(part.lstrip()))]
    elif exchange.path.endswith("/$batch") and "json" in exchange.request_media:
        asked = len(as_list(as_object(exchange.request_json).get("requests")))
        answer = as_object(parse_json(exchange.response.text, partial=True))
        items = [as_object(item) for item in as_list(answer.get("responses"))]
        answers = [(status, _message(item.get("body"))) for item in items if (status := _status(item)) is not None]
    else:
        return None
    operation = Operation("http-batch", "$batch", type="batch")
    _judge(operation, asked, answers, exchange)
    return operation


def _judge(operation: Operation, asked: int, answers: list[tuple[int, str]], exchange: Exchange) -> None:
    failed = [answer for answer in answers if answer[0] >= 400]
    operation.count, operation.failed = max(asked, len(answers)), len(failed)
    for status, _ in answers[:MAX_ITEMS]:
        item = Operation("http", outcome="error" if status >= 400 else "ok")
        item.code = status
        operation.items.append(item)
    if failed:
        status, message = failed[0]
        operation.fail(status, message or responses.get(status, ""))
    elif answers and exchange.response_whole:
        operation.outcome = "ok"


def _parts(text: str, boundary: str, depth: int = 0) -> list[str]:
    """Return the contents of the parts of type `application/http`, those of nested sets of changes too."""
    if not boundary or depth > _MAX_DEPTH:
        return []
    found: list[str] = []
    for piece in ("\n" + text.replace("\r\n", "\n")).split("\n--" + boundary)[1 : _MAX_PARTS + 1]:
        if piece.startswith("--"):
            break
        head, _, content = piece.partition("\n\n")
        declared = next((line for line in head.split("\n") if line.lower().startswith("content-type:")), "")
        kind = parse_content_type(declared[13:].strip())
        if kind.media == _MEDIA:
            found += _parts(content, kind.boundary, depth + 1)
        elif kind.media == "application/http":
            found.append(content)
    return found


def _status(response: dict[str, object]) -> int | None:
    status = response.get("status")
    if isinstance(status, str) and status.isascii() and status.isdigit():
        return int(status[:_DIGITS])
    return status if isinstance(status, int) else None


def _message_in(part: str) -> str:
    return _message(parse_json(part.lstrip().partition("\n\n")[2].strip()))


def _message(body: object) -> str:
    """Return the text of an error of OData or Google; OData 2 has it in an object with its language."""
    message = as_object(as_object(body).get("error")).get("message")
    return as_text(message) or as_text(as_object(message).get("value"))
