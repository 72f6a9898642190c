"""The order of rounds, and what is said of them."""

from __future__ import annotations

import pytest

from benchmarks.rounds import percentile, quietest, summary, turns


def test_each_round_has_everything_once_and_begins_with_another_thing() -> None:
    order = [thing for thing, _ in turns("abc", rounds=4, warm_up=0)]
    assert order == [*"abc", *"bca", *"cab", *"abc"]


def test_rounds_to_warm_up_come_first_and_do_not_count() -> None:
    counted = [counts for _, counts in turns("ab", rounds=2, warm_up=1)]
    assert counted == [False, False, True, True, True, True]


def test_a_summary_is_the_quartiles() -> None:
    assert summary([5, 1, 4, 2, 3]) == {"q1": 2, "median": 3, "q3": 4}


def test_one_outlier_hardly_moves_a_summary() -> None:
    assert summary([1, 2, 3, 4, 1_000_000]) == {"q1": 2, "median": 3, "q3": 4}


def test_a_single_figure_is_its_own_summary() -> None:
    assert summary([7.5]) == {"q1": 7.5, "median": 7.5, "q3": 7.5}


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_one_of_the_values(share: float, value: float) -> None:
    assert percentile(range(1, 101), share) == value


def test_the_quietest_rounds_are_the_faster_half() -> None:
    assert quietest([3.0, 1.0, 9.0, 2.0]) == [1, 3]
    assert quietest([3.0, 1.0, 2.0]) == [1, 2]
    assert quietest([5.0]) == [0]
