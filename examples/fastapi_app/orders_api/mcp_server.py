"""The same orders for agents that speak MCP: two tools and a resource."""

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from starlette.types import Receive, Scope, Send

from .models import Order, Status
from .store import Store


def make_server(store: Store) -> MCPServer:
    server = MCPServer("Orders", version="1.0.0")

    @server.tool()
    async def find_orders(customer: str) -> list[Order]:
        """Find a customer's orders."""
        return [Order.model_validate(order.model_dump()) for order in store.find(customer)]

    @server.tool()
    async def cancel_order(order_id: int) -> str:
        """Cancel an order that has not been shipped."""
        order = store.get(order_id)
        if order is None:
            raise ToolError(f"There is no order {order_id}.")
        if not await store.advance(order_id, Status.CANCELLED):
            raise ToolError(f"Order {order_id} is already {order.status}.")
        return f"Order {order_id} is cancelled."

    @server.resource("orders://{order_id}")
    async def order(order_id: str) -> str:
        """Return an order as JSON."""
        found = store.get(int(order_id))
        return Order.model_validate(found.model_dump()).model_dump_json() if found else "null"

    return server


class McpEndpoint:
    """The server as an endpoint; its application is made anew whenever the outer one starts."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["app"].state.mcp(scope, receive, send)
