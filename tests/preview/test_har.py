"""HAR files as browsers and proxies save them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from otas_middleware._cli.preview import UnreadableError, recorded


def archive(**changes: Any) -> str:
    entry: dict[str, Any] = {
        "startedDateTime": "2026-01-02T03:04:05.678Z",
        "time": 25.5,
        "request": {
            "method": "POST",
            "url": "https://shop.example/orders?x=1#top",
            "httpVersion": "HTTP/2",
            "headers": [{"name": ":authority", "value": "shop.example"}, {"name": "accept", "value": "*/*"}],
            "postData": {"mimeType": "application/json", "text": '{"item": "tea"}'},
        },
        "response": {
            "status": 201,
            "statusText": "Created",
            "headers": [{"name": "content-encoding", "value": "br"}, {"name": "x-a", "value": "1"}],
            "content": {"size": 2, "mimeType": "application/json", "text": "{}"},
        },
        "timings": {"blocked": 3, "dns": -1, "connect": -1, "send": 0.5, "wait": 20, "receive": 5},
    }
    entry.update(changes)
    return json.dumps({"log": {"version": "1.2", "creator": {}, "entries": [entry]}})


def test_an_entry_is_an_exchange() -> None:
    (exchange,) = recorded.read_har(archive())
    assert (exchange.method, exchange.target, exchange.body) == ("POST", "/orders?x=1", b'{"item": "tea"}')
    assert exchange.headers == (("accept", "*/*"),)
    assert exchange.seconds == pytest.approx(0.0255)
    assert exchange.first_byte == pytest.approx(0.0205)
    assert exchange.began == pytest.approx(1767323045.678)
    assert exchange.reply is not None
    assert (exchange.reply.status, exchange.reply.reason, exchange.reply.body) == (201, "Created", b"{}")


def test_the_content_is_what_it_was_before_it_was_encoded() -> None:
    (exchange,) = recorded.read_har(archive())
    assert exchange.reply is not None
    assert exchange.reply.headers == (("x-a", "1"),)


def test_a_binary_content_comes_in_base64() -> None:
    content = {"size": 3, "mimeType": "image/png", "text": base64.b64encode(b"\x89PN").decode(), "encoding": "base64"}
    (exchange,) = recorded.read_har(archive(response={"status": 200, "headers": [], "content": content}))
    assert exchange.reply is not None
    assert exchange.reply.body == b"\x89PN"


def test_a_form_may_come_as_its_parameters() -> None:
    posted = {"mimeType": "application/x-www-form-urlencoded", "params": [{"name": "a b", "value": "1&2"}]}
    (exchange,) = recorded.read_har(archive(request={"method": "POST", "url": "http://a/", "postData": posted}))
    assert exchange.body == b"a+b=1%262"


def test_a_multipart_form_is_put_together_again() -> None:
    parameters = [
        {"name": "note", "value": "hello"},
        {"name": "file", "fileName": "a.txt", "contentType": "text/plain", "value": "content"},
    ]
    posted = {"mimeType": "multipart/form-data; boundary=old", "params": parameters}
    headers = [{"name": "Content-Type", "value": "multipart/form-data; boundary=old"}]
    request = {"method": "POST", "url": "http://a/", "headers": headers, "postData": posted}
    (exchange,) = recorded.read_har(archive(request=request))
    boundary = (exchange.header("content-type") or "").partition("boundary=")[2]
    assert boundary
    assert exchange.body.count(b"--" + boundary.encode()) == 3
    assert b'name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\ncontent\r\n' in exchange.body


def test_a_content_that_was_not_saved_is_said() -> None:
    response: dict[str, Any] = {"status": 200, "headers": [], "content": {"size": 77, "mimeType": "text/html"}}
    (exchange,) = recorded.read_har(archive(response=response))
    assert "does not hold the response's body" in exchange.remarks[0]


def test_a_request_that_was_never_answered_has_no_response() -> None:
    (exchange,) = recorded.read_har(archive(response={"status": 0, "headers": [], "content": {"size": 0}}))
    assert exchange.reply is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"it is not JSON"),
        ('{"log": {}}', r"log.entries: Field required"),
        ('{"log": {"entries": []}}', r"it holds no HTTP requests"),
        ('{"log": {"entries": [{"request": {"method": "GET"}}]}}', r"log.entries.0.request.url: Field required"),
        (archive(response={"status": 200, "content": {"text": "?", "encoding": "base64"}}), r"said to be base64"),
        (archive(request={"method": "GET", "url": "blob:abc"}), r"it holds no HTTP requests"),
    ],
)
def test_what_is_not_understood_is_said(text: str, message: str) -> None:
    with pytest.raises(UnreadableError, match=message):
        recorded.read_har(text)
