"""The four endpoints that dashboards read."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from localbrain.days import brain_with_days
from localbrain.wire import EVENT, SDK, Client

if TYPE_CHECKING:
    from pathlib import Path

    from otas_middleware.localbrain import LocalBrain

SESSION_EVENTS = "/api/v1/agent/session/events/"
LATENCY = "/api/v1/agent/latency-percentiles/"
ERRORS = "/api/v1/agent/error-count/"
PATHS = "/api/v1/agent/path-timeseries/"
DAILY = [LATENCY, ERRORS, PATHS]
TODAY = datetime.now(UTC).date().isoformat()
TOMORROW = (datetime.now(UTC).date() + timedelta(days=1)).isoformat()
THESE_DAYS = f"?start_date={TODAY}&end_date={TOMORROW}"  # a test may run at midnight


def test_a_sessions_events_are_listed_in_the_order_of_arrival(brain: LocalBrain, client: Client) -> None:
    client.log(path="/first", metadata={"event_id": "mine"}, error="")
    client.log(path="/second", request_headers='{"a": "b"}')
    other = Client(brain)
    other.log(path="/of another session")
    answer = client.get(f"{SESSION_EVENTS}?session_id={client.session_id}", client.user_headers)
    assert answer.status == 200
    found = answer.json
    assert {name: found[name] for name in found if name != "events"} == {
        "status": 1,
        "status_description": "session_events_listed",
        "agent_id": brain.agent_id,
        "project_id": brain.project_id,
        "session_id": client.session_id,
        "count": 2,
    }
    first, second = found["events"]
    stored = brain.events(client.session_id)[0]
    assert datetime.fromisoformat(first["event_time"]).timestamp() == pytest.approx(stored["arrived_at"], abs=1e-3)
    assert first["created_at"] == first["event_time"]
    expected = {**stored, "event_time": first["event_time"], "created_at": first["created_at"]}
    assert first == {name: value for name, value in expected.items() if name not in ("id", "source", "arrived_at")}
    assert (second["path"], second["request_headers"]) == ("/second", '{"a": "b"}')


@pytest.mark.parametrize(("limit", "count"), [("", 200), ("&limit=3", 3), ("&limit=0", 1), ("&limit=100000", 205)])
def test_the_first_two_hundred_are_listed_unless_another_limit_is_given(
    brain: LocalBrain, client: Client, limit: str, count: int
) -> None:
    for number in range(205):
        client.log(path=f"/{number}")
    answer = client.get(f"{SESSION_EVENTS}?session_id={client.session_id}{limit}", client.user_headers)
    assert [event["path"] for event in answer.json["events"]] == [f"/{number}" for number in range(count)]


def test_only_the_agents_own_events_in_the_project_are_listed(brain: LocalBrain, client: Client) -> None:
    other_project = brain.add_project()
    client.post(SDK, EVENT, {**client.sdk_headers, "X-OTAS-SDK-KEY": other_project.sdk_key})
    answer = client.get(f"{SESSION_EVENTS}?session_id={client.session_id}", client.user_headers)
    assert answer.json["events"] == []


@pytest.mark.parametrize(
    ("query", "description"),
    [
        ("", "session_id is required"),
        ("?session_id=", "session_id is required"),
        ("?session_id=17", "session_id must be a valid UUID"),
        ("?session_id=0b7e7c4e-6f5c-4c7c-9d0f-0d2f3f1f7a11&limit=all", "limit must be an integer"),
    ],
)
def test_a_bad_question_for_a_session_is_refused(client: Client, query: str, description: str) -> None:
    answer = client.get(SESSION_EVENTS + query, client.user_headers)
    assert (answer.status, answer.description) == (400, description)


def test_latency_percentiles_are_interpolated(brain: LocalBrain, client: Client) -> None:
    for latency in (40, 10, 20, 30):
        client.log(latency_ms=latency)
    answer = client.get(LATENCY + THESE_DAYS, client.user_headers)
    assert answer.json == {
        "status": 1,
        "agent_id": brain.agent_id,
        "project_id": brain.project_id,
        # percentile_cont over 10, 20, 30, 40: place 1.5, 2.85 and 2.97 of 0 … 3, to one decimal
        "data": [{"date": brain.events()[0]["event_date"], "p50": 25.0, "p95": 38.5, "p99": 39.7}],
    }


def test_one_latency_is_all_percentiles(client: Client) -> None:
    client.log(latency_ms=12.34)
    (day,) = client.get(LATENCY + THESE_DAYS, client.user_headers).json["data"]
    assert (day["p50"], day["p95"], day["p99"]) == (12.3, 12.3, 12.3)


@pytest.mark.parametrize("latency", ["NaN", "Infinity"])
def test_one_latency_that_is_not_finite_breaks_the_answers(client: Client, latency: str) -> None:
    """The answers hold what JSON has not, as Brain's do."""
    client.log_raw_field("latency_ms", latency)
    client.log(latency_ms=1)
    answer = client.get(LATENCY + THESE_DAYS, client.user_headers)
    assert answer.status == 200
    with pytest.raises(ValueError, match="not JSON"):
        json.loads(answer.body, parse_constant=_refuse)
    (day,) = answer.json["data"]
    assert not math.isfinite(day["p99"])
    answer = client.get(f"{SESSION_EVENTS}?session_id={client.session_id}", client.user_headers)
    with pytest.raises(ValueError, match="not JSON"):
        json.loads(answer.body, parse_constant=_refuse)


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


def test_an_error_is_counted_by_its_text_whatever_the_status(client: Client) -> None:
    client.log(status_code=500, error="")
    client.log(status_code=500)
    client.log(status_code=500, error=None)
    client.log(status_code=200, error="ValueError: x")
    client.log(status_code=404, error="404 Not Found")
    assert [day["error_count"] for day in client.get(ERRORS + THESE_DAYS, client.user_headers).json["data"]] == [2]


def test_paths_are_grouped_as_they_are_spelled(brain: LocalBrain, client: Client) -> None:
    for path in ("/b", "/a/1", "/a/2", "/b", "/B"):
        client.log(path=path)
    day = brain.events()[0]["event_date"]
    assert client.get(PATHS + THESE_DAYS, client.user_headers).json["paths"] == [
        {"path": "/B", "data": [{"date": day, "count": 1}]},
        {"path": "/a/1", "data": [{"date": day, "count": 1}]},
        {"path": "/a/2", "data": [{"date": day, "count": 1}]},
        {"path": "/b", "data": [{"date": day, "count": 2}]},
    ]


@pytest.mark.parametrize("path", DAILY)
def test_days_without_events_are_left_out(client: Client, path: str) -> None:
    client.log(error="x")
    answer = client.get(f"{path}?start_date=2001-01-01&end_date=2001-12-31", client.user_headers)
    assert (answer.status, answer.json["status"]) == (200, 1)
    assert answer.json.get("data", answer.json.get("paths")) == []


def test_each_day_has_its_own_figures(tmp_path: Path) -> None:
    with brain_with_days(tmp_path, {"2026-03-01": [1, 3], "2026-03-02": [10]}) as brain:
        client = Client(brain)
        asked = "?start_date=2026-03-01&end_date=2026-03-02"
        latencies = client.get(LATENCY + asked, client.user_headers).json["data"]
        assert [(day["date"], day["p50"]) for day in latencies] == [("2026-03-01", 2.0), ("2026-03-02", 10.0)]
        (path,) = client.get(PATHS + asked, client.user_headers).json["paths"]
        assert [day["count"] for day in path["data"]] == [2, 1]
        one_day = client.get(f"{LATENCY}?start_date=2026-03-02&end_date=2026-03-02", client.user_headers)
        assert len(one_day.json["data"]) == 1


@pytest.mark.parametrize("path", DAILY)
@pytest.mark.parametrize(
    ("query", "description"),
    [
        ("", "start_date and end_date are required"),
        ("?start_date=2026-01-01", "start_date and end_date are required"),
        ("?start_date=2026-01-01&end_date=", "start_date and end_date are required"),
        ("?start_date=01.01.2026&end_date=2026-01-02", "dates must be in YYYY-MM-DD format"),
        ("?start_date=2026-02-30&end_date=2026-03-02", "dates must be in YYYY-MM-DD format"),
        ("?start_date=2026-01-02&end_date=2026-01-01", "start_date must be before or equal to end_date"),
    ],
)
def test_a_bad_range_of_days(client: Client, path: str, query: str, description: str) -> None:
    answer = client.get(path + query, client.user_headers)
    assert (answer.status, answer.description) == (400, description)


@pytest.mark.parametrize("path", [SESSION_EVENTS, *DAILY])
def test_the_three_headers_are_checked_in_order_before_the_question(
    brain: LocalBrain, client: Client, path: str
) -> None:
    headers = client.user_headers
    foreign = brain.add_agent(project_id=brain.add_project().project_id)
    steps: list[tuple[dict[str, str], int, str]] = [
        ({}, 401, "missing_user_token"),
        ({"X-OTAS-USER-TOKEN": "x"}, 400, "missing_agent_id"),
        ({"X-OTAS-USER-TOKEN": "x", "X-OTAS-AGENT-ID": "x"}, 400, "missing_project_id"),
        ({**headers, "X-OTAS-USER-TOKEN": "x"}, 401, "invalid_token"),
        ({**headers, "X-OTAS-USER-TOKEN": client.token}, 401, "invalid_token"),
        ({**headers, "X-OTAS-PROJECT-ID": str(uuid4())}, 403, "user_project_mapping_invalid"),
        ({**headers, "X-OTAS-AGENT-ID": str(uuid4())}, 404, "agent_not_found"),
        ({**headers, "X-OTAS-AGENT-ID": foreign.agent_id}, 404, "agent_not_found"),
    ]
    for given, status, description in steps:
        answer = client.get(path, given)
        assert (answer.status, answer.description) == (status, description)


def test_twenty_thousand_events_are_answered_quickly(tmp_path: Path) -> None:
    days = {f"2026-03-{day:02}": [float(n % 997) for n in range(5_000)] for day in range(1, 5)}
    with brain_with_days(tmp_path, days) as brain:
        client = Client(brain)
        began = datetime.now(UTC)
        for path in DAILY:
            answer = client.get(f"{path}?start_date=2026-03-01&end_date=2026-03-31", client.user_headers)
            assert answer.status == 200
        assert datetime.now(UTC) - began < timedelta(seconds=5)
