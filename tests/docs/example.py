"""The event that `docs/events.md` shows: what becomes of one request to a small FastAPI application."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import otas_middleware as otas
from otas_middleware.asgi import OtasMiddleware
from otas_middleware.testing import record_events

if TYPE_CHECKING:
    from otas_middleware import BackendEvent

_HEADERS = {
    "host": "shop.example.com",
    "user-agent": "refund-agent/3.1",
    "accept-encoding": "identity",
    "authorization": "Bearer 6b1f0c2d9e8a4f7b",
    "cookie": "sessionid=a1b2c3d4e5f6; theme=dark",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}
_REFUND = {"reason": "damaged", "amount": 2350, "card_number": "4111 1111 1111 1111", "reply_to": "ann@example.com"}

_VOLATILE = re.compile(
    r'"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"'  # identifiers
    r'|"\d{4}-\d\d-\d\dT[^"]*"'  # moments
    r'|(?<="fingerprint": )"\w+"|(?<="version": )"[^"]+"|(?<=: )\d+\.\d+'  # and durations
)


def example_event() -> BackendEvent:
    """Record the request, and return its event."""
    from fastapi import FastAPI
    from starlette.testclient import TestClient

    app = FastAPI()

    def refund(order_id: int, refund: dict[str, Any]) -> dict[str, Any]:
        otas.annotate(order_id=order_id, customer_tier="gold")
        otas.checkpoint("payment_reversed", provider="acme", attempts=1)
        return {"refund": "re_81", "order_id": order_id, "status": "pending", "receipt_token": "rt_5f0e77aa1c"}

    app.add_api_route("/orders/{order_id}/refund", refund, methods=["POST"], status_code=202)
    app.add_middleware(OtasMiddleware)
    with record_events() as events, TestClient(app) as client:
        client.post(
            "/orders/42/refund?notify=yes&api_key=k-93ab41", json=_REFUND, headers={**_HEADERS, **events.headers}
        )
        return events.one()


def as_document(event: BackendEvent) -> str:
    """Return the event as it is posted, indented."""
    return json.dumps(json.loads(event.to_json()), indent=2, ensure_ascii=False)


def same(old: str, new: str) -> bool:
    """Say whether two renderings of the example differ in identifiers, moments and durations only."""
    return _VOLATILE.sub("…", old) == _VOLATILE.sub("…", new)
