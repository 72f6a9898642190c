"""The fixtures of the agent's tests, for SDKs."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from agent.conftest import inside, record, session

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["collected", "inside", "record", "session"]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Have what an SDK left open, as some do, collected where its warnings are that test's: not after the last one."""
    yield
    gc.collect()
