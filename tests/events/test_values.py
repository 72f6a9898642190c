"""Custom properties: whatever an application hands over becomes something that can be stored."""

from __future__ import annotations

import json
from collections import OrderedDict, UserDict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from pydantic import BaseModel, SecretStr

from events.exchange import REDACTOR, event_of, exchange
from otas_middleware._event.redact.values import CYCLE, MAX_DEPTH, MAX_NODES, TOO_DEEP, TOO_MUCH


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Person(NamedTuple):
    name: str
    password: str


@dataclass
class Login:
    user: str
    secret: str


class Model(BaseModel):
    user: str
    key: SecretStr


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("never called")


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no")


class Untouchable:
    """Fails at whatever one tries."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class Endless:
    def __str__(self) -> str:
        return str(self)


class Lying(UserDict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no")


KINDS: list[tuple[Any, Any]] = [
    (datetime(2024, 5, 1, 12, 30, tzinfo=UTC), "2024-05-01T12:30:00+00:00"),
    (date(2024, 5, 1), "2024-05-01"),
    (timedelta(seconds=90), "0:01:30"),
    (Decimal("1.10"), "1.10"),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (PurePosixPath("/a/b"), "/a/b"),
    (b"abc\xff", "abc\ufffd"),
    (bytearray(b"abc"), "abc"),
    (memoryview(b"abc"), "abc"),
    ((1, 2), [1, 2]),
    ({3}, [3]),
    (frozenset({3}), [3]),
    (deque([1]), [1]),
    (OrderedDict(a=1), {"a": 1}),
    (UserDict(a=1), {"a": 1}),
    (Colour.RED, "red"),
    (Level.HIGH, 3),
    (Text("a"), "a"),
    (Person("ann", "x"), {"name": "ann", "password": "[REDACTED]"}),
    (Login("ann", "x"), {"user": "ann", "secret": "[REDACTED]"}),
    (Model(user="ann", key=SecretStr("x")), {"user": "ann", "key": "**********"}),
    (ValueError("pin=1234"), "ValueError: pin=[REDACTED]"),
    (
        {1: "a", None: "b", False: "c", (1, 2): "d", b"k": "e"},
        {"1": "a", "None": "b", "False": "c", "(1, 2)": "d", "k": "e"},
    ),
    (float("nan"), "nan"),
    (float("-inf"), "-inf"),
    (1e308, 1e308),
    (4111111111111111, "[REDACTED]"),
    ("a\x00b\ud800c", "a\u2400b\ufffdc"),
    ({"a\x00": "\udfff"}, {"a\u2400": "\ufffd"}),
    (Hostile(), "[UNREADABLE: Hostile]"),
    (Endless(), "[UNREADABLE: Endless]"),
    ([Hostile()], ["[UNREADABLE: Hostile]"]),
    (Lying(a=1), "[UNREADABLE: Lying]"),
    (int, "<class 'int'>"),
]


@pytest.mark.parametrize(("value", "expected"), KINDS)
def test_values_of_any_kind_become_plain(value: Any, expected: Any) -> None:
    plain = REDACTOR.value({"x": value})
    assert plain == {"x": expected}
    json.dumps(plain, allow_nan=False).encode()


def test_an_object_that_fails_at_everything_is_survived() -> None:
    assert REDACTOR.value({"a": Untouchable(), "b": 1}) == {"a": "[UNREADABLE: Untouchable]", "b": 1}


def test_an_integer_of_any_length_costs_nothing_but_itself() -> None:
    huge = 10**5000
    said = f"[CUT: an integer of {huge.bit_length()} bits]"
    event = event_of(exchange(properties={"n": huge, "token_count": huge, "password": huge, "a": 1}))
    assert event.custom_properties == {"n": said, "token_count": "[REDACTED]", "password": "[REDACTED]", "a": 1}


def test_integers_of_any_length_are_survived() -> None:
    assert REDACTOR.value([10**99, -(10**400), 10**5000]) == [
        10**99,
        "[CUT: an integer of 1329 bits]",
        "[CUT: an integer of 16610 bits]",
    ]


def test_what_contains_itself_is_cut() -> None:
    loop: dict[str, Any] = {"a": 1}
    loop["self"] = loop
    ring: list[Any] = []
    ring.append([ring])
    assert REDACTOR.value(loop) == {"a": 1, "self": CYCLE}
    assert REDACTOR.value(ring) == [[CYCLE]]


def test_what_is_shared_but_no_cycle_is_kept() -> None:
    shared = {"a": 1}
    assert REDACTOR.value([shared, shared]) == [{"a": 1}, {"a": 1}]


def test_nesting_is_bounded() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    levels = 0
    plain = REDACTOR.value(deep)
    while type(plain) is not str:
        plain = plain[0]
        levels += 1
    assert (levels, plain) == (MAX_DEPTH, TOO_DEEP)


def test_numbers_of_values_are_bounded() -> None:
    laughs: Any = ["ha"]
    for _ in range(30):
        laughs = [laughs] * 10
    assert len(json.dumps(REDACTOR.value(laughs))) < 40 * MAX_NODES
    plain = REDACTOR.value({str(number): number for number in range(3 * MAX_NODES)})
    assert len(plain) <= MAX_NODES + 2
    assert TOO_MUCH in plain


def test_texts_are_bounded() -> None:
    plain = REDACTOR.value({"a": "x" * 1_000_000, "b": "y"})
    assert plain["a"].endswith(TOO_MUCH)
    assert len(json.dumps(plain)) < 300_000


def test_properties_that_are_no_object_by_assignment_are_wrapped() -> None:
    event = event_of(exchange(properties={"a": {1, 2}, "b": Hostile()}))
    assert event.custom_properties == {"a": [1, 2], "b": "[UNREADABLE: Hostile]"}


def test_what_was_handed_over_is_not_changed() -> None:
    properties = {"password": "x", "list": [1, {"pin": 2}]}
    capture = exchange(properties=properties)
    event_of(capture)
    assert capture.custom_properties == {"password": "x", "list": [1, {"pin": 2}]}


def test_a_name_that_cannot_be_read_is_named_after_its_class() -> None:
    assert REDACTOR.value({Hostile(): 1}) == {"[UNREADABLE: Hostile]": 1}


def test_ids_that_tie_calls_together_have_a_fingerprint_whatever_they_begin_with() -> None:
    for name, value in (("mcp_session_id", "[abc]"), ("mcp-session-id", "abc")):
        shown = REDACTOR.value({name: value})[name]
        assert shown.startswith("[REDACTED ")
        assert REDACTOR.value({name: shown}) == {name: shown}
    assert REDACTOR.value({"_meta": {"conversation_token": "abc"}})["_meta"]["conversation_token"].startswith(
        "[REDACTED "
    )


def test_each_of_a_list_of_codes_is_decided_by_itself() -> None:
    assert REDACTOR.value({"codes": ["A1", "Zq7kXw2mPv9sLt4bRn8c"]}) == {"codes": ["A1", "[REDACTED]"]}
    assert REDACTOR.value({"codes": ["A1", {"code": "Zq7kXw2mPv9sLt4bRn8c"}]}) == {
        "codes": ["A1", {"code": "[REDACTED]"}]
    }


def test_of_json_web_keys_only_the_private_members_are_masked_and_of_other_objects_none() -> None:
    secret = "Zq7kXw2mPv9sLt4bRn8c"
    text = f'[{{"kty":"oct","k":"{secret}"}},{{"k":"abcdefghijklmnopqrst"}},{{"kty":"EC","d":"{secret}"}}]'
    assert REDACTOR.text(text) == text.replace(secret, "[REDACTED]")


@pytest.mark.parametrize(
    "row",
    [
        {"row": [1, "hunter2"], "password": "hunter2"},
        {"cells": [{"v": 1}, {"value": "hunter2", "api_key": "hunter2"}]},
        [1, {"value": "hunter2", "nested": {"password": "hunter2"}}],
    ],
)
def test_beside_the_cells_of_a_table_names_count_as_everywhere(row: Any) -> None:
    shown = REDACTOR.value({"columns": ["id", "password"], "rows": [row]})
    assert "hunter2" not in json.dumps(shown)


def test_a_cell_that_contains_itself_is_survived() -> None:
    cell: dict[str, Any] = {}
    cell["value"] = cell
    assert "[REDACTED]" in json.dumps(REDACTOR.value({"columns": ["id", "password"], "rows": [[1, cell]]}))
