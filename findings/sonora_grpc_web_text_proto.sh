#!/usr/bin/env bash
# sonora 0.2.3: a gRPC-web request in base64 under `application/grpc-web-text+proto`, which the protocol names beside
# `application/grpc-web-text` (grpc/grpc, doc/PROTOCOL-WEB.md), is taken for binary: its base64 is read as a frame, and
# the server raises ValueError in place of an answer. The shorter name works. Seen with grpcio 1.85.3:
#   application/grpc-web-text: 200 OK
#   application/grpc-web-text+proto: ValueError
# Exits 1 when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'sonora==0.2.3' 'grpcio==1.85.3'
cat > "$folder/ask.py" <<'PYTHON'
import base64
import io
import struct
from wsgiref.util import setup_testing_defaults

import grpc
from sonora.wsgi import grpcWSGI

server = grpcWSGI(None)
handler = grpc.unary_unary_rpc_method_handler(
    lambda request, context: b"order", request_deserializer=bytes, response_serializer=bytes
)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Orders", {"Get": handler}),))


def ask(kind: str) -> str:
    body = base64.b64encode(struct.pack(">BI", 0, 1) + b"x")
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/shop.Orders/Get", "CONTENT_TYPE": kind, "HTTP_ACCEPT": kind}
    environ.update({"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)})
    setup_testing_defaults(environ)
    statuses = []
    try:
        list(server(environ, lambda status, headers: statuses.append(status)))
    except ValueError as error:
        return type(error).__name__
    return statuses[0]


answers = {kind: ask(kind) for kind in ("application/grpc-web-text", "application/grpc-web-text+proto")}
print(*(f"{kind}: {answer}" for kind, answer in answers.items()), sep="\n")
raise SystemExit(list(answers.values()) != ["200 OK", "ValueError"])
PYTHON
"$folder/venv/bin/python" "$folder/ask.py"
