"""Misbehaviour on request, and the return to good behaviour."""

from __future__ import annotations

import contextlib
import http.client
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from localbrain.wire import AGENT, AUTHENTICATE, CREATE_SESSION, EVENT, SDK, VERIFY, Answer, Client, head, speak
from otas_middleware.localbrain import LocalBrain, Mode

LOST = (ConnectionError, http.client.BadStatusLine, http.client.IncompleteRead)


@pytest.fixture(autouse=True, params=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are broken by other code in each event loop; without uvloop the two are the same."""
    if request.param == "asyncio":
        monkeypatch.setitem(sys.modules, "uvloop", None)


def seconds_of(client: Client) -> float:
    began = time.monotonic()
    assert client.log().status == 201
    return time.monotonic() - began


def eventually_answered(client: Client) -> Answer:
    deadline = time.monotonic() + 5
    while True:
        with contextlib.suppress(OSError):
            return client.log()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_slow_brain_takes_its_time_for_events_and_for_nothing_else(client: Client) -> None:
    client.brain.faults.slow_ms = 600
    assert seconds_of(client) >= 0.6
    began = time.monotonic()
    assert client.post(VERIFY, {}, client.agent_headers).status == 200
    assert time.monotonic() - began < 0.6


def test_slow_events_wait_side_by_side() -> None:
    with LocalBrain(slow_ms=600) as brain:
        client = Client(brain)
        began = time.monotonic()
        assert client.log_many(10, threads=10) == [201] * 10
        assert time.monotonic() - began < 5.0


def test_an_event_is_stored_though_its_client_gave_up(brain: LocalBrain, client: Client) -> None:
    """A read time-out after sending is ambiguous."""
    brain.faults.slow_ms = 200
    body = b'{"project_id": "x", "path": "/late", "method": "GET", "status_code": 200, "latency_ms": 1}'
    headers = [("Host", "localhost"), ("Content-Length", str(len(body))), *client.sdk_headers.items()]
    with socket.create_connection(("127.0.0.1", brain.port)) as connection:
        connection.sendall(head("POST", SDK, headers) + body)
        time.sleep(0.05)
    assert brain.wait_for_events(1, timeout=5)[0]["path"] == "/late"


@pytest.mark.parametrize(("rate", "least", "most"), [(0.0, 0, 0), (0.5, 60, 140), (1.0, 200, 200)])
def test_a_share_of_events_fails_and_is_not_stored(rate: float, least: int, most: int) -> None:
    with LocalBrain(fail_rate=rate) as brain:
        client = Client(brain)
        answers = [client.log() for _ in range(200)]
        failed = [answer for answer in answers if answer.status == 500]
        assert {answer.description for answer in failed} <= {"event_capture_failed"}
        assert least <= len(failed) <= most
        assert len(brain.events()) == 200 - len(failed)


def test_it_goes_down_after_so_many_events_and_comes_up_on_its_port() -> None:
    with LocalBrain(down_after=3) as brain:
        client = Client(brain)
        assert [client.log(path=f"/{number}").status for number in range(3)] == [201] * 3
        for _ in range(3):
            with pytest.raises(ConnectionError):
                client.log()
        assert len(brain.events()) == 3
        brain.faults.clear()
        assert eventually_answered(client).status == 201
        assert len(brain.events()) == 4


def test_no_event_more_is_stored_though_many_come_at_once() -> None:
    with LocalBrain(down_after=5) as brain:
        client = Client(brain)

        def log(_: int) -> bool:
            with contextlib.suppress(*LOST, OSError):
                return client.log().status == 201
            return False

        with ThreadPoolExecutor(20) as pool:
            answered = sum(pool.map(log, range(40)))
        assert len(brain.events()) == 5
        assert answered <= 5


def test_down_breaks_connections_and_refuses_new_ones(brain: LocalBrain) -> None:
    client = Client(brain)
    with socket.create_connection(("127.0.0.1", brain.port), timeout=5) as idle:
        idle.sendall(head("GET", "/_local/state", [("Host", "localhost")]))
        assert idle.recv(100)
        brain.faults.down()
        deadline = time.monotonic() + 5
        with contextlib.suppress(ConnectionError):
            while idle.recv(65536):
                assert time.monotonic() < deadline
    with pytest.raises(ConnectionRefusedError):
        client.log()
    brain.faults.up()
    assert eventually_answered(client).status == 201


def test_it_is_down_when_down_returns_and_up_when_up_does(brain: LocalBrain, client: Client) -> None:
    for _ in range(30):
        brain.faults.down()
        with pytest.raises(ConnectionRefusedError):
            client.log()
        brain.faults.up()
        assert client.log().status == 201


def test_a_request_in_flight_is_lost_when_it_goes_down(brain: LocalBrain, client: Client) -> None:
    brain.faults.slow_ms = 5000
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.log)
        time.sleep(0.1)
        brain.faults.down()
        with pytest.raises(LOST):
            waiting.result(5)
    assert brain.events() == []


def test_a_brain_that_was_down_for_a_while_answers_again(brain: LocalBrain, client: Client) -> None:
    brain.faults.down(seconds=0.3)
    began = time.monotonic()
    time.sleep(0.05)
    with pytest.raises(ConnectionRefusedError):
        client.log()
    assert eventually_answered(client).status == 201
    assert time.monotonic() - began >= 0.25


def test_it_comes_up_once_its_port_is_free_again(brain: LocalBrain, client: Client) -> None:
    brain.faults.down()
    deadline = time.monotonic() + 5
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while True:
            try:
                other.bind(("127.0.0.1", brain.port))
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        other.listen()
        brain.faults.up()
        time.sleep(0.2)
    assert eventually_answered(client).status == 201


def test_it_can_be_closed_while_it_is_down() -> None:
    brain = LocalBrain()
    brain.start()
    brain.faults.down()
    brain.close()


def test_a_hang_answers_when_it_ends_and_the_event_is_stored_late(brain: LocalBrain, client: Client) -> None:
    with ThreadPoolExecutor(1) as pool:
        with brain.faults.inject(Mode.HANG):
            waiting = pool.submit(client.log, path="/late")
            time.sleep(0.15)
            assert not waiting.done()
            assert brain.events() == []
        assert waiting.result(5).status == 201
    assert brain.events()[0]["path"] == "/late"


def test_a_hanging_brain_closes_soon() -> None:
    with ThreadPoolExecutor(1) as pool:
        with LocalBrain() as brain:
            client = Client(brain)
            brain.faults.inject(Mode.HANG)
            waiting = pool.submit(client.log)
            time.sleep(0.1)
            began = time.monotonic()
        assert time.monotonic() - began < 10
        with pytest.raises(LOST):
            waiting.result(5)


def test_a_fault_ends_with_its_time_its_number_or_by_hand(brain: LocalBrain, client: Client) -> None:
    brain.faults.inject("capture-failed", seconds=1.0)
    assert client.log().status == 500
    time.sleep(1.0)
    assert client.log().status == 201
    brain.faults.inject("capture-failed", times=2)
    assert [client.log().status for _ in range(3)] == [500, 500, 201]
    fault = brain.faults.inject("capture-failed")
    assert client.log().status == 500
    fault.lift()
    assert client.log().status == 201
    brain.faults.inject("capture-failed")
    brain.faults.clear()
    assert client.log().status == 201


def test_a_fault_strikes_a_share_of_requests(brain: LocalBrain, client: Client) -> None:
    brain.faults.inject(Mode.CAPTURE_FAILED, rate=0.5)
    failed = sum(client.log().status == 500 for _ in range(100))
    assert 20 < failed < 80


def test_a_reset_stores_nothing_and_reset_after_stores_the_event(brain: LocalBrain, client: Client) -> None:
    with brain.faults.inject(Mode.RESET), pytest.raises(ConnectionResetError):
        client.log()
    assert brain.events() == []
    with brain.faults.inject(Mode.RESET_AFTER), pytest.raises(ConnectionResetError):
        client.log(path="/stored")
    assert [event["path"] for event in brain.events()] == ["/stored"]
    with brain.faults.inject(Mode.RESET_AFTER), pytest.raises(ConnectionResetError):
        client.post(SDK, b"{", client.sdk_headers)
    assert client.log().status == 201


def test_garbage_is_not_http_and_a_truncated_answer_breaks_off(brain: LocalBrain, client: Client) -> None:
    with brain.faults.inject(Mode.GARBAGE), pytest.raises(http.client.BadStatusLine):
        client.log()
    with brain.faults.inject(Mode.TRUNCATED), pytest.raises(http.client.IncompleteRead):
        client.log()
    assert brain.events() == []


def test_a_busy_brain_says_when_to_come_again(brain: LocalBrain, client: Client) -> None:
    with brain.faults.inject(Mode.BUSY):
        answer = client.log()
    assert (answer.status, answer.headers["retry-after"], answer.is_page) == (503, "1", True)
    assert brain.events() == []


def test_a_page_holds_the_requests_secrets(brain: LocalBrain, client: Client) -> None:
    with brain.faults.inject(Mode.PAGE):
        answer = client.log()
    assert (answer.status, answer.is_page) == (500, True)
    assert brain.sdk_key.encode() in answer.body
    assert client.token.encode() in answer.body
    assert brain.events() == []


def test_an_outage_of_uasam_looks_like_bad_keys_to_brain_and_not_to_uasam(client: Client) -> None:
    with client.brain.faults.inject(Mode.OUTAGE, "brain", "uasam", "agnost"):
        assert client.post(SDK, EVENT).description == "missing_sdk_key"
        answer = client.log()
        assert (answer.status, answer.description) == (401, "invalid_sdk_key")
        assert client.post(AGENT, EVENT, client.agent_headers).description == "invalid_or_expired_agent_key"
        assert client.post(CREATE_SESSION, {}, client.agent_headers).description == "invalid_agent_key"
        answer = client.post(AUTHENTICATE, b"", client.sdk_headers)
        assert answer.status == 500
        assert set(answer.json) == {"error"}
    assert client.log().status == 201


def test_one_services_faults_leave_the_others_alone(brain: LocalBrain, client: Client) -> None:
    org = {"X-Org-Id": brain.agnost_org_id}
    with brain.faults.inject(Mode.BUSY):
        assert client.log().status == 503
        assert client.post("/api/v1/capture-session", {}, org).status == 200
        assert client.post(VERIFY, {}, client.agent_headers).status == 200
    with brain.faults.inject(Mode.BUSY, "agnost"):
        assert client.log().status == 201
        assert client.post("/api/v1/capture-session", {}, org).status == 503
    with brain.faults.inject(Mode.BUSY, "uasam"):
        assert client.log().status == 201
        assert client.post(VERIFY, {}, client.agent_headers).status == 503


def test_an_unknown_mode_is_an_error(brain: LocalBrain) -> None:
    with pytest.raises(ValueError, match="explode"):
        brain.faults.inject("explode")


def test_an_idle_connection_is_closed_after_the_time_that_was_asked_for() -> None:
    with LocalBrain(keep_alive=1) as brain:
        began = time.monotonic()
        assert b" 200 " in speak(brain.port, head("GET", "/_local/state", [("Host", "localhost")]))
        assert 0.5 < time.monotonic() - began < 5


def test_faults_may_be_changed_while_requests_pour_in(brain: LocalBrain, client: Client) -> None:
    stop = threading.Event()

    def change() -> None:
        while not stop.wait(0.0005):  # without a pause this thread would hold the interpreter most of the time
            with brain.faults.inject(Mode.CAPTURE_FAILED, rate=0.5):
                brain.faults.slow_ms = 1
            brain.faults.clear()

    changing = threading.Thread(target=change)
    changing.start()
    try:
        statuses = client.log_many(200)
    finally:
        stop.set()
        changing.join()
    assert set(statuses) <= {201, 500}
    assert len(brain.events()) == statuses.count(201)
