"""Each answer of Brain, and what becomes of the event: the contract's table, row by row."""

from __future__ import annotations

import base64
import json
import logging
import time
from typing import TYPE_CHECKING

import pytest

from otas_middleware._delivery import DELIVERED, Pipeline, Response
from otas_middleware._delivery.destinations import BrainDestination
from otas_middleware._delivery.retry import by_status
from otas_middleware.localbrain import LocalBrain, Mode
from support.delivery import Item, RawServer, answer, balance, build, created, eventually, pipeline, settings

if TYPE_CHECKING:
    import socket

    from support.delivery import Received


def test_an_event_arrives_with_its_key_its_token_and_its_length() -> None:
    with RawServer(lambda connection, _: connection.sendall(created())) as server, pipeline(server.url) as sender:
        sender.put(Item(token="a.b.c"))
        assert sender.flush(10)
        request = server.requests[0]
        assert request.data.startswith(b"POST /api/v1/backend/log/sdk/ HTTP/1.1\r\n")
        assert request.header("X-OTAS-SDK-KEY") == "otas_abcd_secretsecret"
        assert request.header("X-OTAS-AGENT-SESSION-TOKEN") == "a.b.c"
        assert request.header("Content-Type") == "application/json"
        assert request.header("Content-Length") == str(len(request.body))
        assert request.header("Transfer-Encoding") is None
        assert json.loads(request.body)["path"] == "/orders/42"
        assert len(request.segments) == 1, "head and body travel in one segment"


def test_the_local_brain_takes_events_on_one_connection() -> None:
    with LocalBrain() as brain, pipeline(brain.url, sdk_key=brain.sdk_key) as sender:
        token = brain.create_session()
        for number in range(20):
            sender.put(Item(path=f"/orders/{number}", token=token))
        assert sender.flush(10)
        assert sorted(event["path"] for event in brain.events()) == sorted(f"/orders/{number}" for number in range(20))
        stats = sender.stats()
        assert (stats["captured"], stats["delivered"], stats["queued"], stats["failures"]) == (20, 20, 0, {})


def description(status: str, word: str) -> bytes:
    return answer(status, json.dumps({"status": 0, "status_description": word}).encode())


def page(status: str) -> bytes:
    return answer(status, b"<html>X-OTAS-SDK-KEY: otas_abcd_secretsecret</html>", content_type="text/html")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (description("400 Bad Request", "missing_required_fields"), "missing_required_fields"),
        (description("400 Bad Request", "invalid_json"), "invalid_json"),
        (description("401 Unauthorized", "missing_agent_session_token"), "missing_agent_session_token"),
        (description("401 Unauthorized", "invalid_or_expired_token"), "bad_token"),
        (page("413 Content Too Large"), "http_413"),
        (page("431 Request Header Fields Too Large"), "http_431"),
    ],
)
def test_what_can_never_be_accepted_is_dropped_counted_and_named_in_the_log(
    reply: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with RawServer(lambda connection, _: connection.sendall(reply)) as server, pipeline(server.url) as sender:
        sender.put(Item())
        assert sender.flush(10)
        assert sender.stats()["dropped"] == {reason: 1}
        assert len(server.requests) == 1
        sender.put(Item(token="other.token.x"))
        assert sender.flush(10), "one bad answer ends nothing"
        assert len(server.requests) == 2
    assert reason in caplog.text
    assert "secretsecret" not in caplog.text


@pytest.mark.parametrize(
    "reply",
    [
        description("401 Unauthorized", "invalid_sdk_key"),
        description("401 Unauthorized", "missing_sdk_key"),
        description("500 Internal Server Error", "event_capture_failed"),
        page("401 Unauthorized"),
        page("404 Not Found"),
        page("400 Bad Request"),
        page("500 Internal Server Error"),
        page("502 Bad Gateway"),
        page("503 Service Unavailable"),
        answer("429 Too Many Requests", b"", "Retry-After: 0"),
        answer("302 Found", b"", "Location: https://elsewhere.example/"),
        answer("200 OK", b"<html>Please log in</html>", content_type="text/html"),
    ],
)
def test_whatever_may_pass_is_survived(reply: bytes) -> None:
    answers = iter([reply, reply])
    with (
        RawServer(lambda connection, _: connection.sendall(next(answers, created()))) as server,
        pipeline(server.url) as sender,
    ):
        sender.put(Item())
        eventually(lambda: sender.stats()["delivered"] == 1)
        stats = sender.stats()
        assert (stats["dropped"], balance(stats)) == ({}, 0)
        assert stats["retries"] == 2
        assert len({request.body for request in server.requests}) == 1


def test_no_page_and_no_secret_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with LocalBrain() as brain, pipeline(brain.url, sdk_key=brain.sdk_key) as sender:
        token = brain.create_session()
        with brain.faults.inject(Mode.PAGE, times=2):
            sender.put(Item(token=token))
            eventually(lambda: sender.stats()["delivered"] == 1)
        for secret in (brain.sdk_key, token, "<html"):
            assert secret not in caplog.text


def test_a_poisonous_event_is_dropped_once_others_have_passed_it() -> None:
    def refuse_poison(connection: socket.socket, request: Received) -> None:
        poison = b"poison" in request.body
        connection.sendall(description("500 Oh", "event_capture_failed") if poison else created())

    with RawServer(refuse_poison) as server, pipeline(server.url, max_retries=2, max_retry_delay=0.05) as sender:
        sender.put(Item(body="poison"))
        eventually(lambda: sender.stats()["failures"].get("event_capture_failed", 0) >= 4)
        assert sender.stats()["dropped"] == {}, "alone, it may be Brain that is at fault"
        sender.put(Item())
        eventually(lambda: sender.stats()["dropped"] == {"retries_exhausted": 1})
        stats = sender.stats()
        assert (stats["delivered"], stats["queued"], balance(stats)) == (1, 0, 0)


def jwt(**claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{payload}.c2ln"


def test_a_refused_token_is_remembered_and_told_before_its_event_counts_as_lost() -> None:
    refused: list[tuple[str, dict[str, int]]] = []
    old, other = jwt(iat=time.time() - 3600), jwt(iat=time.time() - 7200)

    def refuse_old(connection: socket.socket, request: Received) -> None:
        bad = request.header("X-OTAS-AGENT-SESSION-TOKEN") == old
        connection.sendall(description("401 No", "invalid_or_expired_token") if bad else created())

    with RawServer(refuse_old) as server:
        sender = Pipeline(
            settings(server.url),
            build,
            on_bad_token=lambda token: refused.append((token, sender.stats()["dropped"])),
        )
        for token in (old, old, other, old):
            sender.put(Item(token=token))
        assert sender.flush(10)
        assert sender.stats()["dropped"] == {"bad_token": 3}
        assert sender.stats()["delivered"] == 1
        assert len(server.requests) == 2, "the other two of that session were not even sent"
        assert refused == [(old, {})]
        sender.close(0)


def test_a_token_that_brains_clock_has_not_reached_yet_is_tried_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otas_middleware._delivery.retry.YOUNG_TOKEN_DELAY", 0.1)
    answers = iter([description("401 No", "invalid_or_expired_token")])
    with (
        RawServer(lambda connection, _: connection.sendall(next(answers, created()))) as server,
        pipeline(server.url) as sender,
    ):
        sender.put(Item(token=jwt(iat=time.time() + 2)))
        eventually(lambda: sender.stats()["delivered"] == 1)
        assert sender.stats()["dropped"] == {}


@pytest.mark.parametrize(
    "mode", [Mode.RESET, Mode.CAPTURE_FAILED, Mode.OUTAGE, Mode.BUSY, Mode.PAGE, Mode.GARBAGE, Mode.TRUNCATED]
)
def test_each_misbehaviour_of_the_local_brain_is_survived(mode: Mode) -> None:
    with LocalBrain() as brain, pipeline(brain.url, sdk_key=brain.sdk_key) as sender:
        token = brain.create_session()
        brain.faults.inject(mode, times=2)
        items = [Item(token=token) for _ in range(10)]
        for item in items:
            sender.put(item)
        eventually(lambda: sender.stats()["delivered"] == 10)
        stored = [event["metadata"]["event_id"] for event in brain.events()]
        assert sorted(stored) == sorted(item.event_id for item in items), "each exactly once"
        assert balance(sender.stats()) == 0


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("503 Service Unavailable", "has too much to do: see the operations guide on capacity"),
        ("429 Too Many Requests", "has too much to do: see the operations guide on capacity"),
        ("500 Internal Server Error", "fails or refuses; its log says why"),
        ("403 Forbidden", "fails or refuses; its log says why"),
    ],
)
def test_the_log_says_where_to_look_when_brain_or_a_proxy_answers_for_it(
    status: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        RawServer(lambda connection, _: connection.sendall(answer(status, b"<h1>no</h1>"))) as server,
        pipeline(server.url, max_retry_delay=0.01) as sender,
    ):
        for _ in range(6):
            sender.put(Item())
        eventually(lambda: said in caplog.text)


def test_an_answer_that_is_none_of_brains_is_called_that(caplog: pytest.LogCaptureFixture) -> None:
    with (
        RawServer(lambda connection, _: connection.sendall(b"SSH-2.0-x\r\n\r\n")) as server,
        pipeline(server.url) as sender,
    ):
        sender.put(Item())
        eventually(lambda: "is not HTTP; otas-middleware doctor says why" in caplog.text)


def test_an_answer_that_was_lost_is_counted_as_a_possible_duplicate() -> None:
    with LocalBrain() as brain, pipeline(brain.url, sdk_key=brain.sdk_key) as sender:
        item = Item(token=brain.create_session())
        brain.faults.inject(Mode.RESET_AFTER, times=1)
        sender.put(item)
        eventually(lambda: sender.stats()["delivered"] == 1)
        assert {event["metadata"]["event_id"] for event in brain.events()} == {item.event_id}
        assert len(brain.events()) == 2
        assert sender.stats()["possible_duplicates"] == 1


@pytest.mark.parametrize(
    ("reply", "count"), [("502 Bad Gateway", 1), ("503 Service Unavailable", 0), ("504 Gateway Timeout", 1)]
)
def test_what_a_gateway_passed_on_and_got_no_answer_for_may_have_been_stored(reply: str, count: int) -> None:
    answers = iter([page(reply)])
    with (
        RawServer(lambda connection, _: connection.sendall(next(answers, created()))) as server,
        pipeline(server.url) as sender,
    ):
        sender.put(Item())
        eventually(lambda: sender.stats()["delivered"] == 1)
        assert sender.stats()["possible_duplicates"] == count
        assert by_status(Response(int(reply[:3]), {}, b"")).ambiguous is (count == 1)


def test_retry_after_is_honoured() -> None:
    answers = iter([answer("503 Busy", b"", "Retry-After: 1")])
    times: list[float] = []

    def busy_once(connection: socket.socket, _: Received) -> None:
        times.append(time.monotonic())
        connection.sendall(next(answers, created()))

    with RawServer(busy_once) as server, pipeline(server.url, max_retry_delay=0.01) as sender:
        sender.put(Item())
        eventually(lambda: sender.stats()["delivered"] == 1)
        assert times[1] - times[0] >= 0.95


def test_a_transport_of_ones_own_may_be_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    from otas_middleware._delivery import Request, Response

    sent: list[Request] = []

    def carry(request: Request, timeout: float) -> Response:
        assert timeout == 30.0
        sent.append(request)
        return Response(201, {})

    monkeypatch.setattr("support.delivery.carry", carry, raising=False)
    with pipeline("http://brain.invalid", transport="support.delivery:carry") as sender:
        sender.put(Item())
        assert sender.flush(10)
        assert sender.stats()["delivered"] == 1
        assert sent[0].url == "http://brain.invalid/api/v1/backend/log/sdk/"
        assert "secretsecret" not in repr(sent[0])


@pytest.mark.parametrize("name", ["\ud800", "ü", "x" * 60_000, 7, None])
def test_what_is_no_id_is_not_handed_on_as_the_events(name: object) -> None:
    body = json.dumps({"response": {"event_id": name}}).encode()
    response = Response(201, {"content-type": "application/json"}, body)
    assert BrainDestination("http://brain.invalid", "agent_key", "agent").outcome(response) == DELIVERED
