#!/usr/bin/env bash
# openai 3.57.0 over HTTP/1.1: every streamed answer costs the synchronous client its connection; the asynchronous one
# keeps it. Both stop at the event `[DONE]`. `AsyncOpenAI` then reads to the end of the body, and httpx uses the connection
# again; `OpenAI` closes the response as it is, also when the end has come with `[DONE]`, and httpx closes the connection.
# So each streamed call begins with a new TCP (and TLS) handshake. anthropic 2.14.0, made by the same generator, keeps its
# connection. Prints how many connections four calls took; exits 1 when that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet openai==3.57.0 anthropic==2.14.0
cat >"$folder/calls.py" <<'PYTHON'
import asyncio, json, os, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import anthropic, openai
CHOICE = {"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [CHOICE]}
ANSWERS = {
    "/chat/completions": f"data: {json.dumps(CHUNK)}\n\ndata: [DONE]\n\n",
    "/v1/messages": 'event: message_stop\ndata: {"type": "message_stop"}\n\n',
}
connections = set()
class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    log_message = lambda *_: None

    def do_POST(self):
        connections.add(self.client_address)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(ANSWERS[self.path])))  # the end is known, and comes with the last event
        self.end_headers()
        self.wfile.write(ANSWERS[self.path].encode())

server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
says = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}

def opened(call, times=4):
    before = len(connections)
    for _ in range(times):
        call()
    return len(connections) - before
async def four():
    client = openai.AsyncOpenAI(api_key="k", base_url=url)
    for _ in range(4):
        [chunk async for chunk in await client.chat.completions.create(**says, stream=True)]
client, other = openai.OpenAI(api_key="k", base_url=url), anthropic.Anthropic(api_key="k", base_url=url)
found = {
    "OpenAI, streamed": opened(lambda: [*client.chat.completions.create(**says, stream=True)]),
    "Anthropic, streamed": opened(lambda: [*other.messages.create(**says, max_tokens=9, stream=True)]),
    "AsyncOpenAI, streamed": opened(lambda: asyncio.run(four()), times=1),
}
print(found, flush=True)
os._exit(list(found.values()) != [4, 1, 1])
PYTHON
"$folder/venv/bin/python" "$folder/calls.py"
