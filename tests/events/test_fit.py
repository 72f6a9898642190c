"""Every event satisfies Brain's limits, whatever came in; the local Brain stores each one."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import httpx2 as httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.exchange import exchange
from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._config.settings import OtasSettings
from otas_middleware._event import MAX_EVENT_BYTES, MAX_INTEGER, MAX_PATH_BYTES, BackendEvent
from otas_middleware._event.build import build, finish_event
from otas_middleware.localbrain.checks import missing_fields, read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otas_middleware.localbrain import LocalBrain

SETTINGS = OtasSettings()
EXAMPLES = int(os.environ.get("OTAS_FUZZ_EXAMPLES", "0"))

texts = st.text(st.characters(), max_size=300)  # NUL and lone surrogates among them
wild: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(10**300, 10**301),
        st.floats(),
        texts,
        st.binary(max_size=50),
        st.dates(),
        st.decimals(),
        st.uuids(),
        st.complex_numbers(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.sets(st.one_of(st.integers(), texts), max_size=5),
        st.dictionaries(st.one_of(texts, st.integers(), st.none(), st.booleans()), inner, max_size=5),
    ),
    max_leaves=15,
)
fields = st.dictionaries(st.sampled_from(sorted(BackendEvent.model_fields)), wild)


@pytest.fixture(scope="module")
def store(brain: LocalBrain) -> Iterator[Callable[[bytes], None]]:
    """Return a function that posts an event to the local Brain and checks that it was stored."""
    headers = {
        "X-OTAS-SDK-KEY": brain.sdk_key,
        TOKEN_HEADER: brain.create_session(),
        "Content-Type": "application/json",
    }
    with httpx.Client(base_url=brain.url, headers=headers) as client:

        def post(event: bytes) -> None:
            assert len(event) <= MAX_EVENT_BYTES
            assert missing_fields(read_json(event)) == []
            answer = client.post("/api/v1/backend/log/sdk/", content=event)
            assert (answer.status_code, answer.json()["status_description"]) == (201, "event_captured"), event[:2000]

        yield post


@pytest.mark.no_cover  # tracing doubles its time, and other tests run the same lines under coverage
@settings(max_examples=EXAMPLES or 200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(fields)
def test_brain_stores_an_event_whatever_its_fields_are(store: Callable[[bytes], None], values: dict[str, Any]) -> None:
    event = BackendEvent(path="/", method="GET", status_code=200, latency_ms=1.0)
    for name, value in values.items():
        setattr(event, name, value)
    finished = finish_event(event, SETTINGS)
    assert BackendEvent.model_validate(finished.__dict__) == finished  # it is made without validation
    store(finished.to_json())


@pytest.mark.no_cover  # tracing doubles its time, and other tests run the same lines under coverage
@settings(max_examples=EXAMPLES or 100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    path=texts,
    query=st.one_of(texts, st.binary(max_size=100)),
    method=texts,
    status=st.integers(-5, 10**12),
    headers=st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=50)), max_size=5),
    request=st.binary(max_size=300),
    response=st.binary(max_size=300),
    kind=st.sampled_from(
        ["application/json", "text/html", "multipart/form-data; boundary=a", "text/event-stream", "text/csv", "x", ""]
    ),
    coding=st.sampled_from([None, "gzip", "br", "zstd", "deflate", "x"]),
    properties=st.dictionaries(texts, wild, max_size=4),
)
def test_brain_stores_whatever_was_exchanged(
    store: Callable[[bytes], None],
    path: str,
    query: bytes | str,
    method: str,
    status: int,
    headers: list[tuple[bytes, bytes]],
    request: bytes,
    response: bytes,
    kind: str,
    coding: str | None,
    properties: dict[str, Any],
) -> None:
    capture = exchange(
        path=path,
        query=query,
        method=method,
        status=200,
        request_body=request,
        request_type=kind,
        response_body=response,
        response_type=kind,
        response_coding=coding,
        properties=properties,
    )
    capture.status_code = status
    capture.request_headers = [*headers, (b"content-type", kind.encode())]
    envelope = build(capture, SETTINGS)
    assert envelope is not None
    assert BackendEvent.model_validate(envelope.event.__dict__) == envelope.event
    store(envelope.event.to_json())


def made(**values: Any) -> BackendEvent:
    """Return the finished event of one whose fields were assigned."""
    event = BackendEvent(path="/", method="GET", status_code=200, latency_ms=1.0)
    for name, value in values.items():
        setattr(event, name, value)
    return finish_event(event, SETTINGS)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("status_code", -1, 0),
        ("status_code", 10**20, MAX_INTEGER),
        ("status_code", "404", 404),
        ("status_code", None, 0),
        ("status_code", float("nan"), 0),
        ("latency_ms", float("inf"), 0.0),
        ("latency_ms", float("nan"), 0.0),
        ("latency_ms", -3, 0.0),
        ("latency_ms", "x", 0.0),
        ("request_size_bytes", -7, 0),
        ("response_size_bytes", 2**40, MAX_INTEGER),
        ("request_size_bytes", None, None),
        ("method", "M" * 50, "M" * 20),
        ("request_content_type", "t" * 400, "t" * 255),
        ("error", None, ""),
        ("error", {"a": 1}, '{"a":1}'),
        ("request_body", ["a", 1], '["a",1]'),
        ("response_body", b"a\xff", "a\ufffd"),
        ("path", "a\x00\ud800", "a\u2400\ufffd"),
        ("project_id", "", "00000000-0000-0000-0000-000000000000"),
        ("custom_properties", None, {}),
        ("custom_properties", [1], {"value": [1]}),
    ],
)
def test_fields_are_brought_into_their_range(name: str, value: object, expected: object) -> None:
    assert getattr(made(**{name: value}), name) == expected


def test_sizes_that_are_unknown_are_left_out() -> None:
    sent = json.loads(made(request_size_bytes=None, response_size_bytes=5, custom_properties={"a": None}).to_json())
    assert "request_size_bytes" not in sent
    assert sent["response_size_bytes"] == 5
    assert sent["custom_properties"] == {"a": None}


@pytest.mark.parametrize("char", ["a", "é", "日", "😀"])
def test_long_paths_keep_their_rest_in_the_metadata(char: str, store: Callable[[bytes], None]) -> None:
    path = "/" + char * 4000
    event = made(path=path)
    assert MAX_PATH_BYTES - 4 < len(event.path.encode()) <= MAX_PATH_BYTES
    assert event.path + event.metadata["path_rest"] == path
    store(event.to_json())
    short = made(path="/" + char * ((MAX_PATH_BYTES - 1) // len(char.encode())))
    assert "path_rest" not in short.metadata


@pytest.mark.parametrize("char", ["a", '"', "\x01", "é", "😀"])
@pytest.mark.parametrize("sizes", [(3_000_000, 10), (2_000_000, 1_900_000), (10, 5_000_000)])
def test_the_largest_body_is_cut_first(char: str, sizes: tuple[int, int], store: Callable[[bytes], None]) -> None:
    event = made(request_body=char * sizes[0], response_body=char * sizes[1], error="kept", query_params="q=1")
    sent = event.to_json()
    assert MAX_EVENT_BYTES // 2 < len(sent) <= MAX_EVENT_BYTES
    assert (event.error, event.query_params) == ("kept", "q=1")
    if min(sizes) == 10:
        assert min(len(event.request_body), len(event.response_body)) == 10
    cut = event.metadata["truncated"]
    assert all(len(getattr(event, name)) == cut[name]["fitted"] for name in cut)
    store(sent)


@pytest.mark.parametrize("error", ["ValueError: it broke", "e" * 100_000])
def test_a_failure_stays_one_however_large_the_rest_is(error: str, store: Callable[[bytes], None]) -> None:
    event = made(
        error=error,
        request_body="kept",
        request_headers='{"x": "' + "\x01" * 1_000_000 + '"}',
        query_params="\x01" * 1_000_000,
        custom_properties={"large": "\x01" * 262_000, "small": 1},
        metadata={"large": ["\x01" * 131_000] * 2, "route": "/kept"},
    )
    assert event.error == error
    assert event.custom_properties == {"large": "[CUT]", "small": 1}
    assert (event.metadata["large"], event.metadata["route"]) == ("[CUT]", "/kept")
    store(event.to_json())


def test_large_objects_alone_cost_no_text(store: Callable[[bytes], None]) -> None:
    large = {"large": "\x01" * 262_000, "small": 1}
    event = made(error="e", request_body="kept", custom_properties=large, metadata=large)
    assert (event.error, event.request_body) == ("e", "kept")
    store(event.to_json())


def test_whatever_is_too_large_is_cut_in_the_end(store: Callable[[bytes], None]) -> None:
    event = made(
        request_headers="\x01" * 2_000_000,
        query_params="x" * 3_000_000,
        error="e" * 3_000_000,
        custom_properties={str(number): "\x01" * 100 for number in range(5000)},
        metadata={f"m{number}": "\x01" * 100 for number in range(5000)},
    )
    store(event.to_json())
    assert event.metadata["event_id"]
