"""What the page asks for: the list, its filter and its pages, one event, sessions, charts, senders."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from localbrain.wire import AGENT, EVENT, SDK, Client
from page.seeds import seed

if TYPE_CHECKING:
    from otas_middleware.localbrain import LocalBrain


def strict(body: bytes) -> Any:
    """Parse JSON as a browser does: NaN and Infinity are errors."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(body, parse_constant=refuse)


def ask(client: Client, question: str) -> Any:
    answer = client.get(f"/_page/{question}")
    assert answer.status == 200, answer.body
    return strict(answer.body)


def paths(client: Client, query: str) -> list[str]:
    return [event["path"] for event in ask(client, f"events?{query}")["events"]]


def test_the_pages_of_the_list_hold_each_event_once_newest_first(client: Client) -> None:
    client.log_many(25)
    seen: list[int] = []
    before: int | None = 2**53
    while before is not None:
        page = ask(client, f"events?limit=10&before={before}")
        seen += [event["id"] for event in page["events"]]
        before = page["next"]
    assert seen == sorted(range(1, 26), reverse=True)


def test_what_came_after_an_event_is_asked_for_without_the_rest(client: Client) -> None:
    client.log_many(7)
    page = ask(client, "events?after=4")
    assert [event["id"] for event in page["events"]] == [7, 6, 5]
    assert page["next"] is None


@pytest.mark.parametrize(
    ("query", "total", "matching"),
    [
        ("limit=5", 12, 12),
        ("limit=5&method=GET", 12, None),
        ("method=PUT", 12, 0),
        ("path=/3", 12, 1),
        ("after=7&path=/3", 12, None),
        ("before=7&path=/3", 12, None),
    ],
)
def test_a_page_says_how_many_there_are_where_it_has_seen_them(
    client: Client, query: str, total: int, matching: int | None
) -> None:
    client.log_many(12)
    page = ask(client, f"events?{query}")
    assert (page["total"], page["matching"]) == (total, matching)


def test_pages_do_not_shift_when_events_arrive(client: Client) -> None:
    client.log_many(10)
    first = ask(client, "events?limit=5")
    client.log_many(3)
    second = ask(client, f"events?limit=5&before={first['next']}")
    assert [event["id"] for event in second["events"]] == [5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=ORDERS", ["/orders/2", "/orders/1"]),
        ("q=%25", ["/100%"]),
        ("q=_", ["/a_b"]),
        ("q=locked", ["/orders/2"]),
        ("q=pos", ["/orders/2"]),
        ("q=needle", []),
        ("q=needle&everywhere=1", ["/a_b", "/100%"]),
        ("method=POST", ["/orders/2"]),
        ("status=error", ["/orders/2"]),
        ("status=4xx", ["/a_b"]),
        ("status=204", ["/100%"]),
        ("source=agent", ["/outside"]),
        ("path=/orders/1", ["/orders/1"]),
        ("slower=1000", ["/orders/1"]),
        ("method=POST&status=4xx", []),
        ("session=nobody", []),
    ],
)
@pytest.mark.usefixtures("brain")
def test_a_filter_lets_through_what_it_says(client: Client, query: str, found: list[str]) -> None:
    client.log(path="/orders/1", latency_ms=1500)
    client.log(path="/orders/2", method="POST", status_code=500, error="OperationalError: database is locked")
    client.log(path="/100%", status_code=204, response_body='{"a": "a Needle"}')
    client.log(path="/a_b", status_code=404, request_headers='{"x-hay": "NEEDLE"}')
    client.post(AGENT, {**EVENT, "path": "/outside"}, client.agent_headers)
    assert paths(client, query) == found
    counted = ask(client, f"count?{query}")
    assert counted["total"] == 5
    assert counted["matching"] == (None if "everywhere" in query else len(found))


def test_a_session_is_a_filter_too(brain: LocalBrain, client: Client) -> None:
    other = Client(brain)
    client.log(path="/mine")
    other.log(path="/theirs")
    assert paths(client, f"session={other.session_id}") == ["/theirs"]


def test_a_search_through_bodies_comes_in_pieces_and_finds_the_oldest(brain: LocalBrain, client: Client) -> None:
    client.log(path="/oldest", response_body="needle")
    seed(brain, 5000)
    found: list[str] = []
    before: int | None = 2**53
    while before is not None:
        page = ask(client, f"events?q=needle&everywhere=1&before={before}")
        found += [event["path"] for event in page["events"]]
        before = page["next"]
    assert found == ["/oldest"]


@pytest.mark.parametrize(
    "question",
    [
        "events?limit=501",
        "events?before=x",
        "events?before=-1",
        "sessions?before=yesterday",
        "sessions?before=nan",
        "events?before=99999999999999999999",
        "events?status=teapot",
        "events?slower=quick",
        "events?slower=NaN",
        "events?q=" + "x" * 201,
        "event",
        "event?id=1.5",
        "session",
        "sessions?before=NaN",
        "charts?seconds=never",
        "charts?q=x&everywhere=1",
    ],
)
def test_a_bad_question_is_a_400_that_says_why(client: Client, question: str) -> None:
    answer = client.get(f"/_page/{question}")
    assert answer.status == 400
    assert strict(answer.body)["error"]


def test_an_event_comes_with_all_its_fields(brain: LocalBrain, client: Client) -> None:
    client.log(
        request_headers='{"host": "shop.test"}', query_params="a=1", custom_properties={"a": [1]}, metadata={"b": None}
    )
    found = ask(client, "event?id=1")
    assert found["event"] == brain.events()[0]
    assert found["curl"] == "curl --globoff --path-as-is 'http://shop.test/orders/42?a=1'"


@pytest.mark.parametrize("question", ["event?id=9", "session?id=nobody"])
def test_what_is_not_there_is_a_404(client: Client, question: str) -> None:
    assert client.get(f"/_page/{question}").status == 404


@pytest.mark.parametrize(("sent", "shown"), [("NaN", "NaN"), ("Infinity", "Infinity"), ("1e308", 1e308)])
def test_a_latency_that_json_cannot_hold_breaks_no_answer(client: Client, sent: str, shown: object) -> None:
    client.log_raw_field("latency_ms", sent)
    client.log(latency_ms=10)
    assert ask(client, "event?id=1")["event"]["latency_ms"] == shown
    assert ask(client, "events")["events"][1]["latency_ms"] == shown
    assert ask(client, f"session?id={client.session_id}")["events"][0]["latency_ms"] == shown
    assert ask(client, "charts?seconds=0")["total"]["p50"] == 10
    assert ask(client, "export.json")["events"][1]["latency_ms"] == shown
    assert len(ask(client, "export.har")["log"]["entries"]) == 2


def test_sessions_come_by_their_latest_activity(brain: LocalBrain, client: Client) -> None:
    client.log()
    other = Client(brain)
    other.log(status_code=500, error="boom")
    client.log()
    idle = Client(brain)
    sessions = ask(client, "sessions")["sessions"]
    assert [(one["id"], one["events"], one["errors"]) for one in sessions] == [
        (idle.session_id, 0, 0),
        (client.session_id, 2, 0),
        (other.session_id, 1, 1),
    ]
    assert {(one["agent_name"], one["meta"]) for one in sessions} == {("Local agent", '{"task": "test"}')}


def test_a_session_of_a_token_from_elsewhere_is_listed_too(brain: LocalBrain, client: Client) -> None:
    client.token = brain.sign({"agent_session_id": "from-elsewhere", "agent_id": "unknown"})
    client.log()
    session = ask(client, "session?id=from-elsewhere")["session"]
    assert (session["events"], session["agent"], session["created_at"]) == (1, "unknown", None)
    assert ask(client, "sessions")["sessions"][0]["id"] == "from-elsewhere"


def pages_of_sessions(client: Client, rest: dict[str, Any] | None) -> list[str]:
    """The ids on all pages from one on."""
    ids: list[str] = []
    while rest is not None:
        page = ask(client, f"sessions?{urlencode(rest)}")
        ids += [one["id"] for one in page["sessions"]]
        rest = page["next"]
    return ids


def test_the_pages_of_sessions_hold_each_session_once_while_others_are_active(
    brain: LocalBrain, client: Client
) -> None:
    seed(brain, 300, sessions=230, ago=60.0)
    before = pages_of_sessions(client, {})
    assert len(before) == len(set(before)) == 231
    rest = ask(client, "sessions")["next"]
    client.token = brain.sign({"agent_session_id": before[-1], "agent_id": brain.agent_id})
    client.log()  # moves the last session to the front
    assert pages_of_sessions(client, rest) == before[100:-1]
    assert ask(client, "sessions")["sessions"][0]["id"] == before[-1]


def test_sessions_of_the_same_moment_are_paged_by_their_names(brain: LocalBrain, client: Client) -> None:
    seed(brain, 300, sessions=230, seconds=0.0)
    seen = pages_of_sessions(client, {})
    assert len(seen) == len(set(seen)) == 231


def test_a_timeline_is_in_the_order_of_arrival_with_the_times_of_capture(client: Client) -> None:
    client.log(path="/1", metadata={"captured_at": "2026-01-02T03:04:05+00:00", "event_id": "a"})
    client.log(path="/2", metadata={"captured_at": "yesterday", "parent_id": "a"})
    client.log(path="/3", metadata=["no", "object"])
    events = ask(client, f"session?id={client.session_id}")["events"]
    assert [event["path"] for event in events] == ["/1", "/2", "/3"]
    assert events[0]["began"] == 1767323045.0
    assert events[1]["began"] == pytest.approx(events[1]["arrived_at"] - 0.0125)
    assert (events[0]["own_id"], events[1]["parent_id"]) == ("a", "a")


def test_a_long_session_comes_in_pages(client: Client) -> None:
    client.log_many(250)
    first = ask(client, f"session?id={client.session_id}")
    rest = ask(client, f"session?id={client.session_id}&after={first['next']}")
    assert [len(first["events"]), len(rest["events"]), rest["next"]] == [200, 50, None]


def test_percentiles_are_by_nearest_rank(client: Client) -> None:
    for latency in (4, 1, 3, 2):
        client.log(latency_ms=latency)
    total = ask(client, "charts?seconds=0")["total"]
    assert (total["p50"], total["p95"], total["p99"]) == (2, 4, 4)


def test_charts_count_requests_errors_and_paths(client: Client) -> None:
    for number in range(6):
        client.log(path=f"/{number % 3}", error="boom" if number == 0 else "")
    charts = ask(client, "charts?seconds=3600")
    assert (charts["total"]["events"], charts["total"]["errors"]) == (6, 1)
    assert (sum(charts["events"]), sum(charts["errors"])) == (6, 1)
    assert {one["called"]: sum(one["events"]) for one in charts["calls"]} == {"GET /0": 2, "GET /1": 2, "GET /2": 2}
    assert [(one["called"], one["events"], one["errors"]) for one in charts["busiest"]] == [
        ("GET /0", 2, 1),
        ("GET /1", 2, 0),
        ("GET /2", 2, 0),
    ]
    assert len(charts["times"]) == len(charts["p99"]) == 60


def test_charts_obey_the_filter_and_the_range(brain: LocalBrain, client: Client) -> None:
    seed(brain, 100, seconds=7200)
    everything = ask(client, "charts?seconds=0")
    last_hour = ask(client, "charts?seconds=3600")
    failed = ask(client, "charts?seconds=0&status=error")
    assert everything["total"]["events"] == 100
    assert last_hour["total"]["events"] in {49, 50, 51}
    assert 0 < failed["total"]["events"] == failed["total"]["errors"] < 100


def test_charts_of_an_empty_brain_are_empty(client: Client) -> None:
    charts = ask(client, "charts?seconds=0")
    nothing = dict.fromkeys(("events", "errors", "client_errors", "server_errors", "failed"), 0)
    assert charts["total"] == {**nothing, "p50": None, "p95": None, "p99": None}


def test_charts_tell_the_kinds_of_errors_apart(client: Client) -> None:
    client.log(path="/a", status_code=404, error="404 Not Found")
    client.log(path="/a", status_code=503, error="503")
    client.log(path="/a", status_code=200, error="mcp -32000: no such order")
    client.log(path="/a", status_code=404)
    client.log(path="/a")
    total = ask(client, "charts?seconds=0")["total"]
    assert {name: total[name] for name in ("events", "errors", "client_errors", "server_errors", "failed")} == {
        "events": 5,
        "errors": 3,
        "client_errors": 2,
        "server_errors": 1,
        "failed": 1,
    }


CALLS: list[tuple[dict[str, Any], str]] = [
    ({"path": "/orders/1", "metadata": {"route": "/orders/{id}"}}, "GET /orders/{id}"),
    ({"path": "/orders/2", "metadata": {"route": ""}}, "GET /orders/2"),
    ({"path": "/orders/3", "metadata": None}, "GET /orders/3"),
    ({"path": "/orders/4", "metadata": ["no", "object"]}, "GET /orders/4"),
    ({"path": "/mcp", "metadata": {"route": "/mcp", "operation": {"name": "tools/call refund"}}}, "tools/call refund"),
    ({"path": "/mcp", "metadata": {"operation": {"name": ""}, "route": "/{rest}"}}, "GET /{rest}"),
    ({"path": "/mcp", "metadata": {"operation": "none"}}, "GET /mcp"),
]


def test_what_was_called_is_the_operation_or_the_route_or_the_path(client: Client) -> None:
    for fields, _ in CALLS:
        assert client.log(**fields).status == 201
    events = ask(client, "events")["events"][::-1]
    assert [event["called"] for event in events] == [called for _, called in CALLS]
    assert [event["operation"] for event in events] == [None] * 4 + ["tools/call refund", None, None]
    assert {one["called"] for one in ask(client, "charts?seconds=0")["busiest"]} == {called for _, called in CALLS}


@pytest.mark.parametrize("called", ["tools/call refund", "GET /orders/{id}"])
def test_events_are_filtered_by_what_was_called(client: Client, called: str) -> None:
    for fields, _ in CALLS:
        client.log(**fields)
    query = urlencode({"called": called})
    assert [event["called"] for event in ask(client, f"events?{query}")["events"]] == [called]
    assert ask(client, f"count?{query}")["matching"] == 1
    assert ask(client, f"charts?seconds=0&{query}")["total"]["events"] == 1


def test_a_search_finds_routes_and_operations(client: Client) -> None:
    for fields, _ in CALLS:
        client.log(**fields)
    assert paths(client, "q=refund") == ["/mcp"]
    assert paths(client, "q=%7Bid%7D") == ["/orders/1"]


def test_a_session_is_summed_up_by_source_and_model(client: Client) -> None:
    client.log(latency_ms=100, error="boom", request_headers='{"host": "shop.test"}')
    client.log(latency_ms=50, request_headers="not JSON", metadata={"framework": "flask"})
    for tokens in (10, 20):
        usage = {"model": "m", "usage": {"input": tokens, "output": 1}, "host": "api.test"}
        client.post(AGENT, {**EVENT, "latency_ms": 1000, "custom_properties": usage}, client.agent_headers)
    client.post(AGENT, {**EVENT, "latency_ms": 7}, client.agent_headers)
    answer = ask(client, f"session?id={client.session_id}")
    totals = {(one["source"], one["model"]): one for one in answer["totals"]}
    assert {key: (one["calls"], one["errors"], one["latency_ms"]) for key, one in totals.items()} == {
        ("backend", None): (2, 1, 150),
        ("agent", "m"): (2, 0, 2000),
        ("agent", None): (1, 0, 7),
    }
    assert (totals["agent", "m"]["input"], totals["agent", "m"]["output"]) == (30, 2)
    assert [event["host"] for event in answer["events"]] == ["shop.test", None, "api.test", "api.test", None]
    assert [event["model"] for event in answer["events"]] == [None, None, "m", "m", None]


@pytest.mark.parametrize("usage", ["many", {"input": "many"}, {"input": 1e308}, {"input": [1]}, {"input": -5}])
def test_an_odd_usage_breaks_no_answer(client: Client, usage: object) -> None:
    for _ in range(2):
        body = {**EVENT, "latency_ms": 1e308, "custom_properties": {"model": ["m"], "usage": usage}}
        client.post(AGENT, body, client.agent_headers)
    assert ask(client, f"session?id={client.session_id}")["totals"][0]["calls"] == 2


def test_what_came_for_agnost_is_counted_and_shown_with_its_problems(brain: LocalBrain, client: Client) -> None:
    organisation = {"X-Org-Id": brain.agnost_org_id}
    event = {
        "session_id": client.session_id,
        "event_id": str(uuid4()),
        "primitive_name": "GET /orders",
        "args": "{}",
        "result": "{}",
    }
    both = {**event, "primitive_type": "tool", "success": False, "latency": 12}
    client.post("/api/v1/capture-event", both, organisation)
    client.post("/api/v1/capture-session", {"session_id": client.session_id}, organisation)
    client.post("/api/v1/capture-event", event, organisation)
    client.post("/api/v1/capture-event", both, organisation)
    answer = ask(client, "agnost")
    assert (answer["sessions"], answer["events"]) == (1, 3)
    assert [(one["name"], one["success"], one["latency"], one["problem"]) for one in answer["latest"]] == [
        ("GET /orders", False, 12, ""),
        ("GET /orders", True, None, "it satisfies only the second form"),
        ("GET /orders", False, 12, "its session was not captured before it"),
    ]
    assert {one["session"] for one in answer["latest"]} == {client.session_id}


def test_senders_are_told_apart_by_what_they_say_of_themselves(client: Client) -> None:
    backend = {"sdk": {"name": "otas-middleware", "version": "1.0"}, "framework": "flask"}
    client.log(metadata=backend, request_headers='{"host": "shop.test"}')
    client.log(metadata=backend, request_headers='{"host": "shop.test"}', error="boom")
    client.log(metadata="nothing", request_headers="no JSON")
    client.post(AGENT, EVENT, client.agent_headers)
    client.log(metadata=backend, request_headers='{"host": "help.test"}')
    names = ("source", "host", "framework", "sdk", "version", "events", "errors", "owner")
    assert [tuple(one[name] for name in names) for one in ask(client, "senders")["senders"]] == [
        ("backend", "help.test", "flask", "otas-middleware", "1.0", 1, 0, "Local project"),
        ("agent", "", "", "", "", 1, 0, "Local agent"),
        ("backend", "", "", "", "", 1, 0, "Local project"),
        ("backend", "shop.test", "flask", "otas-middleware", "1.0", 2, 1, "Local project"),
    ]


def test_senders_go_on_being_counted_and_are_forgotten_with_their_events(client: Client) -> None:
    client.log()
    assert [one["events"] for one in ask(client, "senders")["senders"]] == [1]
    client.log()
    assert [one["events"] for one in ask(client, "senders")["senders"]] == [2]
    client.post("/_page/clear")
    assert ask(client, "senders")["senders"] == []
    client.log()
    assert [one["events"] for one in ask(client, "senders")["senders"]] == [1]


def test_what_was_refused_is_counted_by_reason(brain: LocalBrain, client: Client) -> None:
    client.post(SDK, EVENT)
    client.post(SDK, EVENT, {"X-OTAS-SDK-KEY": "otas_a_b", "User-Agent": "somebody/1"})
    client.log({"path": "/", "method": "GET"})
    client.log(b"{")
    client.log(path="\0")
    client.log(b"[" * 3_000_000)
    with brain.faults.inject("reset"), pytest.raises(ConnectionError):
        client.log()
    client.log()
    refused = ask(client, "senders")["refused"]
    assert [(one["status"], one["reason"], one["count"]) for one in refused] == [
        (0, "connection ended without an answer", 1),
        (400, "a page (the body is too large)", 1),
        (500, "event_capture_failed", 1),
        (400, "invalid_json", 1),
        (400, "missing_required_fields: project_id, status_code, latency_ms", 1),
        (401, "invalid_sdk_key", 1),
        (401, "missing_sdk_key", 1),
    ]
    assert refused[5]["sender"] == "somebody/1"
    assert "otas_a_b" not in json.dumps(refused)
