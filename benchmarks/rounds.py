"""How rounds are ordered, and what is said of them: variants take turns, and are compared by medians and quartiles."""

from __future__ import annotations

import math
from statistics import median, quantiles
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

T = TypeVar("T")


def turns(things: Sequence[T], rounds: int, warm_up: int = 2) -> Iterator[tuple[T, bool]]:
    """Yield each thing once a round, and whether the round counts.

    Each round begins with another thing, so that none is always the one that follows a certain other.

    Args:
        things: What takes turns.
        rounds: How many rounds count.
        warm_up: How many rounds, before those, do not.
    """
    for number in range(warm_up + rounds):
        first = number % len(things)
        for thing in (*things[first:], *things[:first]):
            yield thing, number >= warm_up


def quietest(values: Sequence[float]) -> list[int]:
    """Return which half of the rounds was the fastest, in their order: in the others, the machine did something else.

    Args:
        values: What the same work took, round by round.
    """
    fastest = sorted(range(len(values)), key=values.__getitem__)[: math.ceil(len(values) / 2)]
    return sorted(fastest)


def summary(values: Sequence[float]) -> dict[str, float]:
    """Return the quartiles of some figures, the median among them."""
    if len(values) == 1:
        return dict.fromkeys(("q1", "median", "q3"), round(values[0], 3))
    low, _, high = quantiles(values, n=4, method="inclusive")
    return {"q1": round(low, 3), "median": round(median(values), 3), "q3": round(high, 3)}


def percentile(ascending: Sequence[float], share: float) -> float:
    """Return the smallest of some ascending values that is not below this share of them."""
    return ascending[math.ceil(share * len(ascending)) - 1]
