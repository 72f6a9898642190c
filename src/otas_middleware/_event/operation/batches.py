"""Batches of HTTP requests in one: OData's `$batch` as `multipart/mixed` or JSON, Google's `multipart/mixed`.

And those of SCIM (RFC 7644, section 3.7), FHIR and Salesforce, in JSON; Elasticsearch's and OpenSearch's bulk and
multi-search requests, which answer 200 whatever became of what they hold.
"""

from __future__ import annotations

import re
from http.client import responses
from typing import TYPE_CHECKING, Any, NamedTuple

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
_BULK_PATHS = ("/_bulk", "/_msearch")


def read_http(exchange: Exchange) -> Operation | None:
    """Recognise parts of `application/http`, or one of the forms in JSON by its path or resource, and its answers."""
    name = "$batch"
    if exchange.request_media == _MEDIA:
        if exchange.request_bytes:
            if "application/http" not in exchange.request_text.lower():
                return None
        elif not exchange.path.endswith("/$batch"):
            return None
        asked = len(_parts(exchange.request_text, parse_content_type(exchange.request_type).boundary))
        parts = _parts(exchange.response_text, parse_content_type(exchange.response_type).boundary)
        answers = [(int(match[1]), _message_in(part)) for part in parts if (match := _STATUS.match(part.lstrip()))]
    elif "json" in exchange.request_media:
        form = next((form for form in _FORMS if form.is_asked(exchange)), None)
        if form is None:
            return None
        name = form.name
        asked = len(as_list(as_object(exchange.request_json).get(form.requests)))
        answer = as_object(parse_json(exchange.response_text, partial=not exchange.response_whole))
        answers = [found for item in as_list(answer.get(form.responses)) if (found := form.answer(item)) is not None]
        if form is not _ODATA and not answers:
            return None
    else:
        return None
    operation = Operation("http-batch", name, type="batch")
    _judge_answers(operation, asked, answers, exchange)
    return operation


def _judge_answers(operation: Operation, asked: int, answers: list[tuple[int, str]], exchange: Exchange) -> None:
    failed = [answer for answer in answers if answer[0] >= 400]
    operation.count, operation.failed = max(asked, len(answers)), len(failed)
    for status, _ in answers[:MAX_ITEMS]:
        item = Operation("http", outcome="error" if status >= 400 else "ok")
        item.code = status
        operation.items.append(item)
    if failed:
        status, message = failed[0]
        operation.fail(status, message or responses.get(status, ""))
    elif answers and len(answers) >= asked and exchange.response_whole:
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


class _Form(NamedTuple):
    """A batch in JSON, as a family of services has it.

    Attributes:
        name: What to call it.
        ending: How the path ends.
        requests: The member that holds the requests.
        responses: The member that holds the answers.
        status: Where one of these says its status.
        message: Where it says what failed.
        type: The resource that is sent, of FHIR's.
    """

    name: str
    ending: str
    requests: str
    responses: str
    status: tuple[str | int, ...]
    message: tuple[str | int, ...]
    type: str = ""

    def is_asked(self, exchange: Exchange) -> bool:
        """Say whether a request is of this form."""
        if not exchange.path.endswith(self.ending):
            return False
        return not self.type or as_object(exchange.request_json).get("resourceType") == self.type

    def answer(self, item: object) -> tuple[int, str] | None:
        """Return status, which may be the text of a status line, and message of an answer; None when it is none."""
        status, message = _at(item, self.status), _message(_at(item, self.message))
        if isinstance(status, str) and status[:_DIGITS].isascii() and status[:_DIGITS].isdigit():
            return int(status[:_DIGITS]), message
        return (status, message) if isinstance(status, int) else None


def _at(value: object, path: tuple[str | int, ...]) -> object:
    """Return what stands at the end of a path of members and positions; None where there is nothing."""
    for step in path:
        value = dict(enumerate(as_list(value))).get(step) if isinstance(step, int) else as_object(value).get(step)
    return value


def _message_in(part: str) -> str:
    return _message(_at(parse_json(part.lstrip().partition("\n\n")[2].strip()), ("error", "message")))


def _message(found: object) -> str:
    """Return the text of an error; OData 2 has it in an object with its language."""
    return as_text(found) or as_text(as_object(found).get("value"))


_ODATA = _Form("$batch", "/$batch", "requests", "responses", ("status",), ("body", "error", "message"))
_SALESFORCE = ("body", 0, "message")
_FHIR = ("response", "outcome", "issue", 0, "diagnostics")
_FORMS = (
    _ODATA,
    _Form("SCIM Bulk", "/Bulk", "Operations", "Operations", ("status",), ("response", "detail")),
    _Form("composite", "/composite", "compositeRequest", "compositeResponse", ("httpStatusCode",), _SALESFORCE),
    _Form("FHIR Bundle", "", "entry", "entry", ("response", "status"), _FHIR, "Bundle"),
)


def read_elasticsearch(exchange: Exchange) -> Operation | None:
    """Recognise the ends of their paths, and an answer with `items` or `responses`."""
    path = exchange.path.removesuffix("/template")
    if exchange.method not in {"POST", "PUT", "GET"} or not path.endswith(_BULK_PATHS):
        return None
    answer = as_object(parse_json(exchange.response_text, partial=not exchange.response_whole))
    name, member = ("bulk", "items") if path.endswith("/_bulk") else ("msearch", "responses")
    if not isinstance(answer.get(member), list) or "took" not in answer:
        return None
    operation = Operation("elasticsearch", name, method=name, type="batch")
    operation.target = path.strip("/").rpartition("/")[0].rpartition("/")[2]  # the index
    operation.hold([_item(name, as_object(each)) for each in as_list(answer[member])])
    if operation.is_error:
        return operation
    if answer.get("errors") is True:  # the item that failed was not recorded
        operation.fail(None, "some items failed", "partial")
    elif exchange.response_whole or answer.get("errors") is False:
        operation.outcome = "ok"
    return operation


def _item(name: str, answer: dict[str, Any]) -> Operation:
    """Return one answer: of a bulk request it stands under the name of its action."""
    if name == "bulk" and len(answer) == 1:
        name, result = next(iter(answer.items()))
        answer = as_object(result)
    item = Operation("elasticsearch", name, outcome="ok")
    error = answer.get("error")
    if error is not None:  # a document that was not there has the status 404 and none
        item.fail(as_text(as_object(error).get("type")) or None, _reason(error))
    return item


def _reason(error: object) -> str:
    return as_text(as_object(error).get("reason")) or as_text(error)
