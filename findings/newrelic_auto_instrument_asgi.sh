#!/usr/bin/env bash
# newrelic 14.1.0: `browser_monitoring.auto_instrument = false` keeps the browser script out of the pages of a WSGI
# application, and not out of those of an ASGI one, which alone go on being rewritten (their Content-Length as well, so
# that equal pages differ in length from request to request). `browser_monitoring.enabled = false` stops both.
# Seen in developer mode, in which nothing leaves the machine:
#   wsgi: no script
#   asgi: script
# Exits 1 when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'newrelic==14.1.0'
printf '%s\n' '[newrelic]' 'app_name = pages' "license_key = $(printf %040d 0)" 'developer_mode = true' \
    'browser_monitoring.auto_instrument = false' > "$folder/newrelic.ini"
cat > "$folder/pages.py" <<'PYTHON'
import asyncio
import sys

import newrelic.agent

newrelic.agent.initialize(sys.argv[1])
newrelic.agent.register_application(timeout=10)
PAGE = b"<!doctype html><html><head><title>a page</title></head><body>a page</body></html>"

@newrelic.agent.wsgi_application()
def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", str(len(PAGE)))])
    return [PAGE]

@newrelic.agent.asgi_application()
async def asgi(scope, receive, send):
    headers = [(b"content-type", b"text/html"), (b"content-length", str(len(PAGE)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": PAGE})


async def ask_asgi(count):
    sent = []

    async def send(message):
        sent.append(message.get("body", b""))
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": "/",
             "query_string": b"", "scheme": "http", "root_path": "", "headers": [(b"host", b"localhost")],
             "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 50000)}  # fmt: skip
    for _ in range(count):
        sent.clear()
        await asgi(scope, asyncio.Event().wait, send)
    return b"".join(sent)


environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "localhost", "SERVER_PORT": "80",
           "wsgi.url_scheme": "http", "wsgi.input": sys.stdin.buffer}  # fmt: skip
pages = {"wsgi": b"".join(wsgi(environ, lambda *_: print)), "asgi": asyncio.run(ask_asgi(2))}
said = [f"{kind}: {'script' if b'NREUM' in page else 'no script'}" for kind, page in pages.items()]
print(*said, sep="\n")
raise SystemExit(said != ["wsgi: no script", "asgi: script"])
PYTHON
"$folder/venv/bin/python" "$folder/pages.py" "$folder/newrelic.ini" 2> "$folder/log" || { tail -5 "$folder/log"; exit 1; }
