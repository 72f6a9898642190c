"""The line that the local Brain prints for an event, and its way to a slow reader."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otas_middleware.localbrain.command import Lines, describe

EVENT: dict[str, Any] = {
    "method": "POST",
    "status_code": 201,
    "latency_ms": 1234.56,
    "agent_session_id": "0123456789abcdef",
    "path": "/orders",
    "error": None,
}


def test_a_line_has_its_columns() -> None:
    assert describe(EVENT) == "POST     201     1234.6 ms  session 01234567  /orders"
    assert describe({**EVENT, "latency_ms": None}) == "POST     201        NaN ms  session 01234567  /orders"
    assert describe({**EVENT, "error": "404 Not Found"}).endswith("  /orders  (404 Not Found)")


def test_an_operation_stands_behind_its_path() -> None:
    called = {**EVENT, "path": "/mcp", "metadata": '{"operation": {"name": "tools/call refund"}}', "error": "no order"}
    assert describe(called).endswith("  /mcp  tools/call refund  (no order)")


@pytest.mark.parametrize(
    "metadata", ["[", "[]", "null", "{}", '{"operation": 7}', '{"operation": {"name": null}}', None]
)
def test_metadata_that_names_no_operation_adds_nothing(metadata: str | None) -> None:
    assert describe({**EVENT, "metadata": metadata}) == describe(EVENT)


@pytest.mark.parametrize("name", ["path", "method", "error", "agent_session_id"])
@pytest.mark.parametrize(
    "text", ["\x1b[2J", "a\nb", "\r", "\x9b31m", "\u202e", "\u2028", "\ud800", "\x00\x07"], ids=ascii
)
def test_no_field_reaches_the_terminal_as_a_command(name: str, text: str) -> None:
    assert describe({**EVENT, name: text}).isprintable()
    assert describe({**EVENT, "metadata": json.dumps({"operation": {"name": text}})}).isprintable()


def test_long_texts_are_cut() -> None:
    assert len(describe({**EVENT, "path": "/" + "x" * 100_000, "error": "y" * 100_000})) < 350


def test_what_a_slow_reader_misses_is_counted(capfd: pytest.CaptureFixture[str]) -> None:
    lines = Lines(most=3)
    for number in range(10):
        lines.add(f"line {number}")
    lines.print_waiting(timeout=0)
    printed = capfd.readouterr().out.splitlines()
    assert [line.partition("  ")[2] for line in printed[:3]] == ["line 0", "line 1", "line 2"]
    assert printed[3].strip() == "(7 lines left out)"
    lines.print_waiting(timeout=0)
    assert capfd.readouterr().out == ""
