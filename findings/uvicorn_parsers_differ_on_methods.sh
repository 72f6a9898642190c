#!/usr/bin/env bash
# uvicorn 0.54.0: whether an application sees a request with a method of its own (FOO, BREW) depends on which parser is
# installed beside it. h11 (plain `pip install uvicorn`) hands it on, and the application answers 405. httptools 0.9.0
# (`uvicorn[standard]`) knows a fixed list of methods and answers 400 itself, without a word to the application: no
# middleware, no access log, no metric sees it. RFC 9110 (9.1) lets methods be extended; PROPFIND passes both.
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet uvicorn==0.54.0 h11==0.16.0 httptools==0.9.0

cat >probe.py <<'PYTHON'
import socket
import sys
import threading
import time

import uvicorn

seen = []


async def app(scope, receive, send):
    seen.append(scope["method"])
    await send({"type": "http.response.start", "status": 405, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def ask(parser, method):
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http=parser, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    with socket.create_connection(listener.getsockname()) as client:
        client.sendall(f"{method} / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = client.recv(4096)
    server.should_exit = True
    thread.join()
    return answer.split(b" ")[1].decode()


found = {(parser, method): ask(parser, method) for parser in ("h11", "httptools") for method in ("PROPFIND", "FOO")}
for (parser, method), status in found.items():
    print(f"{parser:10} {method:9} {status}")
print("seen by the application:", seen)
expected = {"h11": "405", "httptools": "400"}
sys.exit(any(found[parser, "FOO"] != status for parser, status in expected.items()) or seen.count("FOO") != 1)
PYTHON
venv/bin/python probe.py
