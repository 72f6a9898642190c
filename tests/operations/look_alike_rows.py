"""Traffic that only looks like a protocol, or like a failure of one."""

from __future__ import annotations

from operations.other_rows import ENVELOPED
from operations.rpc_rows import STATUS_MISSING
from operations.wire import (
    MODERN,
    SSE,
    Row,
    error,
    frame,
    post,
    sse,
)


def answered(answer: object, **more: object) -> dict[str, object]:
    return post({"id": 1}, answer, **more)


LOOK_ALIKES = [
    Row("a search form", post({"query": "red shoes"}, {"hits": []}), None),
    Row("a search for a keyword", post({"query": "query optimisation tips"}, {"data": {}}), None),
    Row("a search that begins with a brace", post({"query": "{red} shoes"}, {"data": {}}), None),
    Row("Elasticsearch", post({"query": {"match": {"a": "b"}}}, {"hits": {}}), None),
    Row("SQL over HTTP", post({"query": "SELECT 1"}, {"data": [[1]]}), None),
    Row(
        "LogQL by GET",
        post(
            None,
            {"status": "success", "data": {}},
            method="GET",
            request_type=None,
            query=b"query=%7Bapp%3D%22foo%22%7D",
        ),
        None,
    ),
    Row(
        "PromQL by GET",
        post(None, {"status": "success", "data": {}}, method="GET", request_type=None, query=b"query=up"),
        None,
    ),
    Row("a filter in braces, answered with a list", post({"query": "{ status }"}, {"data": [1], "errors": [1]}), None),
    Row(
        "a filter in braces, answered with other members", post({"query": "{ status }"}, {"data": {}, "page": 2}), None
    ),
    Row("a filter in braces with equals signs", post({"query": '{ status = "open" }'}, {"data": {}}), None),
    Row("an API whose answers have errors", answered({"errors": [{"message": "no"}], "data": None}), None),
    Row("an API whose answers have an error", answered({"error": {"message": "no"}}), None),
    Row("an API whose answers have isError", answered({"result": {"isError": True}}), None),
    Row("JSON-RPC 1.0", post({"jsonrpc": "1.0", "id": 1, "method": "getinfo"}, {"error": {"code": 1}}), None),
    Row("a member jsonrpc without a method", post({"jsonrpc": "2.0", "id": 1}, error(1, "no")), None),
    Row("a text that mentions jsonrpc", post({"text": '"jsonrpc": "2.0"', "method": "x"}, error(1, "no")), None),
    Row("a method that is no text", post({"jsonrpc": "2.0", "method": 1}, error(1, "no")), None),
    Row("an empty batch", post([], [error(1, "no")]), None),
    Row(
        "OAuth discovery by an MCP client",
        post(
            None,
            {"issuer": "x"},
            headers=MODERN,
            method="GET",
            path="/.well-known/oauth-protected-resource",
            request_type=None,
        ),
        None,
    ),
    Row(
        "a route that a bridge hands MCP's headers on to",
        post(None, {"id": 8}, method="GET", headers={**MODERN, "mcp-method": "tools/call", "mcp-name": "read_order"}),
        None,
    ),
    Row(
        "a route that a bridge hands MCP's headers on to, with a body",
        post({"order": 8}, {"id": 8}, headers={**MODERN, "mcp-method": "tools/call", "mcp-name": "read_order"}),
        None,
    ),
    Row("REST with an MCP header", post({"a": 1}, {"isError": True}, headers=MODERN), None),
    Row(
        "multipart that is no batch of requests",
        post(
            b"--b\r\nContent-Type: text/plain\r\n\r\nHTTP/1.1 500 no\r\n--b--\r\n",
            {},
            request_type="multipart/mixed; boundary=b",
        ),
        None,
    ),
    Row(
        "a JSON body with requests elsewhere",
        post({"requests": []}, {"responses": [{"status": 500}]}, path="/batch"),
        None,
    ),
    Row(
        "XML with an element Envelope of its own",
        post(
            "<Envelope><Body><Fault/></Body></Envelope>",
            "<Envelope><Body><Fault/></Body></Envelope>",
            request_type="text/xml",
            response_type="text/xml",
        ),
        None,
    ),
    Row(
        "XML that mentions a fault",
        post("<order/>", "<Fault>no</Fault>", request_type="text/xml", response_type="text/xml"),
        None,
    ),
    Row("SOAPAction before a JSON body", post({"a": 1}, {"Fault": 1}, headers={"soapaction": "x"}), None),
    Row(
        "binary that looks like a frame",
        post(
            frame(0, b"x"),
            STATUS_MISSING,
            request_type="application/octet-stream",
            response_type="application/octet-stream",
        ),
        None,
    ),
    Row(
        "a query connect=v1 of something else",
        post(None, {"code": "x"}, method="GET", query=b"connect=v1", request_type=None),
        None,
    ),
    Row("an Accept of gRPC-web", answered({}, headers={"accept": "application/grpc-web"}), None),
    Row(
        "JSON that streams in lines",
        answered('{"error": "no"}\n{"a": 1}\n', response_type="application/x-ndjson"),
        None,
    ),
    Row("a GET that mentions EIO", post(None, "x", method="GET", query=b"EIO=4", request_type=None), None),
    Row("a persistedQuery that is no object", post({"extensions": {"persistedQuery": "x"}}, {"errors": [1]}), None),
    Row("a documentId of an archive", post({"documentId": "7"}, {"document": "x", "errors": [1]}), None),
    Row("LSP's own tool list", post({"method": "tools/list", "id": 1}, {"error": 1}), None),
    Row(
        "a fault of another namespace inside a SOAP answer",
        post(
            ENVELOPED % "<Get/>",
            ENVELOPED % "<Fault xmlns='urn:geology'>San Andreas</Fault>",
            request_type="text/xml",
            response_type="text/xml",
        ),
        {"outcome": "ok"},
    ),
    Row(
        "an error that is null in an event",
        post({}, sse({"text": "hi", "error": None}), response_type=SSE),
        {"protocol": "sse", "outcome": "ok"},
    ),
    Row(
        "a text about errors in an event", post({}, sse({"text": 'say "error"'}), response_type=SSE), {"outcome": "ok"}
    ),
    Row(
        "an event stream with a type, of no model",
        post({}, sse({"type": "tick"}), response_type=SSE),
        {"outcome": "ok"},
    ),
    Row(
        "a data member beside errors of a model's own",
        post({"prompt": "x"}, {"data": {}, "errors": [{"message": "m"}]}),
        None,
    ),
    Row(
        "a filter in braces by GET, answered with data that it does not name",
        post(None, {"data": {"items": []}}, method="GET", query=b"query=%7Bred%7D", request_type=None),
        None,
    ),
    Row("a text in quotation marks", post({"query": '"red" { shoes }'}, {"data": {"shoes": 1}}), None),
    Row("a content manager's documentId", post({"documentId": "k3v"}, {"data": {"id": 1}, "errors": None}), None),
    Row(
        "a documentId by GET",
        post(None, {"data": {"id": 1}}, method="GET", query=b"documentId=k3v", request_type=None),
        None,
    ),
    Row(
        "a long body with a method, of no protocol",
        post({"method": "card", "note": "x" * 90_000}, {"error": {"code": 1}}),
        None,
    ),
    Row(
        "a measure that is named error",
        post({}, sse({"step": 1, "error": 0.03}), response_type=SSE),
        {"protocol": "sse", "outcome": "ok"},
    ),
    Row(
        "an event with an error's code of no agent's",
        post({}, sse({"errorCode": "E7", "resolved": True}), response_type=SSE),
        {"outcome": "ok"},
    ),
    Row(
        "a message with a member newMessage, of no agent's",
        post({"newMessage": "hi"}, [{"id": 1, "errorCode": "E7"}]),
        None,
    ),
    Row(
        "a log whose lines have the type error",
        post({}, sse({"type": "error", "message": "disk full"}), response_type=SSE),
        {"protocol": "sse", "outcome": "ok"},
    ),
    Row(
        "attachments that are no SOAP",
        post(
            b"--m\r\nContent-Type: text/html\r\n\r\n<Envelope/>\r\n--m--\r\n",
            {},
            request_type="multipart/related; boundary=m",
        ),
        None,
    ),
    Row(
        "a search that is answered with errors and places of another kind",
        post({"query": "shoes ("}, {"errors": [{"message": "no", "locations": ["Berlin"]}]}),
        None,
    ),
    Row(
        "a long job with a name and variables, of no protocol",
        post({"operationName": "build", "variables": {"log": "x" * 90_000}, "z": 1}, {"job": 1, "errors": [1]}),
        None,
    ),
    Row(
        "a job that says how far it has come",
        post(
            {}, sse({"type": "progress", "completion": 0.5}, {"type": "progress", "completion": 1}), response_type=SSE
        ),
        {"protocol": "sse", "outcome": "ok"},
    ),
    Row(
        "a media type that begins as gRPC's",
        post(b"x", b"y", request_type="application/grpcurl", response_headers=(("grpc-status", "5"),)),
        None,
    ),
    Row(
        "an archive of refused calls",
        post({"id": 1}, {"jsonrpc": "2.0", "id": 7, "error": {"code": -32600, "message": "Invalid Request"}}),
        None,
    ),
    Row(
        "a filter in braces with a long answer of other members",
        post({"query": "{ status }"}, {"data": {"rows": ["x" * 200_000]}}),
        None,
    ),
    Row(
        "lines of an export, one of which holds an error",
        post({}, b'{"id": 1, "done": false}\n{"error": "bad row"}\n', response_type="application/x-ndjson"),
        None,
    ),
    Row(
        "a stream with an event of that name later on",
        post(None, sse({"a": 1}) + b"event: endpoint\ndata: /x\n\n", method="GET", response_type=SSE),
        {"protocol": "sse", "outcome": "ok"},
    ),
    Row("an agent's card", post(None, {"name": "shop"}, method="GET", headers={"a2a-version": "1.0"}), None),
    Row(
        "a message that is sent to something else",
        post({}, {"status": {"state": "failed"}}, path="/message:send"),
        None,
    ),
    Row(
        "XML that holds a call in another element",
        post("<log><methodCall/></log>", "<fault/>", request_type="text/xml"),
        None,
    ),
    Row("a page below a path of that name", post(None, {"error": {"message": "x"}}, path="/trpc/orders"), None),
    Row("a path of that name on the way", post({}, {"result": 1}, path="/trpc/orders/7"), None),
    Row("a bulk route of one's own", post({}, {"items": [{"error": "x"}]}, path="/orders/_bulk"), None),
    Row(
        "a form with an action and a version",
        post("Action=save&Version=2", {"Failed": [{"Id": 1}]}, request_type="application/x-www-form-urlencoded"),
        None,
    ),
    Row(
        "a header of AWS's on a route of JSON", post({}, {"Failed": [{"Id": 1}]}, headers={"x-amz-target": "a.b"}), None
    ),
    Row(
        "a document of XML that is an error",
        post({}, "<Error><Code>1</Code></Error>", response_type="application/xml"),
        None,
    ),
    Row(
        "lines of changes that nobody watches in Kubernetes",
        post(None, b'{"type": "ERROR", "id": 1}\n', method="GET", path="/api/v1/orders", query="watch=true"),
        None,
    ),
    Row("a car's model, with an error of measurement", post({"model": "T", "input": [1]}, {"error": 3}), None),
    Row("a car's model that is not found", post({"model": "T", "year": 1908}, {"error": "none left"}), None),
    Row("a model's answer", post({"model": "m", "prompt": "x"}, {"error": None, "choices": [{"text": "a"}]}), None),
    Row(
        "an event of a log that is named error",
        post({}, sse({"event": "error", "message": "seen"}), response_type=SSE),
        {"protocol": "sse", "outcome": "ok"},
    ),
    Row(
        "a model's answer that speaks of errors",
        post({}, sse({"choices": [{"delta": {"content": '"error"'}, "finish_reason": "stop"}]}), response_type=SSE),
        {"outcome": "ok"},
    ),
    Row(
        "bytes that are no message of Amazon's",
        post({}, b"\x00\x01\x02" * 20, response_type="application/vnd.amazon.eventstream"),
        {"protocol": "amazon-events", "outcome": "unknown"},
    ),
    Row(
        "a job with a method and parameters, whose answer has other members",
        post({"method": "pay", "params": [1], "id": 1}, {"result": None, "error": "x", "id": 1, "state": "failed"}),
        None,
    ),
    Row(
        "a method and parameters, answered under another id",
        post({"method": "pay", "params": [], "id": 1}, {"result": None, "error": "no", "id": 2}),
        None,
    ),
    Row(
        "a form of a search",
        post(
            "query=query+optimisation", {"data": {}, "errors": ["x"]}, request_type="application/x-www-form-urlencoded"
        ),
        None,
    ),
    Row("a route for bulk goods", post({"id": 1}, {"Operations": [{"state": "x"}]}, path="/orders/Bulk"), None),
    Row(
        "a patient, as FHIR has it",
        post({"resourceType": "Patient"}, {"resourceType": "Patient"}, request_type="application/fhir+json"),
        None,
    ),
    Row("a Twirp path that is got", post(None, {"code": "x"}, method="GET", path="/twirp/a.B/C"), None),
]
