"""The HTTP libraries whose calls the agent's side sees, behind one face, instrumented and bare."""

from __future__ import annotations

import asyncio
import re
import ssl
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import requests

from otas_middleware.agent import AgentSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    Instrument = Callable[[Any], Any]

httpx2: Any = import_module("httpx2") if find_spec("httpx2") else None  # one of the two is there
aiohttp: Any = import_module("aiohttp") if find_spec("aiohttp") else None  # as httpx

TLS = ssl.create_default_context()
"""One for all clients: making it takes longer than everything else in a test."""


@dataclass
class Result:
    """What the agent's code got: an answer, or an exception."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    body: bytes = b""
    error: str = ""
    """The exception's type."""
    text: str = ""
    """The exception's message."""


@dataclass(frozen=True)
class How:
    """How a call is made.

    Attributes:
        follow: Redirects are followed.
        timeout: Seconds for each step.
        stream: The answer is read piece by piece.
        pieces: Of a stream, so many are read before it is closed; 0 for all.
        on_piece: Told of each piece.
    """

    follow: bool = False
    timeout: float = 10.0
    stream: bool = False
    pieces: int = 0
    on_piece: Callable[[bytes], object] = len


class _Reading:
    """Collects the pieces of an answer."""

    def __init__(self, how: How) -> None:
        self._how = how
        self.body = b""
        self._count = 0

    def take(self, piece: bytes) -> bool:
        """Take a piece; return whether it was the last that is wanted."""
        self.body += piece
        self._count += 1
        self._how.on_piece(piece)
        return self._count == self._how.pieces


class Caller(ABC):
    """Makes calls as an agent's code would."""

    name: str

    def call(self, instrument: Instrument, method: str, url: str, how: How | None = None, **options: Any) -> Result:
        """Make one call and return what came of it.

        Args:
            instrument: Gets the client; `bare` for a call without us.
            method: The method.
            url: The URL.
            how: How it is made.
            **options: `headers`, `content` (bytes or pieces), `json`, `data`, `files`.
        """
        try:
            return self._call(instrument, method, url, how or How(), options)
        except Exception as error:
            return Result(error=type(error).__name__, text=str(error))

    @abstractmethod
    def _call(self, instrument: Instrument, method: str, url: str, how: How, options: dict[str, Any]) -> Result: ...


def bare(client: Any) -> Any:
    """Leave a client as it is."""
    return client


class Httpx(Caller):
    """The synchronous client of httpx2, or of httpx."""

    def __init__(self, library: Any) -> None:
        self.name = library.__name__
        self._library = library

    def _call(self, instrument: Instrument, method: str, url: str, how: How, options: dict[str, Any]) -> Result:
        made = self._library.Client(timeout=how.timeout, follow_redirects=how.follow, trust_env=False, verify=TLS)
        with made as plain:
            client = instrument(plain)
            if not how.stream:
                response = client.request(method, url, **options)
                return Result(response.status_code, response.headers.multi_items(), response.content)
            reading = _Reading(how)
            with client.stream(method, url, **options) as response:
                for piece in response.iter_bytes():
                    if reading.take(piece):
                        break
            return Result(response.status_code, response.headers.multi_items(), reading.body)


class AsyncHttpx(Caller):
    """The asynchronous client of httpx2, or of httpx, on asyncio or on trio."""

    def __init__(self, library: Any, loop: str = "asyncio") -> None:
        self.name = f"{library.__name__} {loop}"
        self._library = library
        self._loop = loop

    def _call(self, instrument: Instrument, method: str, url: str, how: How, options: dict[str, Any]) -> Result:
        content = options.get("content")
        if content is not None and not isinstance(content, bytes):
            options = {**options, "content": _asynchronously(content)}
        return anyio.run(self._make, instrument, method, url, how, options, backend=self._loop)

    async def _make(self, instrument: Instrument, method: str, url: str, how: How, options: dict[str, Any]) -> Result:
        made = self._library.AsyncClient(timeout=how.timeout, follow_redirects=how.follow, trust_env=False, verify=TLS)
        async with made as plain:
            client = instrument(plain)
            if not how.stream:
                response = await client.request(method, url, **options)
                return Result(response.status_code, response.headers.multi_items(), response.content)
            reading = _Reading(how)
            async with client.stream(method, url, **options) as response:
                async for piece in response.aiter_bytes():
                    if reading.take(piece):
                        break
            return Result(response.status_code, response.headers.multi_items(), reading.body)


async def _asynchronously(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


class Requests(Caller):
    """A session of requests."""

    name = "requests"

    def _call(self, instrument: Instrument, method: str, url: str, how: How, options: dict[str, Any]) -> Result:
        content = options.pop("content", None)
        if content is not None:
            options["data"] = content if isinstance(content, bytes) else iter(content)
        with requests.Session() as plain:
            plain.trust_env = False
            session = instrument(plain)
            made = session.request(
                method, url, allow_redirects=how.follow, timeout=how.timeout, stream=how.stream, **options
            )
            with made as response:
                if not how.stream:
                    return Result(response.status_code, list(response.headers.items()), response.content)
                reading = _Reading(how)
                for piece in response.iter_content(None):
                    if reading.take(piece):
                        break
                return Result(response.status_code, list(response.headers.items()), reading.body)


class Aiohttp(Caller):
    """A session of aiohttp, which is given its middlewares when it is made."""

    name = "aiohttp"

    def _call(self, instrument: Instrument, method: str, url: str, how: How, options: dict[str, Any]) -> Result:
        owner: object = getattr(instrument, "__self__", None)
        if instrument is not bare and not isinstance(owner, AgentSession):
            pytest.skip("a session of aiohttp cannot be instrumented once it is made")
        middlewares = (owner.aiohttp_middleware(),) if isinstance(owner, AgentSession) else ()
        return asyncio.run(self._make(middlewares, method, url, how, options))

    async def _make(self, middlewares: Any, method: str, url: str, how: How, options: dict[str, Any]) -> Result:
        content = options.pop("content", None)
        if content is not None:
            options["data"] = content if isinstance(content, bytes) else _asynchronously(content)
        if "files" in options:
            options["data"] = form = aiohttp.FormData()
            for name, (filename, data, kind) in options.pop("files").items():
                form.add_field(name, data, filename=filename, content_type=kind)
        timeout = aiohttp.ClientTimeout(sock_connect=how.timeout, sock_read=how.timeout)
        made = aiohttp.ClientSession(timeout=timeout, middlewares=middlewares)
        async with made as client, client.request(method, url, allow_redirects=how.follow, **options) as response:
            headers = list(response.headers.items())
            if not how.stream:
                return Result(response.status, headers, await response.read())
            reading = _Reading(how)
            async for piece in response.content.iter_any():
                if reading.take(piece):
                    response.close()
                    break
            return Result(response.status, headers, reading.body)


def _callers() -> list[Caller]:
    callers: list[Caller] = [Requests()]
    if httpx2 is not None:
        callers += [Httpx(httpx2), AsyncHttpx(httpx2), AsyncHttpx(httpx2, "trio")]
    if aiohttp is not None:
        callers.append(Aiohttp())
    try:
        older = import_module("httpx")
    except ImportError:
        return callers  # it is no dependency of ours; SDKs may bring it
    return [*callers, Httpx(older), AsyncHttpx(older)]


CALLERS = _callers()

BOUNDARY = re.compile(rb"[0-9a-f]{32}")
"""What two equal uploads differ in."""

BODIES: dict[str, dict[str, Any]] = {
    "no body": {},
    "bytes": {"content": b"\x00\x01binary"},
    "json": {"json": {"order": 42}},
    "form": {"data": {"name": "Ada", "city": "London"}},
    "a stream": {"content": [b"first ", b"second ", b"third"]},
    "a file": {"files": {"file": ("a.txt", b"content", "text/plain")}},
}
"""The options of a call, by the kind of its body."""
