"""HTTP as it stands on the wire, or as people keep it in files."""

from __future__ import annotations

import pytest

from otas_middleware._cli.preview import Reply, UnreadableError, recorded

REQUEST = b"POST /orders?x=1 HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 3\r\n\r\nabc"
RESPONSE = b"HTTP/1.1 201 Created\r\nX-A: 1\r\n\r\n{}"


def test_a_request_and_its_response_stand_behind_each_other() -> None:
    exchange = recorded.read_wire(REQUEST + RESPONSE)
    assert (exchange.method, exchange.target, exchange.body) == ("POST", "/orders?x=1", b"abc")
    assert exchange.reply == Reply(201, "Created", (("X-A", "1"),), b"{}")


def test_line_ends_and_blank_lines_may_be_those_of_a_text_file() -> None:
    text = b"\nPOST /orders HTTP/1.1\nHost: a\n\n{\n  1\n}\n\nHTTP/2 404\nX-A: 1\n\nnothing here\n"
    exchange = recorded.read_wire(text)
    assert exchange.body == b"{\n  1\n}"
    assert exchange.reply == Reply(404, "", (("X-A", "1"),), b"nothing here")


@pytest.mark.parametrize("text", [b"GET /a HTTP/1.1\n", b"GET /a HTTP/1.1\r\n\r\n", b"get /a HTTP/1.0\n\n"])
def test_a_request_may_have_no_header(text: bytes) -> None:
    exchange = recorded.read_wire(text)
    assert (exchange.method, exchange.target, exchange.headers, exchange.body) == ("GET", "/a", (), b"")
    assert exchange.reply is None


def test_a_chunked_body_is_joined() -> None:
    head = b"POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n"
    exchange = recorded.read_wire(head + b"4\r\nWiki\r\n6;x=y\r\npedia \r\n0\r\n\r\n" + RESPONSE)
    assert exchange.body == b"Wikipedia "
    assert exchange.reply is not None


def test_a_target_may_be_a_whole_url() -> None:
    assert recorded.read_wire(b"GET http://shop.example/a?b=1 HTTP/1.1\n\n").target == "/a?b=1"


def test_the_output_of_curl_v_is_understood() -> None:
    text = b"""\
*   Trying 127.0.0.1:8000...
* Connected to localhost (127.0.0.1) port 8000 (#0)
> GET /orders/1 HTTP/1.1
> Host: localhost:8000
> Accept: */*
>
* Mark bundle as not supporting multiuse
< HTTP/1.1 200 OK
< content-type: application/json
<
{ [13 bytes data]
{"order": 1}
"""
    exchange = recorded.read_wire(text)
    assert exchange.headers == (("Host", "localhost:8000"), ("Accept", "*/*"))
    assert exchange.reply == Reply(200, "OK", (("content-type", "application/json"),), b'{"order": 1}')


def test_interim_responses_are_skipped() -> None:
    assert recorded.read_reply(b"HTTP/1.1 100 Continue\r\n\r\n" + RESPONSE).status == 201


def test_a_body_may_hold_what_looks_like_a_response_when_its_length_says_so() -> None:
    body = b"\nHTTP/1.1 200 OK\n\n"
    exchange = recorded.read_wire(b"POST / HTTP/1.1\nContent-Length: %d\n\n" % len(body) + body)
    assert exchange.body == body
    assert exchange.reply is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", r"does not begin with an HTTP request; its first line should be like: POST /orders/42 HTTP/1.1"),
        (b"hello\n", r"does not begin with an HTTP request"),
        (b"GET / HTTP/1.1\nno header\n\n", r"the line 'no header' is not a header"),
        (b"POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n4\nWi", r"ends before its last chunk"),
        (b"GET / HTTP/1.1\nContent-Length: 0\n\nwhat is this", r"does not begin with a status line"),
    ],
)
def test_what_is_not_understood_is_said(text: bytes, message: str) -> None:
    with pytest.raises(UnreadableError, match=message):
        recorded.read_wire(text)
