"""Choosing what to record: by path, method, the user's word, and by session."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from otas_middleware import OtasSettings, RequestInfo, SessionInfo, _errors
from otas_middleware._capture import selection as select_module
from otas_middleware._capture.selection import Selection
from otas_middleware._runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Callable

SESSION = SessionInfo("a", "s", verified=False, fingerprint="f", issued_at=None, expires_at=None, token="t")


def wants(selection: Selection, path: str = "/", method: str = "GET", session: SessionInfo = SESSION) -> bool:
    return selection.wants(method, path, b"", [(b"host", b"x")], session, "asgi")


@pytest.mark.parametrize(
    ("rule", "path", "recorded"),
    [
        ("/health", "/health", False),
        ("/health", "/healthy", True),
        ("/static/", "/static/a/b.css", False),
        ("/static/", "/static", True),
        ("/static/*", "/static/a/b.css", False),
        ("/pub*", "/public", False),
    ],
)
def test_exact_paths_and_prefixes_are_left_out_on_the_request_path(rule: str, path: str, *, recorded: bool) -> None:
    selection = Selection(OtasSettings(ignore_paths=(rule,)))
    assert wants(selection, path) is recorded
    assert selection.skipped["ignored"] == (not recorded)


@pytest.mark.parametrize(
    ("rule", "path", "ignored"),
    [
        ("/*/internal", "/v1/internal", True),
        ("/*/internal", "/v1/external", False),
        ("/a?c", "/abc", True),
        ("/[ab]", "/a", True),
        ("/[ab]", "/c", False),
    ],
)
def test_patterns_are_left_out_in_the_worker(rule: str, path: str, *, ignored: bool) -> None:
    selection = Selection(OtasSettings(ignore_paths=(rule,)))
    assert wants(selection, path)
    assert selection.matches_pattern(path) is ignored


def test_methods_are_left_out_without_case() -> None:
    selection = Selection(OtasSettings(ignore_methods=("options",)))
    assert not wants(selection, method="OPTIONS")
    assert wants(selection, method="GET")


def test_the_users_function_gets_the_request_and_decides() -> None:
    seen: list[RequestInfo] = []

    def decide(request: RequestInfo) -> bool:
        seen.append(request)
        return request.path != "/no"

    selection = Selection(OtasSettings(should_record=decide))
    assert wants(selection, "/yes")
    assert not wants(selection, "/no")
    assert seen[0] == RequestInfo("GET", "/yes", b"", [(b"host", b"x")], SESSION, "asgi")
    assert selection.skipped["should_record"] == 1


@pytest.mark.parametrize("name", ["X-Tenant", "x-tenant"])
@pytest.mark.parametrize(
    "headers",
    [
        [(b"host", b"x"), (b"x-tenant", b"caf\xe9"), (b"x-tenant", b"second")],
        [("HOST", "x"), ("X-TENANT", "caf\xe9"), ("X-TENANT", "second")],
    ],
)
def test_a_header_is_found_by_any_spelling_of_its_name_under_asgi_and_wsgi(headers: Any, name: str) -> None:
    request = RequestInfo("GET", "/", b"", headers, SESSION, "asgi")
    assert request.header(name) == "caf\xe9"
    assert request.header("X-Other") is None


def test_a_function_of_the_users_that_raises_is_named_and_the_request_is_not_recorded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def decide(request: RequestInfo) -> bool:
        raise KeyError("hunter2")

    monkeypatch.setattr(runtime, "behaviour", replace(runtime.behaviour, reraise=False))
    before = _errors.counts["should_record"]
    selection = Selection(OtasSettings(should_record=decide))
    assert not wants(selection)
    assert selection.skipped["should_record"] == 1
    assert _errors.counts["should_record"] == before + 1
    assert "recording failed in should_record (KeyError at " in caplog.text
    assert "the request is not recorded" in caplog.text
    assert "hunter2" not in caplog.text


def keep_all(rate: float) -> set[str]:
    selection = Selection(OtasSettings(session_sample_rate=rate))
    return {name for number in range(2000) if selection.keeps(name := f"session-{number}", weight=1, failed=False)}


def test_a_session_is_kept_or_dropped_whole() -> None:
    kept = keep_all(0.25)
    assert kept == keep_all(0.25)
    assert 400 < len(kept) < 600
    assert len(keep_all(1.0)) == 2000
    assert not keep_all(0.0)


def test_errors_of_a_dropped_session_are_kept() -> None:
    selection = Selection(OtasSettings(session_sample_rate=0))
    assert selection.keeps("s", weight=1, failed=True)
    assert not selection.keeps("s", weight=1, failed=False)
    assert selection.skipped["sampled_out"] == 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [1000.0]
    monkeypatch.setattr(select_module, "monotonic", lambda: now[0])

    def advance(seconds: float) -> None:
        now[0] += seconds

    return advance


def test_a_session_over_its_event_limit_is_counted_and_recovers(clock: Callable[[float], None]) -> None:
    selection = Selection(OtasSettings(session_max_events_per_second=2))
    assert sum(wants(selection) for _ in range(100)) == 20
    assert selection.skipped["session_events_limit"] == 80
    clock(5)
    assert sum(wants(selection) for _ in range(100)) == 10


def test_a_session_that_was_silent_for_long_has_ten_seconds_worth_and_no_more(clock: Callable[[float], None]) -> None:
    selection = Selection(OtasSettings(session_max_events_per_second=2))
    wants(selection)
    clock(86_400)
    assert sum(wants(selection) for _ in range(100)) == 20


def test_a_clock_that_goes_back_costs_a_session_nothing(clock: Callable[[float], None]) -> None:
    selection = Selection(OtasSettings(session_max_events_per_second=2))
    wants(selection)
    clock(-500)
    assert sum(wants(selection) for _ in range(100)) == 19


def test_when_there_are_too_many_sessions_the_longest_silent_one_is_forgotten() -> None:
    selection = Selection(OtasSettings(session_max_events_per_second=0.1))
    for number in range(4096):
        assert wants(selection, session=session(str(number)))
    assert not wants(selection, session=session("0"))
    assert wants(selection, session=session("new"))
    assert not wants(selection, session=session("0"))
    assert wants(selection, session=session("1"))


def session(name: str) -> SessionInfo:
    return SessionInfo("a", name, verified=False, fingerprint="f", issued_at=None, expires_at=None, token="t")


def test_many_threads_share_the_limits_and_the_counts(clock: Callable[[float], None]) -> None:
    selection = Selection(OtasSettings(session_max_events_per_second=10))
    recorded: list[bool] = []

    def work(thread: int) -> None:
        for number in range(500):
            recorded.append(wants(selection, session=session("shared")))
            wants(selection, session=session(f"{thread}-{number}"))
            assert selection.skipped["session_events_limit"] >= 0

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
    finally:
        sys.setswitchinterval(interval)
    assert sum(recorded) == 100
    assert selection.skipped == {"session_events_limit": 3900}


def test_a_session_over_its_byte_limit_is_counted(clock: Callable[[float], None]) -> None:
    selection = Selection(OtasSettings(session_max_bytes_per_second=100))
    assert [selection.keeps("s", weight=400, failed=True) for _ in range(3)] == [True, True, False]
    assert selection.keeps("other", weight=400, failed=True)
    clock(10)
    assert selection.keeps("s", weight=5_000, failed=True)
    assert not selection.keeps("s", weight=1, failed=True)


def test_many_sessions_leave_the_memory_bounded() -> None:
    selection = Selection(OtasSettings(session_max_events_per_second=1))
    for number in range(5000):
        wants(selection, session=session(str(number)))
    assert len(selection._events._left) == 4096
