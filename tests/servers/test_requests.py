"""What a client gets from each server is, byte for byte, what it gets without the middleware; and the event is true."""

from __future__ import annotations

import hashlib
import random
import time
from statistics import median
from typing import TYPE_CHECKING

import pytest

from servers.applications.behaviour import FIRST, REST, TICK
from servers.pair import fresh_name
from servers.wire import Call, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.pair import Pair
    from servers.process import Running

STREAM = FIRST + b"".join(REST)
PAUSE_MS = 200.0
ROUNDS = 15
NOISE_SECONDS = 0.010
PIECES = [random.Random(size).randbytes(size) for size in (1, 700_000, 4096, 65_537, 300_000)]
UPLOAD = b"".join(PIECES)


@pytest.mark.check("echo")
def test_a_body_comes_back_as_it_was_sent(pair: Pair) -> None:
    body = random.Random(4).randbytes(5000)
    agent = pair.agent()

    reply, bare = pair.both("POST", "/echo?page=2", agent, [body])

    assert reply == bare
    assert (reply.status, reply.body, reply.whole) == (200, body, True)
    event = pair.event(agent)
    assert (event["method"], event["path"], event["query_params"]) == ("POST", "/echo", "page=2")
    assert (event["status_code"], event["error"] or "") == (200, "")
    assert (event["request_size_bytes"], event["response_size_bytes"]) == (len(body), len(body))
    assert agent.token not in str(event)


@pytest.mark.check("echo")
def test_a_request_without_a_token_is_answered_as_without_the_middleware(pair: Pair) -> None:
    """That it is not recorded shows at the end, when all events are counted."""
    replies: list[Reply] = []
    for server in (pair.wrapped, pair.bare):
        with Call(server.port, "POST", "/echo", body=[b"nobody's"], length=8) as call:
            replies.append(call.reply())

    assert replies[0] == replies[1]
    assert replies[0].body == b"nobody's"


@pytest.mark.check("failure")
def test_an_exception_is_answered_as_without_the_middleware_and_recorded(pair: Pair) -> None:
    agent = pair.agent()

    reply, bare = pair.both("GET", "/fail", agent)

    assert reply == bare
    event = pair.event(agent)
    assert event["status_code"] == 500
    assert event["error"]


@pytest.mark.check("failure")
@pytest.mark.parametrize("after", ["nothing", "empty"])
def test_a_response_that_fails_before_its_first_byte_has_the_status_that_the_client_got(pair: Pair, after: str) -> None:
    """PEP 3333 has servers hold the head back; some send it with an empty chunk, or at once."""
    if pair.combination.application.framework != "WSGI callable":
        pytest.skip("the frameworks answer in one way each; the callable shows the server")
    agent = pair.agent()

    reply, bare = pair.both("GET", f"/late-failure/{after}", agent)

    event = pair.event(agent)
    assert event["error"]
    if bare.head.strip():  # granian may close the connection before the head is out
        assert reply == bare
        assert event["status_code"] == reply.status


@pytest.mark.check("upload")
def test_an_upload_arrives_whole(pair: Pair) -> None:
    agent = pair.agent()

    reply, bare = pair.both("POST", "/upload", agent, PIECES)

    assert reply == bare
    assert reply.body == f"{len(UPLOAD)} {hashlib.sha256(UPLOAD).hexdigest()}".encode()
    assert pair.event(agent)["request_size_bytes"] == len(UPLOAD)


@pytest.mark.check("upload")
def test_an_upload_of_unknown_length_arrives_whole(pair: Pair) -> None:
    if not (pair.combination.server.takes_chunks and pair.combination.application.takes_chunks):
        pytest.skip("neither with nor without the middleware are bodies read that come in chunks")
    agent = pair.agent()

    reply, bare = pair.both("POST", "/upload", agent, PIECES, chunked=True)

    assert reply == bare
    assert reply.body == f"{len(UPLOAD)} {hashlib.sha256(UPLOAD).hexdigest()}".encode()
    assert pair.event(agent)["request_size_bytes"] == len(UPLOAD)


@pytest.mark.check("stream")
def test_a_stream_reaches_the_client_chunk_by_chunk(pair: Pair) -> None:
    """The application makes the second chunk only once the client has the first."""
    agent = pair.agent()
    replies: list[Reply] = []
    for server in (pair.wrapped, pair.bare):
        name = fresh_name()
        with Call(server.port, "GET", f"/stream/{name}", [agent.header]) as call:
            call.until(FIRST)
            time.sleep(PAUSE_MS / 1000)
            server.allow(name)
            replies.append(call.reply())

    reply, bare = replies
    assert (reply.head, reply.body, reply.whole) == (bare.head, bare.body, bare.whole)
    assert reply.body == STREAM
    assert reply.chunks[0] == bare.chunks[0]
    event = pair.event(agent)
    assert event["response_size_bytes"] == len(STREAM)
    assert (event["error"], event["metadata"].get("aborted")) == ("", None)
    assert event["latency_ms"] >= PAUSE_MS
    assert event["metadata"]["ttfb_ms"] < event["latency_ms"] - PAUSE_MS + 50


@pytest.mark.check("first byte")
def test_the_first_byte_of_a_stream_is_as_early_as_bare(
    pair: Pair, record_property: Callable[[str, object], None]
) -> None:
    seconds: dict[str, list[float]] = {"wrapped": [], "bare": []}
    for _ in range(ROUNDS):
        for kind, server in {"wrapped": pair.wrapped, "bare": pair.bare}.items():
            name = fresh_name()
            server.allow(name)
            with Call(
                server.port, "GET", f"/stream/{name}", [pair.agent().header] if kind == "wrapped" else []
            ) as call:
                seconds[kind].append(call.until(FIRST))
                call.reply()

    for kind, values in seconds.items():
        record_property(f"first byte, {kind}, ms", round(median(values) * 1000, 2))
    assert min(seconds["wrapped"]) < min(seconds["bare"]) + NOISE_SECONDS


def _notices(server: Running, *headers: tuple[str, str]) -> bool:
    """Leave in the middle of an endless stream; say whether the application's stream was closed."""
    name = fresh_name()
    with Call(server.port, "GET", f"/endless/{name}", headers) as call:
        call.until(TICK, count=2)
    return server.saw_close_of(name, timeout=8.0)


@pytest.mark.check("disconnect")
def test_a_client_that_goes_away_is_noticed_as_without_the_middleware(pair: Pair) -> None:
    if not _notices(pair.bare):
        pytest.skip("nobody tells the application, with or without the middleware (Django 4.2 as ASGI)")
    agent = pair.agent()
    assert _notices(pair.wrapped, agent.header)
    event = pair.event(agent)
    assert event["status_code"] == 200
    assert event["response_size_bytes"] >= 2 * len(TICK)
    if pair.combination.server.cancels and event["error"]:  # the framework did not ask, so nobody knew
        assert event["error"] == "CancelledError"
        assert "aborted" not in event["metadata"]
        return
    assert event["metadata"]["aborted"] is True
    assert not event["error"]
