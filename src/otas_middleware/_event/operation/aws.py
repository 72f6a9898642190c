"""The protocols of Amazon Web Services: JSON by `X-Amz-Target`, queries by `Action`, Lambda's invocations, S3's XML.

And event streams, such as Bedrock's models answer by: exceptions come as messages, after a status of 200. A message is
its length, that of its headers, a checksum, headers, payload, a checksum.

What takes several entries answers 200 and says which of them failed; so does Lambda for a function that raised, and S3
for a copy that broke off.

Source: smithy.io/2.0/aws (protocols, amazon-eventstream), and the services' API references.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from otas_middleware._event.operation.exchange import as_list, as_object, as_text, parse_json
from otas_middleware._event.operation.model import Operation
from otas_middleware._event.operation.xml_calls import local_name, root_of, text_below
from otas_middleware._event.render import first_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware._event.operation.exchange import Exchange

_TARGET = re.compile(r"(?:[\w.]+\.)?([A-Za-z]\w*?)(?:_\d{8})?\.([A-Za-z]\w*)")
_FUNCTION = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")
_VERSION = re.compile(r"\d{4}-\d\d-\d\d")
_COUNTS = ("FailedEntryCount", "FailedRecordCount", "FailedPutCount")
"""Of EventBridge, Kinesis and Firehose; the entries that failed stand among the others."""
_ENTRY_LISTS = ("Entries", "Records", "RequestResponses")
_EVENT_STREAM = "application/vnd.amazon.eventstream"
_PRELUDE = 12
_CHECKSUM = 4
_TEXT_VALUE = 7
_FAILURES = frozenset(("exception", "error"))


def read(exchange: Exchange) -> Operation | None:
    """Recognise `X-Amz-Target`, a form of `Action` and `Version`, Lambda's path, and S3's error in an answer of 200."""
    if exchange.method != "POST":
        return _read_s3(exchange)
    operation = _by_target(exchange) or _by_action(exchange) or _by_function(exchange)
    if operation is None:
        return _read_s3(exchange)
    if "xml" in exchange.response_media:
        _judge_xml(operation, exchange)
    else:
        _judge_json(operation, exchange)
    return operation


def _by_target(exchange: Exchange) -> Operation | None:
    match = _TARGET.fullmatch(exchange.header("x-amz-target"))
    if match is None or not exchange.request_media.startswith("application/x-amz-json-"):
        return None
    return Operation("aws", f"{match[1]}.{match[2]}", method=match[2], target=match[1], type="call")


def _by_action(exchange: Exchange) -> Operation | None:
    if exchange.request.kind != "form" or "Action=" not in exchange.request.text:
        return None
    action, version = (exchange.form_fields.get(name, "") for name in ("Action", "Version"))
    if not action.isidentifier() or _VERSION.fullmatch(version) is None:
        return None
    return Operation("aws", action, method=action, version=version, type="call")


def _by_function(exchange: Exchange) -> Operation | None:
    match = _FUNCTION.fullmatch(exchange.path)
    return None if match is None else Operation("aws", "Invoke", method="Invoke", target=match[1], type="call")


def _judge_json(operation: Operation, exchange: Exchange) -> None:
    answer = as_object(parse_json(exchange.response_text))
    headers = exchange.response_headers
    function_error = first_value(headers, "x-amz-function-error")
    if function_error:
        operation.fail(as_text(answer.get("errorType")) or function_error, as_text(answer.get("errorMessage")))
    elif exchange.status >= 400:
        code = first_value(headers, "x-amzn-errortype") or as_text(answer.get("__type"))
        message = as_text(answer.get("message")) or as_text(answer.get("Message"))
        operation.fail(code.partition(":")[0].rpartition("#")[2] or None, message)
    else:
        failed, others = _entries(answer)
        codes = [as_text(entry.get("Code")) or as_text(entry.get("ErrorCode")) for entry in failed]
        texts = [as_text(entry.get("Message")) or as_text(entry.get("ErrorMessage")) for entry in failed]
        _judge_entries(operation, [*zip(codes, texts, strict=True)], others, exchange)


def _entries(answer: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """Return the entries that failed, and how many did not: SQS and SNS list them apart, others mark them by a code."""
    apart = [as_object(entry) for entry in as_list(answer.get("Failed"))]
    if apart or not any(isinstance(answer.get(name), int) and answer[name] > 0 for name in _COUNTS):
        return apart, len(as_list(answer.get("Successful")))
    entries = [as_object(entry) for name in _ENTRY_LISTS for entry in as_list(answer.get(name))]
    failed = [entry for entry in entries if entry.get("ErrorCode")]
    return failed, len(entries) - len(failed)


def _judge_xml(operation: Operation, exchange: Exchange) -> None:
    """Decide by the error of a status, or by the entries of a batch that failed."""
    text = exchange.response_text
    if exchange.status >= 400:
        error = root_of(text, "ErrorResponse") if "<ErrorResponse" in text else root_of(text, "Response")
        if error is not None:
            operation.fail(text_below(error, "Code") or None, text_below(error, "Message"))
        return
    answer = root_of(text, f"{operation.method}Response")
    if answer is None:
        return
    failed: list[tuple[str, str]] = []
    others = 0
    for element in (each for result in answer for each in result):
        name = local_name(element)
        # SQS gives each entry an element by how it went; SNS lists them apart.
        for entry in element if name in {"Failed", "Successful"} else (element,):
            code = text_below(entry, "Code")
            if code and name in {"Failed", "BatchResultErrorEntry"}:
                failed.append((code, text_below(entry, "Message")))
            elif name == "Successful" or name.endswith("BatchResultEntry"):
                others += 1
    _judge_entries(operation, failed, others, exchange)


def _judge_entries(operation: Operation, failed: list[tuple[str, str]], others: int, exchange: Exchange) -> None:
    """Decide by the entries of a batch.

    Args:
        operation: The call.
        failed: Code and message of each entry that failed.
        others: How many did not.
        exchange: Headers and bodies.
    """
    if failed:
        operation.count, operation.failed = len(failed) + others, len(failed)
        code, message = failed[0]
        operation.fail(code or None, message, "partial" if others else "error")
    elif exchange.response_whole:
        operation.outcome = "ok"


def _read_s3(exchange: Exchange) -> Operation | None:
    """Return what S3 says of a request that failed after it had sent 200: a copy, the end of an upload, deletions."""
    if exchange.status != 200 or "x-amz-request-id" not in exchange.response_headers:
        return None
    deleted = root_of(exchange.response_text, "DeleteResult")
    error = root_of(exchange.response_text, "Error") if deleted is None else deleted.find(".//{*}Error")
    if error is None or not text_below(error, "Code"):
        return None
    name = "CompleteMultipartUpload" if "uploadId=" in exchange.query else "CopyObject"
    operation = Operation("aws", name if deleted is None else "DeleteObjects", target="S3", type="call")
    operation.method = operation.name
    operation.fail(text_below(error, "Code"), text_below(error, "Message"), "error" if deleted is None else "partial")
    return operation


def read_events(exchange: Exchange) -> Operation | None:
    """Recognise the media type of the response."""
    if exchange.response_media != _EVENT_STREAM:
        return None
    operation = Operation("amazon-events", exchange.route, type="stream")
    seen = False
    for headers, payload in _messages(exchange.ending(), whole=not exchange.gap):
        seen = True
        if headers.get(":message-type") in _FAILURES:
            said = as_object(parse_json(payload.decode("utf-8", "replace")))
            message = as_text(said.get("message")) or as_text(said.get("Message")) or headers.get(":error-message", "")
            operation.fail(headers.get(":exception-type") or headers.get(":error-code"), message)
            return operation
    if seen and exchange.response_whole:
        operation.outcome = "ok"
    return operation


def _messages(data: bytes, *, whole: bool) -> Iterator[tuple[dict[str, str], bytes]]:
    """Yield headers and payload of each complete message.

    Args:
        data: The body, or its end.
        whole: The data begin with a message; else they begin anywhere, and end with one.
    """
    position = 0 if whole else _first(data)
    while position + _PRELUDE <= len(data):
        size, of_headers = (int.from_bytes(data[position + at : position + at + 4]) for at in (0, 4))
        end = position + size
        if size < _PRELUDE + of_headers + _CHECKSUM or end > len(data):
            return
        payload = position + _PRELUDE + of_headers
        yield _headers(data[position + _PRELUDE : payload]), data[payload : end - _CHECKSUM]
        position = end


def _first(data: bytes) -> int:
    """Return where the first message begins from which on messages lead exactly to the end."""
    leads = bytearray(len(data) + 1)
    leads[len(data)] = 1
    first = len(data)
    for position in range(len(data) - _PRELUDE - _CHECKSUM, -1, -1):
        size, of_headers = (int.from_bytes(data[position + at : position + at + 4]) for at in (0, 4))
        end = position + size
        if _PRELUDE + of_headers + _CHECKSUM <= size and end <= len(data) and leads[end]:
            leads[position] = 1
            first = position
    return first


def _headers(data: bytes) -> dict[str, str]:
    """Return the headers that are texts, up to the first of another type."""
    headers: dict[str, str] = {}
    position = 0
    while position < len(data):
        name_ends = position + 1 + data[position]
        if data[name_ends : name_ends + 1] != bytes((_TEXT_VALUE,)):
            break
        begins = name_ends + 3
        ends = begins + int.from_bytes(data[name_ends + 1 : begins])
        headers[data[position + 1 : name_ends].decode("latin-1")] = data[begins:ends].decode("utf-8", "replace")
        position = ends
    return headers
