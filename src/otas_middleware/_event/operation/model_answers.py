"""A language model's answer of 200 that is a failure: of OpenAI-compatible services, OpenAI's Responses and Gemini.

Answers that went well are none of a protocol's: nothing is called inside of them.
"""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING

from otas_middleware._event.operation.exchange import as_list, as_object, as_text, parse_json
from otas_middleware._event.operation.model import Operation
from otas_middleware._event.operation.model_failures import failure_in

if TYPE_CHECKING:
    from otas_middleware._event.operation.exchange import Exchange

_PROMPTS = frozenset(("messages", "input", "prompt"))


def read(exchange: Exchange) -> Operation | None:
    """Recognise a request that asks a model something, and an answer that tells of a failure; of a list, the last."""
    if exchange.failed or exchange.method != "POST" or "json" not in exchange.response_media:
        return None
    asked = as_object(exchange.request_json)
    by_name = as_text(asked.get("model")) and not _PROMPTS.isdisjoint(asked)
    if not by_name and not (isinstance(asked.get("contents"), list) and ":streamGenerateContent" in exchange.path):
        return None
    answers = parse_json(exchange.response_text)
    answer = as_object((as_list(answers) or [answers])[-1])
    failure = failure_in(answer) if isinstance(answer.get("error"), dict | str | NoneType) else None
    if failure is None:
        return None
    operation = Operation("model", exchange.route, type="answer")
    operation.fail(*failure)
    return operation
