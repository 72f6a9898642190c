"""What is said of a server under load."""

from __future__ import annotations

import pytest

from benchmarks.load import Job, Load
from benchmarks.served import Account
from benchmarks.servers import Variant, figures


class Host:
    """A server whose worker gives these accounts, one after the other."""

    port = 80

    def __init__(self, *accounts: Account) -> None:
        self._accounts = list(accounts)

    def account(self) -> Account:
        return self._accounts.pop(0)


def _load(job: Job) -> Load:
    return Load(requests=1000, seconds=0.5, p50_ms=1.0, p99_ms=2.0, busy=0.1)


def test_the_cpu_is_what_the_worker_used_until_all_was_delivered() -> None:
    variant = Variant("recorded", Host(Account(5.0, 70, 70, 0), Account(5.2, 1060, 1050, 10)), b"")
    variant.run(_load, keep=True)
    assert variant.cpu == [pytest.approx(200)]  # µs for each of 1,000 requests
    assert (variant.delivered, variant.dropped) == (980, 10)


def test_a_turn_that_does_not_count_leaves_nothing() -> None:
    variant = Variant("recorded", Host(Account(5.0), Account(5.2, 1000, 1000)), b"")
    variant.run(_load, keep=False)
    assert (variant.loads, variant.cpu, variant.delivered) == ([], [], 0)


def test_events_that_do_not_arrive_end_the_benchmark() -> None:
    variant = Variant("recorded", Host(Account(5.0), Account(5.2, 1000, 1, complete=False)), b"")
    with pytest.raises(SystemExit, match="recorded"):
        variant.run(_load, keep=True)


def test_a_variant_is_compared_with_bare_turn_by_turn() -> None:
    variant = Variant("recorded", Host(), b"", [_load(Job(80, b"", 1, 0.5))] * 3, [300.0, 30.0, 3.0])
    found = figures(variant, bare=[100.0, 10.0, 1.0])
    assert found["CPU over bare"] == {"q1": 3.0, "median": 3.0, "q3": 3.0}
    assert found["requests per second"]["median"] == 2000


def test_at_half_of_bares_rate_the_medians_are_compared_turn_by_turn() -> None:
    variant = Variant("recorded", Host(Account(5.0), Account(5.2)), b"", [_load(Job(80, b"", 1, 0.5))] * 2, [1.0, 1.0])
    rates: list[float] = []

    def load(job: Job) -> Load:
        rates.append(job.rate)
        return _load(job)

    for _ in range(2):
        variant.pace(load, 500.0, keep=True)
    assert rates == [500.0, 500.0]
    assert figures(variant, [1.0, 1.0], [0.5, 0.25])["p50 over bare at half its rate"]["median"] == 3
