"""MCP's and A2A's own clients, against a host that speaks their wire forms."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from agent.host import Host, as_json, response, streams

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.host import Received
    from agent.record import Record
    from otas_middleware.agent import AgentSession

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

TEXT = "Refunds take two days."


def _rpc(call: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call["id"], "result": result}


def _event(document: dict[str, Any]) -> bytes:
    return b"event: message\ndata: " + json.dumps(document).encode() + b"\n\n"


def _mcp(request: Received) -> Iterable[bytes]:
    """Answer as an MCP server by streamable HTTP (revision 2025-11-25)."""
    if request.method != "POST":
        return [response(b"", "405 Method Not Allowed" if request.method == "GET" else "200 OK")]
    call = json.loads(request.body)
    if "id" not in call:
        return [response(b"", "202 Accepted")]
    if call["method"] == "initialize":
        result: dict[str, Any] = {
            "protocolVersion": call["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "refunds", "version": "1"},
        }
        return as_json(_rpc(call, result))(request)
    if call["method"] == "tools/list":
        tool = {"name": "refund", "inputSchema": {"type": "object"}}
        return as_json(_rpc(call, {"tools": [tool]}))(request)
    if call["method"] != "tools/call":
        return as_json({"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32601, "message": "no such method"}})(
            request
        )
    content = {"content": [{"type": "text", "text": TEXT}], "isError": call["params"]["arguments"].get("fail", False)}
    return streams([_event(_rpc(call, content))])(request)


def test_each_call_of_fastmcps_client_is_a_complete_event(session: AgentSession, record: Record) -> None:
    pytest.importorskip("fastmcp", reason="fastmcp is not installed in this environment")
    fastmcp, transports = import_module("fastmcp"), import_module("fastmcp.client.transports")

    async def ask(url: str) -> list[str]:
        transport = transports.StreamableHttpTransport(url, httpx_client_factory=session.async_client)
        async with fastmcp.Client(transport) as client:
            good = await client.call_tool("refund", {})
            bad = await client.call_tool("refund", {"fail": True}, raise_on_error=False)
            return [good.content[0].text, bad.content[0].text]

    with Host() as host:
        host.on("/mcp", _mcp)
        assert anyio.run(ask, host.url + "/mcp") == [TEXT, TEXT]
        events = record.events()
        assert len(events) == len(host.requests)
    assert [event for event in events if "aborted" in event["metadata"]] == []
    called = [event for event in events if event["metadata"].get("operation", {}).get("name") == "tools/call refund"]
    assert [event["error"] for event in called] == ["", f"mcp tool_error: {TEXT}"]


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_each_call_of_mcp_is_a_complete_event(loop: str, session: AgentSession, record: Record) -> None:
    pytest.importorskip("mcp", reason="mcp is not installed in this environment")
    mcp, http = import_module("mcp"), import_module("mcp.client.streamable_http")

    async def ask(url: str) -> list[Any]:
        async with (
            http.streamable_http_client(url, http_client=session.async_client()) as (read, write, *_),
            mcp.ClientSession(read, write) as client,
        ):
            await client.initialize()
            await client.list_tools()
            good = await client.call_tool("refund", {})
            bad = await client.call_tool("refund", {"fail": True})
            return [good.content[0].text, bad.content[0].text]

    with Host() as host:
        host.on("/mcp", _mcp)
        assert anyio.run(ask, host.url + "/mcp", backend=loop) == [TEXT, TEXT]
        calls = [event for event in record.events() if '"tools/call"' in (event["request_body"] or "")]
        assert [event["status_code"] for event in calls] == [200, 200]
        assert not any("aborted" in event["metadata"] for event in record.events())
        assert [bool(event["error"]) for event in calls] == [False, True]


CARD: dict[str, Any] = {
    "name": "clerk",
    "description": "Knows about refunds",
    "version": "1.0",
    "capabilities": {"streaming": True},
    "defaultInputModes": ["text/plain"],
    "defaultOutputModes": ["text/plain"],
    "skills": [{"id": "refunds", "name": "refunds", "description": "refunds", "tags": ["refunds"]}],
}


def _a2a(request: Received) -> Iterable[bytes]:
    call = json.loads(request.body)
    message = {"messageId": "m-1", "role": "ROLE_AGENT", "parts": [{"text": TEXT}]}
    if "Stream" not in call["method"]:
        return as_json(_rpc(call, {"message": message}))(request)

    def pieces() -> Iterator[bytes]:
        yield b"data: " + json.dumps(_rpc(call, {"message": message})).encode() + b"\n\n"

    return streams(pieces())(request)


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
def test_a_call_of_a2a_is_a_complete_event(streaming: bool, session: AgentSession, record: Record) -> None:
    pytest.importorskip("a2a", reason="a2a-sdk is not installed in this environment")
    client, types = import_module("a2a.client"), import_module("a2a.types")

    async def ask(url: str) -> str:
        http = session.async_client(library="httpx")
        factory = client.ClientFactory(client.ClientConfig(httpx_client=http, streaming=streaming))
        card = await client.A2ACardResolver(http, url).get_agent_card()
        agent = factory.create(card)
        message = types.Message(message_id="q-1", role=types.Role.ROLE_USER, parts=[types.Part(text="How long?")])
        text = ""
        async for answer in agent.send_message(types.SendMessageRequest(message=message)):
            text += "".join(part.text for part in answer.message.parts)
        return text

    with Host() as host:
        interface = {"url": host.url + "/a2a", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
        host.on("/.well-known/agent-card.json", as_json({**CARD, "supportedInterfaces": [interface]}))
        host.on("/a2a", _a2a)
        assert anyio.run(ask, host.url) == TEXT
        events = record.events()
        assert [event["path"] for event in events] == ["/.well-known/agent-card.json", "/a2a"]
        assert not any("aborted" in event["metadata"] or event["error"] for event in events)
