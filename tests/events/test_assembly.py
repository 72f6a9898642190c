"""What an event says of an exchange, beside its bodies."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from events.exchange import SESSION, TOKEN, event_of, exchange, metadata
from otas_middleware import __version__
from otas_middleware._config.settings import OtasSettings
from otas_middleware._event import NIL_PROJECT, BackendEvent
from otas_middleware._event.build import build


def test_an_event_says_what_happened() -> None:
    capture = exchange(
        method="PUT",
        path="/orders/42",
        query=b"a=1",
        route="/orders/{order_id}",
        status=201,
        request_headers=[("Accept", "*/*"), ("X-A", "1"), ("X-A", "2")],
        request_body=b'{"n": 1}',
        request_type="application/json",
        response_body=b"done",
        response_type="text/plain",
        properties={"order": 42},
    )
    event = event_of(capture, OtasSettings(project_id=UUID(int=5)))
    assert event.project_id == str(UUID(int=5))
    assert (event.method, event.path, event.query_params, event.status_code) == ("PUT", "/orders/42", "a=1", 201)
    assert (event.request_size_bytes, event.response_size_bytes) == (8, 4)
    assert json.loads(event.request_headers) == {
        "accept": "*/*",
        "x-a": ["1", "2"],
        "content-type": "application/json",
    }
    assert (event.request_body, event.response_body, event.post_data) == ('{"n": 1}', "done", "")
    assert (event.request_content_type, event.response_content_type) == ("application/json", "text/plain")
    assert event.custom_properties == {"order": 42}
    assert event.error == ""
    assert event.latency_ms > 0


def test_metadata_has_its_documented_keys_and_no_others() -> None:
    event = event_of(exchange(route="/orders/{order_id}", response_body=b"x"))
    about = event.metadata
    assert set(about) == {"event_id", "captured_at", "framework", "sdk", "session", "route", "ttfb_ms"}
    identifier = UUID(about["event_id"])
    assert (identifier.version, identifier.variant) == (4, "specified in RFC 4122")
    assert abs((datetime.fromisoformat(about["captured_at"]) - datetime.now(UTC)).total_seconds()) < 60
    assert about["sdk"] == {"name": "otas-middleware", "version": __version__}
    assert about["session"] == {"fingerprint": SESSION.fingerprint, "verified": False}
    assert about["framework"] == "starlette"
    assert 0 <= about["ttfb_ms"] <= event.latency_ms


def test_event_ids_are_never_the_same() -> None:
    assert len({metadata(exchange())["event_id"] for _ in range(1000)}) == 1000


def test_the_parcel_carries_the_token_and_never_shows_it() -> None:
    envelope = build(exchange(), OtasSettings())
    assert envelope is not None
    assert (envelope.token, envelope.session_id, envelope.agent_id) == (TOKEN, SESSION.session_id, SESSION.agent_id)
    assert envelope.source == "backend"
    assert TOKEN not in repr(envelope)
    assert envelope.event.project_id == NIL_PROJECT


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, ""),
        (302, ""),
        (399, ""),
        (404, "404 Not Found"),
        (418, "418 I'm a Teapot"),
        (499, "499 Client Closed Request"),
        (500, "500 Internal Server Error"),
        (599, "599 Error"),
    ],
)
def test_an_error_is_never_empty_from_status_400_on(status: int, error: str) -> None:
    assert event_of(exchange(status=status)).error == error


def test_the_applications_own_reason_is_preferred() -> None:
    capture = exchange(status=404)
    capture.reason = "No Such Order"
    assert event_of(capture).error == "404 No Such Order"


def test_an_exception_names_the_error_and_makes_the_status() -> None:
    event = event_of(exchange(status=0, error=ValueError("bad id")))
    assert (event.status_code, event.error) == (500, "ValueError: bad id")
    assert event.metadata["exception"] == {"type": "ValueError", "message": "bad id"}
    assert event_of(exchange(status=0, error=KeyError())).error == "KeyError"
    assert event_of(exchange(status=422, error=ValueError("x"))).status_code == 422


def test_a_client_that_left_before_the_answer_is_status_499() -> None:
    event = event_of(exchange(status=0))
    assert (event.status_code, event.error) == (499, "499 Client Closed Request")
    assert event.metadata["aborted"] is True


@pytest.mark.parametrize(
    ("header", "trace_id"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "0af7651916cd43dd8448eb211c80319c"),
        ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", "0af7651916cd43dd8448eb211c80319c"),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", None),
        ("00-xyz-b7ad6b7169203331-01", None),
        ("", None),
    ],
)
def test_the_trace_is_taken_from_traceparent(header: str, trace_id: str | None) -> None:
    assert metadata(exchange(request_headers=[("traceparent", header)])).get("trace_id") == trace_id


@pytest.mark.parametrize("status", [204, 304])
def test_what_has_no_body_records_none(status: int) -> None:
    event = event_of(exchange(status=status, response_body=b"never sent"))
    assert (event.response_body, event.response_size_bytes) == ("", 0)
    event = event_of(exchange(method="HEAD", response_body=b"never sent"))
    assert (event.response_body, event.response_size_bytes) == ("", 0)


FULL: dict[str, Any] = {
    "path": "/a/b",
    "request_headers": [("X-A", "1")],
    "request_body": b"a=1",
    "request_type": "application/x-www-form-urlencoded",
    "response_headers": [("X-B", "2")],
    "response_body": b"answer",
    "response_type": "text/plain",
}


@pytest.mark.parametrize(
    ("settings", "empty"),
    [
        ({"capture_headers": False}, {"request_headers", "response_headers"}),
        ({"capture_request_body": False}, {"request_body", "post_data"}),
        ({"capture_response_body": False}, {"response_body"}),
        ({"skip_header_paths": ("/a/",)}, {"request_headers", "response_headers"}),
        ({"skip_request_body_paths": ("/a/b",)}, {"request_body", "post_data"}),
        ({"skip_response_body_paths": ("/*/b",)}, {"response_body"}),
        ({"skip_response_body_paths": ("/a*",)}, {"response_body"}),
        ({"skip_header_paths": ("/a", "/b/"), "skip_request_body_paths": ("/x*",)}, frozenset[str]()),
    ],
)
def test_what_is_recorded_can_be_turned_off_globally_or_by_path(settings: dict[str, Any], empty: set[str]) -> None:
    event = event_of(exchange(**FULL), OtasSettings(**settings))
    texts = {"request_headers", "response_headers", "request_body", "post_data", "response_body"}
    assert {name for name in texts if not getattr(event, name)} == empty
    assert (event.request_size_bytes, event.response_size_bytes) == (3, 6)
    assert event.request_content_type == "application/x-www-form-urlencoded"


def test_where_there_are_no_headers_stands_an_empty_object() -> None:
    capture = exchange()
    capture.request_headers = []
    capture.status_code, capture.response_headers = 0, ()
    event = event_of(capture)
    assert (event.request_headers, event.response_headers) == ("{}", "{}")
    made = BackendEvent(project_id=NIL_PROJECT, path="/", method="TOOL", status_code=200, latency_ms=1.0)
    assert (made.request_headers, made.response_headers) == ("{}", "{}")


def test_headers_of_any_server_have_lower_case_names_and_readable_values() -> None:
    capture = exchange()
    capture.request_headers = [("X-Name", "gr\u00c3\u00b6\u00c3\u009fe"), ("x-latin", "\u00e9")]
    assert json.loads(event_of(capture).request_headers) == {"x-name": "größe", "x-latin": "é"}


def test_a_stream_that_never_ends_keeps_no_more_checkpoints_than_an_event_holds() -> None:
    capture = exchange()
    tracemalloc.start()
    for number in range(100_000):
        capture.checkpoint("tick", {"number": number})
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 5_000_000
    found = event_of(capture).metadata["checkpoints"]
    assert [found[at]["attributes"]["number"] for at in (0, 1, 2)] == [0, 1, 2]
