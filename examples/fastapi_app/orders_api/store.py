"""The orders, in memory, and a way to wait for what becomes of them."""

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator

from .models import NewOrder, Order, PlacedOrder, Status


class Store:
    def __init__(self) -> None:
        self._orders: dict[int, PlacedOrder] = {}
        self._history: dict[int, list[Status]] = {}
        self._ids = itertools.count(1)
        self._changed = asyncio.Condition()

    def place(self, new: NewOrder) -> PlacedOrder:
        order = PlacedOrder(
            id=next(self._ids),
            customer=new.customer,
            country=new.country,
            items=new.items,
            total=sum(item.price * item.quantity for item in new.items),
            status=Status.RECEIVED,
            tracking_token=secrets.token_urlsafe(16),
        )
        self._orders[order.id] = order
        self._history[order.id] = [order.status]
        return order

    def get(self, order_id: int) -> PlacedOrder | None:
        return self._orders.get(order_id)

    def find(self, customer: str | None = None, status: Status | None = None) -> list[Order]:
        return [
            order
            for order in self._orders.values()
            if (customer is None or order.customer == customer) and (status is None or order.status == status)
        ]

    async def advance(self, order_id: int, status: Status) -> bool:
        """Give the order its next status; False when it has already reached its last one."""
        order = self._orders[order_id]
        if order.status.final:
            return False
        async with self._changed:
            order.status = status
            self._history[order_id].append(status)
            self._changed.notify_all()
        return True

    async def follow(self, order_id: int) -> AsyncIterator[Status]:
        """Yield each status that the order had, then each one as it comes, up to the last."""
        history = self._history[order_id]
        for position in itertools.count():
            async with self._changed:
                while len(history) <= position:
                    await self._changed.wait()
            yield history[position]
            if history[position].final:
                return
