"""An operation in Agnost's terms: tools, resources and prompts as what they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from events.exchange import exchange
from operations.wire import ENVELOPE, MODERN, SSE, call, post, result, sse, tool_result
from otas_middleware import OtasSettings
from otas_middleware._delivery.destinations.agnost import AgnostDestination, event_body, session_body
from otas_middleware._delivery.protocols import DELIVERED
from otas_middleware._event.build import build
from otas_middleware.localbrain.agnost import EVENT_FORMS, Session, problems

if TYPE_CHECKING:
    from otas_middleware._delivery.protocols import Outcome, Request
    from otas_middleware._event import Envelope


def envelope_of(**request: Any) -> Envelope:
    envelope = build(exchange(**request), OtasSettings())
    assert envelope is not None
    return envelope


def body_of(**request: Any) -> dict[str, Any]:
    body: dict[str, Any] = event_body(envelope_of(**request))
    assert not any(problems(body, rules) for rules in EVENT_FORMS.values())
    return body


def test_a_tool_is_a_tool_with_its_arguments_and_its_result() -> None:
    answer = tool_result("done", isError=False)
    body = body_of(
        **post(call("tools/call", {"name": "refund", "arguments": {"order_id": 7}}), result(answer), headers=MODERN)
    )
    assert (body["primitive_type"], body["primitive_name"]) == ("tool", "refund")
    assert json.loads(body["args"]) == {"order_id": 7}
    assert json.loads(body["result"]) == answer
    assert body["success"] is True


def test_a_tool_that_failed_in_a_stream_is_no_success() -> None:
    answer = tool_result("no", isError=True)
    body = body_of(
        **post(call("tools/call", {"name": "refund"}), sse({"method": "x"}, result(answer)), response_type=SSE)
    )
    assert body["success"] is False
    assert json.loads(body["args"]) == {}
    assert json.loads(body["result"]) == answer


def test_resources_and_prompts_are_what_they_are() -> None:
    resource = body_of(**post(call("resources/read", {"uri": "orders://42"}), result({"contents": []}), headers=MODERN))
    assert (resource["primitive_type"], resource["primitive_name"]) == ("resource", "orders://42")
    assert json.loads(resource["args"]) == {"uri": "orders://42"}
    prompt = body_of(**post(call("prompts/get", {"name": "sum", "arguments": {"a": "1"}}), result({}), headers=MODERN))
    assert (prompt["primitive_type"], prompt["primitive_name"]) == ("prompt", "sum")
    assert json.loads(prompt["args"]) == {"a": "1"}


def test_other_operations_are_tools_by_their_name() -> None:
    assert body_of(**post(call("tools/list"), result({"tools": []})))["primitive_name"] == "tools/list"
    assert body_of(**post({"query": "query Orders { a }"}, {"data": {}}))["primitive_name"] == "query Orders"
    assert body_of(**post({"a": 1}, {}, path="/x", route="/{y}"))["primitive_name"] == "POST /{y}"


def test_a_session_names_its_user_in_both_spellings_and_its_client() -> None:
    body: dict[str, Any] = session_body(
        envelope_of(
            **post(call("tools/list", {"_meta": ENVELOPE}), result({}), headers={**MODERN, "user-agent": "x/1"})
        )
    )
    assert body["user_data"] == {"user_id": "agent-1", "userId": "agent-1"}
    assert body["client_config"] == "shopper"
    assert not problems(body, Session)
    plain: dict[str, Any] = session_body(envelope_of(**post({}, {}, headers={"user-agent": "python-httpx/0.28"})))
    assert plain["client_config"] == "python-httpx"


def test_a_session_names_the_tools_that_its_server_told_of_before() -> None:
    destination = AgnostDestination("http://localhost", "1741fc79-be99-4964-bab2-b5caf969543a")
    sent: list[dict[str, Any]] = []

    def send(request: Request) -> Outcome:
        sent.append(json.loads(request.body))
        return DELIVERED

    listed = post(call("tools/list"), result({"tools": [{"name": "add"}, {"name": "refund"}]}), path="/mcp")
    destination.prologue(envelope_of(**listed), send)
    assert sent[0]["tools"] == ["add", "refund"]
    assert not problems(sent[0], Session)
