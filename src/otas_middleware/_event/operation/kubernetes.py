"""A watch of Kubernetes: lines of JSON in an answer of 200, of which one may be an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otas_middleware._event.operation.exchange import as_object, as_text, parse_json
from otas_middleware._event.operation.model import Operation

if TYPE_CHECKING:
    from otas_middleware._event.operation.exchange import Exchange

_ROOTS = ("/api/", "/apis/")
_WATCH = frozenset(("1", "true"))


def read(exchange: Exchange) -> Operation | None:
    """Recognise a GET below `/api/` or `/apis/` with `watch=true`, answered by lines of a type and an object."""
    if "watch=" not in exchange.query or not any(root in exchange.path for root in _ROOTS):
        return None
    if exchange.method != "GET" or exchange.query_fields.get("watch", "").lower() not in _WATCH:
        return None
    text = exchange.response_text
    if exchange.gap:
        text = exchange.ending().decode("utf-8", "replace").partition("\n")[2]
    lines = text.split("\n") if exchange.response_whole else text.split("\n")[:-1]
    events = [as_object(parse_json(line)) for line in lines if line.strip()]
    if not events or not all(map(_is_event, events)):
        return None
    operation = Operation("kubernetes", "watch", method="watch", type="stream", long_lived=True)
    operation.target = exchange.path.rpartition("/")[2]
    status = as_object(events[-1]["object"])
    if events[-1]["type"] == "ERROR":
        code = status.get("reason") or status.get("code")
        operation.fail(code if isinstance(code, str | int) else None, as_text(status.get("message")))
    else:
        operation.outcome = "ok"
    return operation


def _is_event(event: dict[str, Any]) -> bool:
    return event.keys() == {"type", "object"} and isinstance(event["object"], dict)
