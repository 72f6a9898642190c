"""Elasticsearch's and OpenSearch's bulk and multi-search requests: 200, whatever became of what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otas_middleware._event.operation.exchange import as_list, as_object, as_text, parse_json
from otas_middleware._event.operation.model import MAX_ITEMS, Operation

if TYPE_CHECKING:
    from otas_middleware._event.operation.exchange import Exchange

_PATHS = ("/_bulk", "/_msearch")


def read(exchange: Exchange) -> Operation | None:
    """Recognise the ends of their paths, and an answer with `items` or `responses`."""
    path = exchange.path.removesuffix("/template")
    if exchange.method not in {"POST", "PUT", "GET"} or not path.endswith(_PATHS):
        return None
    answer = as_object(parse_json(exchange.response_text, partial=not exchange.response_whole))
    bulk = path.endswith("/_bulk")
    member = "items" if bulk else "responses"
    if not isinstance(answer.get(member), list) or "took" not in answer:
        return None
    answers = as_list(answer[member])
    name = "bulk" if bulk else "msearch"
    operation = Operation("elasticsearch", name, method=name, type="batch")
    operation.target = path.strip("/").rpartition("/")[0].rpartition("/")[2]  # the index
    items = [_item(name, as_object(each)) for each in answers]
    failed = [item for item in items if item.is_error]
    operation.count, operation.failed, operation.items = len(items), len(failed), items[:MAX_ITEMS]
    if failed:
        operation.fail(failed[0].code, failed[0].message, "partial" if len(failed) < len(items) else "error")
    elif answer.get("errors") is True:  # the item that failed was not recorded
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
