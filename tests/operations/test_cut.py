"""However little of an exchange is kept, a failure is never taken for a success, nor a success for a failure."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from events.exchange import event_of
from operations.wire import LEGACY, MODERN, SSE, Row, call, captured, error, frame, post, result, sse, tool_result

if TYPE_CHECKING:
    from collections.abc import Callable

    Form = Callable[[bool, str], dict[str, Any]]

TOOL = {**MODERN, "mcp-method": "tools/call", "mcp-name": "add"}
PROGRESS = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}}
TEXTS = ["", "x" * 300, '\\"isError": true, "error": {' * 20, "é😀" * 20_000]
LIMITS = [0, 1, 16, 100, 1_000, 65_536]
CODINGS: dict[str | None, Callable[[bytes], bytes]] = {None: bytes, "gzip": gzip.compress, "deflate": zlib.compress}


def mcp(failed: bool, text: str) -> dict[str, Any]:
    return post(call("tools/call", {"name": "add"}), result(tool_result(text, isError=failed)), headers=TOOL)


def mcp_that_says_so_first(failed: bool, text: str) -> dict[str, Any]:
    return post(call("tools/call", {"name": "add"}), result({"isError": failed, "content": [text]}), headers=TOOL)


def mcp_over_a_stream(failed: bool, text: str) -> dict[str, Any]:
    answer = result(tool_result(text, isError=failed))
    return post(call("tools/call", {"name": "add"}), sse(PROGRESS, answer), headers=LEGACY, response_type=SSE)


def json_rpc(failed: bool, text: str) -> dict[str, Any]:
    refused = {**error(1, "no"), "data": text}
    return post(call("add"), refused if failed else result(text))


def graphql(failed: bool, text: str) -> dict[str, Any]:
    errors = {"errors": [{"message": "no"}]} if failed else {}
    return post({"query": "query Orders { note }"}, {"data": {"note": text}, **errors})


def grpc_web(failed: bool, text: str) -> dict[str, Any]:
    body = frame(0, text.encode()) + frame(0x80, b"grpc-status: 5\r\n" if failed else b"grpc-status: 0\r\n")
    return post(b"", body, request_type="application/grpc-web", response_type="application/grpc-web", path="/a.B/C")


FORMS: list[Form] = [mcp, mcp_that_says_so_first, mcp_over_a_stream, json_rpc, graphql, grpc_web]


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_what_is_kept_says_the_truth_or_nothing(form: Form, limit: int, coding: str | None) -> None:
    for text in TEXTS:
        for failed in (False, True):
            request = form(failed, text)
            body = CODINGS[coding](request.pop("response_body"))
            capture = captured(
                Row("", {**request, "response_body": body, "response_coding": coding, "limit": limit}, None)
            )
            event = event_of(capture)
            outcome = event.metadata.get("operation", {"outcome": "unknown"})["outcome"]
            assert outcome in {"unknown", *(("error", "partial") if failed else ("ok",))}
            assert bool(event.error) == (outcome in {"error", "partial"})
            if len(body) <= limit and len(request["request_body"]) <= limit:
                assert outcome != "unknown"
