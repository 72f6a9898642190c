#!/usr/bin/env bash
# granian 2.8.9 refuses an ASGI response that leaves out `headers`. The ASGI specification (HTTP, "Response Start - send
# event") makes that member optional, with an empty list as its default; uvicorn 0.54.0 sends such a response. granian's
# `send` raises RuntimeError("Unsupported ASGI message"), and the client gets a 500: a health check written by hand, fine
# in development under uvicorn, fails in production under granian.
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet granian==2.8.9 uvicorn==0.54.0

cat >site_.py <<'PYTHON'
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    try:
        await send({"type": "http.response.start", "status": 204})
    except RuntimeError as error:
        print("send raised:", error, flush=True)
        raise
    await send({"type": "http.response.body"})
PYTHON

cat >probe.py <<'PYTHON'
import socket
import subprocess
import sys
import time

COMMANDS = {
    "uvicorn": ["uvicorn", "site_:app", "--log-level", "critical", "--lifespan", "off", "--port"],
    "granian": ["granian", "site_:app", "--interface", "asginl", "--no-log", "--port"],
}


def status(name):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen([f"venv/bin/{COMMANDS[name][0]}", *COMMANDS[name][1:], str(port)])
    try:
        for _ in range(200):
            try:
                with socket.create_connection(("127.0.0.1", port), 5) as client:
                    client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    return client.recv(4096).split(b" ")[1].decode()
            except ConnectionRefusedError:
                time.sleep(0.05)
    finally:
        server.terminate()
        server.wait()


found = {name: status(name) for name in COMMANDS}
print(found)
sys.exit(found != {"uvicorn": "204", "granian": "500"})
PYTHON
venv/bin/python probe.py
