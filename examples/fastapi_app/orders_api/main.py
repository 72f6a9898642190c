"""An orders API: JSON in and out, a background task, a stream of server-sent events, and an MCP server for agents."""

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

import otas_middleware as otas
from otas_middleware.asgi import OtasMiddleware

from .mcp_server import McpEndpoint, make_server
from .models import NewOrder, Order, PlacedOrder, ShippingQuote, Status
from .store import Store

STEP_SECONDS = float(os.environ.get("ORDERS_STEP_SECONDS", "1"))
SHIPPING_RATES = {"DE": 490, "FR": 590, "GB": 690, "IN": 890, "US": 990}
ITEM_WEIGHT_GRAMS = 250


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    server = make_server(app.state.store)
    app.state.mcp = server.streamable_http_app()
    async with server.session_manager.run():
        yield


app = FastAPI(title="Orders", lifespan=lifespan)
app.add_middleware(OtasMiddleware)
app.add_route("/mcp", McpEndpoint())
app.state.store = Store()


def get_store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


StoreDependency = Annotated[Store, Depends(get_store)]


def get_order(order_id: int, store: StoreDependency) -> PlacedOrder:
    order = store.get(order_id)
    if order is None:
        raise HTTPException(404, f"There is no order {order_id}.")
    return order


OrderDependency = Annotated[PlacedOrder, Depends(get_order)]


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/orders", status_code=201)
async def place_order(
    new: NewOrder, store: StoreDependency, background: BackgroundTasks, response: Response
) -> PlacedOrder:
    order = store.place(new)
    otas.checkpoint("placed", items=len(order.items))
    background.add_task(fulfil, store, order.id)
    response.headers["Location"] = f"/orders/{order.id}"
    # A copy: the background task changes the order while this answer is on its way.
    return order.model_copy()


@app.get("/orders", response_model=list[Order])
async def list_orders(store: StoreDependency, customer: str | None = None, status: Status | None = None) -> list[Order]:
    return store.find(customer, status)


@app.get("/orders/{order_id}", response_model=Order)
async def read_order(order: OrderDependency) -> Order:
    return order


@app.delete("/orders/{order_id}", status_code=204)
async def cancel_order(order: OrderDependency, store: StoreDependency) -> None:
    if not await store.advance(order.id, Status.CANCELLED):
        raise HTTPException(409, f"Order {order.id} is already {order.status}.")


@app.get("/orders/{order_id}/shipping")
async def quote_shipping(order: OrderDependency) -> ShippingQuote:
    # Left as it is for the demonstration: a country without a rate is an exception that nobody handles.
    rate = SHIPPING_RATES[order.country]
    weight = ITEM_WEIGHT_GRAMS * sum(item.quantity for item in order.items)
    return ShippingQuote(country=order.country, weight_grams=weight, price=rate + weight // 10)


@app.get("/orders/{order_id}/events")
async def follow_order(order: OrderDependency, store: StoreDependency, tracking_token: str) -> StreamingResponse:
    """Follow an order; browsers' EventSource cannot send headers, so the token is in the query string."""
    if not secrets.compare_digest(tracking_token.encode(), order.tracking_token.encode()):
        raise HTTPException(403, "That is not this order's tracking token.")
    return StreamingResponse(status_events(store, order.id), media_type="text/event-stream")


async def status_events(store: Store, order_id: int) -> AsyncIterator[str]:
    async for status in store.follow(order_id):
        yield f"event: status\ndata: {json.dumps({'order': order_id, 'status': status})}\n\n"


async def fulfil(store: Store, order_id: int) -> None:
    """The background task: carry an order through its life, unless it is cancelled on the way."""
    for status in (Status.PAID, Status.PACKED, Status.SHIPPED):
        await asyncio.sleep(STEP_SECONDS)
        if not await store.advance(order_id, status):
            return
