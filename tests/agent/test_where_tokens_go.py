"""The token on the wire: to the hosts of the domain and to no other, by whatever way a call is led astray."""

from __future__ import annotations

import asyncio
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

import httpx2
import pytest
from hypercorn.config import Config

from agent.callers import TLS, Caller, How
from agent.host import redirects, replies
from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware.agent import AgentSession
from support.agent import PATIENCE
from support.loopback import listen

if TYPE_CHECKING:
    from types import TracebackType

    from agent.host import Host
    from agent.record import Record
    from otas_middleware._capture.asgi_scope import Receive, Scope, Send
    from otas_middleware.localbrain import LocalBrain

STATUSES = ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]


def under(name: str, host: Host) -> str:
    """The URL of a host under another of its names: the same server, and yet another host."""
    return f"http://{name}:{host.port}"


@pytest.mark.parametrize("status", STATUSES)
def test_no_kind_of_redirect_takes_the_token_to_another_name_of_the_same_server(
    caller: Caller, session: AgentSession, inside: Host, status: str
) -> None:
    inside.on("/there", redirects(under("localhost", inside) + "/astray", status))
    caller.call(session.instrument, "POST", inside.url + "/there", How(follow=True), json={"a": 1})
    assert {request.target: bool(request.header(TOKEN_HEADER)) for request in inside.requests} == {
        "/there": True,
        "/astray": False,
    }


def test_a_chain_of_redirects_carries_the_token_only_where_it_is_inside(
    caller: Caller, session: AgentSession, inside: Host, outside: Host
) -> None:
    inside.on("/1", redirects(outside.url + "/2", "308 Permanent"))
    outside.on("/2", redirects(inside.url + "/3", "307 Temporary"))
    inside.on("/3", redirects(f"http://user:hunter2@127.0.0.1:{outside.port}/4", "307 Temporary"))
    caller.call(session.instrument, "PUT", inside.url + "/1", How(follow=True), content=b"x")
    assert inside.paths() == ["/1", "/3"]
    assert outside.paths() == ["/2", "/4"]
    assert all(len(request.header(TOKEN_HEADER)) == 1 for request in inside.requests)
    assert all(request.header(TOKEN_HEADER) == [] for request in outside.requests)


def test_a_user_name_that_looks_like_the_domain_is_not_the_domain(
    caller: Caller, session: AgentSession, inside: Host, outside: Host
) -> None:
    caller.call(session.instrument, "GET", f"http://127.0.0.1:{inside.port}@localhost:{outside.port}/")
    assert outside.one().header(TOKEN_HEADER) == []


def test_a_user_name_in_a_url_inside_changes_nothing(caller: Caller, session: AgentSession, inside: Host) -> None:
    caller.call(session.instrument, "GET", f"http://user:hunter2@127.0.0.1:{inside.port}/")
    assert len(inside.one().header(TOKEN_HEADER)) == 1


def test_a_password_in_a_url_outside_is_not_recorded(
    caller: Caller, session: AgentSession, outside: Host, record: Record
) -> None:
    caller.call(session.instrument, "GET", f"http://user:hunter2@127.0.0.1:{outside.port}/x")
    assert outside.one().header("authorization")
    assert "hunter2" not in str(record.one())
    assert "dXNlcjpodW50ZXIy" not in str(record.one())  # the same in base64


def test_a_host_header_that_names_the_domain_opens_nothing(
    caller: Caller, session: AgentSession, inside: Host, outside: Host
) -> None:
    caller.call(session.instrument, "GET", outside.url, headers={"Host": f"127.0.0.1:{inside.port}"})
    assert outside.one().header("host") == [f"127.0.0.1:{inside.port}"]
    assert outside.one().header(TOKEN_HEADER) == []


@pytest.mark.parametrize(
    "named", ["elsewhere.example", "elsewhere.example:80", "http://{inside}", "x@{inside}", "{inside}/x", "127.0.0.1"]
)
def test_a_host_header_that_names_another_host_takes_the_token_nowhere(
    caller: Caller, named: str, session: AgentSession, inside: Host
) -> None:
    host = named.format(inside=f"127.0.0.1:{inside.port}")
    caller.call(session.instrument, "GET", inside.url + "/x", headers={"Host": host})
    assert inside.one().header("host") == [host]
    assert inside.one().header(TOKEN_HEADER) == []


def test_a_host_header_that_names_another_host_inside_keeps_the_token(
    caller: Caller, brain: LocalBrain, inside: Host
) -> None:
    domain = (inside.url, "http://api.project.example")
    with AgentSession(domain, agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url) as session:
        caller.call(session.instrument, "GET", inside.url + "/x", headers={"Host": "API.project.example"})
    assert len(inside.one().header(TOKEN_HEADER)) == 1


def test_of_a_part_of_a_host_only_calls_to_that_part_get_the_token(
    caller: Caller, brain: LocalBrain, inside: Host
) -> None:
    inside.on("/api/out", redirects("/admin", "307 Temporary"))
    with AgentSession(
        inside.url + "/api/*", agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url
    ) as session:
        for path in ("/api/orders", "/api", "/apis", "/api/%2e%2e/admin", "/api/..;/admin", "/api/%252e%252e/admin"):
            caller.call(session.instrument, "GET", inside.url + path)
        caller.call(session.instrument, "GET", inside.url + "/api/out", How(follow=True))
    with_token = [request.target for request in inside.requests if request.header(TOKEN_HEADER)]
    assert with_token == ["/api/orders", "/api", "/api/out"]
    assert inside.paths()[-1] == "/admin"
    assert len(inside.requests) == 8


def test_a_target_that_replaces_the_urls_own_decides(brain: LocalBrain, inside: Host) -> None:
    with (
        AgentSession(
            inside.url + "/api/*", agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url
        ) as session,
        session.client(verify=TLS) as http,
    ):
        for target in (b"/api/orders", "/admin", b"*", b"http://elsewhere.example/api/orders"):
            http.get(inside.url + "/api/x", extensions={"target": target})
    assert [bool(request.header(TOKEN_HEADER)) for request in inside.requests] == [True, False, False, False]


def test_a_proxy_gets_no_token_to_open_a_tunnel_with(
    caller: Caller, brain: LocalBrain, outside: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside.on("api.project.example:443", replies(b"no", "403 Forbidden"))
    with (
        AgentSession(
            "https://api.project.example", agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url
        ) as session,
        session.client(proxy=outside.url, verify=TLS) as http,
        pytest.raises(httpx2.ProxyError),
    ):
        http.get("https://api.project.example/orders")
    assert outside.one().method == "CONNECT"
    assert outside.one().header(TOKEN_HEADER) == []


@pytest.mark.parametrize("library", ["httpx2", "requests"])
def test_a_transport_that_is_mounted_later_is_covered_too(
    library: str, session: AgentSession, inside: Host, outside: Host, record: Record
) -> None:
    if library == "requests":
        from requests.adapters import HTTPAdapter

        with session.requests_session() as requester:
            requester.mount("http://", HTTPAdapter(max_retries=2))
            requester.get(inside.url)
            requester.get(outside.url + "/x")
    else:
        mounts = {f"all://127.0.0.1:{outside.port}": httpx2.HTTPTransport(retries=2, verify=TLS)}
        with session.client(mounts=mounts, verify=TLS) as http:
            http.get(inside.url)
            http.get(outside.url + "/x")
    assert inside.one().header(TOKEN_HEADER)
    assert outside.one().header(TOKEN_HEADER) == []
    assert record.one()["path"] == "/x"


# ---- HTTP/2


class Hypercorn:
    """Serves HTTP/2 on loopback, and keeps the headers of each request."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        listening = listen()
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._descriptor = listening.detach()  # hypercorn closes it
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="test-hypercorn")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        if scope["type"] != "http":
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append((f"HTTP/{scope['http_version']} {scope['path']}", headers))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"two"})

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        serve: Any = import_module("hypercorn.asyncio").serve  # its types are unknown in part
        config = Config()
        config.bind = [f"fd://{self._descriptor}"]
        config.loglevel = "CRITICAL"
        await serve(self._answer, config, shutdown_trigger=self._end.wait)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "hypercorn did not stop"


def test_over_http_2_it_is_the_same(brain: LocalBrain) -> None:
    with Hypercorn() as inside, Hypercorn() as outside:
        with (
            AgentSession(
                (inside.url, "http://api.project.example"),
                agent_key=brain.agent_key,
                brain_url=brain.url,
                uasam_url=brain.url,
            ) as session,
            session.client(http1=False, http2=True, verify=TLS) as http,
        ):
            for host in (inside, outside):
                headers = {"Host": "api.project.example", TOKEN_HEADER: "a.b.c"}
                assert http.get(host.url + "/x", headers=headers).text == "two"
        (line, headers), (line_outside, headers_outside) = inside.requests[0], outside.requests[0]
    assert line == line_outside == "HTTP/2 /x"
    assert headers[TOKEN_HEADER.lower()] not in {"", "a.b.c"}
    assert not [name for name in headers_outside if "otas" in name]
    assert session.session_id is not None
    (event,) = brain.events(session.session_id)
    assert (event["path"], event["response_body"]) == ("/x", "two")
