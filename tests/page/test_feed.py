"""The stream that tells open pages of news."""

from __future__ import annotations

import http.client
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from localbrain.wire import Client
    from otas_middleware.localbrain import LocalBrain


@contextmanager
def listening(brain: LocalBrain) -> Generator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", brain.port, timeout=5)
    connection.request("GET", "/_page/feed")
    response = connection.getresponse()
    assert (response.status, response.getheader("content-type")) == (200, "text/event-stream")
    try:
        assert next_event(response) == "news"
        yield response
    finally:
        response.close()
        connection.close()


def next_event(response: http.client.HTTPResponse) -> str:
    while not (line := response.readline()).startswith(b"event:"):
        assert line, "the stream has ended"
    return line.partition(b":")[2].strip().decode()


def test_news_comes_with_each_arrival(brain: LocalBrain, client: Client) -> None:
    with listening(brain) as response:
        for _ in range(3):
            client.log()
            assert next_event(response) == "news"


def test_a_flood_of_events_is_few_messages(brain: LocalBrain, client: Client) -> None:
    with listening(brain) as response:
        began = time.monotonic()
        client.log_many(200)
        seconds = time.monotonic() - began
        time.sleep(0.5)
        client.log()
        response.fp.raw._sock.settimeout(1)  # type: ignore[attr-defined]
        messages = 0
        try:
            while next_event(response):
                messages += 1
        except TimeoutError:
            pass
        assert 1 <= messages <= seconds / 0.2 + 4


def test_an_open_page_does_not_hold_up_the_end(brain: LocalBrain) -> None:
    with listening(brain):
        began = time.monotonic()
        brain.close()
        assert time.monotonic() - began < 2


def test_events_are_stored_while_a_page_does_not_read(brain: LocalBrain, client: Client) -> None:
    with listening(brain):
        assert set(client.log_many(50)) == {201}


def test_pages_beyond_the_limit_are_refused(brain: LocalBrain, client: Client) -> None:
    connections = [http.client.HTTPConnection("127.0.0.1", brain.port, timeout=5) for _ in range(33)]
    statuses: list[int] = []
    for connection in connections:
        connection.request("GET", "/_page/feed")
        statuses.append(connection.getresponse().status)
    assert statuses == [200] * 32 + [503]
    for connection in connections:
        connection.close()
    deadline = time.monotonic() + 5
    while (status := open_and_close(brain)) == 503 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert status == 200


def open_and_close(brain: LocalBrain) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", brain.port, timeout=5)
    connection.request("GET", "/_page/feed")
    status = connection.getresponse().status
    connection.close()
    return status
