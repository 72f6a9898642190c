"""Valid traffic of gRPC, gRPC-web and Connect."""

from __future__ import annotations

import gzip

from operations.wire import Row, base64_of, frame, post

STATUS_OK = frame(0x80, b"grpc-status:0\r\n")
STATUS_MISSING = frame(0x80, b"grpc-status: 5\r\ngrpc-message: no%20such%20order\r\n")
RPC = {"path": "/shop.Orders/Get", "request_body": frame(0, b"\x08\x2a")}

RPCS = [
    Row(
        "gRPC-web",
        post(
            frame(0, b"x"),
            frame(0, b"y") + STATUS_OK,
            **RPC | {"request_type": "application/grpc-web+proto"},
            response_type="application/grpc-web+proto",
        ),
        {"protocol": "grpc-web", "name": "shop.Orders/Get", "outcome": "ok"},
    ),
    Row(
        "gRPC-web that failed in its last frame",
        post(
            None,
            frame(0, b"y") + STATUS_MISSING,
            **RPC | {"request_type": "application/grpc-web"},
            response_type="application/grpc-web",
        ),
        {"outcome": "error", "code": 5},
        "grpc-web 5: no such order",
    ),
    Row(
        "gRPC-web that failed in its headers",
        post(
            None,
            None,
            **RPC | {"request_type": "application/grpc-web"},
            response_type="application/grpc-web",
            response_headers=(("grpc-status", "7"), ("grpc-message", "not%20yours")),
        ),
        {"outcome": "error", "code": 7},
        "grpc-web 7: not yours",
    ),
    Row(
        "gRPC-web in base64, each message for itself",
        post(
            None,
            base64_of(frame(0, b"y")) + base64_of(STATUS_MISSING),
            **RPC | {"request_type": "application/grpc-web-text"},
            response_type="application/grpc-web-text",
        ),
        {"outcome": "error", "code": 5},
        "grpc-web 5: no such order",
    ),
    Row(
        "Connect",
        post({}, {}, path="/shop.Orders/Get", headers={"connect-protocol-version": "1"}),
        {"protocol": "connect", "name": "shop.Orders/Get", "version": "1", "outcome": "ok"},
    ),
    Row(
        "Connect that failed",
        post(
            {},
            {"code": "not_found", "message": "no such order"},
            status=404,
            path="/shop.Orders/Get",
            headers={"connect-protocol-version": "1"},
        ),
        {"outcome": "error", "code": "not_found"},
        "connect not_found: no such order",
    ),
    Row(
        "a stream of Connect's that failed",
        post(
            None,
            frame(0, b"{}") + frame(2, b'{"error":{"code":"aborted","message":"gone"}}'),
            path="/shop.Orders/List",
            request_type="application/connect+json",
            response_type="application/connect+json",
        ),
        {"protocol": "connect", "outcome": "error", "code": "aborted"},
        "connect aborted: gone",
    ),
    Row(
        "a stream of Connect's",
        post(
            None,
            frame(0, b"{}") + frame(2, b"{}"),
            path="/shop.Orders/List",
            request_type="application/connect+proto",
            response_type="application/connect+proto",
        ),
        {"outcome": "ok"},
    ),
    Row(
        "Connect by GET",
        post(
            None,
            b"\x0a",
            method="GET",
            path="/shop.Orders/Get",
            query=b"connect=v1&encoding=proto&message=AA",
            request_type=None,
            response_type="application/proto",
        ),
        {"protocol": "connect", "outcome": "ok"},
    ),
    Row(
        "Connect by GET with an empty message",
        post(
            None,
            b"",
            method="GET",
            path="/shop.Orders/List",
            query=b"connect=v1&encoding=proto&message=",
            request_type=None,
            response_type="application/proto",
        ),
        {"protocol": "connect", "name": "shop.Orders/List", "outcome": "ok"},
    ),
    Row(
        "gRPC-web whose header fields were sent twice",
        post(
            None,
            None,
            **RPC | {"request_type": "application/grpc-web"},
            response_type="application/grpc-web",
            response_headers=(("grpc-status", "7"), ("grpc-message", "no"), ("grpc-message", "no")),
        ),
        {"outcome": "error", "code": 7},
        "grpc-web 7: no",
    ),
    Row(
        "gRPC, whose status is among the trailers",
        post(
            None,
            frame(0, b"y"),
            **RPC | {"request_type": "application/grpc+proto"},
            response_type="application/grpc+proto",
            response_headers=(("grpc-status", "5"), ("grpc-message", "no%20such%20order")),
        ),
        {"protocol": "grpc", "name": "shop.Orders/Get", "outcome": "error", "code": 5},
        "grpc 5: no such order",
    ),
    Row(
        "gRPC that went well",
        post(
            None,
            frame(0, b"y"),
            **RPC | {"request_type": "application/grpc"},
            response_type="application/grpc",
            response_headers=(("grpc-status", "0"),),
        ),
        {"protocol": "grpc", "outcome": "ok"},
    ),
    Row(
        "gRPC whose trailers were not seen",
        post(
            None,
            frame(0, b"y"),
            **RPC | {"request_type": "application/grpc"},
            response_type="application/grpc",
        ),
        {"protocol": "grpc", "outcome": "unknown"},
    ),
    Row(
        "gRPC-web whose last frame is compressed, as connectrpc sends it",
        post(
            None,
            frame(0, b"y") + frame(0x81, gzip.compress(b"grpc-status: 5\r\ngrpc-message: gone\r\n")),
            **RPC | {"request_type": "application/grpc-web+proto"},
            response_type="application/grpc-web+proto",
            response_headers=(("grpc-encoding", "gzip"),),
        ),
        {"outcome": "error", "code": 5},
        "grpc-web 5: gone",
    ),
]
