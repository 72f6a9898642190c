"""Ways in which libraries can be used that their everyday methods do not show."""

from __future__ import annotations

import asyncio
import gc
import gzip
import io
import weakref
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import requests
from requests.adapters import BaseAdapter

from agent.callers import TLS
from agent.host import replies, streams
from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware.agent import AgentSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from agent.host import Host
    from agent.record import Record
    from otas_middleware.localbrain import LocalBrain


@pytest.fixture
def requester(session: AgentSession) -> Iterator[requests.Session]:
    """An instrumented session of requests."""
    with session.requests_session() as requester:
        requester.trust_env = False
        yield requester


# ---- requests


def test_a_file_that_requests_uploads_is_recorded_as_it_is_read(
    requester: requests.Session, outside: Host, record: Record, tmp_path: Path
) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"line one\nline two\n")
    with path.open("rb") as file:
        requester.put(outside.url + "/file", data=file)
    assert outside.one().body == path.read_bytes()
    assert outside.one().header("content-length") == ["18"]
    event = record.one()
    assert (event["request_body"], event["request_size_bytes"]) == ("line one\nline two\n", 18)


@pytest.mark.parametrize("method", ["read", "read1", "in pieces", "readinto", "iterate"])
def test_what_is_read_from_a_raw_response_is_recorded_once(
    requester: requests.Session, outside: Host, record: Record, method: str
) -> None:
    outside.on("/raw", replies(b"0123456789"))
    with requester.get(outside.url + "/raw", stream=True) as answer:
        raw: Any = answer.raw
        if method == "read":
            assert raw.read() == b"0123456789"
        elif method == "read1":
            assert raw.read1() == b"0123456789"
        elif method == "in pieces":
            assert [raw.read(6), raw.read(6), raw.read(6)] == [b"012345", b"6789", b""]
        elif method == "readinto":
            buffer = bytearray(20)
            assert raw.readinto(buffer) == 10
        else:
            assert b"".join(raw) == b"0123456789"
    event = record.one()
    assert (event["response_body"], event["response_size_bytes"]) == ("0123456789", 10)
    assert "aborted" not in event["metadata"]


def test_a_raw_response_that_is_iterated_over_is_recorded_without_its_coding(
    requester: requests.Session, outside: Host, record: Record
) -> None:
    lines = b"one\ntwo\n" * 1_000
    outside.on("/lines", replies(gzip.compress(lines), content_type="text/plain", headers=["Content-Encoding: gzip"]))
    with requester.get(outside.url + "/lines", stream=True) as answer:
        assert b"".join(answer.raw) == lines
    event = record.one()
    assert (event["response_body"], event["response_size_bytes"]) == (lines.decode(), len(lines))
    assert "aborted" not in event["metadata"]


def test_chunks_that_are_read_raw_are_recorded_once(requester: requests.Session, outside: Host, record: Record) -> None:
    outside.on("/chunks", streams([b"one ", b"two"]))
    with requester.get(outside.url + "/chunks", stream=True) as answer:
        assert list(answer.raw.read_chunked()) == [b"one ", b"two"]
    assert record.one()["response_body"] == "one two"


def test_a_response_that_is_dropped_unread_is_freed_at_once_and_still_an_event(
    requester: requests.Session, outside: Host, record: Record
) -> None:
    outside.on("/big", replies(b"x" * 100_000))
    gc.disable()
    try:
        answer = requester.get(outside.url + "/big", stream=True)
        raw = weakref.ref(answer.raw)
        del answer
        assert raw() is None, "the tap keeps the response alive"
    finally:
        gc.enable()
    assert record.one()["metadata"]["aborted"] is True


def test_a_session_of_requests_that_is_dropped_is_freed_at_once(session: AgentSession) -> None:
    gc.disable()
    try:
        requester = session.instrument(requests.Session())
        dropped = weakref.ref(requester)
        del requester
        assert dropped() is None, "the tap keeps the session alive"
    finally:
        gc.enable()


class Sealed:
    """A body that nothing can be set on."""

    __slots__ = ("_body",)

    def __init__(self, content: bytes) -> None:
        self._body = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._body.read(size)

    def close(self) -> None:
        """Nothing is open."""


class Canned(BaseAdapter):
    """Answers with a body that is no connection."""

    def __init__(self, raw: Any) -> None:
        super().__init__()
        self._raw = raw

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        response = requests.Response()
        response.status_code, response.url, response.request = 200, request.url or "", request
        response.raw = self._raw
        return response

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("raw", [io.BytesIO(b"canned"), Sealed(b"canned")], ids=["open", "sealed"])
def test_an_adapter_without_a_connection_is_recorded(session: AgentSession, record: Record, raw: Any) -> None:
    with requests.Session() as requester:
        requester.mount("mem://", Canned(raw))
        assert session.instrument(requester).get("mem://shelf/1").content == b"canned"
    event = record.one()
    assert (event["status_code"], event["path"], event["response_body"]) == (200, "/1", "canned")


def test_an_adapters_own_attributes_are_there_through_the_tap(requester: requests.Session) -> None:
    adapter: Any = requester.get_adapter("https://x.example")
    assert adapter.max_retries.total == 0


# ---- httpx


def test_a_stream_that_nobody_closes_is_an_event_when_it_is_gone(session: AgentSession, record: Record) -> None:
    class Body(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"data: 1\n\n"

    answers = httpx2.MockTransport(lambda _: httpx2.Response(200, stream=Body()))
    transport = session.transport(answers)
    answer = transport.handle_request(httpx2.Request("GET", "https://elsewhere.example/x"))
    del answer
    gc.collect()
    assert record.one()["metadata"]["aborted"] is True


def test_an_asynchronous_answer_that_is_read_as_others_are_by_mistake_can_still_be_read(
    session: AgentSession, record: Record
) -> None:
    class Body(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"whole"

    async def read() -> bytes:
        transport = session.async_transport(httpx2.MockTransport(lambda _: httpx2.Response(200, stream=Body())))
        answer = await transport.handle_async_request(httpx2.Request("GET", "https://elsewhere.example/x"))
        with pytest.raises(RuntimeError, match="sync iterator on an async stream"):
            answer.read()
        return await answer.aread()

    assert asyncio.run(read()) == b"whole"
    event = record.one()
    assert (event["response_body"], event["error"]) == ("whole", "")


def test_a_transport_that_has_its_answer_at_hand_is_recorded_with_it(session: AgentSession, record: Record) -> None:
    transport = session.transport(httpx2.MockTransport(lambda _: httpx2.Response(200, json={"a": 1})))
    with httpx2.Client(transport=transport) as http:
        assert http.get("https://elsewhere.example/x").json() == {"a": 1}
    assert record.one()["response_body"] == '{"a":1}'


def test_a_transport_that_has_undone_its_answers_coding_is_recorded_with_what_the_caller_gets(
    session: AgentSession, record: Record
) -> None:
    coded = gzip.compress(b'{"a": 1}')
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    transport = session.transport(httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=coded)))
    with httpx2.Client(transport=transport) as http:
        assert http.get("https://elsewhere.example/x").json() == {"a": 1}
    event = record.one()
    assert (event["response_body"], event["response_size_bytes"]) == ('{"a": 1}', 8)


class MyRequest(httpx2.Request):
    """A request with something of its own."""

    note = ""


def test_a_request_of_a_derived_class_stays_one(session: AgentSession, inside: Host) -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(204)

    request = MyRequest("POST", inside.url, json={"a": 1})
    request.note = "kept"
    with httpx2.Client(transport=session.transport(httpx2.MockTransport(answer))) as http:
        http.send(request)
    (sent,) = seen
    assert isinstance(sent, MyRequest)
    assert (sent.note, sent.content) == ("kept", b'{"a":1}')
    assert TOKEN_HEADER in sent.headers
    assert TOKEN_HEADER not in request.headers


def test_a_transports_own_attributes_are_there_through_the_tap(session: AgentSession) -> None:
    with session.client(verify=TLS) as http:
        transport: Any = http._transport
        assert type(transport._pool).__name__ == "ConnectionPool"
        assert not hasattr(transport, "no_such_thing")


def test_an_asynchronous_transport_can_stand_alone(session: AgentSession) -> None:
    assert isinstance(session.async_transport(), httpx2.AsyncBaseTransport)
    assert isinstance(session.transport(), httpx2.BaseTransport)


# ---- without a key


def test_without_a_key_and_without_with_calls_go_out_plain(
    brain: LocalBrain, inside: Host, outside: Host, caplog: pytest.LogCaptureFixture
) -> None:
    session = AgentSession(inside.url, brain_url=brain.url, uasam_url=brain.url)
    with session.client(verify=TLS) as http:
        http.get(inside.url)
        http.get(outside.url)
    session.log("GET", "/x", status_code=799, latency_ms=1)
    assert inside.one().header(TOKEN_HEADER) == []
    assert "OTAS_AGENT_KEY" in caplog.text
