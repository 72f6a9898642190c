"""How much one session may have recorded: a bucket that fills up again, and no further."""

from __future__ import annotations

import pytest

from otas_middleware._capture import selection


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(selection, "monotonic", lambda: now[0])
    return now


def test_a_bucket_that_has_been_full_for_a_day_holds_ten_seconds_worth(clock: list[float]) -> None:
    budgets = selection._Budgets(2.0)
    assert budgets.spend("s", 1.0)
    clock[0] += 86_400.0
    assert [budgets.spend("s", 1.0) for _ in range(25)] == [True] * 20 + [False] * 5


def test_an_empty_bucket_fills_up_at_its_rate(clock: list[float]) -> None:
    budgets = selection._Budgets(2.0)
    while budgets.spend("s", 1.0):
        pass
    clock[0] += 1.5
    assert [budgets.spend("s", 1.0) for _ in range(4)] == [True, True, True, False]


def test_an_amount_above_the_whole_bucket_passes_when_it_is_full_and_then_nothing_for_as_long_as_it_takes(
    clock: list[float],
) -> None:
    budgets = selection._Budgets(1.0)
    assert budgets.spend("s", 30.0)
    clock[0] += 20.0
    assert not budgets.spend("s", 1.0)
    clock[0] += 1.5
    assert budgets.spend("s", 1.0)


def test_sessions_do_not_spend_each_others(clock: list[float]) -> None:
    budgets = selection._Budgets(0.1)
    assert clock
    assert [budgets.spend(session, 1.0) for session in ("a", "b", "a", "b")] == [True, True, False, False]
