"""An event's request as a Python program: it sends what was recorded, and nothing in it is obeyed."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.delivery import RawServer, Received, answer

if TYPE_CHECKING:
    import socket

    from localbrain.wire import Client

NASTY = '\'; import os; os.abort() #\n\\u202e\x1b]0;x\x07"""'


def program(client: Client) -> str:
    text: str = client.get("/_page/event?id=1").json["python"]
    return text


def test_it_sends_the_request_again(client: Client) -> None:
    def reply(connection: socket.socket, _: Received) -> None:
        connection.sendall(answer("200 OK", b"{}"))

    with RawServer(reply) as server:
        headers = json.dumps({"host": server.url.removeprefix("http://"), "x-note": "ä", "content-length": "99"})
        client.log(method="PUT", path="/orders/ä", query_params="a=1", request_headers=headers, request_body='{"a": 1}')
        ended = subprocess.run([sys.executable, "-c", program(client)], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stdout) == (0, "200 {}\n"), ended.stderr
        (request,) = server.requests
    assert request.data.startswith(b"PUT /orders/%C3%A4?a=1 HTTP/1.1\r\n")
    assert request.body == b'{"a": 1}'
    assert request.header("x-note") == "ä".encode().decode("latin-1")


@pytest.mark.parametrize("field", ["method", "path", "query_params", "request_body", "request_headers"])
def test_nothing_of_an_event_gets_out_of_its_literal(client: Client, field: str) -> None:
    value = json.dumps({"x-a": NASTY, NASTY: "x"}) if field == "request_headers" else NASTY[:20]
    client.log(**{field: value})
    text = program(client)
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import)]
    assert len(calls) == 1
    assert text.isprintable() or all(line.isprintable() for line in text.splitlines())
