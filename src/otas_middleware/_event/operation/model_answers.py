"""A language model's answer of 200 that is a failure, as OpenAI-compatible services and OpenAI's Responses give it.

Answers that went well are none of a protocol's: nothing is called inside of them.
"""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING

from otas_middleware._event.operation.exchange import as_object, as_text, parse_json
from otas_middleware._event.operation.model import Operation
from otas_middleware._event.operation.model_failures import failure_in

if TYPE_CHECKING:
    from otas_middleware._event.operation.exchange import Exchange

_PROMPTS = frozenset(("messages", "input", "prompt"))


def read(exchange: Exchange) -> Operation | None:
    """Recognise a request that names a model and what it is asked, and an answer that tells of a failure."""
    if exchange.failed or exchange.method != "POST" or "json" not in exchange.response_media:
        return None
    asked = as_object(exchange.request_json)
    if not as_text(asked.get("model")) or _PROMPTS.isdisjoint(asked):
        return None
    answer = as_object(parse_json(exchange.response_text))
    failure = failure_in(answer) if isinstance(answer.get("error"), dict | str | NoneType) else None
    if failure is None:
        return None
    operation = Operation("model", exchange.route, type="answer")
    operation.fail(*failure)
    return operation
