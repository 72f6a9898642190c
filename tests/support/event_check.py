"""What an event must say of an exchange that a scenario describes."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from otas_middleware import __version__
from otas_middleware._capture.session import TOKEN_HEADER

if TYPE_CHECKING:
    from otas_middleware.localbrain import StoredEvent
    from support.harnesses import Harness
    from support.scenarios import Scenario

KEPT = 65_536
ALWAYS = {"event_id", "captured_at", "route", "ttfb_ms", "framework", "sdk", "session"}


class Exchange(Protocol):
    """What the client got."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> list[tuple[str, str]]: ...
    @property
    def body(self) -> bytes: ...


def check_event(event: StoredEvent, scenario: Scenario, harness: Harness, answer: Exchange, *, server: bool) -> None:
    """Compare an event with what was asked and answered.

    Args:
        event: As Brain holds it.
        scenario: What was asked.
        harness: Of whom.
        answer: What the client got.
        server: A real server was between; it adds headers of its own, and its own page after an exception.
    """
    request = scenario.request
    error, exception = scenario.error, scenario.exception
    if scenario.breaks_off:
        error, exception = "RuntimeError: mid-stream", "RuntimeError"
    if scenario.name in harness.unnamed:
        error, exception = "500 Internal Server Error", ""
    seen = not scenario.raises or harness.answers_exceptions
    body = answer.body if seen and request.method != "HEAD" else b""
    assert event["method"] == request.method
    assert event["path"] == request.path
    assert event["query_params"] == request.query
    assert event["status_code"] == scenario.status == answer.status_code
    assert event["error"] == error
    reads_body = scenario.reads_body or harness.reads_ahead
    if (server or harness.framework == "quart") and reads_body and not scenario.reads_body:
        # It is read beside the view, which may be ready before the body has arrived.
        reads_body = event["request_size_bytes"] > 0
    assert event["request_size_bytes"] == (request.size if reads_body else 0)
    assert event["response_size_bytes"] == len(body)
    assert event["latency_ms"] > 0
    _check_request(event, scenario, reads_body=reads_body)
    _check_response(event, answer, body, seen=seen, server=server)
    _check_metadata(event["metadata"], event["latency_ms"], scenario, harness, exception, sends_body=bool(body))
    assert event["custom_properties"] == {}


def _check_request(event: StoredEvent, scenario: Scenario, *, reads_body: bool) -> None:
    headers = json.loads(event["request_headers"] or "")
    for name, value in scenario.request.headers:
        if name not in {"Cookie", TOKEN_HEADER}:
            assert headers[name.lower()] == value
    assert TOKEN_HEADER.lower() in headers  # that there was one is known, its value is not
    kind = dict(scenario.request.headers).get("Content-Type", "")
    assert event["request_content_type"] == kind
    sent = b"".join(scenario.request.body) if reads_body else b""
    _check_text(event["request_body"] or "", sent, kind)
    if kind.startswith("multipart/") and event["post_data"]:
        assert "\\u0001" not in event["post_data"], "the content of a file was recorded"
    elif kind.startswith("application/x-www-form-urlencoded"):
        assert event["post_data"] == sent.decode()
    else:
        assert event["post_data"] == ""


def _check_response(event: StoredEvent, answer: Exchange, body: bytes, *, seen: bool, server: bool) -> None:
    kept: dict[str, list[str]] = {}
    for name, value in answer.headers if seen else []:
        kept.setdefault(name.lower(), []).append(value)
    recorded: dict[str, Any] = json.loads(event["response_headers"] or "{}")
    if server:
        assert recorded.keys() <= kept.keys()
    else:
        assert recorded.keys() == kept.keys()
    for name, value in recorded.items():
        if name == "set-cookie":
            assert "a=1" not in value, "a cookie's value was recorded"
        elif name != "date":
            assert [value] == kept[name]
    kind = kept.get("content-type", [""])[0]
    if not server:
        assert event["response_content_type"] == kind
    _check_text(event["response_body"] or "", body, kind)


def _check_text(text: str, body: bytes, kind: str) -> None:
    """Check a body's text; notes in place of binary ones, and the cut of long ones, have tests of their own."""
    if not body:
        assert text == ""
    elif kind.startswith(("multipart/", "application/octet-stream", "image/")):
        assert "\x01" not in text
    elif kind.startswith("application/json"):
        assert json.loads(text) == json.loads(body)
    elif len(body) > KEPT:
        assert body.decode().startswith(text[: KEPT // 2])
        assert KEPT // 2 < len(text) < KEPT + 200
    else:
        assert text == body.decode()


def _check_metadata(
    metadata: dict[str, Any], latency: float, scenario: Scenario, harness: Harness, exception: str, *, sends_body: bool
) -> None:
    UUID(metadata["event_id"])
    captured_at = datetime.fromisoformat(metadata["captured_at"])
    assert captured_at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - captured_at) < timedelta(minutes=1)
    assert metadata["framework"] == harness.framework
    assert metadata["sdk"] == {"name": "otas-middleware", "version": __version__}
    assert metadata["session"]["verified"] is False
    assert re.fullmatch("[0-9a-f]{16}", metadata["session"]["fingerprint"])
    expected = set(ALWAYS)
    if sends_body:
        assert 0 < metadata["ttfb_ms"] <= latency + 0.001
    else:
        assert metadata["ttfb_ms"] is None
    assert metadata["route"] == (scenario.route if harness.has_routes else None)
    if exception:
        expected.add("exception")
        assert metadata["exception"]["type"] == exception
        assert set(metadata["exception"]) == {"type", "message"}
    if scenario.name == "large":
        expected.add("truncated")
    assert set(metadata) == expected
