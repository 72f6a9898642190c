"""UASAM away, hanging or refused by Brain: the agent's own calls go out all the same, and soon."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

import otas_middleware
from agent.host import as_json, redirects
from agent.record import Record
from agent.uasam import PATH, Uasam
from otas_middleware._agent import session_manager
from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._errors import counts
from otas_middleware.agent import AgentSession, SessionError
from support.agent import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.callers import Caller
    from agent.host import Host
    from otas_middleware._capture.session import SessionInfo
    from otas_middleware.localbrain import LocalBrain

CALL_PATIENCE = session_manager.CALL_PATIENCE


@pytest.fixture
def uasam(brain: LocalBrain) -> Iterator[Uasam]:
    """A UASAM of this test's own."""
    with Uasam(brain) as uasam:
        yield uasam
        uasam.answers.set()


@pytest.fixture
def unopened(brain: LocalBrain, uasam: Uasam, inside: Host) -> AgentSession:
    """A session that begins at its first use."""
    return AgentSession(inside.url, agent_key=brain.agent_key, brain_url=brain.url, uasam_url=uasam.url)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls wait for their first session for a third of a second only, so that a test need not."""
    monkeypatch.setattr(session_manager, "CALL_PATIENCE", 0.3)


def test_while_uasam_hangs_one_call_waits_a_little_and_the_next_ones_not_at_all(
    caller: Caller, impatient: None, unopened: AgentSession, uasam: Uasam, inside: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    uasam.answers.clear()
    first = seconds(lambda: caller.call(unopened.instrument, "GET", inside.url + "/first"))
    assert 0.3 <= first < CALL_PATIENCE
    for wait in ("CALL_PATIENCE", "MOMENT"):  # whatever waited at all would be told from a busy machine
        monkeypatch.setattr(session_manager, wait, session_manager.PATIENCE)
    second = seconds(lambda: caller.call(unopened.instrument, "GET", inside.url + "/second"))
    assert second < CALL_PATIENCE
    assert [request.header(TOKEN_HEADER) for request in inside.requests] == [[], []]

    uasam.answers.set()  # what was begun goes on behind the calls
    wait_until(lambda: unopened.session_id)
    caller.call(unopened.instrument, "GET", inside.url + "/third")
    assert inside.requests[-1].header(TOKEN_HEADER)
    assert len(uasam.metas) == 1


def test_while_uasam_hangs_calls_outside_go_out_at_once_and_are_logged_later(
    caller: Caller, unopened: AgentSession, uasam: Uasam, outside: Host, brain: LocalBrain
) -> None:
    uasam.answers.clear()
    assert seconds(lambda: caller.call(unopened.instrument, "GET", outside.url + "/early")) < CALL_PATIENCE
    uasam.answers.set()
    assert unopened.flush(PATIENCE)
    assert Record(unopened, brain).one()["path"] == "/early"


def test_a_call_that_waits_for_the_session_can_be_cancelled(unopened: AgentSession, uasam: Uasam, inside: Host) -> None:
    uasam.answers.clear()

    async def agent() -> None:
        async with unopened.async_client() as http:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(http.get(inside.url), 0.1)

    assert seconds(lambda: asyncio.run(agent())) < CALL_PATIENCE
    assert inside.requests == []


def test_a_session_that_cannot_be_opened_is_an_error_of_with_and_of_nothing_else(
    unopened: AgentSession, uasam: Uasam, inside: Host
) -> None:
    uasam.away = True
    with pytest.raises(SessionError), unopened:
        pass
    with unopened.client() as http:
        assert http.get(inside.url).status_code == 200
    uasam.away = False
    with unopened:
        assert unopened.session_id is not None


def test_where_no_thread_can_be_started_the_call_gets_its_session_by_itself(
    unopened: AgentSession, inside: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object) -> bool:
        return False

    monkeypatch.setattr(session_manager, "start_thread", start)
    with unopened.client() as http:
        http.get(inside.url)
    assert inside.one().header(TOKEN_HEADER)


def test_threads_that_find_the_session_near_its_end_renew_it_once(
    unopened: AgentSession, uasam: Uasam, inside: Host
) -> None:
    uasam.life = 1.0
    with unopened, unopened.client() as http, ThreadPoolExecutor(8) as threads:
        uasam.life = 3600.0
        first = unopened.session_id
        began = threading.Barrier(8)

        def call(_: int) -> None:
            began.wait()
            wait_until(lambda: http.get(inside.url).is_success and unopened.session_id != first)

        list(threads.map(call, range(8)))
    assert len(uasam.metas) == 2
    assert all(len(request.header(TOKEN_HEADER)) == 1 for request in inside.requests)


def test_tasks_that_find_the_session_near_its_end_renew_it_once(
    unopened: AgentSession, uasam: Uasam, inside: Host
) -> None:
    uasam.life = 1.0

    async def agent() -> None:
        async with unopened, unopened.async_client() as http:
            uasam.life = 3600.0
            first = unopened.session_id
            while unopened.session_id == first:
                await asyncio.gather(*(http.get(inside.url) for _ in range(8)))

    asyncio.run(agent())
    assert len(uasam.metas) == 2
    assert all(len(request.header(TOKEN_HEADER)) == 1 for request in inside.requests)


def test_a_brain_that_refuses_every_token_does_not_have_one_made_for_each_call(
    unopened: AgentSession, uasam: Uasam, outside: Host
) -> None:
    uasam.clock = -7200.0  # long ended, by Brain's clock
    with unopened, unopened.client() as http:
        for _ in range(12):
            http.get(outside.url)
            unopened.flush(0.2)
    assert len(uasam.metas) <= 4
    unopened._core._waiting.give_up()  # so that the end of the test run does not wait for them


def test_the_end_of_a_session_that_could_not_be_renewed_is_said_once(
    unopened: AgentSession, uasam: Uasam, inside: Host, caplog: pytest.LogCaptureFixture
) -> None:
    def said(text: str) -> int:
        """How often this session's part of the log says so; those of other tests may still be waiting for theirs."""
        return sum(text in line and uasam.url in line for line in caplog.messages)

    uasam.life = 1.5
    with unopened, unopened.client() as http:
        uasam.away = True
        wait_until(lambda: http.get(inside.url).is_success and said("there is no session"))
        assert unopened.session_id is None
    assert said("there is no session") == 1
    assert said("could not be renewed") >= 1


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_uasam_that_redirects_does_not_lead_the_key_elsewhere(
    brain: LocalBrain, inside: Host, outside: Host, status: str
) -> None:
    inside.on(PATH, redirects(outside.url + PATH, status))
    session = AgentSession(agent_key=brain.agent_key, brain_url=brain.url, uasam_url=inside.url)
    with pytest.raises(SessionError, match="OTAS_UASAM_URL"), session:
        pass
    assert inside.one().header("x-otas-agent-key") == [brain.agent_key]
    assert outside.requests == []


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_brain_that_redirects_does_not_lead_the_key_elsewhere(
    brain: LocalBrain, inside: Host, outside: Host, status: str
) -> None:
    path = "/api/v1/backend/log/agent/"
    inside.on(path, redirects(outside.url + path, status))
    with AgentSession(agent_key=brain.agent_key, brain_url=inside.url, uasam_url=brain.url) as session:
        session.log("GET", "/x", status_code=200, latency_ms=1)
        wait_until(lambda: inside.requests)
        inside.on(path, as_json({"status": 1, "status_description": "event_captured"}, "201 Created"))
        assert session.flush(PATIENCE)
    assert inside.requests[0].header("x-otas-agent-key") == [brain.agent_key]
    assert outside.requests == []


def test_neither_uasam_nor_brain_is_reached_through_the_applications_proxy(
    brain: LocalBrain, outside: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, outside.url)
    with AgentSession(agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url) as session:
        session.log("GET", "/x", status_code=200, latency_ms=1)
        assert Record(session, brain).one()["path"] == "/x"
    assert outside.requests == []


def test_after_a_fault_of_ours_too_the_next_try_waits(as_in_production: None) -> None:
    def create(_previous: object, _patience: float) -> SessionInfo:
        raise RuntimeError("ours")

    before = counts["agent.session"]
    manager = session_manager.SessionManager(create, 30.0, lambda _session: None)
    assert manager.attempt() is None
    assert manager.retry_in > 0.0
    assert manager.attempt() is None
    assert counts["agent.session"] == before + 1


def test_the_counters_can_be_looked_at_while_sessions_are_made() -> None:
    def make() -> AgentSession:
        return AgentSession(
            agent_key="agent_abcdefghijk_secret", brain_url="http://127.0.0.1:9", meta={"many": "times"}
        )

    made = [make() for _ in range(200)]
    thread = threading.Thread(target=lambda: made.extend(make() for _ in range(200)))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        thread.start()
        while thread.is_alive():
            otas_middleware.stats()
    finally:
        sys.setswitchinterval(interval)
        thread.join()
    assert len(made) == 400
