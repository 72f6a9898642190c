# dspy 3.4.1 with litellm 1.110.2: whatever an application hooked into litellm no longer sees its calls to models.
#
# DSPy called its models by way of LiteLLM, and 3.3.1 still does. Since 3.4.0 `dspy.LM("openai/...")` has an engine of its
# own for the providers it knows, over plain sockets (User-Agent `lm15/stdlib`). litellm is installed and imported as
# before, nothing warns, the answers are the same; but litellm's callbacks (Langfuse, OpenTelemetry, budgets) and its
# `client_session` (proxies, certificates) are passed by. `engine="litellm"` brings them back.
#   dspy 3.3.1                     seen by litellm's callback: 1
#   dspy 3.4.1                     seen by litellm's callback: 0
#   dspy 3.4.1, engine="litellm"   seen by litellm's callback: 1
# Exits 1 when that changes.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/run.py" <<'PYTHON'
import json, os, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
ANSWER = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [CHOICE], "usage": USAGE}


class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
import dspy, litellm

seen = []
litellm.success_callback = [lambda kwargs, response, began, ended: seen.append(kwargs["model"])]
options = {"engine": sys.argv[1]} if len(sys.argv) > 1 else {}
url = f"http://127.0.0.1:{server.server_address[1]}/v1"
model = dspy.LM("openai/gpt-4o", api_base=url, api_key="k", cache=False, **options)
assert model("hi") == ["hello"], "the call itself failed"
time.sleep(2)  # callbacks run in a thread
print(f"dspy {dspy.__version__} {sys.argv[1:]} seen by litellm's callback: {len(seen)}", flush=True)
os._exit(len(seen))
PYTHON
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check dspy==3.4.1 litellm==1.110.2
seen() { "$work/env/bin/python" "$work/run.py" "$@" && echo 0 >"$work/seen" || echo $? >"$work/seen"; }
seen; test "$(cat "$work/seen")" = 0
seen litellm; test "$(cat "$work/seen")" = 1
