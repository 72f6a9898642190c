"""What an application says of a request stays as it was when it was said."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from pydantic import BaseModel

import otas_middleware as otas
from otas_middleware._capture.values import snapshot
from otas_middleware.asgi import OtasMiddleware
from support.asgi_gateway import call_asgi
from support.request import Request

if TYPE_CHECKING:
    from otas_middleware import OtasSettings
    from otas_middleware._capture.asgi_scope import Receive, Scope, Send
    from support.agent import Agent


class Line(BaseModel):
    item: str
    tags: list[str]


@dataclass
class Cart:
    lines: list[Any]


class Place(NamedTuple):
    street: str
    rooms: list[int]


def one(value: object) -> Any:
    return snapshot({"value": value})["value"]


COPIES: list[tuple[object, object]] = [
    ({"a": [1]}, {"a": [1]}),
    ([{"a": (1, "x")}], [{"a": [1, "x"]}]),
    (deque([1, 2]), [1, 2]),
    ({7}, [7]),
    (MappingProxyType({"a": 1}), {"a": 1}),
    (Line(item="shoe", tags=["new"]), {"item": "shoe", "tags": ["new"]}),
    (Cart([Line(item="shoe", tags=[])]), {"lines": [{"item": "shoe", "tags": []}]}),
    (Place("High Street", [1]), {"street": "High Street", "rooms": [1]}),
    (bytearray(b"abc"), b"abc"),
    (ValueError("no such order"), "ValueError: no such order"),
    ({date(2026, 1, 2): 1}, {"2026-01-02": 1}),
]


@pytest.mark.parametrize(("value", "expected"), COPIES, ids=lambda value: type(value).__name__)
def test_what_may_change_is_copied(value: object, expected: object) -> None:
    assert one(value) == expected


@pytest.mark.parametrize("value", ["text", 7, 1.5, True, None, b"bytes", date(2026, 1, 2)])
def test_what_cannot_change_is_kept(value: object) -> None:
    assert one(value) is value


def test_a_change_that_comes_later_is_not_seen() -> None:
    cart = Cart([{"item": "shoe"}])
    taken = one(cart)
    cart.lines[0]["item"] = "hat"
    cart.lines.append(7)
    assert taken == {"lines": [{"item": "shoe"}]}


def test_what_holds_itself_does_so_in_the_copy() -> None:
    cart: dict[str, Any] = {"items": []}
    cart["items"].append(cart)
    taken = one(cart)
    assert taken is not cart
    assert taken["items"][0] is taken


def test_values_that_are_made_while_they_are_copied_are_not_confused() -> None:
    class Rows(dict[str, Any]):
        """Makes each of its values anew."""

        def items(self) -> Any:
            return ((str(number), [[number]]) for number in range(100))

    assert one(Rows()) == {str(number): [[number]] for number in range(100)}


def test_a_huge_value_is_not_copied_whole() -> None:
    assert len(one(range(10))) == len("range(0, 10)")
    assert 20_000 < len(one([0] * 1_000_000)) <= 25_000


def test_what_cannot_be_read_raises_nothing_in_the_application() -> None:
    class Row:
        def __str__(self) -> str:
            raise RuntimeError("the row is detached from its session")

    assert one({"row": Row()}) == {"row": "[UNREADABLE: Row]"}


def test_the_event_says_what_was_so_when_it_was_said(settings: OtasSettings, agent: Agent) -> None:
    readers: list[str] = []

    class Row:
        def __str__(self) -> str:
            readers.append(threading.current_thread().name)
            return "order 42"

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        cart: dict[str, Any] = {"items": [1]}
        otas.annotate(cart=cart, row=Row())
        otas.checkpoint("filled", cart=cart)
        cart["items"].append(2)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
        cart["paid"] = True

    call_asgi(OtasMiddleware(app, settings=settings), Request(headers=(agent.header,)))
    event = agent.event()
    assert event["custom_properties"] == {"cart": {"items": [1]}, "row": "order 42"}
    assert event["metadata"]["checkpoints"][0]["attributes"] == {"cart": {"items": [1]}}
    assert len(set(readers)) == 1
    assert not readers[0].startswith("otas")
