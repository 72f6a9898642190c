# Flask-JSONRPC 4.0.0 (Flask 3.1.3): a notification that fails is answered, a batch with one has an answer too many.
#
# JSON-RPC 2.0 (4.1): "The Server MUST NOT reply to a Notification, including those that are within a batch request". One
# that works is not answered here. One that raises, or names no method, gets an error object with the id null and the
# status 500 or 400; in a batch that object stands among the answers. Clients take such an object for "your request could
# not be read" (5), and retry what was done: in a batch of one call and one notification the call has been carried out.
# fastapi-jsonrpc 4.1.0 answers neither.
#   notification: 204; one that raises: 500, id null; in a batch with the call 1: ids [null, 1]
# Exits 1 when that changes.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check Flask-JSONRPC==4.0.0 Flask==3.1.3
cat > "$work/run.py" <<'PYTHON'
import logging

from flask import Flask
from flask_jsonrpc import JSONRPC

logging.disable(logging.CRITICAL)
app = Flask("shop")
service = JSONRPC(app, "/api", enable_web_browsable_api=False)


@service.method("Stock.take")
def take(count: int) -> int:
    if count > 5:
        raise ValueError("not so many")
    return count


def message(count, **more):
    return {"jsonrpc": "2.0", "method": "Stock.take", "params": [count], **more}


ask = app.test_client().post
works, raises = ask("/api", json=message(1)), ask("/api", json=message(9))
batch = ask("/api", json=[message(9), message(1, id=1)])
ids = [answer["id"] for answer in batch.json]
print(f"notification: {works.status_code}; one that raises: {raises.status_code} {raises.json}; ids in a batch: {ids}")
raise SystemExit((works.status_code, raises.status_code, raises.json["id"], ids) != (204, 500, None, [None, 1]))
PYTHON
"$work/env/bin/python" "$work/run.py"
