"""What travels over the wire, byte by byte, and how a connection can fail: the same for each transport."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otas_middleware._config.settings import OtasSettings
from otas_middleware._delivery import Request, Response, TransportError
from otas_middleware._delivery.protocols import MAX_REPLY_BYTES
from otas_middleware._delivery.transports import transport_factory
from otas_middleware._delivery.transports.direct import DirectTransport
from otas_middleware._delivery.transports.http1 import ResponseReader, WireError, read_whole, request_head
from otas_middleware._delivery.transports.httpx_client import HttpxTransport
from otas_middleware._errors import ConfigurationError
from support.certificates import self_signed
from support.delivery import RawServer, answer, created, reset, settings

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otas_middleware._delivery import Transport
    from support.delivery import Received


@pytest.fixture(params=[DirectTransport, HttpxTransport])
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    made: DirectTransport | HttpxTransport = request.param(1.0)
    yield made
    made.close()


def silence(_connection: socket.socket, _request: Received) -> None:
    """Say nothing."""


def post(url: str, body: bytes = b"{}") -> Request:
    headers = (("Content-Type", "application/json"), ("X-OTAS-SDK-KEY", "otas_abcd_secret"))
    return Request(f"{url}/api/v1/backend/log/sdk/", headers, body)


class TestTheWire:
    @pytest.mark.parametrize("size", [2, 3000, 30_000])
    def test_head_and_body_travel_in_one_segment_with_a_length_and_without_chunks(
        self, transport: Transport, size: int
    ) -> None:
        with RawServer(lambda connection, _: connection.sendall(created())) as server:
            assert transport(post(server.url, b"x" * size), 5.0).status == 201
            (received,) = server.requests
            assert received.header("Content-Length") == str(size)
            assert received.header("Transfer-Encoding") is None
            assert received.header("Content-Encoding") is None
            assert received.header("Host") == server.url.removeprefix("http://")
            assert received.header("Accept-Encoding") in {None, "identity"}
            assert received.body == b"x" * size
            assert len(received.segments) == 1 or isinstance(transport, HttpxTransport)

    def test_a_large_body_arrives_whole(self, transport: Transport) -> None:
        body = os.urandom(2_600_000)
        with RawServer(lambda connection, _: connection.sendall(created())) as server:
            assert transport(post(server.url, body), 10.0).status == 201
            assert server.requests[0].body == body

    def test_one_connection_carries_many_requests(self, transport: Transport) -> None:
        with RawServer(lambda connection, _: connection.sendall(created())) as server:
            for _ in range(10):
                assert transport(post(server.url), 5.0).body.startswith(b'{"status":1')
            assert server.connections == 1

    def test_redirects_are_not_followed(self, transport: Transport) -> None:
        with (
            RawServer(lambda connection, _: connection.sendall(created())) as elsewhere,
            RawServer(
                lambda connection, _: connection.sendall(answer("307 Moved", b"", f"Location: {elsewhere.url}/"))
            ) as server,
        ):
            assert transport(post(server.url), 5.0).status == 307
            assert elsewhere.connections == 0

    def test_proxies_of_the_environment_are_used_by_httpx_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def proxy(connection: socket.socket, request: Received) -> None:
            proxied.append(request.data.split(b"\r\n")[0])
            connection.sendall(created())

        proxied: list[bytes] = []
        with RawServer(lambda connection, _: connection.sendall(created())) as server, RawServer(proxy) as between:
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, between.url)
            direct, client = DirectTransport(1.0), HttpxTransport(1.0)
            assert direct(post(server.url), 5.0).status == 201
            assert proxied == []
            assert client(post("http://brain.internal"), 5.0).status == 201
            assert proxied == [b"POST http://brain.internal/api/v1/backend/log/sdk/ HTTP/1.1"]
            for transport in (direct, client):
                transport.close()

    def test_of_an_endless_answer_only_the_beginning_is_read(self, transport: Transport) -> None:
        def endless(connection: socket.socket, _: Received) -> bool:
            connection.sendall(b"HTTP/1.1 500 Oh\r\nContent-Type: text/html\r\nContent-Length: 9999999999\r\n\r\n")
            for _piece in range(100_000):
                connection.sendall(b"x" * 65_536)
            return False

        with RawServer(endless) as server:
            response = transport(post(server.url), 5.0)
            assert response.status == 500
            assert 0 < len(response.body) <= MAX_REPLY_BYTES

    def test_retry_after_is_seen(self, transport: Transport) -> None:
        reply = answer("503 Busy", b"", "Retry-After: 7")
        with RawServer(lambda connection, _: connection.sendall(reply)) as server:
            assert transport(post(server.url), 5.0).headers["retry-after"] == "7"


def fail(transport: Transport, url: str, timeout: float = 5.0) -> TransportError:
    with pytest.raises(TransportError) as caught:
        transport(post(url), timeout)
    assert "127.0.0.1" not in str(caught.value)
    return caught.value


def tells_less(transport: Transport, error: TransportError) -> bool:
    """Say whether httpx could not know better: to it, no answer and a bad one are the same."""
    return isinstance(transport, HttpxTransport) and error.cause in {"bad answer", "connection closed"}


class TestFailures:
    def test_a_refused_connection_is_an_error_of_the_transport(self, transport: Transport) -> None:
        with RawServer(silence) as server:
            pass
        error = fail(transport, server.url)
        assert (error.cause, error.sent) == ("connection refused", False)

    def test_an_unknown_host_is_an_error_of_the_transport(self, transport: Transport) -> None:
        error = fail(transport, "http://brain.invalid")
        assert (error.cause, error.sent) == ("host name not found", False)

    def test_a_host_that_hangs_is_an_error_of_the_transport(self, transport: Transport) -> None:
        with RawServer(lambda _connection, _request: time.sleep(2)) as server:
            begun = time.monotonic()
            error = fail(transport, server.url, 0.3)
            assert (error.cause, error.sent) == ("timeout", True)
            assert time.monotonic() - begun < 2.0

    def test_an_answer_that_trickles_does_not_outlive_the_time_given(self) -> None:
        def trickle(connection: socket.socket, _: Received) -> None:
            for byte in created():
                connection.sendall(bytes([byte]))
                time.sleep(0.05)

        with RawServer(trickle) as server:
            begun = time.monotonic()
            transport = DirectTransport(1.0)
            assert fail(transport, server.url, 0.5).cause == "timeout"
            assert time.monotonic() - begun < 5.0

    @pytest.mark.parametrize(
        ("reply", "cause"),
        [
            (b"", "connection closed"),
            (b"SSH-2.0-OpenSSH_9.9\r\n", "bad answer"),
            (b"\0" * 100, "bad answer"),
            (created()[:-5], "bad answer"),
            (b"HTTP/1.1 201 Created\r\nContent-Le", None),
        ],
    )
    def test_an_answer_that_is_none(self, transport: Transport, reply: bytes, cause: str | None) -> None:
        def say(connection: socket.socket, _: Received) -> bool:
            connection.sendall(reply)
            return False

        with RawServer(say) as server:
            error = fail(transport, server.url)
            assert error.sent
            assert cause is None or error.cause == cause or tells_less(transport, error)

    def test_reset(self, transport: Transport) -> None:
        with RawServer(lambda connection, _: reset(connection)) as server:
            error = fail(transport, server.url)
            assert (error.cause, error.sent) == ("connection closed", True)

    def test_a_connection_that_the_server_closed_meanwhile_is_replaced(self, transport: Transport) -> None:
        def close_after(connection: socket.socket, _: Received) -> bool:
            connection.sendall(created())
            return False  # as gunicorn does after 2 s, without having said so

        with RawServer(close_after) as server:
            for _ in range(3):
                response = transport(post(server.url), 5.0)
                assert (response.status, response.resent) == (201, False)
                time.sleep(0.05)
            assert (server.connections, len(server.requests)) == (3, 3)


def test_a_kept_alive_connection_that_ends_without_an_answer_is_tried_once_more_and_told(transport: Transport) -> None:
    """The server closes it while the request is on its way: nobody can know whether it was read."""

    def close_at_second(connection: socket.socket, request: Received) -> bool | None:
        if request.connection == 1 and len(server.requests) > 1:
            return False
        connection.sendall(created())
        return None

    with RawServer(close_at_second) as server:
        assert not transport(post(server.url), 5.0).resent
        assert transport(post(server.url), 5.0).resent
        assert len(server.requests) == 3


def test_a_new_connection_that_ends_without_an_answer_is_a_failure(transport: Transport) -> None:
    with RawServer(lambda _connection, _request: False) as server:
        error = fail(transport, server.url)
        assert error.cause == "connection closed" or tells_less(transport, error)
        assert len(server.requests) == 1


def test_the_end_of_a_kept_alive_connection_stays_ambiguous_when_the_server_is_gone(transport: Transport) -> None:
    def die_at_second(connection: socket.socket, request: Received) -> bool | None:
        if len(server.requests) == 1:
            connection.sendall(created())
            return None
        server.__exit__()
        return False

    with RawServer(die_at_second) as server:
        transport(post(server.url), 5.0)
        error = fail(transport, server.url)
        assert error.sent


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls"))


class TestTls:
    @pytest.fixture(autouse=True)
    def trust(self, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the transport, which is made after this, know the certificate."""
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    def test_an_event_arrives_whole(self, transport: Transport, certificate: Path) -> None:
        body = os.urandom(100_000)
        with RawServer(lambda connection, _: connection.sendall(created()), certificate=certificate) as server:
            assert server.url.startswith("https://")
            assert transport(post(server.url, body), 5.0).status == 201
            (received,) = server.requests
            assert received.body == body

    def test_the_connection_is_kept_for_the_next_request(self, transport: Transport, certificate: Path) -> None:
        with RawServer(lambda connection, _: connection.sendall(created()), certificate=certificate) as server:
            for _ in range(2):
                response = transport(post(server.url), 5.0)
                assert (response.status, response.resent) == (201, False)
                time.sleep(0.1)  # after a while it is asked whether the server has closed it
            assert (server.connections, len(server.requests)) == (1, 2)

    def test_an_answer_that_comes_in_pieces_is_read_whole(self, transport: Transport, certificate: Path) -> None:
        body = os.urandom(MAX_REPLY_BYTES)  # more than a TLS record holds
        head = answer("400 Bad Request", body).removesuffix(body)

        def by_pieces(connection: socket.socket, _: Received) -> None:
            for byte in head:
                connection.sendall(bytes([byte]))
            for start in range(0, len(body), 20_000):
                time.sleep(0.01)
                connection.sendall(body[start : start + 20_000])

        with RawServer(by_pieces, certificate=certificate) as server:
            for _ in range(2):
                response = transport(post(server.url), 5.0)
                assert (response.status, response.body) == (400, body)

    def test_a_server_that_never_answers_is_a_timeout(self, transport: Transport, certificate: Path) -> None:
        with RawServer(silence, certificate=certificate) as server:
            error = fail(transport, server.url, 0.5)
            assert (error.cause, error.sent) == ("timeout", True)
            assert len(server.requests) == 1

    def test_a_handshake_that_hangs_is_a_timeout_of_the_connection(self, transport: Transport) -> None:
        with RawServer(silence) as server:
            error = fail(transport, server.url.replace("http:", "https:"))
            assert (error.cause, error.sent) == ("connect timeout", False)

    def test_nothing_is_sent_to_a_server_with_a_certificate_of_an_unknown_authority(
        self, transport: Transport, tmp_path: Path
    ) -> None:
        with RawServer(silence, certificate=self_signed(tmp_path)) as server:
            error = fail(transport, server.url)
            assert (error.cause, error.sent) == ("tls error", False)
            assert server.requests == []

    def test_renewed_authorities_are_used_after_a_failure(
        self, transport: Transport, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        known = tmp_path / "known.pem"
        shutil.copy(certificate, known)
        monkeypatch.setenv("SSL_CERT_FILE", str(known))
        with RawServer(lambda connection, _: connection.sendall(created()), certificate=certificate) as server:
            assert transport(post(server.url), 5.0).status == 201
        renewed = self_signed(tmp_path)
        with RawServer(lambda connection, _: connection.sendall(created()), certificate=renewed) as server:
            assert fail(transport, server.url).cause == "tls error"
            shutil.copy(renewed, known)
            assert transport(post(server.url), 5.0).status == 201

    def test_nothing_is_sent_to_a_server_with_a_certificate_for_another_name(
        self, transport: Transport, certificate: Path
    ) -> None:
        with RawServer(silence, certificate=certificate) as server:
            error = fail(transport, server.url.replace("127.0.0.1", "localhost"))
            assert (error.cause, error.sent) == ("tls error", False)
            assert server.requests == []


class TestChoice:
    def test_the_default_is_our_own_connection(self) -> None:
        assert OtasSettings().transport == "direct"
        assert isinstance(transport_factory(settings("http://x.invalid"))(), DirectTransport)

    def test_httpx_is_a_client_of_that_library(self) -> None:
        made = transport_factory(settings("http://x.invalid", transport="httpx"))()
        assert isinstance(made, HttpxTransport)
        made.close()

    @pytest.mark.parametrize("name", ["auto", "fast"])
    def test_former_names_are_accepted_with_a_warning(self, name: str, caplog: pytest.LogCaptureFixture) -> None:
        with pytest.warns(DeprecationWarning, match="means `direct`"):
            made = transport_factory(settings("http://x.invalid", transport=name))()
        assert isinstance(made, DirectTransport)
        assert f"OTAS_TRANSPORT={name} means `direct` now" in caplog.text

    def test_a_proxy_of_the_environment_that_is_not_used_is_told_once(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        monkeypatch.setattr("otas_middleware._runtime.runtime.logged", set[str]())
        monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy.internal:3128")
        transport_factory(settings("http://x.invalid", transport="httpx"))
        assert "HTTPS_PROXY" not in caplog.text
        for _ in range(2):
            transport_factory(settings("http://x.invalid"))
        assert caplog.text.count("HTTPS_PROXY is set and not used") == 1
        assert "secret" not in caplog.text

    @pytest.mark.parametrize("path", ["nowhere.at.all:x", "socket:nothing", "socket:AF_INET"])
    def test_a_path_that_leads_nowhere_is_named(self, path: str) -> None:
        with pytest.raises(ConfigurationError, match=path):
            transport_factory(settings("http://x.invalid", transport=path))

    def test_httpx_under_its_old_name_will_do(self) -> None:
        code = """
import sys
sys.modules["httpcore2"] = None
from otas_middleware._delivery.transports import direct
assert direct.httpcore.__name__ == "httpcore", direct.httpcore
from support.delivery import RawServer, created
from otas_middleware._delivery import Request
with RawServer(lambda connection, _: connection.sendall(created())) as server:
    assert direct.DirectTransport(1.0)(Request(server.url + "/x/", (), b"{}"), 5.0).status == 201
"""
        subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": "tests"})


def read_all(data: bytes, sizes: list[int]) -> ResponseReader:
    """Feed a response in pieces of the given sizes, then its end."""
    reader = ResponseReader()
    position = 0
    for size in [*sizes, len(data)]:
        piece = data[position : position + size]
        position += size
        if piece and reader.feed(piece):
            return reader
    reader.feed(b"")
    return reader


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,12}", fullmatch=True).filter(
    lambda name: name.lower() not in {"content-length", "transfer-encoding", "connection"}
)
VALUES = st.from_regex(r"[!-~]([ -~]{0,20}[!-~])?", fullmatch=True)
FOLDED = st.builds("{}\r\n\t {}".format, VALUES, VALUES)
FRAMINGS = st.sampled_from(["length", "chunked", "close"])


@given(
    status=st.integers(200, 599).filter(lambda status: status not in {204, 304}),
    headers=st.lists(st.tuples(NAMES, st.one_of(VALUES, FOLDED)), max_size=5),
    chunks=st.lists(st.binary(min_size=1, max_size=50), max_size=5),
    framing=FRAMINGS,
    informational=st.booleans(),
    sizes=st.lists(st.integers(1, 40), max_size=60),
)
def test_any_response_is_read_as_h11_reads_it_however_it_is_cut(
    status: int,
    headers: list[tuple[str, str]],
    chunks: list[bytes],
    framing: str,
    informational: bool,
    sizes: list[int],
) -> None:
    body = b"".join(chunks)
    lines = [f"HTTP/1.1 {status} Reason", *(f"{name}: {value}" for name, value in headers)]
    if framing == "length":
        lines.append(f"Content-Length: {len(body)}")
        payload = body
    elif framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
        payload = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    else:
        payload = body
    data = ("\r\n".join(lines) + "\r\n\r\n").encode() + payload
    if informational:
        data = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + data

    reader = read_all(data, sizes)
    assert reader.response.status == status
    assert reader.response.body == body
    assert reader.reusable == (framing != "close")

    oracle = h11.Connection(our_role=h11.CLIENT)
    oracle.send(h11.Request(method="POST", target="/", headers=[("Host", "x"), ("Content-Length", "0")]))
    oracle.send(h11.EndOfMessage())
    oracle.receive_data(data)
    oracle.receive_data(b"")
    expected = b""
    while not isinstance(event := oracle.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Response):
            assert event.status_code == status
            for name, value in event.headers:
                values = [text for key, text in headers if key.lower() == name.decode()]
                assert not values or reader.response.headers[name.decode()] == values[-1].replace("\r\n\t ", " ")
                assert not values or value.decode() in {text.replace("\r\n\t ", " ") for text in values}
        elif isinstance(event, h11.Data):
            expected += event.data
    assert expected == body


@given(st.binary(max_size=200), st.lists(st.integers(1, 40), max_size=10))
def test_garbage_is_an_error_and_nothing_else(data: bytes, sizes: list[int]) -> None:
    with pytest.raises(WireError):
        read_all(data, sizes)


@given(st.binary(max_size=200), st.lists(st.integers(1, 40), max_size=10))
def test_garbage_behind_a_good_head_is_a_response_or_an_error(data: bytes, sizes: list[int]) -> None:
    for head in (b"Transfer-Encoding: chunked", b"Content-Length: 50", b"X: y"):
        try:
            response = read_all(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + data, sizes).response
        except WireError:
            continue
        assert isinstance(response, Response)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
    ],
)
def test_what_no_server_may_answer_is_an_error(data: bytes) -> None:
    with pytest.raises(WireError):
        read_all(data, [])


def test_the_same_answer_again_is_read_once_and_nobody_can_change_it_for_the_next() -> None:
    data = answer("201 Created", b"{}")
    first = read_whole(data)
    assert first is not None
    assert read_whole(data) is first
    response, reusable = first
    assert (response.status, response.headers["content-length"], response.body, reusable) == (201, "2", b"{}", True)
    with pytest.raises(TypeError):
        response.headers["content-length"] = "3"  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
    assert read_whole(data[:-1]) is None


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "ü"])
def test_no_header_can_break_out_of_its_line(value: str) -> None:
    with pytest.raises(ValueError, match=r"line break|ascii"):
        request_head("/x/", "brain", (("X-OTAS-AGENT-SESSION-TOKEN", value),), 2)


def test_threads_do_not_share_what_they_send() -> None:
    with RawServer(lambda connection, request: connection.sendall(answer("200 OK", request.body))) as server:
        wrong: list[bytes] = []

        def work(make: Callable[[float], DirectTransport | HttpxTransport], mark: bytes) -> None:
            transport = make(1.0)
            wrong.extend(body for _ in range(50) if (body := transport(post(server.url, mark), 5.0).body) != mark)
            transport.close()

        threads = [
            threading.Thread(target=work, args=(make, b"%d" % number))
            for number in range(4)
            for make in (DirectTransport, HttpxTransport)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
