#!/usr/bin/env bash
# FastAPI 0.165.0 on Starlette 1.10.0 (uvicorn 0.54.0): when a client leaves in the middle of a stream, nobody closes a
# synchronous generator; an asynchronous one is closed at once.
#
# Starlette pulls a synchronous generator in threads and never calls its `close()`. The cancelled task leaves it in a
# reference cycle, so that its `finally` and `with` wait for the garbage collector: for good on a quiet server, for
# hundreds of requests on a busy one. `def` endpoints that `yield` (plain and EventSourceResponse) and
# `StreamingResponse(generator())` alike. Until then everyone who closed a tab holds what the generator holds: a session
# of the database's pool, a lock, a model's stream that is paid by the token. One would expect both kinds to end alike, as
# under WSGI, where PEP 3333 has the server call `close()`.
#   open 2 s after 10 clients left: sync 10, sync SSE 10, async 0; after gc.collect() 0 (Python 3.11 and 3.14)
# Exits 1 when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check fastapi==0.165.0 starlette==1.10.0 uvicorn==0.54.0
cat >"$folder/streams.py" <<'PYTHON'
import asyncio, gc, socket, sys, threading, time
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse
app, held = FastAPI(), []
class Session:
    __enter__ = lambda self: held.append(self)
    __exit__ = lambda self, *_: held.remove(self)
@app.get("/sync", response_class=StreamingResponse)
@app.get("/sync-sse", response_class=EventSourceResponse)
def sync():
    with Session():
        while not time.sleep(0.05):
            yield "row\n"
@app.get("/async", response_class=StreamingResponse)
async def asynchronous():
    with Session():
        while not await asyncio.sleep(0.05):
            yield "row\n"
def left_open(path):
    clients = [socket.create_connection(listener.getsockname()) for _ in range(10)]
    for client in clients:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    while len(held) < 10:
        time.sleep(0.01)
    for client in clients:
        client.close()
    time.sleep(2)
    return len(held), gc.collect() and len(held)
listener = socket.create_server(("127.0.0.1", 0))
server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="error"))
threading.Thread(target=server.run, args=([listener],)).start()
while not server.started:
    time.sleep(0.01)
(plain, collected), (sse, _), (other, _) = (left_open(path) for path in ("/sync", "/sync-sse", "/async"))
server.should_exit = True
print(f"open 2 s after 10 clients left: sync {plain}, sync SSE {sse}, async {other}; sync after gc.collect(): {collected}")
sys.exit(not (min(plain, sse) > 4 and other == collected == 0))
PYTHON
"$folder/venv/bin/python" "$folder/streams.py"
