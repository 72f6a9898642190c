"""Calls outside the domain: untouched, and one event each."""

from __future__ import annotations

import gzip
import json
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from agent.callers import BODIES, BOUNDARY, How, bare
from agent.host import as_json, breaks_off, closed_port, drops, redirects, replies, response, streams
from events.codings import CODINGS
from otas_middleware._capture.session import TOKEN_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.callers import Caller
    from agent.host import Host, Received
    from agent.record import Record
    from otas_middleware.agent import AgentSession
    from otas_middleware.localbrain import LocalBrain


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_the_request_is_the_same_byte_for_byte(
    caller: Caller, session: AgentSession, outside: Host, body: dict[str, Any]
) -> None:
    for instrument in (bare, session.instrument):
        caller.call(instrument, "POST", outside.url + "/v1/things?a=1&a=%20", **body)
    without, ours = (BOUNDARY.sub(b"", request.raw) for request in outside.requests)
    assert ours == without


def test_the_answer_is_the_same(caller: Caller, session: AgentSession, outside: Host) -> None:
    outside.on("/a", replies(b"caf\xe9", "418 I'm a teapot", "text/plain; charset=latin-1", ["X-A: 1", "X-A: 2"]))
    assert caller.call(session.instrument, "GET", outside.url + "/a") == caller.call(bare, "GET", outside.url + "/a")


def test_the_event_says_what_was_asked_and_answered(
    caller: Caller, session: AgentSession, outside: Host, record: Record
) -> None:
    outside.on("/v1/caf%C3%A9", as_json({"id": 7}, "201 Created"))
    caller.call(
        session.instrument,
        "POST",
        outside.url + "/v1/caf%C3%A9?q=a%20b",
        json={"name": "Ada"},
        headers={"X-Asked-By": "agent"},
    )
    event = record.one()
    assert event["source"] == "agent"
    assert (event["method"], event["path"], event["query_params"]) == ("POST", "/v1/café", "q=a%20b")
    assert (event["status_code"], event["error"]) == (201, "")
    assert json.loads(event["request_body"] or "") == {"name": "Ada"}
    assert json.loads(event["response_body"] or "") == {"id": 7}
    assert event["request_size_bytes"] == len(outside.one().body)
    assert event["response_size_bytes"] == len(b'{"id": 7}')
    assert event["response_content_type"] == "application/json"
    assert json.loads(event["request_headers"] or "")["x-asked-by"] == "agent"
    assert event["custom_properties"] == {"host": f"127.0.0.1:{outside.port}"}
    assert event["metadata"]["origin"] == outside.url
    assert event["metadata"]["framework"] == caller.name.split()[0]
    assert 0 < event["metadata"]["ttfb_ms"] <= event["latency_ms"]


@pytest.mark.parametrize("value", [b"caf\xe9", "café".encode()], ids=["Latin-1", "UTF-8"])
def test_the_events_headers_are_as_they_came(
    caller: Caller, session: AgentSession, outside: Host, record: Record, value: bytes
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nLink: <a>\r\nX-Place: %b\r\nLink: <b>\r\n\r\nx"
    outside.on("/headers", lambda _: [head % value])
    caller.call(session.instrument, "GET", outside.url + "/headers")
    headers = json.loads(record.one()["response_headers"] or "")
    assert headers["link"] == ["<a>", "<b>"]
    assert headers["x-place"] == "café"


@pytest.mark.parametrize("coding", ["gzip, br", "identity", "unheard-of"])
def test_a_coding_that_the_library_does_not_undo_is_not_said_to_be_undone(
    caller: Caller, session: AgentSession, outside: Host, record: Record, coding: str
) -> None:
    body = b'{"id": 7}'
    sent = CODINGS.get(coding, bytes)(body)
    outside.on("/coded", replies(sent, content_type="application/json", headers=[f"Content-Encoding: {coding}"]))
    result = caller.call(session.instrument, "GET", outside.url + "/coded")
    event = record.one()
    undone = result.body != sent and caller.name == "requests"  # which asks urllib3 for what is undone
    assert json.loads(event["response_headers"] or "").get("content-encoding") == (None if undone else coding)
    assert event["response_size_bytes"] == len(body if undone else sent)
    assert (event["response_body"] or "")[:9] == ("[unheard-" if coding == "unheard-of" else body.decode())
    assert event["error"] == ""


@pytest.mark.filterwarnings("ignore:Async generator", "ignore::pytest.PytestUnraisableExceptionWarning")  # httpx, trio
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_not_in_its_coding_is_a_failure_as_it_is_for_the_caller(
    caller: Caller, session: AgentSession, outside: Host, record: Record, coding: str, stream: bool
) -> None:
    body = b'{"id": 7, "text": "none of this is coded"}'
    outside.on("/plain", replies(body, content_type="application/json", headers=[f"Content-Encoding: {coding}"]))
    result = caller.call(session.instrument, "GET", outside.url + "/plain", How(stream=stream))
    event = record.one()
    assert (event["error"] != "") is (result.error != "")
    assert event["status_code"] == 200


@pytest.mark.filterwarnings("ignore:Async generator", "ignore::pytest.PytestUnraisableExceptionWarning")  # httpx, trio
@pytest.mark.parametrize(
    ("coding", "length"),
    [("gzip", 200), ("deflate", 200), ("br", 200), ("br", 1_200_000), ("zstd", 200), ("zstd", 1_200_000)],
)
@pytest.mark.parametrize("end", ["cut", "of something else"])
def test_the_end_of_a_coded_answer_is_a_failure_where_it_is_one_for_the_caller(
    caller: Caller, session: AgentSession, outside: Host, record: Record, coding: str, end: str, length: int
) -> None:
    coded = CODINGS[coding](random.Random(7).randbytes(length))
    damaged = coded[:-10] if end == "cut" else coded + b"none of this is coded"
    outside.on("/damaged", replies(damaged, content_type="image/png", headers=[f"Content-Encoding: {coding}"]))
    result = caller.call(session.instrument, "GET", outside.url + "/damaged")
    event = record.one()
    assert (event["error"] != "") is (result.error != ""), result.text


@pytest.mark.filterwarnings("ignore:Async generator", "ignore::pytest.PytestUnraisableExceptionWarning")  # httpx, trio
def test_an_answer_in_its_coding_that_the_agent_leaves_is_no_failure(
    caller: Caller, session: AgentSession, outside: Host, record: Record
) -> None:
    coded = gzip.compress(random.Random(7).randbytes(30_000))
    pieces = [coded[:10_000], coded[10_000:20_000], coded[20_000:]]
    outside.on("/coded", streams(pieces, "application/json", ["Content-Encoding: gzip"]))
    caller.call(session.instrument, "GET", outside.url + "/coded", How(stream=True, pieces=1))
    assert record.one()["error"] == ""


def test_an_event_is_sent_right_after_its_call(
    caller: Caller, session: AgentSession, outside: Host, brain: LocalBrain
) -> None:
    caller.call(session.instrument, "GET", outside.url + "/now")
    assert session.session_id is not None
    (event,) = brain.wait_for_events(1, session_id=session.session_id, timeout=5.0)  # nobody flushes
    assert event["path"] == "/now"


def test_credentials_of_other_services_do_not_reach_brain(
    caller: Caller, session: AgentSession, outside: Host, record: Record
) -> None:
    headers = {"Authorization": "Bearer sk-live-0123456789abcdef", "x-api-key": "sk-ant-0123456789abcdef"}
    caller.call(session.instrument, "POST", outside.url, headers=headers, json={"password": "hunter2"})
    assert outside.one().header("authorization") == [headers["Authorization"]]
    stored = json.dumps(record.one())
    assert "0123456789abcdef" not in stored
    assert "hunter2" not in stored


def test_an_answer_of_400_and_above_is_an_error(
    caller: Caller, session: AgentSession, outside: Host, record: Record
) -> None:
    outside.on("/gone", replies(b"no", "410 Gone"))
    caller.call(session.instrument, "GET", outside.url + "/gone")
    assert record.one()["error"] == "410 Gone"


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_an_answer_without_a_body_is_complete(
    caller: Caller, session: AgentSession, outside: Host, record: Record, method: str
) -> None:
    empty = b"HTTP/1.1 204 No Content\r\n\r\n"
    outside.on("/", lambda _: [response(b"")] if method == "GET" else [empty])
    caller.call(session.instrument, method, outside.url + "/")
    event = record.one()
    assert event["response_size_bytes"] == 0
    assert "aborted" not in event["metadata"]
    assert event["error"] == ""


def test_a_stream_reaches_the_agent_piece_by_piece(
    caller: Caller, session: AgentSession, outside: Host, record: Record
) -> None:
    received = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"data: one\n\n"
        assert received.wait(5), "the first piece was held back"
        yield b"data: two\n\n"

    outside.on("/stream", streams(pieces()))
    how = How(stream=True, on_piece=lambda _: received.set())
    result = caller.call(session.instrument, "GET", outside.url + "/stream", how)
    assert result.body == b"data: one\n\ndata: two\n\n"
    event = record.one()
    assert event["response_body"] == "data: one\n\ndata: two\n\n"
    assert event["metadata"]["stream"]["ended"] == "complete"
    assert "aborted" not in event["metadata"]


# trio says it of httpx's own generators when a stream is left, without us as well.
@pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning")
def test_a_stream_that_the_agent_leaves_is_an_aborted_event_with_what_came_so_far(
    caller: Caller, session: AgentSession, outside: Host, record: Record
) -> None:
    left = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"data: one\n\n"
        left.wait(5)
        yield b"data: two\n\n"

    outside.on("/stream", streams(pieces()))
    caller.call(session.instrument, "GET", outside.url + "/stream", How(stream=True, pieces=1))
    left.set()
    event = record.one()
    assert event["metadata"]["aborted"] is True
    assert (event["status_code"], event["response_body"]) == (200, "data: one\n\n")


def test_a_long_answer_is_counted_whole_and_kept_to_the_limit(
    caller: Caller, session: AgentSession, outside: Host, record: Record
) -> None:
    outside.on("/big", replies(b"x" * 3_000_000))
    assert len(caller.call(session.instrument, "GET", outside.url + "/big").body) == 3_000_000
    event = record.one()
    assert event["response_size_bytes"] == 3_000_000
    assert len(event["response_body"] or "") == 65_536
    assert event["metadata"]["truncated"]["response_body"]


def test_a_compressed_answer_is_recorded_as_text(
    caller: Caller, session: AgentSession, outside: Host, record: Record
) -> None:
    # Longer than its coding, of which the answer's Content-Length speaks.
    answer = {"model": "m-1", "usage": {"input_tokens": 5, "output_tokens": 6}, "text": "so it is. " * 300}
    plain = json.dumps(answer).encode()
    outside.on("/z", replies(gzip.compress(plain), content_type="application/json", headers=["Content-Encoding: gzip"]))
    result = caller.call(session.instrument, "GET", outside.url + "/z")
    assert result.body == plain
    event = record.one()
    assert json.loads(event["response_body"] or "") == answer
    assert event["custom_properties"]["usage"] == {"input": 5, "output": 6, "total": 11}
    assert "aborted" not in event["metadata"]


def test_an_answer_that_is_shorter_than_its_coding_is_whole(
    caller: Caller, session: AgentSession, outside: Host, record: Record
) -> None:
    outside.on("/z", replies(gzip.compress(b"hi"), headers=["Content-Encoding: gzip"]))
    assert caller.call(session.instrument, "GET", outside.url + "/z").body == b"hi"
    event = record.one()
    assert event["response_body"] == "hi"
    assert "aborted" not in event["metadata"]


def test_the_length_of_an_answer_without_a_coding_is_among_its_headers(
    caller: Caller, session: AgentSession, outside: Host, record: Record
) -> None:
    outside.on("/plain", replies(b"hello"))
    caller.call(session.instrument, "GET", outside.url + "/plain")
    assert json.loads(record.one()["response_headers"] or "")["content-length"] == "5"


def test_redirects_outside_are_an_event_each(
    caller: Caller, session: AgentSession, outside: Host, record: Record
) -> None:
    outside.on("/old", redirects("/new"))
    assert caller.call(session.instrument, "GET", outside.url + "/old", How(follow=True)).status == 200
    assert [(event["path"], event["status_code"]) for event in record.events()] == [("/old", 302), ("/new", 200)]


def test_a_redirect_out_of_the_domain_loses_the_token(
    caller: Caller, session: AgentSession, inside: Host, outside: Host, record: Record
) -> None:
    inside.on("/login", redirects(outside.url + "/sso", "307 Temporary Redirect"))
    headers = {TOKEN_HEADER: "copied.by.hand"}
    result = caller.call(
        session.instrument, "POST", inside.url + "/login", How(follow=True), headers=headers, json={"a": 1}
    )
    assert result.status == 200
    assert inside.one().header(TOKEN_HEADER)
    assert outside.one().header(TOKEN_HEADER) == []
    assert outside.one().body == inside.one().body
    assert record.one()["path"] == "/sso"


def test_a_redirect_into_the_domain_gets_the_token(
    caller: Caller, session: AgentSession, inside: Host, outside: Host, record: Record
) -> None:
    outside.on("/short", redirects(inside.url + "/orders"))
    caller.call(session.instrument, "GET", outside.url + "/short", How(follow=True))
    assert outside.one().header(TOKEN_HEADER) == []
    assert len(inside.one().header(TOKEN_HEADER)) == 1
    assert record.one()["path"] == "/short"


def test_tokens_and_keys_that_the_caller_put_in_are_taken_out(
    caller: Caller, session: AgentSession, inside: Host, outside: Host, brain: LocalBrain
) -> None:
    token = session.headers_for(inside.url)[TOKEN_HEADER]
    headers = {
        TOKEN_HEADER: token,
        "x-otas-agent-key": "agent_x_y",
        "X-Otas-Sdk-Key": "otas_x_y",
        "X-Forwarded-Token": f"Bearer {token}",
        "X-Debug": f"key={brain.agent_key}",
        "X-Kept": "yes",
    }
    caller.call(session.instrument, "GET", outside.url, headers=headers)
    request = outside.one()
    assert request.header("x-kept") == ["yes"]
    assert b"otas" not in request.raw.lower()
    assert token.encode() not in request.raw
    assert brain.agent_key.encode() not in request.raw


@pytest.mark.parametrize("user", ["x", "xy", "xyz"])
def test_a_token_that_a_url_names_as_its_password_is_not_sent_outside(
    caller: Caller, session: AgentSession, inside: Host, outside: Host, user: str
) -> None:
    token = session.headers_for(inside.url)[TOKEN_HEADER]
    astray = f"http://{user}:{token}@127.0.0.1:{outside.port}/"
    inside.on("/echo", redirects(astray))
    for url in (astray, inside.url + "/echo"):
        caller.call(session.instrument, "GET", url, How(follow=True))
    assert outside.paths() == ["/", "/"]
    assert [request.header("authorization") for request in outside.requests] == [[], []]


def test_a_url_that_holds_the_token_is_not_sent_outside(
    caller: Caller, session: AgentSession, inside: Host, outside: Host
) -> None:
    token = session.headers_for(inside.url)[TOKEN_HEADER]
    inside.on("/echo", redirects(f"{outside.url}/?t={token}"))
    result = caller.call(session.instrument, "GET", inside.url + "/echo", How(follow=True))
    assert result.error == "SecretInUrlError"
    assert token not in result.text
    assert outside.requests == []


def test_calls_to_otas_itself_are_not_recorded(
    caller: Caller, session: AgentSession, brain: LocalBrain, record: Record
) -> None:
    headers = {"X-OTAS-AGENT-KEY": brain.agent_key}
    result = caller.call(session.instrument, "POST", brain.url + "/api/agent/v1/auth/verify/", headers=headers)
    assert result.status == 200
    assert record.events() == []


@pytest.mark.parametrize("problem", ["refused", "dropped", "broken off", "too slow", "stalls"])
def test_a_failure_reaches_the_agent_as_without_us_and_is_an_event(
    caller: Caller, session: AgentSession, outside: Host, record: Record, problem: str
) -> None:
    late = threading.Event()

    def hangs(_: Received) -> Iterator[bytes]:
        late.wait(5)
        yield response(b"late")

    def stalls(request: Received) -> Iterable[bytes]:
        def pieces() -> Iterator[bytes]:
            yield b"data: one\n\n"
            late.wait(5)

        return streams(pieces())(request)

    urls = {
        "refused": closed_port() + "/x",
        "dropped": outside.on("/dropped", drops),
        "broken off": outside.on("/broken", breaks_off),
        "too slow": outside.on("/slow", hangs),
        "stalls": outside.on("/stalls", stalls),
    }
    how = How(timeout=0.2 if problem in {"too slow", "stalls"} else 10.0)
    ours, without = (caller.call(instrument, "GET", urls[problem], how) for instrument in (session.instrument, bare))
    late.set()
    assert ours.error == without.error != ""
    event = record.events()[-1]
    # aiohttp tries once more itself where a connection ends without an answer.
    assert len(record.events()) == (2 if problem == "dropped" and caller.name == "aiohttp" else 1)
    if problem == "broken off":
        # urllib3 does not hand on what it has of a piece that breaks off.
        kept = "" if caller.name == "requests" else "0123456789"
        assert (event["status_code"], event["response_body"]) == (200, kept)
    elif problem == "stalls":
        assert (event["status_code"], event["response_body"]) == (200, "data: one\n\n")
    else:
        assert (event["status_code"], event["response_body"]) == (0, "")
    assert event["error"] != ""
    assert event["metadata"]["exception"]["type"] == str(event["error"]).partition(":")[0]


def test_an_answer_that_another_protocol_follows_is_complete(
    caller: Caller, session: AgentSession, outside: Host, record: Record
) -> None:
    outside.on("/socket", lambda _: [b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"])
    headers = {"Connection": "Upgrade", "Upgrade": "x"}
    caller.call(session.instrument, "GET", outside.url + "/socket", How(stream=True), headers=headers)
    event = record.one()
    assert (event["status_code"], event["response_size_bytes"], event["error"]) == (101, 0, "")
    assert "aborted" not in event["metadata"]


def test_instrumenting_a_client_twice_makes_no_second_event(
    caller: Caller, session: AgentSession, outside: Host, record: Record
) -> None:
    caller.call(lambda client: session.instrument(session.instrument(client)), "GET", outside.url)
    assert len(record.events()) == 1
