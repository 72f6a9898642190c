"""Events as backends and agents send them, put into a Brain's store in any number at once."""

from __future__ import annotations

import json
import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from localbrain.wire import AGENT, EVENT, SDK, Client
from otas_middleware.localbrain.schema import EVENT_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware.localbrain import LocalBrain

_CALLS = (
    ("shop.example.com", "fastapi", "GET", "/orders/{order_id}", 200, 18.0),
    ("shop.example.com", "fastapi", "GET", "/orders", 200, 42.0),
    ("shop.example.com", "fastapi", "POST", "/orders", 201, 95.0),
    ("shop.example.com", "fastapi", "POST", "/orders/{order_id}/refund", 402, 61.0),
    ("help.example.com", "django", "GET", "/tickets", 200, 33.0),
    ("help.example.com", "django", "PATCH", "/tickets/{ticket_id}", 200, 51.0),
    ("help.example.com", "django", "GET", "/tickets/export", 500, 420.0),
    ("docs.example.com", "flask", "GET", "/search", 200, 12.0),
    ("docs.example.com", "flask", "GET", "/articles/{slug}", 404, 5.0),
)
_OUTSIDE = ("api.openai.com", "", "POST", "/v1/chat/completions", 200, 1800.0)
_ERRORS = {402: "402 Payment Required", 404: "404 Not Found", 500: "OperationalError: database is locked"}
_TASKS = ("refund order 42", "answer ticket 7", "summarise the returns of October", "find the manual for a drill")

_WORDS = ("order", "refund", "drill", "returns", "ticket", "envelope", "receipt", "carrier")


def seed(
    brain: LocalBrain, count: int, *, sessions: int = 8, seconds: float = 3600.0, ago: float = 0.0, body: int = 0
) -> None:
    """Store events that came one after the other.

    Args:
        brain: A running Brain.
        count: How many events.
        sessions: How many sessions they belong to.
        seconds: How long they took to come.
        ago: How many seconds ago the last one came.
        body: How many characters each response body has at least.
    """
    random_ = random.Random(42)
    tokens = [brain.create_session({"task": _TASKS[n % len(_TASKS)], "model": "gpt-5"}) for n in range(sessions)]
    rows = _rows(brain, [brain.session_id(token) for token in tokens], count, seconds, ago, body, random_)
    brain._parts.store.insert_events(tuple(row.get(name) for name in EVENT_COLUMNS) for row in rows)


def _rows(
    brain: LocalBrain, sessions: list[str], count: int, seconds: float, ago: float, body: int, random_: random.Random
) -> Iterator[dict[str, Any]]:
    began = time.time() - ago - seconds
    filling = " ".join(random_.choices(_WORDS, k=body // 6))
    for number in range(count):
        outside = random_.random() < 0.12
        host, framework, method, route, status, typical = _OUTSIDE if outside else random_.choice(_CALLS)
        order = 40 + random_.randrange(8)
        path = route.format(order_id=order, ticket_id=order % 5 + 1, slug="cordless-drill")
        latency = round(typical * random_.lognormvariate(0, 0.5), 3)
        arrived = began + (number + 1) * seconds / count
        reply = {
            "id": order,
            "state": "paid",
            "total": "49.90",
            "card": "[REDACTED]",
            "items": [{"sku": "D-18", "n": 1}],
        }
        sent = "" if method == "GET" else json.dumps({"order_id": order, "reason": "damaged", "api_key": "[REDACTED]"})
        yield {
            "event_id": str(UUID(int=random_.getrandbits(128), version=4)),
            "source": "agent" if outside else "backend",
            "arrived_at": arrived,
            "event_date": datetime.fromtimestamp(arrived, UTC).date().isoformat(),
            "project_id": brain.project_id,
            "agent_id": brain.agent_id,
            "agent_session_id": sessions[number * len(sessions) // count],
            "path": path,
            "method": method,
            "status_code": status,
            "latency_ms": latency,
            "request_size_bytes": len(sent),
            "response_size_bytes": 120 + body,
            "request_headers": json.dumps(
                {
                    "host": host,
                    "user-agent": "support-agent/1.4",
                    "accept": "application/json",
                    "authorization": "[REDACTED]",
                    "x-otas-agent-session-token": "[REDACTED]",
                }
            ),
            "request_body": sent,
            "query_params": "q=cordless+drill&page=1" if route == "/search" else "",
            "post_data": "",
            "response_headers": json.dumps({"content-type": "application/json", "set-cookie": "[REDACTED]"}),
            "response_body": json.dumps({**reply, "note": filling} if body else reply),
            "request_content_type": "application/json" if sent else "",
            "response_content_type": "application/json",
            "custom_properties": json.dumps({"order_id": order} if "orders" in path else {}),
            "error": _ERRORS.get(status, ""),
            "metadata": json.dumps(
                {
                    "event_id": str(UUID(int=random_.getrandbits(128), version=4)),
                    "captured_at": datetime.fromtimestamp(arrived - latency / 1000, UTC).isoformat(),
                    "route": route,
                    "ttfb_ms": round(latency * 0.7, 3),
                    "sdk": {"name": "otas-middleware", "version": "1.0.0"},
                    **({"framework": framework} if framework else {}),
                }
            ),
        }


def talk(brain: LocalBrain) -> str:
    """Store the session of an agent that asks a model, runs a tool, and asks again; returns the session's id."""
    client = Client(brain)
    began = time.time() - 70
    prompt = {
        "model": "gpt-5",
        "messages": [
            {"role": "system", "content": "You help the customers of a shop. Refund what arrived damaged."},
            {"role": "user", "content": "My drill arrived broken. Order 42."},
        ],
    }
    call = {"id": "c", "type": "function", "function": {"name": "refund_order", "arguments": '{"order_id": 42}'}}
    answer = {"role": "assistant", "content": "I am sorry to hear that. I refund the order now.", "tool_calls": [call]}

    def log(second: float, latency: float, called: str, *, agent: bool = False, **fields: Any) -> None:
        method, _, path = called.partition(" ")
        metadata = {
            "captured_at": datetime.fromtimestamp(began + second, UTC).isoformat(),
            **fields.pop("metadata", {}),
        }
        event = {**EVENT, "method": method, "path": path, "latency_ms": latency, "metadata": metadata, **fields}
        client.post(AGENT if agent else SDK, event, client.agent_headers if agent else client.sdk_headers)

    def ask(second: float, latency: float, used: dict[str, int]) -> None:
        log(
            second,
            latency,
            "POST /v1/chat/completions",
            agent=True,
            request_body=json.dumps(prompt),
            response_body=json.dumps({"model": "gpt-5", "choices": [{"message": answer}]}),
            request_content_type="application/json",
            response_content_type="application/json",
            custom_properties={"host": "api.openai.com", "model": "gpt-5", "usage": used},
        )

    shop: dict[str, Any] = {"request_headers": '{"host": "shop.example.com"}'}
    route = {"parent_id": "tool", "framework": "fastapi"}
    ask(0, 2100, {"input": 812, "output": 64})
    log(
        2.3,
        3100,
        "TOOL /tools/refund_order",
        agent=True,
        custom_properties={"tool": "refund_order"},
        metadata={"event_id": "tool"},
    )
    log(2.4, 240, "GET /orders/42", **shop, metadata={**route, "route": "/orders/{order_id}"})
    log(
        2.8,
        90,
        "GET /orders/42/parcel",
        **shop,
        status_code=404,
        error="404 Not Found",
        metadata={**route, "route": "/orders/{order_id}/parcel"},
    )
    log(3.0, 2200, "POST /orders/42/refund", **shop, metadata={**route, "route": "/orders/{order_id}/refund"})
    ask(5.6, 1400, {"input": 940, "output": 38})
    log(
        61.0,
        35,
        "POST /mcp",
        **shop,
        error="mcp -32602: no such ticket",
        metadata={"operation": {"name": "tools/call close_ticket"}},
    )
    ask(61.2, 900, {"input": 1010, "output": 21})
    return client.session_id
