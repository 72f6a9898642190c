#!/usr/bin/env bash
# Flask 3.1.3 with Werkzeug 3.1.9: the page of an HTTP error (a 404 of the router, a 405, `abort(403)`, the 500 of an
# unhandled exception) reaches `after_request` hooks as a stream: `is_streamed` is True and `is_sequence` False, though
# its text is there and its Content-Length set. Flask makes a response of the exception as it does of any WSGI
# application, and keeps what that returned. The same page returned by a view or an error handler is a sequence. Hooks
# that spare streams (to log, sign or cache bodies) so spare just the errors, and only while nobody handles them.
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet flask==3.1.3 werkzeug==3.1.9

cat >probe.py <<'PYTHON'
import sys

from flask import Flask, abort

app = Flask("shop")
app.logger.disabled = True
app.add_url_rule("/view", "view", lambda: ("no such order", 404))
app.add_url_rule("/abort", "abort", lambda: abort(409))
app.add_url_rule("/boom", "boom", lambda: 1 / 0)
app.add_url_rule("/handled", "handled", lambda: abort(418))
app.register_error_handler(418, lambda error: ("tea", 418))
seen = {}


@app.after_request
def note(response):
    seen["last"] = response.is_streamed, response.is_sequence, response.content_length
    return response


found = {}
for path in ("/view", "/handled", "/abort", "/boom", "/nothing"):
    answer = app.test_client().get(path)
    found[path] = seen["last"]
    print(f"{path:9} {answer.status_code} streamed {found[path][0]}, sequence {found[path][1]}, length {found[path][2]}")
streamed = {path: (True, False) == flags[:2] and flags[2] > 0 for path, flags in found.items()}
sys.exit(streamed != {"/view": False, "/handled": False, "/abort": True, "/boom": True, "/nothing": True})
PYTHON
venv/bin/python probe.py
