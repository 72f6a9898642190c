"""Events on their way out: as a curl command, as JSON, as an HTTP Archive."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from otas_middleware._cli.preview import recorded
from page.seeds import seed

if TYPE_CHECKING:
    from localbrain.wire import Client
    from otas_middleware.localbrain import LocalBrain

HOSTILE = [
    "'; touch pwned; '",
    "$(touch pwned)",
    "`touch pwned`",
    "a\nb\r\nc",
    "\x1b[201~touch pwned\n",
    "\\",
    "back\\'slash\x07",
    "@/etc/passwd",
    "-o pwned",
    "ü€😀\u202e\u2028",
    "!!",
    "a'b\"c",
    "{a,b}[1-9]",
]


def curl_of(client: Client, **fields: object) -> str:
    client.log(**fields)
    newest = client.get("/_page/events?limit=1").json["events"][0]["id"]
    command: str = client.get(f"/_page/event?id={newest}").json["curl"]
    return command


def arguments(command: str) -> list[str]:
    """What bash hands to curl."""
    script = "curl() { printf '%s\\0' \"$@\"; }\n" + command
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True, timeout=10)
    assert done.stderr == b""
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("text", HOSTILE)
def test_a_shell_takes_the_command_for_what_was_recorded(client: Client, text: str) -> None:
    command = curl_of(
        client,
        method="PUT",
        path=f"/{text}",
        query_params=text,
        request_headers=json.dumps({"host": "shop.test", "x-note": text, f"@{text}": "1"}),
        request_body=text,
    )
    assert all(char.isprintable() for char in command)
    words = arguments(command)
    assert words[:4] == ["--globoff", "--path-as-is", "--request", "PUT"]
    assert words[4].startswith("http://shop.test/")
    assert words[5:] == ["--header", f"x-note: {text}", "--data-raw", text]


def test_a_host_that_is_none_and_a_method_that_is_none_are_left_out(client: Client) -> None:
    command = curl_of(client, method="-o x", path="//evil", request_headers='{"host": "a b/?#@evil"}')
    assert command == "curl --globoff --path-as-is http://localhost//evil"


def test_what_curl_adds_by_itself_is_left_out(client: Client) -> None:
    headers = {"host": "shop.test", "content-length": "2", "connection": "close", "accept": ["a", "b"], "empty": ""}
    command = curl_of(client, method="POST", request_headers=json.dumps(headers), request_body="{}")
    assert arguments(command) == [
        *("--globoff", "--path-as-is", "http://shop.test/orders/42"),
        *("--header", "accept: a", "--header", "accept: b", "--header", "empty;", "--data-raw", "{}"),
    ]


def test_all_events_are_exported_as_json(brain: LocalBrain, client: Client) -> None:
    seed(brain, 350)
    answer = client.get("/_page/export.json")
    assert answer.headers["content-disposition"] == 'attachment; filename="otas-events.json"'
    assert [event["id"] for event in answer.json["events"]] == list(range(350, 0, -1))
    assert answer.json["events"][0] == brain.events()[-1]


def test_an_export_obeys_the_filter_and_may_be_of_one_event(client: Client) -> None:
    client.log(path="/a")
    client.log(path="/b")
    assert [event["path"] for event in client.get("/_page/export.json?path=/a").json["events"]] == ["/a"]
    assert [event["path"] for event in client.get("/_page/export.json?id=2").json["events"]] == ["/b"]
    assert client.get("/_page/export.json?id=3").json == {"events": []}


def test_an_http_archive_is_read_by_a_reader_of_archives(brain: LocalBrain, client: Client) -> None:
    client.log(
        path="/orders/ü",
        method="POST",
        status_code=201,
        latency_ms=100.0,
        query_params="a=1&b=",
        request_headers='{"host": "shop.test", "content-type": "application/json"}',
        request_body='{"a": 1}',
        request_content_type="application/json",
        request_size_bytes=8,
        response_headers='{"set-cookie": ["[REDACTED]", "[REDACTED]"]}',
        response_body="fine",
        metadata={"captured_at": "2026-01-02T03:04:05.678+00:00", "ttfb_ms": 70},
    )
    body = client.get("/_page/export.har").body
    (exchange,) = recorded.read_har(body.decode())
    assert (exchange.method, exchange.target, exchange.body) == ("POST", "/orders/%C3%BC?a=1&b=", b'{"a": 1}')
    assert exchange.reply is not None
    assert (exchange.reply.status, exchange.reply.body) == (201, b"fine")
    entry: dict[str, Any] = json.loads(body)["log"]["entries"][0]
    assert entry["startedDateTime"] == "2026-01-02T03:04:05.678000+00:00"
    assert entry["timings"] == {"send": 0, "wait": 70.0, "receive": 30.0}
    assert entry["request"]["queryString"] == [{"name": "a", "value": "1"}, {"name": "b", "value": ""}]
    assert entry["request"]["url"] == "http://shop.test/orders/%C3%BC?a=1&b="


@pytest.mark.parametrize(
    "fields",
    [
        {"request_headers": "no JSON", "response_headers": "[1]"},
        {"metadata": {"captured_at": 5, "ttfb_ms": "soon", "sdk": []}},
        {"metadata": {"captured_at": "9999-12-31T23:59:59-23:00"}},
        {"latency_ms": 1e300, "metadata": [1]},
        {"status_code": 777, "request_headers": '{"host": {"a": 1}}'},
    ],
)
def test_odd_events_are_exported_all_the_same(client: Client, fields: dict[str, object]) -> None:
    assert client.log(**fields).status == 201
    assert len(client.get("/_page/export.har").json["log"]["entries"]) == 1
    assert client.get("/_page/event?id=1").status == 200
    assert client.get("/_page/senders").status == 200
    assert client.get(f"/_page/session?id={client.session_id}").status == 200
