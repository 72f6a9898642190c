"""Sizes, encodings, paths, methods and heads: what is refused before or while a body is read."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from typing import TYPE_CHECKING

import pytest

from localbrain.wire import AGENT, AUTHENTICATE, CREATE_SESSION, EVENT, SDK, VERIFY, Client, head, speak

if TYPE_CHECKING:
    from otas_middleware.localbrain import LocalBrain

LIMIT = 2_621_440
POST_PATHS = [SDK, AGENT, CREATE_SESSION, AUTHENTICATE, VERIFY]


def event_of(size: int) -> bytes:
    """An event whose JSON has exactly this many bytes."""
    empty = json.dumps({**EVENT, "request_body": ""}).encode()
    return empty.replace(b'"request_body": ""', b'"request_body": "' + b"x" * (size - len(empty)) + b'"')


def nested(levels: int) -> bytes:
    """An event whose JSON nests this deeply: the object itself, and arrays in one field."""
    return json.dumps(EVENT).encode()[:-1] + b', "metadata": ' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


def test_a_body_of_the_limit_is_stored(brain: LocalBrain, client: Client) -> None:
    body = event_of(LIMIT)
    assert len(body) == LIMIT
    assert client.log(body).status == 201
    assert len(brain.events()[0]["request_body"] or "") > LIMIT - 200


@pytest.mark.parametrize("size", [LIMIT + 1, 4 * LIMIT])
def test_a_body_over_the_limit_is_a_400_page(brain: LocalBrain, client: Client, size: int) -> None:
    answer = client.log(event_of(size))
    assert (answer.status, answer.is_page) == (400, True)
    assert brain.events() == []


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)], ids=["gzip", "deflate"]
)
def test_a_compressed_body_is_a_500_page(client: Client, encoding: str, compress: type[bytes]) -> None:
    body = compress(json.dumps(EVENT).encode())
    answer = client.post(SDK, body, {**client.sdk_headers, "Content-Encoding": encoding})
    assert (answer.status, answer.is_page) == (500, True)


def test_invalid_utf8_is_a_500_page(brain: LocalBrain, client: Client) -> None:
    answer = client.log(json.dumps(EVENT).encode().replace(b"/orders", b"/\xff\xfe"))
    assert (answer.status, answer.is_page) == (500, True)
    assert brain.events() == []


@pytest.mark.parametrize("levels", [5, 900, 931])
def test_json_nested_up_to_the_limit_is_stored(brain: LocalBrain, client: Client, levels: int) -> None:
    assert client.log(nested(levels)).status == 201
    assert len(brain.events()) == 1


@pytest.mark.parametrize("levels", [950, 5000, 100_000])
def test_json_nested_deeper_is_a_500_page(client: Client, levels: int) -> None:
    answer = client.log(nested(levels))
    assert (answer.status, answer.is_page) == (500, True)


def test_many_brackets_side_by_side_are_not_deep(client: Client) -> None:
    assert client.log(metadata=[[None]] * 2000).status == 201


def test_an_integer_of_too_many_digits_is_a_500_page(client: Client) -> None:
    assert sys.get_int_max_str_digits() == 4300
    assert client.log_raw_field("metadata", "9" * 4300).status == 201
    answer = client.log_raw_field("metadata", "9" * 4301)
    assert (answer.status, answer.is_page) == (500, True)


def test_a_debug_page_holds_the_key_and_the_token(client: Client) -> None:
    """As Django's does: whoever logs or stores the page is caught by the tests that look for secrets."""
    answer = client.log(b"\xff")
    assert client.sdk_headers["X-OTAS-SDK-KEY"].encode() in answer.body
    assert client.token.encode() in answer.body


@pytest.mark.parametrize("body", [b"5", b"null", b"true", b"1.5"])
def test_a_body_that_holds_nothing_is_a_500_page(client: Client, body: bytes) -> None:
    answer = client.log(body)
    assert (answer.status, answer.is_page) == (500, True)


@pytest.mark.parametrize("body", [[], [EVENT], [EVENT, EVENT], "text", ["path"]])
def test_there_are_no_batches(client: Client, body: object) -> None:
    answer = client.log(body)
    assert (answer.status, answer.description) == (400, "missing_required_fields")


@pytest.mark.parametrize("body", [list(EVENT), " ".join(EVENT)])
def test_an_array_or_text_that_names_all_fields_is_no_event(client: Client, body: object) -> None:
    assert client.log(body).description == "event_capture_failed"


@pytest.mark.parametrize(
    "body", [b"{", b"{}}", b"{'path': 1}", b'{"a": "\x01"}', b'{"a": "\n"}', b"\n", b"\xef\xbb\xbf{"]
)
def test_what_is_not_json(client: Client, body: bytes) -> None:
    answer = client.log(body)
    assert (answer.status, answer.description) == (400, "invalid_json")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_other_encodings_of_unicode_are_recognised(brain: LocalBrain, client: Client, encoding: str) -> None:
    """Python's `json` does so; nobody should rely on it."""
    assert client.log(json.dumps({**EVENT, "path": "/é"}, ensure_ascii=False).encode(encoding)).status == 201
    assert brain.events()[0]["path"] == "/é"


def test_utf8_encoded_surrogates_are_read_and_then_lost(client: Client) -> None:
    assert client.log(json.dumps(EVENT).encode().replace(b"/orders", b"/\xed\xa0\x80")).status == 500


def test_a_chunked_body_reads_as_empty_and_ends_the_connection(brain: LocalBrain, client: Client) -> None:
    body = json.dumps(EVENT).encode()
    host = ("Host", f"127.0.0.1:{brain.port}")
    request = head("POST", SDK, [host, *client.sdk_headers.items(), ("Transfer-Encoding", "chunked")])
    request += b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    answer = speak(brain.port, request)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"missing_required_fields"' in answer
    assert brain.events() == []


def test_a_request_without_a_length_has_no_body(brain: LocalBrain, client: Client) -> None:
    close = ("Connection", "close")
    answer = speak(brain.port, head("POST", SDK, [("Host", "localhost"), close, *client.sdk_headers.items()]))
    assert b'"missing_required_fields"' in answer


def test_a_connection_is_kept_and_answers_in_turn(brain: LocalBrain, client: Client) -> None:
    body = json.dumps(EVENT).encode()
    length = ("Content-Length", str(len(body)))
    request = head("POST", SDK, [("Host", "localhost"), length, *client.sdk_headers.items()]) + body
    last = head("GET", "/", [("Host", "localhost"), ("Connection", "close")])
    answers = speak(brain.port, request * 3 + last)
    assert answers.count(b"HTTP/1.1 201 ") == 3
    assert len(brain.events()) == 3


@pytest.mark.parametrize("path", POST_PATHS)
def test_a_missing_slash_is_a_500_page(client: Client, path: str) -> None:
    answer = client.post(path.removesuffix("/"), EVENT, {**client.sdk_headers, **client.agent_headers})
    assert (answer.status, answer.is_page) == (500, True)


@pytest.mark.parametrize("path", [f"/{SDK}", SDK.replace("/log/", "//log/"), f"{SDK}/", "/", "/api", "/api/v1/other/"])
def test_every_other_path_is_a_404_page(client: Client, path: str) -> None:
    answer = client.post(path, EVENT, client.sdk_headers)
    assert (answer.status, answer.is_page) == (404, True)


def test_a_doubled_slash_on_the_wire_is_404(brain: LocalBrain, client: Client) -> None:
    """Not through a client library, which might tidy the path."""
    headers = [("Host", "localhost"), ("Connection", "close"), ("Content-Length", "2"), *client.sdk_headers.items()]
    assert speak(brain.port, head("POST", f"/{SDK}", headers) + b"{}").startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("path", POST_PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
def test_only_post_is_allowed(client: Client, path: str, method: str) -> None:
    answer = client.request(method, path, headers={**client.sdk_headers, **client.agent_headers})
    assert answer.status == 405
    assert answer.headers["allow"] == "POST, OPTIONS"
    assert answer.body == b""


def test_options_names_the_method(client: Client) -> None:
    answer = client.request("OPTIONS", SDK)
    assert (answer.status, answer.headers["allow"]) == (200, "POST, OPTIONS")


def test_reading_endpoints_answer_get_and_head_and_redirect_to_their_slash(client: Client) -> None:
    path = f"/api/v1/agent/session/events/?session_id={client.session_id}"
    assert client.get(path, client.user_headers).status == 200
    assert client.request("HEAD", path, headers=client.user_headers).body == b""
    redirect = client.get(path.replace("/?", "?"))
    assert (redirect.status, redirect.headers["location"]) == (301, path)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", "localhost:1", "[::1]:80"])
def test_the_usual_names_of_this_machine_are_answered(client: Client, host: str) -> None:
    assert client.get("/_local/state", {"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:8002", "0.0.0.0", "", "[::2]"],
)
def test_other_names_are_refused_as_a_rebound_page_would_send_them(
    brain: LocalBrain, client: Client, host: str
) -> None:
    for path in ("/_local/state", SDK, "/"):
        answer = client.post(path, EVENT, {**client.sdk_headers, "Host": host})
        assert (answer.status, answer.is_page) == (400, True)
    assert brain.events() == []


def test_two_host_headers_or_none_are_refused(brain: LocalBrain) -> None:
    close = ("Connection", "close")
    two = head("GET", "/_local/state", [("Host", "localhost"), ("Host", "evil.example"), close])
    assert b" 400 " in speak(brain.port, two).split(b"\r\n")[0]
    assert b" 400 " in speak(brain.port, b"GET /_local/state HTTP/1.0\r\n\r\n").split(b"\r\n")[0]


def test_a_head_of_a_hundred_headers_is_read_and_one_more_is_431(brain: LocalBrain) -> None:
    fixed = [("Host", "localhost"), ("Connection", "close")]
    for count, status in ((100, b" 200 "), (101, b" 431 ")):
        many = [*fixed, *((f"X-{number}", "1") for number in range(count - 2))]
        assert status in speak(brain.port, head("GET", "/_local/state", many)).split(b"\r\n")[0]


def test_a_token_of_8150_bytes_is_read_and_a_much_longer_one_is_431(client: Client) -> None:
    for length, status in ((8150, 401), (8300, 431), (70_000, 431)):
        headers = {**client.sdk_headers, "X-OTAS-AGENT-SESSION-TOKEN": "x" * length}
        assert client.post(SDK, EVENT, headers).status == status


def test_two_headers_of_one_name_are_joined_as_wsgi_servers_join_them(brain: LocalBrain, client: Client) -> None:
    headers = [("Host", "localhost"), ("Connection", "close"), ("Content-Length", "0"), *client.sdk_headers.items()]
    doubled = [*headers, ("X-OTAS-SDK-KEY", brain.sdk_key)]
    assert b'"invalid_sdk_key"' in speak(brain.port, head("POST", SDK, doubled))


def test_what_is_not_http_is_refused_and_the_brain_goes_on(brain: LocalBrain, client: Client) -> None:
    assert speak(brain.port, b"\x16\x03\x01\x02\x00 not HTTP \r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert client.log().status == 201
