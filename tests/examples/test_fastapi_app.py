"""The orders API, by FastAPI's own test client."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

FOLDER = Path(__file__).parents[2] / "examples" / "fastapi_app"

ORDER: dict[str, Any] = {
    "customer": "Ada",
    "country": "GB",
    "items": [{"sku": "TEA-100", "quantity": 2, "price": 450}, {"sku": "CUP-20", "quantity": 1, "price": 1200}],
    "payment": {"card_number": "4242424242424242", "cvc": "123"},
}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    module = importlib.import_module("orders_api.main")
    module.app.state.store = module.Store()
    monkeypatch.setattr(module, "STEP_SECONDS", 0.0)
    return module


@pytest.fixture
def client(api: ModuleType) -> Iterator[TestClient]:
    with TestClient(api.app, raise_server_exceptions=False) as client:
        yield client


def waiting_order(api: ModuleType) -> int:
    """Place an order that no background task carries on."""
    order: int = api.app.state.store.place(api.NewOrder.model_validate(ORDER)).id
    return order


def test_an_order_is_placed_and_read_back(client: TestClient) -> None:
    placed = client.post("/orders", json=ORDER)
    assert placed.status_code == 201
    assert placed.headers["location"] == "/orders/1"
    assert placed.json()["status"] == "received"
    read = client.get("/orders/1").json()
    assert (read["customer"], read["total"]) == ("Ada", 2100)


def test_only_the_customer_learns_the_tracking_token_and_nobody_the_card(client: TestClient) -> None:
    placed = client.post("/orders", json=ORDER)
    token = placed.json()["tracking_token"]
    for answer in (client.get("/orders/1"), client.get("/orders")):
        assert token not in answer.text
    assert "4242" not in placed.text + client.get("/orders/1").text


def test_the_background_task_carries_an_order_to_its_end(client: TestClient) -> None:
    client.post("/orders", json=ORDER)
    assert client.get("/orders/1").json()["status"] == "shipped"


def test_a_stream_tells_each_status_once_and_ends(client: TestClient) -> None:
    token = client.post("/orders", json=ORDER).json()["tracking_token"]
    stream = client.get("/orders/1/events", params={"tracking_token": token})
    assert stream.headers["content-type"].startswith("text/event-stream")
    statuses = [json.loads(line[6:])["status"] for line in stream.text.splitlines() if line.startswith("data: ")]
    assert statuses == ["received", "paid", "packed", "shipped"]


@pytest.mark.parametrize("token", ["wrong", "ünïcode"])
def test_a_stream_needs_the_orders_own_token(client: TestClient, token: str) -> None:
    client.post("/orders", json=ORDER)
    assert client.get("/orders/1/events", params={"tracking_token": token}).status_code == 403


def test_orders_are_found_by_customer_and_status(api: ModuleType, client: TestClient) -> None:
    client.post("/orders", json=ORDER)
    client.post("/orders", json={**ORDER, "customer": "Bob"})
    waiting = waiting_order(api)
    assert [order["id"] for order in client.get("/orders?customer=Ada").json()] == [1, waiting]
    assert [order["id"] for order in client.get("/orders?customer=Ada&status=shipped").json()] == [1]


def test_an_order_is_cancelled_only_before_it_is_shipped(api: ModuleType, client: TestClient) -> None:
    client.post("/orders", json=ORDER)
    assert client.delete("/orders/1").status_code == 409
    waiting = waiting_order(api)
    assert client.delete(f"/orders/{waiting}").status_code == 204
    assert client.get(f"/orders/{waiting}").json()["status"] == "cancelled"


@pytest.mark.parametrize("change", [{"items": []}, {"country": "Britain"}, {"payment": {"cvc": "1"}}])
def test_an_order_that_makes_no_sense_is_refused(client: TestClient, change: dict[str, Any]) -> None:
    assert client.post("/orders", json={**ORDER, **change}).status_code == 422
    assert client.get("/orders").json() == []


def test_an_order_that_is_not_there_is_a_404(client: TestClient) -> None:
    assert client.get("/orders/99").json() == {"detail": "There is no order 99."}
    assert client.get("/orders/99").status_code == 404


def test_shipping_is_quoted_by_weight_and_fails_for_a_country_without_a_rate(client: TestClient) -> None:
    client.post("/orders", json=ORDER)
    client.post("/orders", json={**ORDER, "country": "AQ"})
    assert client.get("/orders/1/shipping").json() == {"country": "GB", "weight_grams": 750, "price": 765}
    assert client.get("/orders/2/shipping").status_code == 500


def call_tool(client: TestClient, name: str, **arguments: object) -> dict[str, Any]:
    envelope = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": name, "arguments": arguments, "_meta": envelope}
    answer = client.post(
        "http://127.0.0.1:8000/mcp",
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params},
        headers={
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": name,
        },
    )
    result: dict[str, Any] = answer.json()["result"]
    return result


def test_the_tools_of_the_mcp_server_work_on_the_same_orders(api: ModuleType, client: TestClient) -> None:
    waiting = waiting_order(api)
    found = call_tool(client, "find_orders", customer="Ada")
    assert [order["id"] for order in found["structuredContent"]["result"]] == [waiting]
    assert "tracking_token" not in json.dumps(found)
    assert call_tool(client, "cancel_order", order_id=waiting)["isError"] is False
    refused = call_tool(client, "cancel_order", order_id=waiting)
    assert refused["isError"] is True
    assert refused["content"][0]["text"] == f"Error executing tool cancel_order: Order {waiting} is already cancelled."
