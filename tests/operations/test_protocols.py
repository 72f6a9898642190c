"""Which operation an exchange is, and whether it failed."""

from __future__ import annotations

from typing import Any

import pytest

from events.exchange import event_of
from operations.amazon_rows import AMAZONS
from operations.event_stream_rows import EVENT_STREAMS
from operations.graphql_rows import GRAPHQL
from operations.json_rpc_rows import JSON_RPC
from operations.look_alike_rows import LOOK_ALIKES
from operations.mcp_odd_rows import MCP_ODD
from operations.mcp_rows import MCP
from operations.model_rows import MODELS
from operations.other_rows import OTHERS
from operations.rpc_rows import RPCS
from operations.service_rows import SERVICES
from operations.wire import JSON, Row, call, captured, error, post

ROWS = [*MCP, *MCP_ODD, *JSON_RPC, *GRAPHQL, *RPCS, *OTHERS, *EVENT_STREAMS, *SERVICES, *AMAZONS, *MODELS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.title)
def test_valid_traffic_is_named_and_failed_when_it_failed(row: Row) -> None:
    event = event_of(captured(row))
    operation = event.metadata["operation"]
    expected = dict(row.operation or {})
    assert {key: operation.get(key) for key in expected} == expected
    assert event.error == row.error


@pytest.mark.parametrize("row", LOOK_ALIKES, ids=lambda row: row.title)
def test_what_only_looks_like_a_protocol_is_none_and_no_failure(row: Row) -> None:
    event = event_of(captured(row))
    assert event.error == ""
    operation: dict[str, Any] | None = event.metadata.get("operation")
    if row.operation is None:
        assert operation is None
    else:
        assert {key: (operation or {}).get(key) for key in row.operation} == row.operation


def test_half_of_the_table_is_traffic_that_only_looks_like_a_protocol() -> None:
    assert len(ROWS) + len(LOOK_ALIKES) >= 60
    assert len(LOOK_ALIKES) >= 30


def test_every_json_type_is_as_good_as_another_for_a_call() -> None:
    for declared in (
        JSON,
        "application/json; charset=utf-8",
        "application/json-rpc",
        "text/plain",
        "application/x+json",
    ):
        row = Row("", post(call("add"), error(1, "no"), request_type=declared, response_type=declared), None)
        assert event_of(captured(row)).error == "json-rpc 1: no"
