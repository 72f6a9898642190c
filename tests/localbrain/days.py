"""A Brain whose file holds events of chosen days."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from otas_middleware.localbrain import LocalBrain
from otas_middleware.localbrain.schema import EVENT_COLUMNS
from otas_middleware.localbrain.store import Store

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path


@contextmanager
def brain_with_days(folder: Path, latencies: Mapping[str, Sequence[float]]) -> Generator[LocalBrain]:
    """Run a Brain that has an event for each latency of each day, all of one session and path."""
    file = folder / "brain.sqlite3"
    with LocalBrain(db=file) as brain:
        project_id, agent_id = brain.project_id, brain.agent_id
    fixed = {
        "source": "backend",
        "arrived_at": 1.0,
        "project_id": project_id,
        "agent_id": agent_id,
        "agent_session_id": str(uuid4()),
        "path": "/a",
        "method": "GET",
        "status_code": 200,
        "request_size_bytes": 0,
        "response_size_bytes": 0,
    }
    store = Store(file)
    for day, values in latencies.items():
        events = ({**fixed, "event_id": str(uuid4()), "event_date": day, "latency_ms": value} for value in values)
        store.insert_events(tuple(event.get(name) for name in EVENT_COLUMNS) for event in events)
    store.close()
    with LocalBrain(db=file) as brain:
        yield brain
