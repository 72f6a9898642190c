"""Whatever strangers send, reading the operation raises nothing and stays cheap."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.exchange import event_of, exchange
from operations.amazon_rows import AMAZONS
from operations.event_stream_rows import EVENT_STREAMS
from operations.graphql_rows import GRAPHQL
from operations.json_rpc_rows import JSON_RPC
from operations.mcp_odd_rows import MCP_ODD
from operations.mcp_rows import MCP
from operations.model_rows import MODELS
from operations.other_rows import OTHERS
from operations.rpc_rows import RPCS
from operations.service_rows import SERVICES
from operations.wire import Row, call, post, result
from otas_middleware._event.operation import json_rpc
from otas_middleware._event.operation.exchange import parse_json
from otas_middleware._event.operation.graphql import operations_in

ROWS = [*MCP, *MCP_ODD, *JSON_RPC, *GRAPHQL, *RPCS, *OTHERS, *EVENT_STREAMS, *SERVICES, *AMAZONS, *MODELS]
MEDIA = [
    "application/json",
    "text/event-stream",
    "application/grpc-web",
    "application/grpc-web-text",
    "application/connect+json",
    "multipart/mixed; boundary=b",
    "text/xml",
    "application/graphql",
    "application/x-www-form-urlencoded",
    "application/x-amz-json-1.0",
    "application/vnd.amazon.eventstream",
    "application/fhir+json",
    "",
]


@settings(deadline=None)
@given(
    row=st.sampled_from(ROWS),
    start=st.integers(0, 400),
    length=st.integers(0, 400),
    put=st.binary(max_size=12),
    side=st.sampled_from(["request_body", "response_body"]),
    limit=st.sampled_from([0, 16, 200, 65_536]),
)
def test_valid_traffic_with_something_else_in_it_is_an_event(
    row: Row, start: int, length: int, put: bytes, side: str, limit: int
) -> None:
    body: bytes = row.request[side]
    changed: dict[str, Any] = {**row.request, side: body[:start] + put + body[start + length :], "limit": limit}
    event_of(exchange(**changed))


@settings(deadline=None)
@given(
    request=st.binary(max_size=300),
    response=st.binary(max_size=300),
    kinds=st.tuples(st.sampled_from(MEDIA), st.sampled_from(MEDIA)),
    marks=st.lists(
        st.sampled_from(["mcp-method", "mcp-session-id", "soapaction", "connect-protocol-version", "x-amz-target"]),
        max_size=2,
    ),
    status=st.sampled_from([200, 202, 204, 294, 400, 500]),
)
def test_any_bytes_under_any_media_type_are_an_event(
    request: bytes, response: bytes, kinds: tuple[str, str], marks: list[str], status: int
) -> None:
    event_of(
        exchange(
            request_body=request,
            response_body=response,
            request_type=kinds[0],
            response_type=kinds[1],
            request_headers=tuple((name, "x") for name in marks),
            status=status,
        )
    )


def test_names_and_messages_are_bounded_and_lists_too() -> None:
    request = post(
        [call("m" * 100_000, number=number) for number in range(3)], [{"jsonrpc": "2.0", "id": 1, "result": 1}]
    )
    operation = event_of(exchange(**request, limit=1_000_000)).metadata["operation"]
    assert len(operation["items"][0]["name"]) == 200
    many = post([call("m", number=number) for number in range(500)], [])
    operation = event_of(exchange(**many)).metadata["operation"]
    assert (operation["count"], len(operation["items"])) == (500, 20)
    broken = {"jsonrpc": "2.0", "id": 1, "error": {"code": "c" * 9_000, "message": "e" * 50_000}}
    assert len(event_of(exchange(**post(call("m"), broken))).error) < 1_500


@pytest.mark.parametrize(
    "text",
    [
        "{" * 60_000,
        "query " * 10_000,
        "{a" + "(" * 30_000,
        '{a(x: """' + '"" ' * 20_000,
        '{a(x: "' + "\\\\" * 30_000,
        "{" + "a " * 30_000 + "}",
        "#" * 60_000 + "\n" * 10,
        "query A {" + "...on T{a}" * 6_000 + "}",
    ],
    ids=lambda text: text[:8],
)
def test_documents_that_would_make_a_careless_reader_slow_are_read(text: str) -> None:
    assert operations_in(text, cut=False) is None or text.endswith("}")
    operations_in(text, cut=True)


def test_deep_nesting_is_no_operation_and_no_failure() -> None:
    for deep in ("[" * 50_000, '{"a":' * 20_000, json.dumps(call("m"))[:-1] + ',"params":' + "[" * 5_000):
        event_of(exchange(**post(deep, deep)))


def test_parts_that_never_end_are_read_in_one_go() -> None:
    answer = b"\r\n\r\n" * 15_000  # a minute and a half for a pattern that looks for each part's end
    request = post({"query": "query Orders { id }"}, answer, response_type="multipart/mixed; boundary=b")
    assert "operation" not in event_of(exchange(**request)).metadata


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (
            "<methodCall><methodName>system.multicall</methodName>"
            + "<member><name>methodName</name><value>a" * 10_000,
            "<methodResponse><fault>" + "<member>" * 50_000,
        ),
        ("Action=SendMessageBatch&Version=2012-11-05", "<SendMessageBatchResponse>" + "<Failed>" * 50_000),
        ("Action=SendMessageBatch&Version=2012-11-05", "<SendMessageBatchResponse><a>" + "<Failed><b>" * 40_000),
    ],
    ids=["XML-RPC", "AWS", "AWS, within a result"],
)
def test_elements_within_elements_are_read_in_one_go(asked: str, answer: str) -> None:
    kind = "text/xml" if asked.startswith("<") else "application/x-www-form-urlencoded"
    request = post(asked, answer, request_type=kind, response_type="text/xml")
    assert event_of(exchange(**request, limit=1_000_000)).error == ""  # minutes, if each looked through all below it


def test_the_responses_of_a_batch_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def noted(text: str, **options: Any) -> Any:
        read.append(text)
        return parse_json(text, **options)

    monkeypatch.setattr(json_rpc, "parse_json", noted)
    calls = [call("a", number=number) for number in range(500)]
    answers = [result(1, number) for number in range(499)]
    operation = event_of(exchange(**post(calls, answers))).metadata["operation"]
    assert (operation["count"], operation["failed"], operation["outcome"]) == (500, 0, "unknown")
    assert len(read) == 1
