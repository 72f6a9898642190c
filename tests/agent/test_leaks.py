"""No request to a host outside the domain ever has the token or a key in its head, whatever the agent does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests.adapters import BaseAdapter

from otas_middleware._session import TOKEN_HEADER
from otas_middleware.agent import AgentSession, SecretInUrlError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware.localbrain import LocalBrain

INSIDE = "https://api.project.example"
HOSTS = [
    INSIDE,
    "https://API.project.example.",
    "http://api.project.example",
    "https://api.project.example:8443",
    "https://project.example",
    "https://x.api.project.example",
    "https://api.project.example@evil.example",
    "https://api.project.example.evil.example",
    "https://evil.example",
    "https://api.openai.com",
]
NAMES = [TOKEN_HEADER, TOKEN_HEADER.lower(), "x-otas-agent-key", "X-OTAS-SDK-KEY", "Authorization", "X-Trace", "Cookie"]


def is_inside(url: httpx2.URL) -> bool:
    return (url.scheme, url.host.removesuffix("."), url.port) == ("https", "api.project.example", None)


class Network:
    """Answers every request with the next redirect of a journey, and checks each one's head."""

    def __init__(self, journey: list[str], secrets: list[str]) -> None:
        self._journey = iter(journey)
        self._secrets = secrets
        self.heads: list[str] = []

    def receive(self, method: str, url: str, headers: list[tuple[str, str]]) -> str | None:
        """Take a request; return where it is to go next."""
        head = "\n".join([method, url, *(f"{name}: {value}" for name, value in headers)])
        self.heads.append(head)
        parsed = httpx2.URL(url)
        if is_inside(parsed):
            tokens = [value for name, value in headers if name.lower() == TOKEN_HEADER.lower()]
            assert tokens == [self._secrets[0]]
            assert self._secrets[1] not in head
        else:
            assert not any(secret in head for secret in self._secrets)
            assert "x-otas" not in head.lower()
        return next(self._journey, None)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        """Answer as a transport of httpx."""
        headers = [(name.decode(), value.decode("latin-1")) for name, value in request.headers.raw]
        target = self.receive(request.method, str(request.url), headers)
        return httpx2.Response(200) if target is None else httpx2.Response(307, headers={"Location": target})

    async def answer_asynchronously(self, request: httpx2.Request) -> httpx2.Response:
        """As `answer`."""
        return self.answer(request)


class NetworkAdapter(BaseAdapter):
    """The network, for requests."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = network

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        headers = [(name, str(value)) for name, value in request.headers.items()]
        target = self._network.receive(request.method or "", request.url or "", headers)
        response = requests.Response()
        response.status_code = 200 if target is None else 307
        response.url = request.url or ""
        response.request = request
        response.raw = _Body()
        if target is not None:
            response.headers["Location"] = target
        return response

    def close(self) -> None:
        """Nothing is open."""


class _Body:
    """A body without anything in it."""

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        return iter(())

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def session(brain: LocalBrain) -> Iterator[AgentSession]:
    """One session for all examples."""
    with AgentSession(INSIDE, agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url) as session:
        yield session


PATHS = ["/", "/a", "/a/b?c=d", "/%2e%2e/x"]
places = st.sampled_from([host + path for host in HOSTS for path in PATHS])
headers = st.dictionaries(
    st.sampled_from(NAMES),
    st.sampled_from(["plain", "{token}", "Bearer {token}", "k={key}", "{token};{key}"]),
    max_size=4,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    journey=st.lists(places, min_size=1, max_size=6),
    given_headers=headers,
    secret_in_url=st.sampled_from(["", "", "", "{token}", "{key}"]),
    library=st.sampled_from(["httpx2", "httpx2 async", "requests"]),
)
def test_no_journey_of_a_request_takes_a_secret_out_of_the_domain(
    session: AgentSession,
    brain: LocalBrain,
    journey: list[str],
    given_headers: dict[str, str],
    secret_in_url: str,
    library: str,
) -> None:
    token = session.headers_for(INSIDE)[TOKEN_HEADER]
    secrets = [token, brain.agent_key]

    def filled(text: str) -> str:
        return text.format(token=token, key=brain.agent_key)

    if secret_in_url:
        last = journey[-1]
        journey[-1] = filled(f"{last}{'&' if '?' in last else '?'}s={secret_in_url}")
    network = Network(journey[1:], secrets)
    sent = {name: filled(value) for name, value in given_headers.items()}
    leads_astray = secret_in_url == "{key}" or (secret_in_url == "{token}" and not is_inside(httpx2.URL(journey[-1])))
    if leads_astray:
        with pytest.raises(SecretInUrlError) as refusal:
            send(session, network, library, journey[0], sent)
        assert not any(secret in str(refusal.value) for secret in secrets)
    else:
        send(session, network, library, journey[0], sent)
    assert len(network.heads) == len(journey) - leads_astray


def send(session: AgentSession, network: Network, library: str, url: str, sent: dict[str, str]) -> None:
    if library == "httpx2":
        transport = session.transport(httpx2.MockTransport(network.answer))
        with httpx2.Client(transport=transport, follow_redirects=True) as client:
            client.post(url, headers=sent, content=b"x")
    elif library == "requests":
        with requests.Session() as requester:
            requester.trust_env = False
            for prefix in ("https://", "http://"):
                requester.mount(prefix, NetworkAdapter(network))
            session.instrument(requester).post(url, headers=sent, json={"a": 1})
    else:

        async def call() -> None:
            transport = session.async_transport(httpx2.MockTransport(network.answer_asynchronously))
            async with httpx2.AsyncClient(transport=transport, follow_redirects=True) as client:
                await client.post(url, headers=sent, content=b"x")

        asyncio.run(call())
