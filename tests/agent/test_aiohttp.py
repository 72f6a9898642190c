"""What is aiohttp's own: middlewares, what a response shows of its request, and bodies that nobody reads."""

from __future__ import annotations

import asyncio
import gzip
import io
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from agent.host import redirects, replies, response, streams
from events.codings import CODINGS
from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware.agent import AgentSession
from support.agent import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from agent.host import Host, Received
    from agent.record import Record
    from otas_middleware.localbrain import LocalBrain

pytest.importorskip("aiohttp", reason="aiohttp is not installed")
aiohttp: Any = import_module("aiohttp")


def play(session: AgentSession, use: Callable[[Any], Awaitable[object]], **options: Any) -> None:
    """Use a session of aiohttp that the agent's session makes."""

    async def run() -> None:
        async with session.aiohttp_session(**options) as client:
            await use(client)

    asyncio.run(run())


def test_neither_the_response_nor_an_error_shows_the_token(session: AgentSession, inside: Host) -> None:
    inside.on("/gone", replies(b"no", "410 Gone"))
    token = session.headers_for(inside.url)[TOKEN_HEADER]

    async def use(client: Any) -> None:
        async with client.get(inside.url + "/gone") as answer:
            assert TOKEN_HEADER not in answer.request_info.headers
            with pytest.raises(aiohttp.ClientResponseError) as failure:
                answer.raise_for_status()
        assert token not in repr(failure.value)

    play(session, use)
    assert inside.one().header(TOKEN_HEADER) == [token]


def test_redirects_are_an_event_each_and_whole(session: AgentSession, outside: Host, record: Record) -> None:
    outside.on("/old", redirects("/new"))

    async def use(client: Any) -> None:
        async with client.get(outside.url + "/old") as answer:
            assert answer.status == 200

    play(session, use)
    old, new = record.events()
    assert (old["status_code"], new["status_code"]) == (302, 200)
    assert old["response_size_bytes"] == len(b"over there")
    assert "aborted" not in old["metadata"]


def test_a_middleware_of_the_users_runs_before_ours_and_each_of_its_tries_is_seen(
    session: AgentSession, outside: Host, record: Record
) -> None:
    answers = [response(b"busy", "503 Service Unavailable"), response(b"fine")]
    outside.on("/flaky", lambda _: [answers.pop(0)])

    async def tries_twice(request: Any, handler: Any) -> Any:
        first = await handler(request)
        if first.status != 503:
            return first
        await first.read()
        return await handler(request)

    async def use(client: Any) -> None:
        async with client.get(outside.url + "/flaky") as answer:
            assert await answer.text() == "fine"

    play(session, use, middlewares=(tries_twice,))
    assert [event["status_code"] for event in record.events()] == [503, 200]


def test_a_middleware_can_be_given_to_one_call(session: AgentSession, inside: Host) -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as client:
            await client.get(inside.url, middlewares=(session.aiohttp_middleware(),))
            await client.get(inside.url)

    asyncio.run(run())
    assert [len(request.header(TOKEN_HEADER)) for request in inside.requests] == [1, 0]


@pytest.mark.parametrize("kind", ["pieces", "file", "form"])
def test_a_body_that_is_written_in_pieces_is_recorded(
    session: AgentSession, outside: Host, record: Record, kind: str
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    async def use(client: Any) -> None:
        body: Any = {"pieces": pieces(), "file": io.BytesIO(b"one two")}.get(kind)
        if kind == "form":
            body = aiohttp.FormData()
            body.add_field("file", b"one two", filename="a.txt", content_type="text/plain")
        headers = {} if kind == "form" else {"Content-Type": "text/plain"}
        async with client.post(outside.url + "/up", data=body, headers=headers) as answer:
            await answer.read()

    play(session, use)
    event = record.one()
    assert event["request_size_bytes"] == len(outside.one().body)
    assert ('"size":7' if kind == "form" else "one two") in (event["request_body"] or event["post_data"] or "")


READS: dict[str, Callable[[Any], Awaitable[object]]] = {
    "read": lambda answer: answer.read(),
    "text": lambda answer: answer.text(),
    "content": lambda answer: answer.content.read(),
    "so many": lambda answer: answer.content.readexactly(8),
    "lines": lambda answer: _collected(answer.content),
    "any": lambda answer: _collected(answer.content.iter_any()),
    "chunked": lambda answer: _collected(answer.content.iter_chunked(3)),
    "chunks": lambda answer: _collected(answer.content.iter_chunks()),
}


async def _collected(pieces: Any) -> list[Any]:
    return [piece async for piece in pieces]


@pytest.mark.parametrize("pieces", [False, True])
def test_a_body_that_aiohttp_compresses_is_recorded_as_text(
    session: AgentSession, outside: Host, record: Record, pieces: bool
) -> None:
    text = b'{"a": "' + b"x" * 500 + b'"}'

    async def body() -> AsyncIterator[bytes]:
        yield text

    async def use(client: Any) -> None:
        headers = {"Content-Type": "application/json"}
        data = body() if pieces else text
        async with client.post(outside.url, data=data, compress="gzip", headers=headers) as answer:
            await answer.read()

    play(session, use)
    assert outside.one().header("content-encoding") == ["gzip"]
    assert gzip.decompress(outside.one().body) == text
    event = record.one()
    assert event["request_body"] == text.decode()
    assert "content-encoding" not in (event["request_headers"] or "")


def test_a_time_that_is_up_before_there_is_a_connection_is_said_to_be(session: AgentSession, record: Record) -> None:
    class Silent(aiohttp.abc.AbstractResolver):  # type: ignore[misc]
        """A name server that never answers."""

        async def resolve(self, *_: object, **__: object) -> Any:
            await asyncio.Event().wait()

        async def close(self) -> None:
            """Nothing is open."""

    async def run() -> None:
        connector = aiohttp.TCPConnector(resolver=Silent())
        async with session.aiohttp_session(connector=connector) as client:
            with pytest.raises(TimeoutError):
                await client.get("http://shop.example/", timeout=aiohttp.ClientTimeout(total=0.05))

    asyncio.run(run())
    event = record.one()
    assert (event["status_code"], event["error"]) == (0, "TimeoutError: The time was up before the answer came")
    assert "aborted" not in event["metadata"]


def test_a_call_that_its_own_task_is_cancelled_in_is_not_said_to_have_run_out_of_time(
    session: AgentSession, outside: Host, record: Record
) -> None:
    asked, over = threading.Event(), threading.Event()

    def hangs(_: Received) -> Iterator[bytes]:
        asked.set()
        over.wait(PATIENCE)
        yield b""

    outside.on("/slow", hangs)

    async def use(client: Any) -> None:
        task = asyncio.ensure_future(client.get(outside.url + "/slow"))
        await asyncio.to_thread(asked.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        over.set()

    play(session, use)
    event = record.one()
    assert event["error"] == "Cancelled before the answer came"
    assert event["metadata"]["aborted"] is True


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_each_way_to_read_an_answer_is_seen(
    session: AgentSession, outside: Host, record: Record, read: Callable[[Any], Awaitable[object]]
) -> None:
    outside.on("/lines", streams([b"one\n", b"two\n"], "text/plain"))

    async def use(client: Any) -> None:
        async with client.get(outside.url + "/lines") as answer:
            await read(answer)
            await answer.content.read()

    play(session, use)
    event = record.one()
    assert event["response_body"] == "one\ntwo\n"
    assert "aborted" not in event["metadata"]


@pytest.mark.parametrize("decompress", [True, False])
def test_a_compressed_answer_is_recorded_as_text_whether_aiohttp_undoes_it_or_not(
    session: AgentSession, outside: Host, record: Record, decompress: bool
) -> None:
    plain = b"plain text, longer than its coding\n" * 100
    outside.on("/z", replies(gzip.compress(plain), headers=["Content-Encoding: gzip"]))

    async def use(client: Any) -> None:
        async with client.get(outside.url + "/z") as answer:
            await answer.read()

    play(session, use, auto_decompress=decompress)
    assert record.one()["response_body"] == plain.decode()


@pytest.mark.parametrize("undoes", [True, False])
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_every_coding_is_known_to_be_undone_or_not(
    session: AgentSession, outside: Host, record: Record, coding: str, undoes: bool
) -> None:
    sent = CODINGS[coding](b"text " * 50)
    outside.on("/coded", replies(sent, headers=[f"Content-Encoding: {coding}"]))
    body = b""

    async def use(client: Any) -> None:
        nonlocal body
        async with client.get(outside.url + "/coded") as answer:
            body = await answer.read()

    play(session, use, auto_decompress=undoes)
    event = record.one()
    assert event["response_body"] == "text " * 50
    assert event["response_size_bytes"] == len(body)
    assert ("content-encoding" in (event["response_headers"] or "")) is (body == sent)


def test_of_codings_in_two_fields_the_one_that_aiohttp_leaves_is_undone_in_the_record(
    session: AgentSession, outside: Host, record: Record
) -> None:
    fields = ["Content-Encoding: gzip", "Content-Encoding: br"]
    outside.on("/coded", replies(CODINGS["gzip, br"](b"text " * 50), headers=fields))

    async def use(client: Any) -> None:
        async with client.get(outside.url + "/coded") as answer:
            assert gzip.decompress(await answer.read()) == b"text " * 50

    play(session, use)
    event = record.one()
    assert event["response_body"] == "text " * 50
    assert '"content-encoding":"gzip"' in (event["response_headers"] or "")


@pytest.mark.filterwarnings("ignore:unread_data:DeprecationWarning")  # aiohttp's own reader calls it now and then
@pytest.mark.parametrize("size", [7, 1_000])
def test_bytes_that_a_reader_of_multipart_bodies_puts_back_are_counted_once(
    session: AgentSession, outside: Host, record: Record, size: int
) -> None:
    body = b"--b\r\nContent-Type: text/plain\r\n\r\nfirst\r\n--b\r\n\r\nsecond\r\n--b--\r\n"
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    outside.on("/parts", streams(pieces, "multipart/mixed; boundary=b"))
    parts: list[bytes] = []

    async def use(client: Any) -> None:
        async with client.get(outside.url + "/parts") as answer:
            reader = aiohttp.MultipartReader.from_response(answer)
            while (part := await reader.next()) is not None:
                data = b""
                while chunk := await part.read_chunk(8):
                    data += chunk
                parts.append(data)

    play(session, use)
    assert parts == [b"first", b"second"]
    event = record.one()
    assert event["response_size_bytes"] == len(body)
    assert "first" in (event["response_body"] or "")


def test_an_answer_that_is_sent_on_is_framed_as_without_us(session: AgentSession, outside: Host) -> None:
    outside.on("/lines", replies(b"a line\n" * 10))

    async def send_on(client: Any) -> None:
        answer = await client.get(outside.url + "/lines")
        assert isinstance(answer.content, aiohttp.StreamReader)
        async with client.post(outside.url + "/copies", data=answer.content) as answered:
            await answered.read()

    async def bare() -> None:
        async with aiohttp.ClientSession() as client:
            await send_on(client)

    asyncio.run(bare())
    play(session, send_on)
    assert outside.requests[1].raw == outside.requests[3].raw


@pytest.mark.parametrize("latest", ["one", "other"])
def test_two_projects_on_one_session_get_their_own_token_each(
    session: AgentSession, inside: Host, outside: Host, brain: LocalBrain, latest: str
) -> None:
    keys: Any = {"agent_key": brain.agent_key, "brain_url": brain.url, "uasam_url": brain.url}
    with AgentSession(outside.url, **keys) as other:
        middlewares = [session.aiohttp_middleware(), other.aiohttp_middleware()]

        async def run() -> None:
            async with aiohttp.ClientSession(middlewares=middlewares[:: 1 if latest == "one" else -1]) as client:
                for host in (inside, outside):
                    async with client.get(host.url) as answer:
                        await answer.read()

        asyncio.run(run())
        assert inside.one().header(TOKEN_HEADER) == [session.headers_for(inside.url)[TOKEN_HEADER]]
        assert outside.one().header(TOKEN_HEADER) == [other.headers_for(outside.url)[TOKEN_HEADER]]


def test_an_answer_that_is_left_unread_is_aborted(session: AgentSession, outside: Host, record: Record) -> None:
    async def use(client: Any) -> None:
        async with client.get(outside.url + "/left") as answer:
            assert answer.status == 200

    play(session, use)
    assert record.one()["metadata"]["aborted"] is True


def test_a_websocket_is_an_event_with_its_status(session: AgentSession, outside: Host, record: Record) -> None:
    async def use(client: Any) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await client.ws_connect(outside.url + "/socket")

    play(session, use)
    assert (record.one()["method"], record.one()["path"]) == ("GET", "/socket")


def test_the_session_closes_what_it_has_made(session: AgentSession) -> None:
    async def run() -> Any:
        client = session.aiohttp_session()
        await session.aclose()
        return client

    assert asyncio.run(run()).closed


def test_of_a_header_that_comes_twice_neither_takes_the_token_outside(
    session: AgentSession, inside: Host, outside: Host
) -> None:
    token = session.headers_for(inside.url)[TOKEN_HEADER]
    headers = [("X-Trace", "one"), ("X-Trace", f"two={token}"), ("X-Kept", "yes"), ("X-Kept", "too")]

    async def use(client: Any) -> None:
        async with client.get(outside.url, headers=headers) as answer:
            await answer.read()

    play(session, use)
    assert token.encode() not in outside.one().raw
    assert outside.one().header("x-trace") == ["one"]
    assert outside.one().header("x-kept") == ["yes", "too"]
