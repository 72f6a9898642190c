#!/usr/bin/env bash
# httpx2 2.16.2 with its own `alias_httpx()`: sentry-sdk 2.75.0 and logfire 5.4.0 count every outgoing request twice.
#
# `alias_httpx()`, which httpx2 offers to those who migrate, makes `import httpx` answer with httpx2. Both vendors
# instrument the two names one after the other, and neither asks whether it has met these classes before: one GET becomes
# two client spans. Nothing but `sentry_sdk.init()` or `logfire.instrument_httpx()` (OpenTelemetry's two instrumentors,
# 0.66b2) is needed. One would expect one span per request, whatever name it was imported by: rates and error counts of
# outgoing calls, those of the OpenAI and Anthropic clients among them, double on the day of the migration.
#   sentry: 1 span, aliased 2; logfire: 1 span, aliased 2; the server sees one request each time
# Exits 1 when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check httpx2==2.16.2 httpx==0.28.1 sentry-sdk==2.75.0 \
    logfire==5.4.0 opentelemetry-instrumentation-httpx==0.66b2
cat >"$folder/one.py" <<'PYTHON'
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx2

vendor, name = sys.argv[1:]
if name == "aliased":
    httpx2.alias_httpx()
seen, spans = [], []

class Server(BaseHTTPRequestHandler):
    log_message = lambda *_: None

    def do_GET(self):
        seen.append(self.path)
        self.send_response(204)
        self.end_headers()

server = HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"
if vendor == "sentry":
    import sentry_sdk

    keep = lambda event, _: spans.extend(event["spans"])  # and sends nothing: its answer is None
    sentry_sdk.init("http://key@127.0.0.1:9/1", traces_sample_rate=1.0, before_send_transaction=keep)
    with sentry_sdk.start_transaction(name="call"):
        httpx2.get(url)
else:
    import logfire
    from opentelemetry.sdk.trace import SpanProcessor

    processor = type("Keep", (SpanProcessor,), {"on_end": lambda _, span: spans.append(span)})()
    logfire.configure(send_to_logfire=False, console=False, additional_span_processors=[processor])
    logfire.instrument_httpx()
    httpx2.get(url)
print(f"{vendor}, {name}: {len(spans)} of {len(seen)}")
PYTHON
found=$(for case in "sentry plain" "sentry aliased" "logfire plain" "logfire aliased"; do "$folder/venv/bin/python" "$folder/one.py" $case; done)
printf 'spans of requests:\n%s\n' "$found"
[ "$(grep -o '[0-9] of [0-9]' <<<"$found" | tr '\n' ' ')" = "1 of 1 2 of 1 1 of 1 2 of 1 " ]
