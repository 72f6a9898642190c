#!/usr/bin/env bash
# aiohttp 3.14.5: a body in two content codings is handed over as it came, without an error.
#
# RFC 9110 (section 8.4) lets a server apply several codings: `Content-Encoding: deflate, gzip`; an object that is stored
# deflated behind a proxy that compresses is one. requests 2.34.2 (urllib3 2.8.0) and httpx2 2.16.2 undo both. aiohttp,
# which asks for both in its Accept-Encoding, knows a single name only: `read()` returns the compressed bytes with status
# 200, `json()` and `text()` fail at the first byte that is no UTF-8. When the two names come in two header fields, it
# undoes the last one, and hands over what is still deflated.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check aiohttp==3.14.5 requests==2.34.2 urllib3==2.8.0 httpx2==2.16.2
cat > "$work/run.py" <<'PYTHON'
import asyncio
import gzip
import threading
import zlib
from http.server import BaseHTTPRequestHandler, HTTPServer

import aiohttp
import httpx2
import requests

BODY = b'{"order": 42}'
CODED = gzip.compress(zlib.compress(BODY))

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        for coding in ["deflate, gzip"] if self.path == "/one" else ["deflate", "gzip"]:
            self.send_header("Content-Encoding", coding)
        self.send_header("Content-Length", str(len(CODED)))
        self.end_headers()
        self.wfile.write(CODED)

    def log_message(self, *_):
        pass

async def by_aiohttp(url):
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as response:
            return await response.read()

server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
got = []
for path in ("/one", "/two"):
    url = f"http://127.0.0.1:{server.server_port}{path}"
    answers = requests.get(url).content, httpx2.get(url).content, asyncio.run(by_aiohttp(url))
    got.append(answers)
    print(path, dict(zip(("requests", "httpx2", "aiohttp"), answers)))
server.shutdown()
raise SystemExit(got != [(BODY, BODY, CODED), (BODY, BODY, zlib.compress(BODY))])
PYTHON
"$work/env/bin/python" "$work/run.py"
