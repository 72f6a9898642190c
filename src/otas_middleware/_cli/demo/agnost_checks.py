"""Compares what Agnost, the second destination, got with what Brain holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otas_middleware._cli.demo.checks import Event
    from otas_middleware._cli.demo.sentinels import Secrets


class AgnostRecord(TypedDict):
    """What the local Brain's Agnost endpoints took."""

    sessions: list[dict[str, Any]]
    events: list[dict[str, Any]]


def event_ids(record: AgnostRecord) -> set[str]:
    """Return the ids of the events."""
    return {event["event_id"] for event in record["events"]}


def checkpoints(record: AgnostRecord) -> list[str]:
    """Return the names of all checkpoints in the events."""
    return [checkpoint["name"] for event in record["events"] for checkpoint in event["body"].get("checkpoints", [])]


def agnost_differences(record: AgnostRecord, events: Sequence[Event], secrets: Secrets) -> list[str]:
    """Return a sentence for everything that is not as it should be."""
    return list(_differences(record, events, secrets))


def _differences(record: AgnostRecord, events: Sequence[Event], secrets: Secrets) -> Iterator[str]:
    if len(record["sessions"]) != 1:
        yield f"Agnost was told of {len(record['sessions'])} sessions instead of one"
    wanted = {event["metadata"]["event_id"] for event in events}
    if len(record["events"]) != len(wanted) or event_ids(record) != wanted:
        yield f"Agnost has {len(record['events'])} events, not exactly the {len(wanted)} that Brain has"
    for event in record["events"]:
        name = event["body"].get("primitive_name")
        if not event["session_known"] or sorted(event["forms"]) != ["first", "second"]:
            yield f"Agnost's event {name} is not of a known session in both forms"
        for secret in secrets.found_in(json.dumps(event["body"], ensure_ascii=False)):
            yield f"Agnost's event {name} holds a secret ({secret})"
