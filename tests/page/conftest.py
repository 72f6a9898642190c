"""A fresh Brain for each test, for these tests count what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from localbrain.wire import Client
from otas_middleware.localbrain import LocalBrain
from page.browser import chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser


@pytest.fixture
def brain() -> Iterator[LocalBrain]:
    with LocalBrain() as brain:
        yield brain


@pytest.fixture
def client(brain: LocalBrain) -> Client:
    return Client(brain)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser
