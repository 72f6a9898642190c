"""Valid traffic of GraphQL."""

from __future__ import annotations

import gzip
import json

from operations.wire import (
    SSE,
    Row,
    post,
    sse,
)

REFUND = {"query": "mutation Refund($id: ID!) { refund(id: $id) { id } }", "variables": {"id": "42"}}
GRAPHQL = [
    Row(
        "a mutation",
        post(REFUND, {"data": {"refund": {"id": "42"}}}),
        {"protocol": "graphql", "name": "mutation Refund", "target": "Refund", "type": "mutation", "outcome": "ok"},
    ),
    Row(
        "errors without data",
        post(REFUND, {"errors": [{"message": "no such order", "extensions": {"code": "NOT_FOUND"}}]}),
        {"outcome": "error", "code": "NOT_FOUND"},
        "graphql NOT_FOUND: no such order",
    ),
    Row(
        "errors beside data",
        post(REFUND, {"data": {"refund": {}}, "errors": [{"message": "half"}]}),
        {"outcome": "partial"},
        "graphql: half",
    ),
    Row(
        "a document in a form",
        post(
            "query=query+Orders+%7B+orders+%7B+id+%7D+%7D&variables=%7B%7D",
            {"data": None, "errors": [{"message": "no"}]},
            request_type="application/x-www-form-urlencoded",
        ),
        {"name": "query Orders", "outcome": "error"},
        "graphql: no",
    ),
    Row(
        "a document in a part of a form",
        post(
            b'--b\r\nContent-Disposition: form-data; name="query"\r\n\r\nquery Orders { orders { id } }\r\n--b--\r\n',
            {"data": None, "errors": [{"message": "no"}]},
            request_type="multipart/form-data; boundary=b",
        ),
        {"name": "query Orders", "outcome": "error"},
        "graphql: no",
    ),
    Row(
        "a document in the URL, its variables in the body",
        post(
            {"variables": {}},
            {"data": None, "errors": [{"message": "no"}]},
            query="query=query%20Orders%20%7B%20orders%20%7B%20id%20%7D%20%7D",
        ),
        {"name": "query Orders", "outcome": "error"},
        "graphql: no",
    ),
    Row("no errors in the list", post(REFUND, {"data": {}, "errors": []}), {"outcome": "ok"}),
    Row(
        "partial success by its status",
        post(
            REFUND,
            {"data": {"a": 1}, "errors": [{"message": "half"}]},
            status=294,
            response_type="application/graphql-response+json",
        ),
        {"outcome": "partial"},
        "graphql: half",
    ),
    Row(
        "refused by its status",
        post(
            REFUND, {"errors": [{"message": "syntax"}]}, status=400, response_type="application/graphql-response+json"
        ),
        {"outcome": "error"},
        "graphql: syntax",
    ),
    Row(
        "a shorthand",
        post({"query": "{ orders { id } }"}, {"data": {"orders": []}}),
        {"name": "query", "type": "query"},
    ),
    Row(
        "several operations, one of them chosen",
        post(
            {"query": 'query A { a } # x\nfragment F on T { b }\nmutation B { c(x: "}") }', "operationName": "B"},
            {"data": {"c": 1}},
        ),
        {"name": "mutation B"},
    ),
    Row(
        "several operations, and a name that is none of theirs",
        post(
            {"query": "query A { a } query B { b }", "operationName": "C"},
            {"errors": [{"message": 'Unknown operation named "C".'}]},
            status=400,
        ),
        {"name": "C", "target": "C", "type": None, "outcome": "error"},
        'graphql: Unknown operation named "C".',
    ),
    Row(
        "a persisted document",
        post(
            {"operationName": "Orders", "extensions": {"persistedQuery": {"version": 1, "sha256Hash": "ab"}}},
            {"errors": [{"message": "PersistedQueryNotFound"}]},
        ),
        {"name": "Orders", "outcome": "error"},
        "graphql: PersistedQueryNotFound",
    ),
    Row(
        "a document by its id",
        post({"documentId": "sha256:ab", "operationName": "Orders"}, {"data": {"orders": []}}),
        {"name": "Orders", "outcome": "ok"},
    ),
    Row(
        "a batch",
        post([REFUND, REFUND], json.loads('[{"data": {}}, {"errors": [{"message": "no"}]}]')),
        {"name": "batch", "count": 2, "failed": 1, "outcome": "error"},
        "graphql: no",
    ),
    Row(
        "by GET",
        post(None, {"data": {}}, method="GET", query=b"query=query+Orders%7Bid%7D", request_type=None),
        {"name": "query Orders"},
    ),
    Row(
        "as application/graphql",
        post("query Orders { id }", {"data": {}}, request_type="application/graphql"),
        {"name": "query Orders", "outcome": "ok"},
    ),
    Row(
        "incremental delivery, an error in a later part",
        post(
            REFUND,
            b'\r\n---\r\nContent-Type: application/json\r\n\r\n{"data":{"a":1},"hasNext":true}\r\n---\r\n'
            b"Content-Type: application/json\r\n\r\n"
            b'{"incremental":[{"errors":[{"message":"late"}],"data":null,"path":[]}],"hasNext":false}\r\n-----\r\n',
            response_type='multipart/mixed; boundary="-"',
        ),
        {"outcome": "partial"},
        "graphql: late",
    ),
    Row(
        "over an event stream",
        post(
            REFUND,
            sse({"data": None, "errors": [{"message": "no"}]}, name="next") + b"event: complete\ndata:\n\n",
            response_type=SSE,
        ),
        {"protocol": "graphql", "outcome": "error"},
        "graphql: no",
    ),
    Row(
        "a file upload",
        post(
            b'--b\r\nContent-Disposition: form-data; name="operations"\r\n\r\n'
            b'{"query":"mutation Up($f: Upload!) { up(file: $f) }","variables":{"f":null}}\r\n--b--\r\n',
            {"data": {"up": 1}},
            request_type="multipart/form-data; boundary=b",
        ),
        {"name": "mutation Up"},
    ),
    Row(
        "a batch of a server that adds members",
        post([REFUND], [{"data": {"refund": 1}, "id": "1", "status": 200}]),
        {"name": "batch", "count": 1, "outcome": "ok"},
    ),
    Row(
        "a shorthand that was refused",
        post({"query": "{ orders { id } }"}, {"errors": [{"message": "not yours"}]}, status=403),
        {"name": "query", "outcome": "error"},
        "graphql: not yours",
    ),
    Row(
        "a subscription in parts, the last of which failed",
        post(
            {"query": "subscription Watch { orders }"},
            b"\r\n--graphql\r\nContent-Type: application/json\r\n\r\n{}\r\n--graphql\r\n"
            b'Content-Type: application/json\r\n\r\n{"payload": {"data": {"orders": 1}}}\r\n--graphql\r\n'
            b'Content-Type: application/json\r\n\r\n{"payload": {"errors": [{"message": "gone"}]}}\r\n--graphql--\r\n',
            response_type='multipart/mixed; boundary="graphql"; subscriptionSpec=1.0',
        ),
        {"name": "subscription Watch", "type": "subscription", "outcome": "partial"},
        "graphql: gone",
    ),
    Row(
        "an answer in parts, of which the last did not come",
        post(
            {"query": "query Orders { orders ... @defer { prices } }"},
            b'\r\n---\r\nContent-Type: application/json\r\n\r\n{"data": {"orders": 1}, "hasNext": true}\r\n---\r\n',
            response_type='multipart/mixed; boundary="-"',
        ),
        {"name": "query Orders", "outcome": "unknown"},
    ),
    Row(
        "a document with a description, as the edition of September 2025 allows",
        post({"query": '"""Of one customer."""\nquery Orders { orders { id } }'}, {"data": {"orders": []}}),
        {"name": "query Orders", "outcome": "ok"},
    ),
    Row(
        "a document by its id, by GET",
        post(
            None,
            {"errors": [{"message": "no such document"}]},
            method="GET",
            query=b"documentId=sha256%3Aab&operationName=Orders",
            request_type=None,
        ),
        {"name": "Orders", "outcome": "error"},
        "graphql: no such document",
    ),
    Row(
        "a shorthand with aliases and arguments",
        post({"query": "{ mine: orders(first: 2) @live { id } total }"}, {"data": {"mine": [], "total": 0}}),
        {"name": "query", "outcome": "ok"},
    ),
    Row(
        "a batch of shorthands",
        post([{"query": "{ a }"}, {"query": "{ b }"}], [{"data": {"a": 1}}, {"data": {"b": 1}}]),
        {"name": "batch", "count": 2, "failed": 0, "outcome": "ok"},
    ),
    Row(
        "a batch that is refused as a whole, with a status of 200",
        post([REFUND, REFUND], {"errors": [{"message": "Operation batching disabled."}]}),
        {"name": "batch", "count": 2, "failed": 2, "outcome": "error"},
        "graphql: Operation batching disabled.",
    ),
    Row(
        "a batch that is refused as a whole, with a status of 400",
        post([REFUND, REFUND], {"errors": [{"message": "Operation batching disabled."}], "data": None}, status=400),
        {"name": "batch", "count": 2, "failed": 2, "outcome": "error"},
        "graphql: Operation batching disabled.",
    ),
    Row(
        "a batch of file uploads, of which one failed",
        post(
            b'--b\r\nContent-Disposition: form-data; name="operations"\r\n\r\n'
            b'[{"query":"mutation A { a }"},{"query":"mutation B { b }"}]\r\n--b--\r\n',
            [{"data": {"a": 1}}, {"errors": [{"message": "too large"}]}],
            request_type="multipart/form-data; boundary=b",
        ),
        {"name": "batch", "count": 2, "failed": 1, "outcome": "error"},
        "graphql: too large",
    ),
    Row(
        "incremental delivery, an error in the last part of a long response",
        post(
            REFUND,
            b'\r\n---\r\nContent-Type: application/json\r\n\r\n{"data":{"a":"%s"},"hasNext":true}\r\n---\r\n'
            b"Content-Type: application/json\r\n\r\n"
            b'{"incremental":[{"errors":[{"message":"late"}],"data":null,"path":[]}],"hasNext":false}\r\n-----\r\n'
            % (b"x" * 100_000),
            response_type='multipart/mixed; boundary="-"',
        ),
        {"outcome": "partial"},
        "graphql: late",
    ),
    Row(
        "an error that says nothing",
        post(REFUND, b'{"errors": [{}], "data": null}'),
        {"outcome": "error"},
        "graphql: failed",
    ),
    Row(
        "an error whose code is none",
        post(REFUND, {"errors": [{"message": "no", "extensions": {"code": True}}]}),
        {"outcome": "error", "code": None},
        "graphql: no",
    ),
    Row(
        "a document whose syntax is wrong",
        post(
            {"query": "{ orders "},
            {"data": None, "errors": [{"message": "Syntax Error", "locations": [{"line": 1, "column": 10}]}]},
        ),
        {"protocol": "graphql", "outcome": "error"},
        "graphql: Syntax Error",
    ),
    Row(
        "a long call, its document behind its variables",
        post(
            {"operationName": "Upload", "variables": {"file": "x" * 90_000}, "query": "mutation Upload { upload }"},
            {"errors": [{"message": "too large"}]},
        ),
        {"name": "Upload", "outcome": "error"},
        "graphql: too large",
    ),
    Row(
        "a document that is longer than what is recorded",
        post(
            {"query": "query Orders { " + "order " * 20_000 + "}"}, {"data": None, "errors": [{"message": "too long"}]}
        ),
        {"name": "query Orders", "type": "query", "outcome": "error"},
        "graphql: too long",
    ),
    Row(
        "a batch that was too long to be recorded whole",
        post(
            [{"query": 'query Orders { a(b: "' + "x" * 1_000 + '") }'}] * 100,
            [{"data": {"a": 1}}] * 99 + [{"errors": [{"message": "no"}]}],
        ),
        {"name": "batch", "count": 100, "failed": 1, "outcome": "error"},
        "graphql: no",
    ),
    Row(
        "a shorthand with a long answer",
        post({"query": "{ orders { note } }"}, {"data": {"orders": [{"note": "x" * 200_000}]}}),
        {"protocol": "graphql", "name": "query", "outcome": "unknown"},
    ),
    Row(
        "a shorthand whose long answer ends with its errors",
        post({"query": "{ orders { note } }"}, {"data": {"orders": ["x" * 200_000]}, "errors": [{"message": "late"}]}),
        {"name": "query", "outcome": "partial"},
        "graphql: late",
    ),
    Row(
        "a nameless subscription in parts that its transport broke off",
        post(
            {"query": "subscription { orders { id } }"},
            b'--g\r\ncontent-type: application/json\r\n\r\n{"payload": {"data": {"orders": {"id": 1}}}}\r\n'
            b'--g\r\ncontent-type: application/json\r\n\r\n{"payload": null, "errors": [{"message": "gone"}]}\r\n'
            b"--g--\r\n",
            response_type="multipart/mixed; boundary=g",
        ),
        {"name": "subscription", "outcome": "partial"},
        "graphql: gone",
    ),
    Row(
        "a compressed answer that ends with its errors, far behind what is recorded",
        post(
            {"query": "query Orders { orders }"},
            gzip.compress(json.dumps({"data": {"orders": ["x" * 200_000]}, "errors": [{"message": "late"}]}).encode()),
            response_coding="gzip",
        ),
        {"name": "query Orders", "outcome": "partial"},
        "graphql: late",
    ),
    Row("an error that is a text", post(REFUND, {"errors": ["no"]}), {"outcome": "error"}, "graphql: no"),
]
