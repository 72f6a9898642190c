"""The estimate of what PostgreSQL's index takes."""

from __future__ import annotations

import random
import time

import pytest

from otas_middleware.localbrain.schema import fits_index

NOISE = "".join(random.Random(3).choices("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_", k=10_000))


@pytest.mark.parametrize(
    "path", ["", "/", "/orders/42", "/" + "x" * 600, NOISE[:2692], "ä" * 20_000, "/a/b/c" * 10_000]
)
def test_what_fits(path: str) -> None:
    assert fits_index(path)


@pytest.mark.parametrize("path", [NOISE[:2693], NOISE, "x" * 20 + NOISE[:2700], "/a" * 500_000])
def test_what_does_not(path: str) -> None:
    assert not fits_index(path)


def test_a_path_that_compresses_by_half_may_be_longer() -> None:
    repeated = "".join(NOISE[start : start + 20] * 2 for start in range(0, 1600, 20))
    assert len(repeated) == 3200
    assert fits_index(repeated)


def test_a_path_that_compresses_too_little_is_kept_as_it_is() -> None:
    """Less than a quarter saved, and PostgreSQL does not compress at all."""
    assert not fits_index(NOISE[:2500] + NOISE[:400])


@pytest.mark.parametrize("path", [NOISE * 250, "/a" * 1_250_000, "ab" * 1_000_000 + NOISE], ids=["noise", "a", "mixed"])
def test_the_longest_paths_are_judged_quickly(path: str) -> None:
    began = time.monotonic()
    assert not fits_index(path)
    assert time.monotonic() - began < 2
