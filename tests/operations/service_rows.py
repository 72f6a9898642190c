"""Valid traffic of services with protocols of their own: XML-RPC, tRPC, Twirp, Elasticsearch, Kubernetes."""

from __future__ import annotations

import json
import xmlrpc.client

from operations.wire import Row, post

XML = "text/xml"
WATCHED = {"type": "ADDED", "object": {"kind": "Pod"}}
GONE = {"type": "ERROR", "object": {"kind": "Status", "status": "Failure", "reason": "Expired", "message": "too old"}}


def lines(*documents: object) -> bytes:
    """Return documents of JSON in lines."""
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


def multicall(*results: object) -> str:
    """Return the answer to several calls in one."""
    return xmlrpc.client.dumps((list(results),), methodresponse=True)


XML_RPC = [
    Row(
        "XML-RPC",
        post(
            xmlrpc.client.dumps((7,), "orders.refund"),
            xmlrpc.client.dumps((True,), methodresponse=True),
            request_type=XML,
            response_type=XML,
        ),
        {"protocol": "xml-rpc", "name": "orders.refund", "method": "orders.refund", "outcome": "ok"},
    ),
    Row(
        "XML-RPC that failed with 200",
        post(
            xmlrpc.client.dumps((7,), "orders.refund"),
            xmlrpc.client.dumps(xmlrpc.client.Fault(-32601, "no such order"), methodresponse=True),
            request_type=XML,
            response_type=XML,
        ),
        {"outcome": "error", "code": -32601},
        "xml-rpc -32601: no such order",
    ),
    Row(
        "several calls of XML-RPC in one, of which one failed",
        post(
            xmlrpc.client.dumps(
                ([{"methodName": "a", "params": []}, {"methodName": "b", "params": []}],), "system.multicall"
            ),
            multicall([1], {"faultCode": 4, "faultString": "no b"}),
            request_type=XML,
            response_type=XML,
        ),
        {"protocol": "xml-rpc", "name": "batch", "count": 2, "failed": 1, "outcome": "error", "code": 4},
        "xml-rpc 4: no b",
    ),
    Row(
        "XML-RPC whose answer was not seen to its end",
        post(
            xmlrpc.client.dumps((7,), "orders.list"),
            xmlrpc.client.dumps((["x" * 100] * 2_000,), methodresponse=True),
            request_type=XML,
            response_type=XML,
        ),
        {"name": "orders.list", "outcome": "unknown"},
    ),
]
NOT_FOUND = {"error": {"message": "no order", "code": -32004, "data": {"code": "NOT_FOUND", "httpStatus": 404}}}
WRAPPED = {"error": {"json": NOT_FOUND["error"]}}
TRPC = [
    Row(
        "a batch of tRPC, of which one failed",
        post(
            None,
            [{"result": {"data": 1}}, NOT_FOUND],
            method="GET",
            path="/api/trpc/orders.list,orders.get",
            query="batch=1&input=%7B%7D",
            status=207,
        ),
        {"protocol": "trpc", "name": "batch", "count": 2, "failed": 1, "outcome": "error", "code": "NOT_FOUND"},
        "trpc NOT_FOUND: no order",
    ),
    Row(
        "a mutation of tRPC",
        post({"id": 7}, {"result": {"data": {"id": 7}}}, path="/trpc/orders.refund"),
        {"protocol": "trpc", "name": "orders.refund", "type": "mutation", "outcome": "ok"},
    ),
    Row(
        "a query of tRPC that failed, by way of a transformer",
        post(None, WRAPPED, method="GET", path="/trpc/orders.get", query="input=1", status=404),
        {"name": "orders.get", "type": "query", "outcome": "error", "code": "NOT_FOUND"},
        "trpc NOT_FOUND: no order",
    ),
    Row(
        "Twirp",
        post({"id": 7}, {"id": 7}, path="/twirp/shop.Orders/Refund"),
        {"protocol": "twirp", "name": "shop.Orders/Refund", "method": "Refund", "outcome": "ok"},
    ),
    Row(
        "Twirp that failed",
        post({"id": 7}, {"code": "not_found", "msg": "no order"}, path="/twirp/shop.Orders/Refund", status=404),
        {"outcome": "error", "code": "not_found"},
        "twirp not_found: no order",
    ),
]
BULK = lines({"index": {"_id": "1"}}, {"a": 1}, {"delete": {"_id": "2"}})
ELASTICSEARCH = [
    Row(
        "a bulk request, of which one part failed",
        post(
            BULK,
            {
                "took": 3,
                "errors": True,
                "items": [
                    {"index": {"status": 400, "error": {"type": "mapper_parsing_exception", "reason": "no number"}}},
                    {"delete": {"status": 404, "result": "not_found"}},
                ],
            },
            path="/orders/_bulk",
            request_type="application/x-ndjson",
        ),
        {
            "protocol": "elasticsearch",
            "name": "bulk",
            "target": "orders",
            "count": 2,
            "failed": 1,
            "outcome": "partial",
            "code": "mapper_parsing_exception",
        },
        "elasticsearch mapper_parsing_exception: no number",
    ),
    Row(
        "a bulk request that deletes what is not there",
        post(BULK, {"took": 1, "errors": False, "items": [{"delete": {"status": 404}}]}, path="/_bulk"),
        {"protocol": "elasticsearch", "name": "bulk", "failed": 0, "outcome": "ok"},
    ),
    Row(
        "several searches, all of which failed",
        post(
            lines({}, {"query": {}}),
            {
                "took": 1,
                "responses": [{"error": {"type": "index_not_found_exception", "reason": "no x"}, "status": 404}],
            },
            path="/_msearch",
            request_type="application/x-ndjson",
        ),
        {"name": "msearch", "count": 1, "failed": 1, "outcome": "error"},
        "elasticsearch index_not_found_exception: no x",
    ),
    Row(
        "a bulk request whose long answer says at its beginning that some failed",
        post(
            BULK,
            {"took": 1, "errors": True, "items": [{"index": {"_id": "x" * 100, "status": 201}}] * 2_000},
            path="/_bulk",
        ),
        {"name": "bulk", "outcome": "partial"},
        "elasticsearch: some items failed",
    ),
]
KUBERNETES = [
    Row(
        "a watch of Kubernetes that ends with an error",
        post(None, lines(WATCHED, GONE), method="GET", path="/api/v1/namespaces/x/pods", query="watch=true"),
        {"protocol": "kubernetes", "name": "watch", "target": "pods", "outcome": "error", "code": "Expired"},
        "kubernetes Expired: too old",
    ),
    Row(
        "a watch of Kubernetes",
        post(None, lines(WATCHED), method="GET", path="/apis/apps/v1/deployments", query="watch=1"),
        {"name": "watch", "outcome": "ok"},
    ),
]
SERVICES = [*XML_RPC, *TRPC, *ELASTICSEARCH, *KUBERNETES]
