#!/usr/bin/env bash
# Starlette 1.10.0 (FastAPI 0.165.0, uvicorn 0.54.0): behind any `@app.middleware("http")`, a stream that breaks in the
# middle reaches the client as a whole one.
#
# `BaseHTTPMiddleware` runs the application in a task. When the generator of a `StreamingResponse` raises, its own
# response only sees the chunks end, sends the message that completes the body, and raises the exception afterwards: the
# log has the traceback, the client a 200 whose last chunk is the proper one. A CSV export that lost its database after
# half of the rows is a file that `curl` stores with status 0; proxies and caches keep it. Without that middleware, which
# need do nothing but `return await call_next(request)`, uvicorn closes the connection and every client reports it.
#   without: IncompleteRead after 8 bytes; with: 8 bytes, and no error (Python 3.11)
# A pure ASGI middleware in its place leaves the stream as it is. Exits 1 when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check fastapi==0.165.0 starlette==1.10.0 uvicorn==0.54.0
cat >"$folder/streams.py" <<'PYTHON'
import asyncio, http.client, logging, socket, sys, threading
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
async def rows():
    yield "1,a\n2,b\n"
    await asyncio.sleep(0.05)
    raise ConnectionError("the database has gone")
def application(middleware):
    app = FastAPI()
    app.get("/export")(export)
    if middleware:
        app.middleware("http")(pass_on)
    return app
async def export():
    return StreamingResponse(rows(), media_type="text/csv")
async def pass_on(request, call_next):
    return await call_next(request)
def fetched(middleware):
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application(middleware), lifespan="off", log_config=None))
    threading.Thread(target=server.run, args=([listener],), daemon=True).start()
    client = http.client.HTTPConnection(*listener.getsockname())
    client.request("GET", "/export")
    try:
        return client.getresponse().read()
    except http.client.IncompleteRead as error:
        return repr(error)
    finally:
        server.should_exit = True
without, behind = fetched(middleware=False), fetched(middleware=True)
print(f"without: {without}; behind a middleware of functions: {behind!r}")
sys.exit(not (str(without).startswith("IncompleteRead") and behind == b"1,a\n2,b\n"))
PYTHON
"$folder/venv/bin/python" "$folder/streams.py"
