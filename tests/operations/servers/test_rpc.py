"""A2A, Connect, gRPC-web and SOAP as their servers speak them: a2a-sdk, connectrpc, sonora, spyne asked by zeep."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from otas_middleware.asgi import OtasMiddleware
from otas_middleware.wsgi import OtasMiddleware as WsgiMiddleware

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from otas_middleware.testing import RecordedEvents

pytest.importorskip("a2a", reason="the group `operations` is not installed")
pytest.importorskip("connectrpc", reason="the group `operations` is not installed")
pytest.importorskip("sonora", reason="the group `operations` is not installed")
pytest.importorskip("spyne", reason="the group `operations` is not installed")
pytest.importorskip("zeep", reason="the group `operations` is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def rows(events: RecordedEvents) -> list[tuple[str, str, str, str]]:
    operations = [(event.metadata["operation"], event.error) for event in events]
    return [(operation["protocol"], operation["name"], operation["outcome"], error) for operation, error in operations]


def shop_agent() -> Any:
    """An application of a2a-sdk, over JSON-RPC and over plain HTTP."""
    from a2a.helpers import new_task, new_text_message
    from a2a.server.agent_execution import AgentExecutor
    from a2a.server.request_handlers import DefaultRequestHandler
    from a2a.server.routes import create_jsonrpc_routes, create_rest_routes
    from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
    from a2a.types import AgentCapabilities, AgentCard, TaskState

    class Echo(AgentExecutor):
        async def execute(self, context: Any, event_queue: Any) -> None:
            if context.get_user_input() != "refund":
                await event_queue.enqueue_event(new_text_message("hello"))
                return
            await event_queue.enqueue_event(
                new_task(context.task_id, context.context_id, TaskState.TASK_STATE_SUBMITTED)
            )
            updater = TaskUpdater(event_queue, context.task_id, context.context_id)
            await updater.failed(new_text_message("no funds"))

        async def cancel(self, context: Any, event_queue: Any) -> None:
            raise NotImplementedError

    card = AgentCard(name="Echo", version="1", capabilities=AgentCapabilities(streaming=True))
    handler = DefaultRequestHandler(Echo(), InMemoryTaskStore(), card)
    routes = create_jsonrpc_routes(handler, "/a2a", enable_v0_3_compat=True)
    return OtasMiddleware(Starlette(routes=[*routes, *create_rest_routes(handler)]))


REFUND = {"messageId": "m3", "role": "ROLE_USER", "parts": [{"text": "refund"}]}


def test_calls_and_failures_of_a2a_are_named(otas_events: RecordedEvents) -> None:
    message = {"messageId": "m1", "role": "ROLE_USER", "parts": [{"text": "hi"}]}
    old = {"messageId": "m2", "role": "user", "parts": [{"kind": "text", "text": "hi"}], "kind": "message"}
    with TestClient(shop_agent(), headers=otas_events.headers) as client:
        for method, params, headers in (
            ("SendMessage", {"message": message}, {"A2A-Version": "1.0"}),
            ("SendStreamingMessage", {"message": message}, {"A2A-Version": "1.0"}),
            ("GetTask", {"id": "nothing"}, {"A2A-Version": "1.0"}),
            ("message/send", {"message": old}, {}),
            ("SendMessage", {"message": REFUND}, {"A2A-Version": "1.0"}),
            ("SendStreamingMessage", {"message": REFUND}, {"A2A-Version": "1.0"}),
        ):
            body = {"jsonrpc": "2.0", "id": "1", "method": method, "params": params}
            client.post("/a2a", json=body, headers=headers)
    found = rows(otas_events)
    assert [row[:3] for row in found] == [
        ("a2a", "SendMessage", "ok"),
        ("a2a", "SendStreamingMessage", "ok"),
        ("a2a", "GetTask", "error"),
        ("a2a", "message/send", "ok"),
        ("a2a", "SendMessage", "error"),
        ("a2a", "SendStreamingMessage", "error"),
    ]
    assert [row[3] for row in found[4:]] == ["a2a task_failed: no funds"] * 2
    assert found[2][3].startswith("a2a -32001: ")


def test_calls_of_a2a_over_plain_http_are_named(otas_events: RecordedEvents) -> None:
    headers = {**otas_events.headers, "A2A-Version": "1.0"}
    hello = {"messageId": "m1", "role": "ROLE_USER", "parts": [{"text": "hi"}]}
    with TestClient(shop_agent(), headers=headers) as client:
        for path in ("/message:send", "/message:stream"):
            for message in (hello, REFUND):
                client.post(path, json={"message": message})
        client.get("/tasks/nothing")
    found = rows(otas_events)
    assert [row[1:] for row in found[:4]] == [
        ("SendMessage", "ok", ""),
        ("SendMessage", "error", "a2a task_failed: no funds"),
        ("SendStreamingMessage", "ok", ""),
        ("SendStreamingMessage", "error", "a2a task_failed: no funds"),
    ]
    assert found[4][:3] == ("a2a", "GetTask", "error")
    assert found[4][3].startswith("a2a 404: ")


def orders() -> Any:
    """An application of connectrpc, which speaks Connect, gRPC and gRPC-web."""
    from connectrpc.code import Code
    from connectrpc.errors import ConnectError
    from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
    from connectrpc.server import ConnectASGIApplication, Endpoint
    from protobuf.wkt.google.protobuf.wrappers_pb import StringValue

    def method(name: str) -> Any:
        return MethodInfo(
            name=name,
            service_name="shop.Orders",
            input=StringValue,
            output=StringValue,
            idempotency_level=IdempotencyLevel.NO_SIDE_EFFECTS,
            stream_type=StreamType.SERVER_STREAM if name == "Watch" else StreamType.UNARY,
        )

    class Service:
        async def get(self, request: Any, context: Any) -> Any:
            if request.value == "missing":
                raise ConnectError(Code.NOT_FOUND, "no such order")
            return StringValue(value="order")

        async def watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
            yield StringValue(value="order")
            if request.value == "missing":
                raise ConnectError(Code.ABORTED, "gone")

    class Application(ConnectASGIApplication):  # type: ignore[type-arg]
        path = "/shop.Orders"

    def endpoints(service: Service) -> dict[str, Any]:
        return {
            "/shop.Orders/Get": Endpoint.unary(method=method("Get"), function=service.get),
            "/shop.Orders/Watch": Endpoint.server_stream(method=method("Watch"), function=service.watch),
        }

    return OtasMiddleware(Application(service=Service(), endpoints=endpoints))


def test_calls_and_failures_of_connect_are_named(otas_events: RecordedEvents) -> None:
    app = orders()
    unary = {"content-type": "application/json", "connect-protocol-version": "1"}
    stream = {"content-type": "application/connect+json", "connect-protocol-version": "1"}
    with TestClient(app, headers=otas_events.headers) as client:
        for value in ("x", "missing"):
            client.post("/shop.Orders/Get", content=json.dumps(value), headers=unary)
            payload = json.dumps(value).encode()
            client.post("/shop.Orders/Watch", content=struct.pack(">BI", 0, len(payload)) + payload, headers=stream)
        query = {"connect": "v1", "encoding": "json", "message": '"x"'}
        client.get("/shop.Orders/Get", params=query)
    assert rows(otas_events) == [
        ("connect", "shop.Orders/Get", "ok", ""),
        ("connect", "shop.Orders/Watch", "ok", ""),
        ("connect", "shop.Orders/Get", "error", "connect not_found: no such order"),
        ("connect", "shop.Orders/Watch", "error", "connect aborted: gone"),
        ("connect", "shop.Orders/Get", "ok", ""),
    ]


@pytest.mark.parametrize("protocol", ["grpc", "grpc-web"])
@pytest.mark.parametrize("accepted", ["identity", "gzip"])
def test_connectrpcs_other_protocols(protocol: str, accepted: str, otas_events: RecordedEvents) -> None:
    kind = f"application/{protocol}+proto"
    headers = {"content-type": kind, "te": "trailers", "grpc-accept-encoding": accepted}
    with TestClient(orders(), headers=otas_events.headers) as client:
        for method in ("Get", "Watch"):
            for value in (b"x", b"missing"):
                message = bytes([10, len(value)]) + value
                content = struct.pack(">BI", 0, len(message)) + message
                client.post(f"/shop.Orders/{method}", content=content, headers=headers)
    assert rows(otas_events) == [
        (protocol, "shop.Orders/Get", "ok", ""),
        (protocol, "shop.Orders/Get", "error", f"{protocol} 5: no such order"),
        (protocol, "shop.Orders/Watch", "ok", ""),
        (protocol, "shop.Orders/Watch", "error", f"{protocol} 10: gone"),
    ]


@pytest.mark.parametrize("kind", ["application/grpc-web+proto", "application/grpc-web-text"])
def test_calls_and_failures_of_grpc_web_are_named(kind: str, otas_events: RecordedEvents) -> None:
    import base64

    import grpc
    from sonora.wsgi import grpcWSGI

    def get(request: bytes, context: Any) -> bytes:
        if request == b"missing":
            context.abort(grpc.StatusCode.NOT_FOUND, "no such order")
        return b"order"

    handlers = {"Get": grpc.unary_unary_rpc_method_handler(get, request_deserializer=bytes, response_serializer=bytes)}
    server = grpcWSGI(None)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Orders", handlers),))
    transport = httpx.WSGITransport(app=WsgiMiddleware(server))
    with httpx.Client(transport=transport, base_url="http://shop", headers=otas_events.headers) as client:
        for request in (b"x", b"missing"):
            body = struct.pack(">BI", 0, len(request)) + request
            content = base64.b64encode(body) if "text" in kind else body
            client.post("/shop.Orders/Get", content=content, headers={"content-type": kind, "accept": kind})
    assert rows(otas_events) == [
        ("grpc-web", "shop.Orders/Get", "ok", ""),
        ("grpc-web", "shop.Orders/Get", "error", "grpc-web 5: no such order"),
    ]


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_calls_and_failures_of_soap_are_named(version: str, otas_events: RecordedEvents) -> None:
    import zeep
    from spyne import Application, Fault, Integer, ServiceBase, Unicode, rpc
    from spyne.protocol.soap import Soap11, Soap12
    from spyne.server.wsgi import WsgiApplication
    from zeep.transports import Transport

    class InProcess(Transport):  # type: ignore[misc]
        """Asks the application itself."""

        def load(self, url: str) -> bytes:
            return http.get(url).content

        def post(self, address: str, message: bytes, headers: dict[str, str]) -> httpx.Response:
            return http.post(address, content=message, headers={**headers, **otas_events.headers})

    class Orders(ServiceBase):  # type: ignore[misc]
        @rpc(Integer, _returns=Unicode)  # type: ignore[misc]
        def refund(self, order_id: int) -> str:
            if order_id == 9:
                raise Fault("Client.NoSuchOrder", "no such order 9")
            return "done"

    protocol = Soap11 if version == "1.1" else Soap12
    application = Application([Orders], "urn:shop", in_protocol=protocol(validator="lxml"), out_protocol=protocol())
    transport = httpx.WSGITransport(app=WsgiMiddleware(WsgiApplication(application)))
    with httpx.Client(transport=transport, base_url="http://shop") as http:
        client = zeep.Client("http://shop/?wsdl", transport=InProcess())
        assert client.service.refund(7) == "done"
        with pytest.raises(zeep.exceptions.Fault):
            client.service.refund(9)
    found = rows(otas_events)
    assert [row[:3] for row in found] == [("soap", "refund", "ok"), ("soap", "refund", "error")]
    assert found[1][3].endswith(": no such order 9")
