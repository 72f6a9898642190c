"""An agent's world: a host inside its project's domain, one outside, and a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.callers import CALLERS, Caller
from agent.host import Host
from agent.record import Record
from otas_middleware.agent import AgentSession

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware.localbrain import LocalBrain


@pytest.fixture
def inside() -> Iterator[Host]:
    """A host inside the domain."""
    with Host() as host:
        yield host


@pytest.fixture
def outside() -> Iterator[Host]:
    """A host outside the domain."""
    with Host() as host:
        yield host


@pytest.fixture
def session(brain: LocalBrain, inside: Host) -> Iterator[AgentSession]:
    """An agent's session, created."""
    with AgentSession(inside.url, agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url) as session:
        yield session


@pytest.fixture
def record(session: AgentSession, brain: LocalBrain) -> Record:
    """What Brain holds of that session."""
    return Record(session, brain)


@pytest.fixture(params=CALLERS, ids=lambda caller: caller.name)
def caller(request: pytest.FixtureRequest) -> Caller:
    """Each HTTP library in turn."""
    found: Caller = request.param
    return found
