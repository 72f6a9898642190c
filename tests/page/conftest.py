"""A fresh Brain for each test, for these tests count what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from localbrain.wire import Client
from otas_middleware.localbrain import LocalBrain

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def brain() -> Iterator[LocalBrain]:
    with LocalBrain() as brain:
        yield brain


@pytest.fixture
def client(brain: LocalBrain) -> Client:
    return Client(brain)
