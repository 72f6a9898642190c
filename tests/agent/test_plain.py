"""Arguments and results as JSON: anything goes in, something bounded comes out."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import time
import uuid
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from werkzeug.local import LocalProxy

from otas_middleware._agent.tools import to_json


@dataclass
class Point:
    x: int
    y: int


class Order(BaseModel):
    number: int
    items: list[str]


class Touchy:
    """Its text is nobody's business."""

    def __str__(self) -> str:
        raise RuntimeError("do not touch")

    __repr__ = __str__


class Detached:
    """Has no attribute any more, as a row without its database."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("detached")


class Lazy(Sequence[int]):
    """Its items are gone."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: Any) -> Any:
        raise RuntimeError("detached")


UNBOUND: Any = LocalProxy(ContextVar[object]("nothing"))


IDENTIFIER = uuid.UUID(int=1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, 2.5, None, True, "é"]}, {"a": [1, 2.5, None, True, "é"]}),
        ((1, 2), [1, 2]),
        ({3}, [3]),
        ({1: "one", None: "none"}, {"1": "one", "None": "none"}),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (b"\x00\x01", "<2 bytes>"),
        (Point(1, 2), {"x": 1, "y": 2}),
        (Order(number=7, items=["a"]), {"number": 7, "items": ["a"]}),
        (decimal.Decimal("1.20"), "1.20"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (PurePosixPath("/tmp/x"), "/tmp/x"),
        (IDENTIFIER, str(IDENTIFIER)),
        (Touchy(), "<Touchy>"),
        ([Touchy], ["<type>"]),
        ({"a": Detached(), "b": 1}, {"a": "<Detached>", "b": 1}),
        ([Lazy(), 1], ["<Lazy>", 1]),
        ([UNBOUND, 1], ["<LocalProxy>", 1]),
        ([2**1024 - 1, 1 << 20_000], [2**1024 - 1, "<an integer of 20001 bits>"]),
    ],
)
def test_it_becomes(value: object, expected: object) -> None:
    assert json.loads(to_json(value, 10_000)) == expected


def test_a_huge_value_costs_little_and_stays_within_the_limit() -> None:
    huge = {"rows": [{"n": number} for number in range(1_000_000)], "text": "x" * 10_000_000}
    began = time.thread_time()
    text = to_json(huge, 65_536)
    assert time.thread_time() - began < 0.5
    assert len(text) <= 65_536


def test_a_value_that_holds_itself_comes_to_an_end() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert to_json(loop, 1000).startswith("[[[")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(values)
def test_anything_becomes_json(value: object) -> None:
    json.loads(to_json(value, 1_000_000), parse_constant=pytest.fail)
