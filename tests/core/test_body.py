"""The bounded copy of a body: its beginning, its end, and how much passed."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otas_middleware._capture.body import BoundedBody, declared_size, without_coding

if TYPE_CHECKING:
    from otas_middleware._capture.body import Chunk

LIMIT, TAIL = 10, 7
CHUNKS = st.lists(st.binary(max_size=25), max_size=12)


def filled(chunks: list[bytes], tail: int = TAIL) -> BoundedBody:
    body = BoundedBody(LIMIT, tail)
    for chunk in chunks:
        body.add(chunk)
    return body


@given(CHUNKS)
def test_the_beginning_and_the_end_are_kept_and_all_is_counted(chunks: list[bytes]) -> None:
    sent = b"".join(chunks)
    body = filled(chunks)
    assert (body.size, body.kept()) == (len(sent), sent[:LIMIT])
    assert body.end() == (sent[LIMIT:][-TAIL:], len(sent) > LIMIT + TAIL)
    assert (
        body.held
        == len(sent[:LIMIT]) + len(sent[LIMIT:][-TAIL:])
        == sum(map(len, body.pieces()[0]))
        == body.pieces()[1]
    )


@given(CHUNKS)
def test_without_a_tail_the_beginning_alone_is_kept(chunks: list[bytes]) -> None:
    sent = b"".join(chunks)
    body = filled(chunks, tail=0)
    assert (body.size, body.kept(), body.end()) == (len(sent), sent[:LIMIT], (b"", len(sent) > LIMIT))


@given(CHUNKS, CHUNKS)
def test_a_body_is_restored_in_another_process_and_goes_on(chunks: list[bytes], more: list[bytes]) -> None:
    body = filled(chunks)
    pieces, _ = body.pieces()
    restored = BoundedBody.restored([getattr(body, name) for name in BoundedBody.STATE], b"".join(pieces))
    for chunk in more:
        body.add(chunk)
        restored.add(chunk)
    assert (restored.size, restored.kept(), restored.end()) == (body.size, body.kept(), body.end())


@given(CHUNKS, CHUNKS, st.integers(0, LIMIT))
def test_a_body_of_which_less_is_to_be_kept_goes_on_as_if_that_had_been_known_before(
    chunks: list[bytes], more: list[bytes], limit: int
) -> None:
    sent = b"".join(chunks + more)
    body = filled(chunks, tail=0)
    body.limit_to(limit)
    for chunk in more:
        body.add(chunk)
    assert (body.size, body.kept(), body.held) == (len(sent), sent[:limit], len(sent[:limit]))


@given(CHUNKS, st.integers(0, 3 * LIMIT))
def test_what_passed_after_so_many_bytes_can_be_forgotten(chunks: list[bytes], size: int) -> None:
    sent = b"".join(chunks)
    body = filled(chunks)
    body.trim(size)
    left = min(size, len(sent))
    end = sent[max(LIMIT, len(sent) - TAIL) : left]
    assert (body.size, body.kept(), body.end()) == (left, sent[:LIMIT][:left], (end, len(end) < left - LIMIT))
    assert body.held == len(body.kept()) + len(end)


@pytest.mark.parametrize("before", [0, 2 * LIMIT])
def test_of_a_chunk_as_long_as_a_whole_body_only_what_is_kept_is_copied(before: int) -> None:
    huge = bytes(10_000_000)
    body = BoundedBody(LIMIT, TAIL)
    body.add(b"x" * before)
    tracemalloc.start()
    body.add(huge)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000
    assert (body.size, body.end()) == (before + len(huge), (bytes(TAIL), True))


def test_a_body_in_tiny_pieces_takes_little_more_than_its_bytes() -> None:
    body = BoundedBody(65_536)
    tracemalloc.start()
    for number in range(32_768):
        body.add(number.to_bytes(2))
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 2 * 65_536
    assert peak < 6 * 65_536
    assert body.kept() == b"".join(number.to_bytes(2) for number in range(32_768))


def test_more_can_be_kept_of_a_body_of_which_nothing_has_passed() -> None:
    body = BoundedBody(1)
    body.limit_to(LIMIT)
    body.add(b"x" * LIMIT)
    assert (body.size, body.kept()) == (LIMIT, b"x" * LIMIT)


@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_of_an_endless_body_no_more_than_beginning_and_twice_the_end_is_held(size: int) -> None:
    body = BoundedBody(100, 1000)
    for _ in range(10_000 // size + 10):
        body.add(bytes(size))
        assert sum(map(len, body.parts)) + sum(map(len, body._tail or ())) <= 100 + 2 * 1000


@pytest.mark.parametrize(
    ("name", "value", "size"),
    [
        (b"Content-Length", b"12", 12),
        ("content-length", "12", 12),
        ("Content-Length", 12, 12),
        ("Content-Length", "²", None),
        ("Content-Length", "٣", None),
        (b"content-length", b"9" * 5_000, None),
        (b"content-length", b"5, 5", None),
        ("Content-Length", -1, None),
        ("Content-Length", None, None),
        (14, "12", None),
        (b"content-lengti", b"12", None),
    ],
)
def test_a_length_is_read_of_whatever_stands_among_the_headers(name: object, value: object, size: int | None) -> None:
    assert declared_size([("Server", "x"), (name, value)]) == size


@pytest.mark.parametrize(
    ("headers", "size"),
    [
        ([], None),
        ([("Content-Length", "0")], 0),
        ([("Content-Length", 0)], 0),
        ([("Content-Length", "12"), ("Content-Length", "13")], 12),
        ([("Content-Length", "x"), ("Content-Length", "13")], 13),
        ([("Content-Length", "")], None),
        ([("Content-Length", "9" * 19)], int("9" * 19)),
        ([("Content-Length", "9" * 20)], None),
    ],
)
def test_of_several_lengths_the_first_that_is_one_counts(
    headers: list[tuple[object, object]], size: int | None
) -> None:
    assert declared_size(headers) == size


def test_the_length_goes_with_the_coding_that_has_been_undone() -> None:
    headers = [("Content-Encoding", "gzip"), ("Content-Length", "5"), ("X-Other", "1")]
    assert without_coding(headers) == [("X-Other", "1")]
    assert without_coding(headers[1:]) == headers[1:]
    assert without_coding([("content-encoding", "br"), ("A", 1)]) == [("A", "1")]


@pytest.mark.parametrize(
    ("chunk", "octets"),
    [
        ("é", b"\xc3\xa9"),
        ("\udcff", b"\xff"),  # what was not UTF-8 in the first place
        (bytearray(b"abc"), b"abc"),
        (memoryview(b"abc"), b"abc"),
        ("", b""),
    ],
)
def test_a_chunk_may_be_whatever_frameworks_let_applications_stream(chunk: Chunk, octets: bytes) -> None:
    body = BoundedBody(LIMIT)
    body.add(chunk)
    assert (body.kept(), body.size) == (octets, len(octets))


def test_a_chunk_that_is_changed_later_stays_what_it_was() -> None:
    body = BoundedBody(LIMIT)
    chunk = bytearray(b"abc")
    body.add(chunk)
    chunk[:] = b"xyz"
    assert body.kept() == b"abc"


@given(CHUNKS, CHUNKS)
def test_what_did_not_get_to_where_it_was_going_is_forgotten(chunks: list[bytes], more: list[bytes]) -> None:
    body, other = filled(chunks), filled(more)
    parts = body.parts
    body.clear()
    assert (body.size, body.kept(), body.end(), body.held, body.whole) == (0, b"", (b"", False), 0, True)
    for chunk in more:
        body.add(chunk)
    assert (body.size, body.kept(), body.end()) == (other.size, other.kept(), other.end())
    assert body.parts is parts


@given(CHUNKS, st.integers(0, 3 * LIMIT))
def test_it_is_whole_as_long_as_nothing_has_been_cut_off(chunks: list[bytes], size: int) -> None:
    sent = b"".join(chunks)
    body = filled(chunks)
    assert body.whole is (len(sent) <= LIMIT)
    body.trim(size)
    assert body.whole is (min(len(sent), size) <= LIMIT)


@pytest.mark.parametrize(("size", "limit", "whole"), [(3, 5, True), (5, 5, True), (6, 5, False), (12, 11, False)])
def test_of_which_less_is_kept_it_is_whole_if_that_is_all(size: int, limit: int, whole: bool) -> None:
    body = filled([b"x" * size], tail=0)
    body.limit_to(limit)
    assert body.whole is whole


def test_of_an_endless_body_the_end_is_joined_now_and_then_and_not_with_each_chunk() -> None:
    body = BoundedBody(1, 100)
    body.add(b"xx")
    joined = 0
    for _ in range(1000):
        before = len(body._tail or ())
        body.add(b"x")
        joined += len(body._tail or ()) <= before
    assert 5 <= joined <= 20
