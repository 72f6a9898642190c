"""tRPC over HTTP (trpc.io/docs/rpc): procedures in the path; a batch of which some failed has the status 207."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from otas_middleware._event.operation import json_rpc
from otas_middleware._event.operation.exchange import as_list, as_object, as_text, parse_json
from otas_middleware._event.operation.model import Operation

if TYPE_CHECKING:
    from otas_middleware._event.operation.exchange import Exchange

_MOUNT = "/trpc/"
_MAX_CALLS = 1_000


def read(exchange: Exchange) -> Operation | None:
    """Recognise an answer of results and errors below `…/trpc/`."""
    _, mount, procedures = exchange.path.rpartition(_MOUNT)
    if not mount or not procedures or "/" in procedures:
        return None
    value = parse_json(exchange.response_text, partial=not exchange.response_whole)
    batched = "batch=1" in exchange.query
    answers = as_list(value) if batched else [value]
    if not answers or not all(map(_is_answer, answers)):
        return None
    names = unquote(procedures).split(",")[:_MAX_CALLS] if batched else [procedures]
    items = [
        _item(name, as_object(answers[position]) if position < len(answers) else {}, exchange)
        for position, name in enumerate(names)
    ]
    return json_rpc.batch(items) if batched and len(items) > 1 else items[0]


def _is_answer(value: object) -> bool:
    answer = as_object(value)
    return answer.keys() == {"result"} or (answer.keys() == {"error"} and bool(_details(answer)))


def _details(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an error; a transformer such as superjson wraps it."""
    error = as_object(answer.get("error"))
    error = as_object(error.get("json")) or error
    return error if isinstance(error.get("message"), str) and isinstance(error.get("code"), int) else {}


def _item(name: str, answer: dict[str, Any], exchange: Exchange) -> Operation:
    operation = Operation("trpc", name, method=name)
    operation.type = "query" if exchange.method == "GET" else "mutation"
    error = _details(answer)
    if error:
        operation.fail(as_text(as_object(error.get("data")).get("code")) or error["code"], error["message"])
    elif "result" in answer and exchange.response_whole:
        operation.outcome = "ok"
    return operation
