"""One client that several sessions use: at once, one after the other, or one that is opened again."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from agent.callers import How
from agent.host import Host, redirects
from agent.record import Record
from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._outbound.httpx_library import installed
from otas_middleware.agent import AgentSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.callers import Caller
    from otas_middleware.localbrain import LocalBrain

httpx: Any = installed(None).module


@pytest.fixture
def another(brain: LocalBrain, inside: Host) -> Callable[[], AgentSession]:
    """Makes further sessions."""

    def make() -> AgentSession:
        return AgentSession(inside.url, agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url)

    return make


def _session_of(host: Host, brain: LocalBrain) -> AgentSession:
    """Return the session of another project."""
    return AgentSession(host.url, agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url)


class Depths:
    """What sends for a client, and notes how many frames are on the stack when it is asked to."""

    def __init__(self) -> None:
        self.depths: list[int] = []

    def note(self) -> None:
        self.depths.append(len(traceback.extract_stack()))


class HttpxDepths(Depths, httpx.BaseTransport):  # type: ignore[misc]
    """Of httpx."""

    def __init__(self) -> None:
        super().__init__()
        self.inner: Any = httpx.HTTPTransport()

    def handle_request(self, request: Any) -> Any:
        self.note()
        return self.inner.handle_request(request)

    def close(self) -> None:
        self.inner.close()


class RequestsDepths(Depths, HTTPAdapter):
    """Of requests."""

    def __init__(self) -> None:
        HTTPAdapter.__init__(self)
        Depths.__init__(self)

    def send(self, *args: Any, **options: Any) -> Any:
        self.note()
        return super().send(*args, **options)


def _client_of(library: str) -> tuple[Any, Depths]:
    if library == "httpx":
        transport = HttpxDepths()
        return httpx.Client(transport=transport), transport
    adapter, client = RequestsDepths(), requests.Session()
    client.trust_env = False
    client.mount("http://", adapter)
    return client, adapter


def test_two_sessions_on_one_client_keep_their_own_records(
    caller: Caller, session: AgentSession, outside: Host, record: Record, brain: LocalBrain
) -> None:
    with AgentSession(agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url) as other:
        caller.call(lambda client: other.instrument(session.instrument(client)), "GET", outside.url)
        assert len(Record(other, brain).events()) == 1
    assert len(record.events()) == 1


@pytest.mark.parametrize("latest", ["one", "other"])
def test_two_projects_on_one_client_get_their_own_token_each_and_no_other(
    caller: Caller, session: AgentSession, inside: Host, outside: Host, brain: LocalBrain, latest: str
) -> None:
    with Host() as elsewhere, _session_of(outside, brain) as other:
        sessions = (other, session) if latest == "one" else (session, other)

        def instrument(client: Any) -> Any:
            for each in sessions:
                each.instrument(client)
            return client

        for host in (inside, outside, elsewhere):
            caller.call(instrument, "GET", host.url)
        assert inside.one().header(TOKEN_HEADER) == [session.headers_for(inside.url)[TOKEN_HEADER]]
        assert outside.one().header(TOKEN_HEADER) == [other.headers_for(outside.url)[TOKEN_HEADER]]
        assert elsewhere.one().header(TOKEN_HEADER) == []
        assert len(Record(other, brain).events()) == len(Record(session, brain).events()) == 2


def test_the_token_of_another_session_goes_where_that_one_sends_it_and_nowhere_else(
    caller: Caller, session: AgentSession, outside: Host, brain: LocalBrain
) -> None:
    with Host() as elsewhere, _session_of(outside, brain) as other:
        headers = other.headers_for(outside.url)
        outside.on("/away", redirects(elsewhere.url))
        for url in (outside.url + "/away", elsewhere.url):
            caller.call(session.instrument, "GET", url, How(follow=True), headers=headers)
        forged = {**headers, "Host": "elsewhere.example"}
        caller.call(session.instrument, "GET", outside.url, headers=forged)
        assert [len(request.header(TOKEN_HEADER)) for request in outside.requests] == [1, 0]
        assert [request.header(TOKEN_HEADER) for request in elsewhere.requests] == [[], []]


def test_a_client_is_as_it_was_when_the_session_is_over(
    caller: Caller, session: AgentSession, inside: Host, outside: Host, record: Record
) -> None:
    session.close()
    for host in (inside, outside):
        caller.call(session.instrument, "GET", host.url)
        assert host.one().header(TOKEN_HEADER) == []
    assert record.events() == []


@pytest.mark.parametrize("library", ["httpx", "requests"])
def test_sessions_that_are_over_leave_nothing_on_the_way_of_a_clients_calls(
    another: Callable[[], AgentSession], outside: Host, brain: LocalBrain, library: str
) -> None:
    client, sender = _client_of(library)
    with client:
        for _ in range(5):
            with another() as session:
                session.instrument(client).get(outside.url)
                assert len(Record(session, brain).events()) == 1
    assert len(set(sender.depths)) == 1


@pytest.mark.parametrize("library", ["httpx", "requests"])
def test_a_session_that_ends_first_leaves_the_others_on_its_client(
    session: AgentSession,
    another: Callable[[], AgentSession],
    outside: Host,
    record: Record,
    brain: LocalBrain,
    library: str,
) -> None:
    client, sender = _client_of(library)
    with client, another() as first, another() as last:
        for each in (first, session, last):
            each.instrument(client)
        first.close()
        client.get(outside.url)
        session.close()
        client.get(outside.url)
        assert len(Record(last, brain).events()) == 2
    assert len(record.events()) == 1
    assert sender.depths[1] < sender.depths[0]


@pytest.mark.parametrize("library", ["httpx", "requests"])
def test_a_session_that_is_opened_again_has_its_clients_again(
    session: AgentSession, inside: Host, outside: Host, record: Record, library: str
) -> None:
    client, _ = _client_of(library)
    with client:
        session.instrument(client)
        session.close()
        client.get(outside.url)
        session.open()
        client.get(inside.url)
        client.get(outside.url)
    assert len(inside.one().header(TOKEN_HEADER)) == 1
    assert len(record.events()) == 1


def test_what_a_tracer_has_put_on_a_clients_transport_stays_when_the_session_is_over(
    session: AgentSession, outside: Host
) -> None:
    traced: list[str] = []
    transport: Any = session.transport(HttpxDepths())
    send = transport.handle_request

    def handle_request(request: Any) -> Any:
        traced.append(str(request.url))
        return send(request)

    transport.handle_request = handle_request
    with httpx.Client(transport=transport) as client:
        session.instrument(client)
        session.close()
        client.get(outside.url + "/after")
    assert traced == [outside.url + "/after"]
