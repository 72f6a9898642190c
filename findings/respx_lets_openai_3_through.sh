# respx 0.23.1 and pytest-httpx 0.36.2 with openai 3.57.0: mocked tests of OpenAI's client call the real service.
#
# Both mock httpx, and refuse what is not mocked: no test goes out by accident. OpenAI's client is built on httpx2 since its
# version 3 (so is anthropic 2). A test that mocked it now passes the mock by without a word: the request goes to the
# real host with the real key, is paid for, and its answer comes back. What they say, and only afterwards, is that a route
# was not called; told not to mind (as here), nothing. With openai 2.54.0 both answer. vcrpy 9.4.2 knows httpx2.
#   openai 2.54.0: respx "mocked", pytest-httpx "mocked"; 0 requests went out
#   openai 3.57.0: respx "real", pytest-httpx "real"; 2 requests went out
# Exits 1 when that changes.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/test_shop.py" <<'PYTHON'
import httpx, json, openai, pytest, respx, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def answer(text):
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


class RealService(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(answer("real")).encode()
        head = f"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)
    log_message = lambda *_: None


server = ThreadingHTTPServer(("127.0.0.1", 0), RealService)
threading.Thread(target=server.serve_forever, daemon=True).start()
URL = f"http://127.0.0.1:{server.server_address[1]}/v1"


def ask():
    client = openai.OpenAI(api_key="the-real-key", base_url=URL)
    said = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    print(f"openai {openai.__version__}:", said.choices[0].message.content)
    assert said.choices[0].message.content == ("mocked" if openai.__version__ < "3" else "real")


def test_respx():
    with respx.mock(assert_all_called=False) as mock:
        mock.post(URL + "/chat/completions").mock(return_value=httpx.Response(200, json=answer("mocked")))
        ask()


@pytest.mark.httpx_mock(assert_all_responses_were_requested=False)
def test_pytest_httpx(httpx_mock):
    httpx_mock.add_response(json=answer("mocked"))
    ask()
PYTHON
for version in 2.54.0 3.57.0; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install --quiet --disable-pip-version-check openai==$version respx==0.23.1 pytest-httpx==0.36.2 httpx==0.28.1
  (cd "$work" && "$version/bin/python" -m pytest -q -s -p no:cacheprovider test_shop.py)
done
