"""httpx and httpx2 beside each other, and what generated SDKs do to their classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import pytest

from agent.callers import TLS
from otas_middleware._capture.session import TOKEN_HEADER

if TYPE_CHECKING:
    from agent.host import Host
    from agent.record import Record
    from otas_middleware.agent import AgentSession

httpx: Any = pytest.importorskip("httpx", reason="the older httpx is not installed")

RENAMED = ("BaseTransport", "AsyncBaseTransport", "Client", "AsyncClient", "Request", "Response", "SyncByteStream")


@pytest.fixture
def renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other people's classes as generated SDKs leave them: openai 1 and 2, anthropic 0, groq, together."""
    for name in RENAMED:
        monkeypatch.setattr(getattr(httpx, name), "__module__", "groq")
        monkeypatch.setattr(getattr(httpx2, name), "__module__", "openai")


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_call_works_when_an_sdk_has_renamed_the_librarys_classes(
    renamed: None, library: str, session: AgentSession, inside: Host, outside: Host, record: Record
) -> None:
    module: Any = {"httpx": httpx, "httpx2": httpx2}[library]
    for client in (
        session.instrument(module.Client(trust_env=False, verify=TLS)),
        session.client(library=library, trust_env=False, verify=TLS),
        module.Client(transport=session.transport(module.HTTPTransport(verify=TLS))),
    ):
        with client as http:
            assert http.get(inside.url).status_code == 200
            assert http.get(outside.url).status_code == 200
    assert all(request.header(TOKEN_HEADER) for request in inside.requests)
    assert [event["metadata"]["framework"] for event in record.events()] == [library] * 3


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_an_asynchronous_call_works_when_an_sdk_has_renamed_the_librarys_classes(
    renamed: None, library: str, session: AgentSession, outside: Host, record: Record
) -> None:
    module: Any = {"httpx": httpx, "httpx2": httpx2}[library]

    async def call() -> None:
        for client in (
            session.async_client(library=library, trust_env=False, verify=TLS),
            module.AsyncClient(transport=session.async_transport()),
        ):
            async with client as http:
                assert (await http.get(outside.url)).status_code == 200

    anyio.run(call)
    assert [event["metadata"]["framework"] for event in record.events()] == [library] * 2


def test_a_client_is_of_the_library_that_is_asked_for(session: AgentSession) -> None:
    assert isinstance(session.client(verify=TLS), httpx2.Client)
    assert isinstance(session.client(library="httpx2", verify=TLS), httpx2.Client)
    assert isinstance(session.client(library="httpx", verify=TLS), httpx.Client)
    assert isinstance(session.async_client(library="httpx", verify=TLS), httpx.AsyncClient)
    assert isinstance(session.transport(library="httpx"), httpx.BaseTransport)
    assert isinstance(session.async_transport(library="httpx"), httpx.AsyncBaseTransport)
    with pytest.raises(ValueError, match="'httpx2' or 'httpx', not 'urllib3'"):
        session.client(library="urllib3")


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_transport_fits_whichever_client_it_is_given_to(
    library: str, session: AgentSession, outside: Host, record: Record
) -> None:
    module: Any = {"httpx": httpx, "httpx2": httpx2}[library]
    with module.Client(transport=session.transport()) as http:
        http.get(outside.url + "/one")
        http.get(outside.url + "/two")
    assert [event["path"] for event in record.events()] == ["/one", "/two"]


def test_a_wrong_pairing_says_which_is_needed_and_sends_nothing(session: AgentSession, outside: Host) -> None:
    wrong = session.transport(library="httpx2")
    with httpx.Client(transport=wrong) as http, pytest.raises(TypeError, match=r'session\.client\(library="httpx"\)'):
        http.get(outside.url)
    assert outside.requests == []


def test_a_client_keeps_the_proxies_of_the_environment(
    session: AgentSession, inside: Host, outside: Host, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", outside.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for library in ("httpx", "httpx2"):
        with session.client(library=library, verify=TLS) as http:
            http.get("http://elsewhere.example/x")
            http.get(inside.url)
    assert [request.target for request in outside.requests] == ["http://elsewhere.example/x"] * 2
    assert [event["custom_properties"]["host"] for event in record.events()] == ["elsewhere.example"] * 2
    assert len(inside.requests) == 2


def test_where_httpx_hides_its_transports_an_existing_client_says_how_to_make_one(session: AgentSession) -> None:
    with httpx2.Client(verify=TLS) as client:
        hidden = client.__dict__.pop("_mounts")
        with pytest.raises(TypeError, match=r"session\.client\(\)"):
            session.instrument(client)
        client.__dict__["_mounts"] = hidden


def test_where_httpx_hides_its_transports_a_new_client_still_works(
    session: AgentSession, inside: Host, outside: Host, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    from otas_middleware._outbound import clients

    def hidden(*_: object) -> None:
        raise TypeError("hidden")

    monkeypatch.setattr(clients, "_instrument_httpx", hidden)
    with session.client() as http:
        http.get(inside.url)
        http.get(outside.url + "/x")
    assert len(inside.one().header(TOKEN_HEADER)) == 1
    assert record.one()["path"] == "/x"


class Noted(httpx2.Request):
    """A request of a class derived from the library's."""

    note = ""


def test_a_request_of_a_derived_class_keeps_what_it_has(session: AgentSession, inside: Host) -> None:
    seen: list[Any] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, content=request.read())

    request = Noted("POST", inside.url, content=b"body", extensions={"timeout": {"read": 3.0}})
    request.note = "mine"
    with httpx2.Client(transport=session.transport(httpx2.MockTransport(answer))) as http:
        assert http.send(request).content == b"body"
    (sent,) = seen
    assert sent is not request
    assert (type(sent), sent.note, sent.extensions["timeout"]) == (Noted, "mine", {"read": 3.0})
    assert TOKEN_HEADER in sent.headers
    assert TOKEN_HEADER not in request.headers
