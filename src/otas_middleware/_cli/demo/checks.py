"""Compares what was sent with what was stored; what is expected comes from the steps alone."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._cli.demo.agent import CALLS, MCP_PATH, REQUEST_ID, TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otas_middleware._cli.demo.agent import Exchange, Task
    from otas_middleware._cli.demo.environment import AgnostRecord, Event
    from otas_middleware._cli.demo.scenario import Secrets, Step


def request_id(event: Event) -> str | None:
    """Return the id that the request of an event carried, if any."""
    try:
        headers: Mapping[str, str] = json.loads(event["request_headers"])
    except (KeyError, TypeError, ValueError):
        return None
    return next((value for name, value in headers.items() if name.lower() == REQUEST_ID), None)


def is_agents_own(event: Event) -> bool:
    """Say whether an event was logged by the agent, of something outside of its domain, and not by a backend."""
    return event["method"] == "TOOL" or "origin" in event["metadata"]


def is_call(event: Event) -> bool:
    """Say whether an event is one of the calls by MCP."""
    return bool(event["path"] == MCP_PATH)


def differences(exchanges: Sequence[Exchange], events: Sequence[Event], secrets: Secrets) -> Iterator[str]:
    """Yield a sentence for everything that is not as it should be.

    Args:
        exchanges: What the agent did, and what it was answered.
        events: What Brain stored.
        secrets: What no event may hold.
    """
    by_id: defaultdict[str | None, list[Event]] = defaultdict(list)
    for event in events:
        by_id[request_id(event)].append(event)
    for exchange in exchanges:
        step = exchange.step
        title = f"{exchange.request_id} {step.application.name}: {step.method} {step.path}"
        stored = by_id.pop(exchange.request_id, [])
        if exchange.status != step.status:
            yield f"{title} was answered with {exchange.status} instead of {step.status}"
        if len(stored) != step.by_agent:
            yield f"{title} was recorded {len(stored)} times instead of {'once' if step.by_agent else 'never'}"
        for event in stored:
            for problem in _problems(exchange, event, secrets):
                yield f"{title}: {problem}"
    for request, stored in by_id.items():
        yield f"{len(stored)} events belong to no request of the demo (request id {request})"


def _problems(exchange: Exchange, event: Event, secrets: Secrets) -> Iterator[str]:
    step = exchange.step
    expected = {
        "method": step.method,
        "path": step.path,
        "status_code": step.status,
        "request_size_bytes": exchange.request_bytes,
        "response_size_bytes": exchange.response_bytes,
    }
    if step.exception and event["response_size_bytes"] == 0:
        del expected["response_size_bytes"]  # the answer to an exception may be made outside of the middleware
    yield from _unequal(event, expected)
    if not event["latency_ms"] > 0:
        yield f"latency_ms is {event['latency_ms']!r}"
    yield from _error_problems(step, event["error"] or "")
    yield from secret_problems(event, secrets)


def _unequal(found: Mapping[str, object], expected: Mapping[str, object]) -> Iterator[str]:
    for name, value in expected.items():
        if found[name] != value:
            yield f"{name} is {found[name]!r} instead of {value!r}"


def secret_problems(event: Event, secrets: Secrets) -> Iterator[str]:
    """Name the fields of an event in which a secret stands."""
    for field, value in event.items():
        for name in secrets.found_in(json.dumps(value, ensure_ascii=False)):
            # The value itself is not shown: where this goes wrong, it may go wrong with real ones.
            yield f"{field} holds a secret ({name})"


def _error_problems(step: Step, error: str) -> Iterator[str]:
    if step.status < 400:
        if error:
            yield f"error is {error!r} instead of empty"
    elif not error:
        yield "error is empty"
    elif step.exception not in error:
        yield f"error is {error!r} and does not name {step.exception}"


def call_differences(events: Sequence[Event], secrets: Secrets) -> Iterator[str]:
    """Yield a sentence for everything that is not as it should be.

    Args:
        events: The events of the calls by MCP.
        secrets: What may stand nowhere.
    """
    for call in CALLS:
        found = [event for event in events if event["metadata"].get("operation", {}).get("name") == call.operation]
        if len(found) != 1:
            yield f"{call.operation} was recorded {len(found)} times instead of once"
        for event in found:
            if (event["error"] or "") != call.error:
                yield f"{call.operation}: error is {event['error']!r} instead of {call.error!r}"
            for problem in secret_problems(event, secrets):
                yield f"{call.operation}: {problem}"
    if len(events) != len(CALLS):
        yield f"{len(events)} calls by MCP were recorded instead of {len(CALLS)}"


def event_ids(record: AgnostRecord) -> set[str]:
    """Return the ids of the events."""
    return {event["event_id"] for event in record["events"]}


def checkpoints(record: AgnostRecord) -> list[str]:
    """Return the names of all checkpoints in the events."""
    return [checkpoint["name"] for event in record["events"] for checkpoint in event["body"].get("checkpoints", [])]


def agnost_differences(record: AgnostRecord, events: Sequence[Event], secrets: Secrets) -> Iterator[str]:
    """Yield a sentence for everything that is not as it should be.

    Args:
        record: What Agnost got.
        events: What Brain stored.
        secrets: What no event may hold.
    """
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


def task_differences(events: Sequence[Event], received: Sequence[Mapping[str, str]], secrets: Secrets) -> Iterator[str]:
    """Yield a sentence for everything that is not as it should be.

    Args:
        events: What the agent's side logged.
        received: The headers that arrived outside.
        secrets: What must not be in any event; of these the session token and the keys must not have left either.
    """
    by_path: defaultdict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in events:
        by_path[event["method"], event["path"]].append(event)
    ids = {path: found[0]["metadata"]["event_id"] for (_, path), found in by_path.items()}
    for task in TASKS:
        title = f"{task.name}: {task.method} {task.path}"
        found = by_path.pop((task.method, task.path), [])
        if len(found) != 1:
            yield f"{title} was logged {len(found)} times instead of once"
        for event in found:
            for problem in (*_task_problems(task, event, ids), *secret_problems(event, secrets)):
                yield f"{title}: {problem}"
    for (method, path), found in by_path.items():
        yield f"{method} {path} was logged {len(found)} times, but not done"
    yield from _leaks(received, secrets)


def _task_problems(task: Task, event: Event, ids: Mapping[str, str]) -> Iterator[str]:
    properties: dict[str, Any] = event["custom_properties"] or {}
    usage: dict[str, Any] = properties.get("usage") or {}
    found: dict[str, object] = {
        "status_code": event["status_code"],
        "parent_id": event["metadata"].get("parent_id"),
        "model": properties.get("model"),
        "tokens": usage.get("total"),
    }
    expected = {
        "status_code": task.status,
        "parent_id": None if task.parent is None else ids.get(task.parent, "that of its tool"),
        "model": task.model,
        "tokens": task.tokens,
    }
    yield from _unequal(found, expected)
    error = event["error"] or ""
    if bool(error) != bool(task.error) or task.error not in error:
        yield f"error is {error!r} instead of {task.error!r}"


def _leaks(received: Sequence[Mapping[str, str]], secrets: Secrets) -> Iterator[str]:
    keys = [secrets[name] for name in ("session token", "OTAS_AGENT_KEY", "OTAS_SDK_KEY")]
    for headers in received:
        if any(name.lower() == TOKEN_HEADER.lower() for name in headers):
            yield f"a request outside of the domain carried {TOKEN_HEADER}"
        if any(key in value for value in headers.values() for key in keys):
            yield "a request outside of the domain carried the session token or a key"
