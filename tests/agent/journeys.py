"""A network in memory that sends each request on a journey of redirects, and shows every request to a check."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import requests
from hypothesis import strategies as st
from requests.adapters import BaseAdapter

from otas_middleware._capture.session import TOKEN_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Check = Callable[["Sent"], object]

INSIDE = "https://api.project.example"
HOSTS = [
    INSIDE,
    "https://API.project.example.",
    "http://api.project.example",
    "https://api.project.example:8443",
    "https://project.example",
    "https://x.api.project.example",
    "https://user:password@api.project.example",
    "https://api.project.example@evil.example",
    "https://api.project.example.evil.example",
    "https://evil.example",
    "https://api.openai.com",
]
PATHS = ["/", "/a", "/a/b?c=d", "/%2e%2e/x"]
NAMES = [TOKEN_HEADER, TOKEN_HEADER.lower(), "x-otas-agent-key", "X-OTAS-SDK-KEY", "Authorization", "X-Trace", "Cookie"]
LIBRARIES = ["httpx2", "httpx2 asyncio", "httpx2 trio", "requests"]

places = st.sampled_from([host + path for host in HOSTS for path in PATHS])
statuses = st.sampled_from([301, 302, 303, 307, 308])
headers = st.dictionaries(
    st.sampled_from(NAMES),
    st.sampled_from(["plain", "{token}", "Bearer {token}", "k={key}", "{token};{key}", "{sdk_key}"]),
    max_size=4,
)


@dataclass(frozen=True)
class Sent:
    """A request as it would go onto the wire."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def text(self) -> str:
        """All of it."""
        lines = [self.method, self.url, *(f"{name}: {value}" for name, value in self.headers)]
        return "\n".join([*lines, self.body.decode("latin-1")])

    def tokens(self) -> list[str]:
        """The values of its token headers."""
        return [value for name, value in self.headers if name.lower() == TOKEN_HEADER.lower()]

    def is_inside(self) -> bool:
        """Whether it goes to the one host that is inside."""
        url = httpx2.URL(self.url)
        return (url.scheme, url.host.removesuffix("."), url.port) == ("https", "api.project.example", None)


@dataclass
class Journey:
    """Where a request goes, and what becomes of it on the way."""

    stops: list[str]
    status: int
    check: Check
    sent: list[Sent] = field(default_factory=list[Sent])

    def make(self, library: str, instrument: Callable[[Any], Any], given: dict[str, str]) -> None:
        """Send a request to the first stop by a library's client, and follow it to the last."""
        if library == "requests":
            with requests.Session() as requester:
                requester.trust_env = False
                for prefix in ("https://", "http://"):
                    requester.mount(prefix, _Adapter(self))
                instrument(requester).post(self.stops[0], headers=given, data=b"body")
        elif library == "httpx2":
            with httpx2.Client(transport=httpx2.MockTransport(self._answer), follow_redirects=True) as client:
                instrument(client).post(self.stops[0], headers=given, content=b"body")
        else:
            anyio.run(self._make, instrument, given, backend=library.split()[1])

    async def _make(self, instrument: Callable[[Any], Any], given: dict[str, str]) -> None:
        async def answer(request: httpx2.Request) -> httpx2.Response:
            return self._answer(request)

        async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer), follow_redirects=True) as client:
            await instrument(client).post(self.stops[0], headers=given, content=b"body")

    def receive(self, sent: Sent) -> str | None:
        """Take a request; return where it is to go next."""
        self.sent.append(sent)
        self.check(sent)
        return self.stops[len(self.sent)] if len(self.sent) < len(self.stops) else None

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        given = [(name.decode(), value.decode("latin-1")) for name, value in request.headers.raw]
        target = self.receive(Sent(request.method, str(request.url), given, request.content))
        return httpx2.Response(200) if target is None else httpx2.Response(self.status, headers={"Location": target})


class _Adapter(BaseAdapter):
    def __init__(self, journey: Journey) -> None:
        super().__init__()
        self._journey = journey

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        given = [(name, str(value)) for name, value in request.headers.items()]
        body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
        target = self._journey.receive(Sent(request.method or "", request.url or "", given, body))
        response = requests.Response()
        response.status_code = 200 if target is None else self._journey.status
        response.url = request.url or ""
        response.request = request
        response.raw = _Nothing()
        if target is not None:
            response.headers["Location"] = target
        return response

    def close(self) -> None:
        """Nothing is open."""


class _Nothing:
    """A body without anything in it."""

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        return iter(())

    def close(self) -> None:
        pass
