"""The session: created at first use, renewed in time, one per process, and never a reason for a call to fail."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import httpx2
import pytest
import requests

import otas_middleware as otas
from agent.host import Host, as_json, closed_port, replies, streams
from agent.record import Record
from agent.uasam import PATH, Uasam
from otas_middleware import ConfigurationError
from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._runtime import runtime
from otas_middleware.agent import AgentSession, MissingAgentKeyError, SessionError
from support.agent import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otas_middleware.localbrain import LocalBrain


@pytest.fixture
def uasam(brain: LocalBrain) -> Iterator[Uasam]:
    """A UASAM of this test's own."""
    with Uasam(brain) as uasam:
        yield uasam


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# ---- its beginning


def test_entering_creates_the_session_with_its_meta(brain: LocalBrain, uasam: Uasam) -> None:
    session = AgentSession(agent_key=brain.agent_key, uasam_url=uasam.url, meta={"task": "refund 42"})
    assert (session.session_id, session.agent_id) == (None, None)
    with session as entered:
        assert entered is session
        assert entered.session_id
        assert entered.agent_id == brain.agent_id
        assert uasam.metas == [{"task": "refund 42"}]


def test_key_urls_and_domain_can_come_from_the_environment(
    brain: LocalBrain, inside: Host, outside: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTAS_AGENT_KEY", brain.agent_key)
    monkeypatch.setenv("OTAS_BRAIN_URL", brain.url)
    monkeypatch.setenv("OTAS_UASAM_URL", brain.url)
    monkeypatch.setenv("OTAS_PROJECT_DOMAIN", inside.url)
    with AgentSession() as session, session.client() as http:
        http.get(inside.url)
        http.get(outside.url + "/x")
        assert inside.one().header(TOKEN_HEADER)
        assert Record(session, brain).one()["path"] == "/x"


def test_its_clients_are_the_libraries_own(brain: LocalBrain) -> None:
    session = AgentSession(agent_key=brain.agent_key, uasam_url=brain.url)
    clients = session.client(), session.async_client(), session.requests_session()
    assert [type(client) for client in clients[:2]] == [httpx2.Client, httpx2.AsyncClient]
    assert isinstance(
        clients[2], requests.Session
    )  # of a class of ours, whose adapters are ours too when mounted later
    asyncio.run(session.aclose())


def test_entering_asynchronously_does_not_block_the_loop(brain: LocalBrain, uasam: Uasam) -> None:
    uasam.delay = 0.3

    async def agent() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        async with AgentSession(agent_key=brain.agent_key, uasam_url=uasam.url) as session:
            assert session.session_id is not None
        ticking.cancel()
        return ticks

    assert asyncio.run(agent()) >= 10


def test_without_with_the_session_begins_at_the_first_call_inside(
    brain: LocalBrain, uasam: Uasam, inside: Host
) -> None:
    session = AgentSession(inside.url, agent_key=brain.agent_key, brain_url=brain.url, uasam_url=uasam.url)
    assert uasam.metas == []
    with session.client() as http:
        http.get(inside.url)
        http.get(inside.url)
    assert len(uasam.metas) == 1
    assert all(request.header(TOKEN_HEADER) for request in inside.requests)


def test_without_with_a_call_outside_does_not_wait_for_the_session(
    brain: LocalBrain, uasam: Uasam, outside: Host
) -> None:
    uasam.delay = 2.0
    session = AgentSession(agent_key=brain.agent_key, brain_url=brain.url, uasam_url=uasam.url)
    with session.client() as http:
        began = time.monotonic()
        http.get(outside.url + "/early")
        assert time.monotonic() - began < 2.0
    assert session.flush(PATIENCE)
    assert Record(session, brain).one()["path"] == "/early"


def test_many_first_calls_at_once_make_one_session(brain: LocalBrain, uasam: Uasam, inside: Host) -> None:
    uasam.delay = 0.1
    session = AgentSession(inside.url, agent_key=brain.agent_key, brain_url=brain.url, uasam_url=uasam.url)

    async def calls() -> None:
        async with session.async_client() as http:
            await asyncio.gather(*(http.get(inside.url) for _ in range(20)))

    asyncio.run(calls())
    assert len(uasam.metas) == 1
    assert len({request.header(TOKEN_HEADER)[0] for request in inside.requests}) == 1


# ---- what can be wrong with it


def test_a_missing_key_is_named_with_its_fix() -> None:
    with pytest.raises(MissingAgentKeyError, match="OTAS_AGENT_KEY"), AgentSession():
        pass


def test_a_refused_key_is_named_without_its_value(brain: LocalBrain) -> None:
    key = "agent_AbCdEfGhIjK_" + "s" * 40
    with (
        pytest.raises(SessionError, match="OTAS_AGENT_KEY") as refusal,
        AgentSession(agent_key=key, uasam_url=brain.url),
    ):
        pass
    assert refusal.value.reason == "invalid_agent_key"
    assert "sss" not in str(refusal.value)
    assert "underscore" not in str(refusal.value)


def test_a_refused_key_with_an_underscore_in_its_prefix_is_known_as_unusable(brain: LocalBrain) -> None:
    key = "agent_AbCd_fGhIjK_" + "s" * 40
    with (
        pytest.raises(SessionError, match="underscore inside its prefix"),
        AgentSession(agent_key=key, uasam_url=brain.url),
    ):
        pass


def test_an_unreachable_uasam_is_named_with_its_fix(brain: LocalBrain) -> None:
    away = closed_port()
    session = AgentSession(agent_key=brain.agent_key, uasam_url=away)
    with pytest.raises(SessionError, match="OTAS_UASAM_URL") as failure, session:
        pass
    assert failure.value.reason == "connection_refused"
    assert away in str(failure.value)


@pytest.mark.parametrize(
    ("answer", "reason", "advice"),
    [
        (replies(b"<html>login</html>", content_type="text/html"), "http_200", "OTAS_UASAM_URL"),
        (replies(b"no", "404 Not Found"), "http_404", "OTAS_UASAM_URL"),
        (replies(b"<html>", "500 Internal Server Error"), "http_500", "try again"),
        (as_json({"status": 1, "response": {"jwt_token": "a b"}}), "http_200", "OTAS_UASAM_URL"),
        (as_json({"status": 1, "response": {"jwt_token": "e30.e30.e30"}}), "http_200", "OTAS_UASAM_URL"),
        (as_json([1]), "http_200", "OTAS_UASAM_URL"),
        (as_json({"status_description": "invalid_json"}, "400 Bad Request"), "invalid_json", "OTAS_UASAM_URL"),
    ],
)
def test_an_answer_that_is_no_session_is_a_clear_error(
    outside: Host, brain: LocalBrain, answer: Callable[..., list[bytes]], reason: str, advice: str
) -> None:
    outside.on(PATH, answer)
    session = AgentSession(agent_key=brain.agent_key, uasam_url=outside.url)
    with pytest.raises(SessionError, match=advice) as failure, session:
        pass
    assert failure.value.reason == reason
    assert brain.agent_key not in str(failure.value)


def test_meta_must_be_json() -> None:
    with pytest.raises(ConfigurationError, match="meta="):
        AgentSession(meta={"when": object()})


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(ConfigurationError, match="agent_kye"):
        AgentSession(agent_kye="agent_a_b")  # type: ignore[call-arg]


def test_the_kill_switch_lets_everything_through_as_it_is(inside: Host, outside: Host) -> None:
    with AgentSession(inside.url, enabled=False) as session, session.client() as http:
        http.get(inside.url)
        http.get(outside.url)
        with session.tool("search"):
            pass
        session.log("GET", "/x", status_code=200, latency_ms=1)
        assert session.headers_for(inside.url) == {}
    assert inside.one().header(TOKEN_HEADER) == []


def test_while_uasam_is_away_calls_go_out_plain_and_the_log_says_so_once(
    brain: LocalBrain, inside: Host, outside: Host, caplog: pytest.LogCaptureFixture
) -> None:
    away = closed_port()
    session = AgentSession(inside.url, agent_key=brain.agent_key, brain_url=brain.url, uasam_url=away)
    with caplog.at_level(logging.WARNING, "otas_middleware"), session.client() as http:
        for _ in range(3):
            assert http.get(inside.url).status_code == 200
            assert http.get(outside.url).status_code == 200
    assert all(request.header(TOKEN_HEADER) == [] for request in inside.requests)
    (line,) = (line for line in caplog.messages if away in line)  # a session of another test may have its own
    assert "OTAS_UASAM_URL" in line
    assert not session.flush(0.1)
    assert session.stats()["queued"] >= 3
    session._core._waiting.give_up()  # so that the end of the test run does not wait for them


def test_calls_that_waited_for_a_session_are_logged_when_there_is_one(
    brain: LocalBrain, uasam: Uasam, outside: Host
) -> None:
    uasam.away = True
    session = AgentSession(agent_key=brain.agent_key, brain_url=brain.url, uasam_url=uasam.url)
    with session.client() as http:
        http.get(outside.url + "/one")
        with session.tool("search"):
            http.get(outside.url + "/two")
        wait_until(lambda: uasam.metas)
        uasam.away = False
        wait_until(lambda: session.session_id)
        http.get(outside.url + "/three")
    paths = [event["path"] for event in Record(session, brain).events()]
    assert sorted(paths) == ["/one", "/three", "/tools/search", "/two"]


def test_calls_without_a_session_are_bounded_and_counted(brain: LocalBrain, uasam: Uasam, outside: Host) -> None:
    uasam.away = True
    session = AgentSession(
        agent_key=brain.agent_key, brain_url=brain.url, uasam_url=uasam.url, queue_max_events=5, max_retry_delay=60
    )
    for number in range(12):
        session.log("GET", f"/{number}", status_code=200, latency_ms=1)
    stats = session.stats()
    assert (stats["captured"], stats["queued"], stats["dropped"]) == (12, 5, {"no_session": 7})
    session._core._waiting.give_up()


# ---- its renewal


def test_a_session_is_renewed_before_it_ends_while_calls_go_on(brain: LocalBrain, uasam: Uasam, inside: Host) -> None:
    uasam.life = 2.0
    with AgentSession(
        inside.url, agent_key=brain.agent_key, brain_url=brain.url, uasam_url=uasam.url, meta={"task": "long"}
    ) as session:
        first = session.session_id
        uasam.life = 3600.0
        with session.client() as http:
            wait_until(lambda: http.get(inside.url).is_success and session.session_id != first)
        assert all(len(request.header(TOKEN_HEADER)) == 1 for request in inside.requests)
        assert len(uasam.metas) == 2
        assert uasam.metas[1] == {"task": "long", "previous_session_id": first}


def test_a_session_that_cannot_be_renewed_serves_to_its_end_and_then_no_more(
    brain: LocalBrain, uasam: Uasam, inside: Host, caplog: pytest.LogCaptureFixture
) -> None:
    uasam.life = 2.0
    with AgentSession(inside.url, agent_key=brain.agent_key, brain_url=brain.url, uasam_url=uasam.url) as session:
        uasam.away = True
        with session.client() as http:
            wait_until(lambda: http.get(inside.url).is_success and "could not be renewed" in caplog.text)
            assert inside.requests[-1].header(TOKEN_HEADER)
            wait_until(lambda: session.session_id is None)
            http.get(inside.url)
            assert inside.requests[-1].header(TOKEN_HEADER) == []


def test_a_clock_that_differs_from_uasams_neither_ends_nor_prolongs_a_session(brain: LocalBrain, uasam: Uasam) -> None:
    uasam.clock, uasam.life = -7200.0, 3600.0
    with AgentSession(agent_key=brain.agent_key, brain_url=brain.url, uasam_url=uasam.url) as session:
        assert session.session_id is not None


def test_a_token_that_brain_refuses_is_given_up_and_the_next_call_gets_another(
    brain: LocalBrain, uasam: Uasam, inside: Host, outside: Host
) -> None:
    uasam.clock = -7200.0  # long ended, by Brain's clock
    with AgentSession(inside.url, agent_key=brain.agent_key, brain_url=brain.url, uasam_url=uasam.url) as session:
        first = session.session_id
        uasam.clock = 0.0
        with session.client() as http:
            http.get(outside.url + "/refused")
            assert session.flush(PATIENCE)
            assert session.stats()["dropped"]["bad_token"] >= 1
            http.get(inside.url)
            assert session.session_id not in {None, first}
            http.get(outside.url + "/accepted")
        assert [event["path"] for event in Record(session, brain).events()] == ["/accepted"]


# ---- processes

FORK = """
import json, os, sys
from otas_middleware.agent import AgentSession

inside, outside = sys.argv[1:]
session = AgentSession(inside)
with session:
    def call(who):
        with session.client(headers={"Connection": "close"}) as http:
            http.get(f"{inside}/{who}")
            http.get(f"{outside}/{who}")
    call("parent")
    parent = session.session_id
    child = os.fork()
    if child == 0:
        assert session.session_id is None
        call("child")
        assert session.session_id not in (None, parent)
        assert session.flush(10)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    call("parent-again")
    assert session.session_id == parent
    print(json.dumps(parent))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(
    "numbers",
    ["", "import os; os.getpid = lambda: 1\n"],
    ids=["", "with its parent's number, in a namespace of process ids within another"],
)
def test_a_forked_child_has_a_session_of_its_own_and_logs_its_own_calls(
    brain: LocalBrain, inside: Host, outside: Host, numbers: str
) -> None:
    environment = {
        **os.environ,
        "OTAS_AGENT_KEY": brain.agent_key,
        "OTAS_BRAIN_URL": brain.url,
        "OTAS_UASAM_URL": brain.url,
    }
    before = len(brain.events())
    ended = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", numbers + FORK, inside.url, outside.url],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    parent = json.loads(ended.stdout)
    assert [event["path"] for event in brain.events(parent)] == ["/parent", "/parent-again"]
    (child,) = [
        event for event in brain.events()[before:] if event["path"] == "/child" and event["agent_session_id"] != parent
    ]
    tokens = {request.target: request.header(TOKEN_HEADER)[0] for request in inside.requests}
    assert tokens["/parent"] == tokens["/parent-again"] != tokens["/child"]
    assert child["source"] == "agent"


EXIT = """
import sys
from otas_middleware.agent import AgentSession

session = AgentSession()
http = session.client()
http.get(sys.argv[1] + "/at-the-end")
"""


def test_a_script_that_ends_at_once_has_logged_its_calls(brain: LocalBrain, outside: Host) -> None:
    environment = {
        **os.environ,
        "OTAS_AGENT_KEY": brain.agent_key,
        "OTAS_BRAIN_URL": brain.url,
        "OTAS_UASAM_URL": brain.url,
    }
    before = len(brain.events())
    subprocess.run([sys.executable, "-c", EXIT, outside.url], env=environment, timeout=60, check=True)
    assert [event["path"] for event in brain.events()[before:]].count("/at-the-end") == 1


UNFINISHED = """
import sys, threading, time
from otas_middleware.agent import AgentSession

session = AgentSession()
session.open()
http = session.client()
unread = http.send(http.build_request("GET", sys.argv[1] + "/unread"), stream=True)
half_read = http.send(http.build_request("GET", sys.argv[1] + "/half-read"), stream=True)
pieces = half_read.iter_raw()
next(pieces)
waiting = threading.Thread(target=http.get, args=(sys.argv[1] + "/unanswered",), daemon=True)
waiting.start()
time.sleep(0.3)
"""


def test_a_script_that_ends_in_the_middle_of_its_calls_has_logged_them_as_far_as_they_came(
    brain: LocalBrain, outside: Host
) -> None:
    ended = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"data: one\n\n"
        ended.wait(10)

    def never(_: object) -> Iterator[bytes]:
        ended.wait(10)
        yield b""

    outside.on("/unread", streams(pieces()))
    outside.on("/half-read", streams(pieces()))
    outside.on("/unanswered", never)
    environment = {
        **os.environ,
        "OTAS_AGENT_KEY": brain.agent_key,
        "OTAS_BRAIN_URL": brain.url,
        "OTAS_UASAM_URL": brain.url,
        "OTAS_SHUTDOWN_TIMEOUT": "20",
    }
    before = len(brain.events())
    subprocess.run([sys.executable, "-c", UNFINISHED, outside.url], env=environment, timeout=60, check=True)
    ended.set()
    found = {
        event["path"]: (event["status_code"], event["response_body"], event["metadata"]["aborted"])
        for event in brain.events()[before:]
    }
    assert found == {
        "/unread": (200, "", True),
        "/half-read": (200, "data: one\n\n", True),
        "/unanswered": (0, "", True),
    }


def test_importing_the_agents_side_brings_no_http_client_and_starts_nothing() -> None:
    code = (
        "import sys, threading, otas_middleware.agent, otas_middleware.propagate\n"
        "print(*sorted(sys.modules))\n"
        "assert threading.active_count() == 1"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ended.stdout.split())
    assert loaded.isdisjoint({"httpx", "httpx2", "httpcore", "httpcore2", "requests", "celery", "pydantic"})


def test_the_token_and_the_key_are_in_no_repr(brain: LocalBrain, inside: Host) -> None:
    with AgentSession(inside.url, agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url) as session:
        token = session.headers_for(inside.url)[TOKEN_HEADER]
        with session.client() as http:
            shown = repr(session) + repr(http) + repr(session._core.settings) + repr(session._core.manager.at_hand())
    assert session.session_id is not None
    assert session.session_id in shown
    assert token not in shown
    assert brain.agent_key not in shown


def test_the_counters_and_the_flush_of_the_process_include_the_agents_side(
    brain: LocalBrain, uasam: Uasam, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "recorders", {})  # those of earlier tests may count on, or end
    monkeypatch.setattr(runtime, "sources", [])
    with AgentSession(agent_key=brain.agent_key, brain_url=brain.url, uasam_url=uasam.url) as session:
        session.log("GET", "/x", status_code=200, latency_ms=1)
        assert otas.flush(PATIENCE)
    after = otas.stats()
    assert (after["captured"], after["delivered"]) == (1, 1)
