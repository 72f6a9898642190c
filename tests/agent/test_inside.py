"""Calls inside the domain: the token, and nothing else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from agent.callers import BODIES, BOUNDARY, How, bare
from agent.host import breaks_off, closed_port, drops, redirects, replies, response, streams
from agent.record import Record
from otas_middleware._capture.session import TOKEN_HEADER, read_claims
from otas_middleware.agent import AgentSession
from support.delivery import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.callers import Caller
    from agent.host import Answer, Host, Received
    from otas_middleware.localbrain import LocalBrain


def test_a_call_inside_carries_the_sessions_token(
    caller: Caller, session: AgentSession, inside: Host, record: Record
) -> None:
    assert caller.call(session.instrument, "GET", inside.url + "/orders/42").status == 200
    (token,) = inside.one().header(TOKEN_HEADER)
    claims = read_claims(token)
    assert claims is not None
    assert claims["agent_session_id"] == session.session_id
    assert record.events() == []


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_but_for_the_token_the_request_is_the_same_byte_for_byte(
    caller: Caller, session: AgentSession, inside: Host, body: dict[str, Any]
) -> None:
    headers = {"X-Custom": "kept", "Accept-Encoding": "identity"}
    caller.call(bare, "POST", inside.url + "/orders?a=1&a=2", headers=headers, **body)
    caller.call(session.instrument, "POST", inside.url + "/orders?a=1&a=2", headers=headers, **body)
    without, ours = inside.requests
    line = f"{TOKEN_HEADER}: {ours.header(TOKEN_HEADER)[0]}\r\n".encode()
    assert BOUNDARY.sub(b"", ours.raw.replace(line, b"")) == BOUNDARY.sub(b"", without.raw)


def test_the_answer_is_the_same(caller: Caller, session: AgentSession, inside: Host) -> None:
    inside.on("/a", replies(b"caf\xe9", "418 I'm a teapot", "text/plain; charset=latin-1", ["X-A: 1", "X-A: 2"]))
    assert caller.call(session.instrument, "GET", inside.url + "/a") == caller.call(bare, "GET", inside.url + "/a")
    inside.on("/b", streams([b"data: 1\n\n", b"data: 2\n\n"]))
    how = How(stream=True)
    ours = caller.call(session.instrument, "GET", inside.url + "/b", how)
    assert ours == caller.call(bare, "GET", inside.url + "/b", how)
    assert ours.body == b"data: 1\n\ndata: 2\n\n"


def test_the_callers_request_object_never_holds_the_token(session: AgentSession, inside: Host) -> None:
    with session.client() as http:
        response = http.get(inside.url)
    assert inside.one().header(TOKEN_HEADER)
    assert TOKEN_HEADER not in response.request.headers


def test_the_prepared_request_of_requests_never_holds_the_token(session: AgentSession, inside: Host) -> None:
    with session.requests_session() as http:
        response = http.get(inside.url)
    assert inside.one().header(TOKEN_HEADER)
    assert TOKEN_HEADER not in response.request.headers


def test_a_token_that_the_caller_put_in_is_replaced_and_keys_are_taken_out(
    caller: Caller, session: AgentSession, inside: Host
) -> None:
    headers = {
        "x-otas-agent-session-token": "an.old.one",
        "X-OTAS-Agent-Key": "agent_a_b",
        "X-OTAS-SDK-KEY": "otas_a_b",
    }
    caller.call(session.instrument, "GET", inside.url, headers=headers)
    request = inside.one()
    assert len(request.header(TOKEN_HEADER)) == 1
    assert request.header(TOKEN_HEADER) != ["an.old.one"]
    assert request.header("x-otas-agent-key") == request.header("x-otas-sdk-key") == []


def test_redirects_inside_the_domain_keep_the_token(caller: Caller, session: AgentSession, inside: Host) -> None:
    inside.on("/old", redirects("/new"))
    assert caller.call(session.instrument, "GET", inside.url + "/old", How(follow=True)).status == 200
    assert inside.paths() == ["/old", "/new"]
    assert all(len(request.header(TOKEN_HEADER)) == 1 for request in inside.requests)


def test_a_refused_connection_looks_as_it_does_without_us(caller: Caller, brain: LocalBrain) -> None:
    away = closed_port()
    with AgentSession(away, agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url) as session:
        ours, without = (caller.call(instrument, "GET", away) for instrument in (session.instrument, bare))
        assert ours.error == without.error != ""
        assert Record(session, brain).events() == []


@pytest.mark.parametrize("problem", ["dropped", "broken off", "too slow", "stalls"])
def test_a_failure_inside_reaches_the_agent_as_without_us(
    caller: Caller, session: AgentSession, inside: Host, record: Record, problem: str
) -> None:
    over = threading.Event()

    def hangs(_: Received) -> Iterator[bytes]:
        over.wait(5)
        yield b""

    def stalls(request: Received) -> Iterable[bytes]:
        def pieces() -> Iterator[bytes]:
            yield b"data: one\n\n"
            over.wait(5)

        return streams(pieces())(request)

    answers: dict[str, Answer] = {"dropped": drops, "broken off": breaks_off, "too slow": hangs, "stalls": stalls}
    url = inside.on("/x", answers[problem])
    how = How(timeout=0.6 if problem in {"too slow", "stalls"} else 10.0)
    ours, without = (caller.call(instrument, "GET", url, how) for instrument in (session.instrument, bare))
    over.set()
    assert ours.error == without.error != ""
    tries = 2 if problem == "dropped" and caller.name == "aiohttp" else 1  # aiohttp's own retry
    eventually(lambda: len(inside.requests) >= 2 * tries)  # a busy host may read it after the agent has given up
    assert [len(request.header(TOKEN_HEADER)) for request in inside.requests] == [1] * tries + [0] * tries
    assert record.events() == []


def test_each_try_of_a_retrying_transport_carries_the_token(session: AgentSession, inside: Host) -> None:
    answers = [response(b"busy", "503 Service Unavailable"), response(b"done")]
    inside.on("/flaky", lambda _: [answers.pop(0)])
    with requests.Session() as client:
        client.mount("http://", HTTPAdapter(max_retries=Retry(1, status_forcelist=[503], backoff_factor=0)))
        assert session.instrument(client).get(inside.url + "/flaky").text == "done"
    assert [len(request.header(TOKEN_HEADER)) for request in inside.requests] == [1, 1]


def test_headers_for_says_what_any_other_library_should_send(
    session: AgentSession, inside: Host, outside: Host
) -> None:
    headers = session.headers_for(inside.url + "/orders")
    with session.client() as http:
        http.get(inside.url)
    assert headers == {TOKEN_HEADER: inside.one().header(TOKEN_HEADER)[0]}
    assert session.headers_for(outside.url) == {}
    assert session.headers_for("not a url") == {}
