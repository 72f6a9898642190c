"""A flood of odd requests: the local Brain stores the event of every one.

Hypothesis searches (`test_fit.py`); this counts. Each request is put together by chance from pieces that have lost
events before: NUL, lone surrogates, numbers out of range, broken codings, cut structures. `make fuzz` makes a million
of them, a plain run some thousands; a seed gives the same requests again.
"""

from __future__ import annotations

import gc
import gzip
import http.client
import json
import os
import random
import tracemalloc
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest

from events.exchange import event_of, exchange
from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._config.settings import OtasSettings
from otas_middleware._event import MAX_EVENT_BYTES
from otas_middleware._event.build import build
from otas_middleware.localbrain import LocalBrain

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._capture import Capture

pytestmark = (
    pytest.mark.no_cover
)  # tracing doubles its time and takes memory, and other tests run the same lines under coverage

SETTINGS = OtasSettings()
SEEDS = range(4)
EVENTS = 250_000 if os.environ.get("OTAS_FUZZ_EXAMPLES") else 500
"""For each seed."""
PER_BRAIN = 10_000
"""Events after which a new Brain begins, because it keeps all of them."""

TEXTS = [
    *("", "a", "\x00", "\ud800", "\udfff\ud800", "😀", "\u202e", "\r\n", "\x1b[2J", "é" * 50, "%00", "NaN", "null"),
    *("password", "token=a", "Bearer x.y.z", "otas_a_b", '{"password": "', "]]>", "<a b='", "--b", "a" * 3000),
]
NUMBERS: list[Any] = [0, -1, 2**31, 2**63, 2**64, 10**400, 1e308, 5e-324, float("nan"), float("inf"), float("-inf")]
OCTETS = [
    *(b"", b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\xf0\x9f\x98", b'{"a":', b"[[[[", b"]]", b'"\\ud800"', b"1e999"),
    *(b"a=b&c=%ff", b"data: ", b"\n\n", b"--b\r\n", b'Content-Disposition: form-data; name="', b"<x y=", b"{}" * 40),
    *(gzip.compress(b"{}"), gzip.compress(b"\x00" * 5000)[:-9], b"\x1f\x8b", b"a" * 2000),
]
TYPES = [
    *(None, "", "application/json", "application/x-ndjson", "text/html; charset=utf-7", "text/plain; charset=\x00"),
    *("multipart/form-data; boundary=b", "application/x-www-form-urlencoded", "text/event-stream", "text/csv"),
    *("application/xml", "image/png", "x" * 400, "text/plain; charset=utf-16"),
]
CODINGS = [None, None, "gzip", "br", "zstd", "deflate", "gzip, gzip", "x\x00"]
METHODS = ["GET", "POST", "", "M" * 99, "\x00", "PÖST"]
NAMES = ["x-a", "Cookie", "authorization", "x-api-key", "\x00", "a" * 70, "content-length"]


class Chance(random.Random):
    """Puts requests together."""

    def text(self) -> str:
        return "".join(self.choices(TEXTS, k=self.randrange(4)))

    def octets(self) -> bytes:
        return b"".join(self.choices(OCTETS, k=self.randrange(6)))

    def value(self, depth: int = 3) -> Any:
        kind = self.randrange(6 if depth else 3)
        if kind < 2:
            return self.text()
        if kind == 2:
            return self.choice(NUMBERS)
        if kind == 3:
            return [self.value(depth - 1) for _ in range(self.randrange(3))]
        if kind == 4:
            return {self.text(): self.value(depth - 1) for _ in range(self.randrange(3))}
        return self.choice([None, True, b"\xff", object(), {1, 2}, (self.text(),)])

    def document(self) -> bytes:
        text = json.dumps(self.value(), default=str, ensure_ascii=False).encode("utf-8", "surrogatepass")
        return text[: self.randrange(len(text) + 1)] if self.random() < 0.3 else text

    def body(self) -> bytes:
        return self.document() if self.random() < 0.4 else self.octets()

    def headers(self) -> list[tuple[str, str]]:
        texts = (self.text().encode("utf-8", "replace").decode("latin-1") for _ in range(self.randrange(3)))
        return [(self.choice(NAMES), text) for text in texts]

    def request(self) -> Capture:
        return exchange(
            method=self.choice(METHODS),
            path="/" + self.text() * self.choice([1, 1, 1, 40]),
            query=self.text() if self.random() < 0.5 else self.octets(),
            route=self.choice([None, "/{a}", self.text()]),
            status=self.choice([200, 204, 404, 500, 0, -1, 10**12]),
            request_headers=self.headers(),
            request_body=self.body(),
            request_type=self.choice(TYPES),
            request_coding=self.choice(CODINGS),
            response_headers=self.headers(),
            response_body=self.body(),
            response_type=self.choice(TYPES),
            response_coding=self.choice(CODINGS),
            limit=self.choice([0, 10, 100, 65_536]),
            error=self.choice([None, None, ValueError(self.text()), KeyError(self.text())]),
            properties={self.text(): self.value()} if self.random() < 0.3 else None,
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_brain_stores_every_event_of_a_flood(seed: int) -> None:
    chance = Chance(seed)
    left = EVENTS
    while left:
        count = min(left, PER_BRAIN)
        left -= count
        with ExitStack() as stack:
            brain = stack.enter_context(LocalBrain())
            port = int(brain.url.rpartition(":")[2])
            connection = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)))
            headers = {"X-OTAS-SDK-KEY": brain.sdk_key, TOKEN_HEADER: brain.create_session()}
            for _ in range(count):
                envelope = build(chance.request(), SETTINGS)
                assert envelope is not None
                event = envelope.event.to_json()
                assert len(event) <= MAX_EVENT_BYTES
                connection.request("POST", "/api/v1/backend/log/sdk/", event, headers)
                answer = connection.getresponse()
                assert json.loads(answer.read())["status_description"] == "event_captured", event[:2000]


INVENTED: dict[str, Callable[[str], Capture]] = {
    "a header's name": lambda text: exchange(request_headers=[(text, "1")]),
    "a user agent": lambda text: exchange(request_headers=[("User-Agent", text)]),
    "a content type": lambda text: exchange(request_body=b"x", request_type=f"application/{text}"),
    "a member's name": lambda text: exchange(properties={"asked": {"name": "a", text: "b"}}),
}


@pytest.mark.parametrize("make", INVENTED.values(), ids=INVENTED.keys())
def test_long_texts_that_strangers_invent_are_not_kept(make: Callable[[str], Capture]) -> None:
    build(make("begin"), SETTINGS)
    assert memory_of(lambda number: build(make(f"{number:06d}" + "a" * 20_000), SETTINGS), times=300) < 2_000_000


def test_charsets_that_strangers_invent_are_not_kept() -> None:
    """Python keeps every name of which it has been asked whether there is such a codec."""

    def ask(number: int) -> None:
        build(exchange(request_body=b"{}", request_type=f"application/json; charset={number}{'a' * 1_900}"), SETTINGS)

    assert memory_of(ask, times=600, before=600) < 200_000


def memory_of(work: Callable[[int], object], times: int, before: int = 0) -> int:
    """Return how many bytes are held more after some times than before them.

    Args:
        work: Gets the number of the time.
        times: How often it is done.
        before: How often it is done before that, so that what has a bound has reached it.
    """
    tracemalloc.start()
    held: list[int] = []
    for part in (range(before), range(before, before + times)):
        for number in part:
            work(number)
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    return held[1] - held[0]


def test_a_header_whose_name_is_no_text_costs_nothing_but_itself() -> None:
    capture = exchange()
    capture.request_headers = [("X-\udc80", "1"), ("X-B", "\ud800")]
    event = event_of(capture)
    assert json.loads(event.request_headers) == {"x-?": "1", "x-b": "?"}
