"""Two hosts that a backend calls: one that is to get the caller's token, and one that is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.callers import CALLERS, Caller
from agent.host import Host
from support.recording import own_recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware import OtasSettings


@pytest.fixture
def listed() -> Iterator[Host]:
    """A host that the settings list."""
    with Host() as host:
        yield host


@pytest.fixture
def unlisted() -> Iterator[Host]:
    """A host that they do not list."""
    with Host() as host:
        yield host


@pytest.fixture
def backend(settings: OtasSettings, listed: Host) -> Iterator[OtasSettings]:
    """The settings of a backend that passes tokens on."""
    with own_recorder(settings, propagate_to=(listed.url,)) as own:
        yield own


@pytest.fixture(params=CALLERS, ids=lambda caller: caller.name)
def caller(request: pytest.FixtureRequest) -> Caller:
    """Each HTTP library in turn."""
    found: Caller = request.param
    return found
