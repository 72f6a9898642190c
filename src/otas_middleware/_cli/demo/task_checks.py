"""Compares what the agent did outside of the domain with what it logged of it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._cli.demo.checks import secret_problems
from otas_middleware._cli.demo.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otas_middleware._cli.demo.checks import Event
    from otas_middleware._cli.demo.sentinels import Secrets
    from otas_middleware._cli.demo.tasks import Task


def task_differences(events: Sequence[Event], received: Sequence[Mapping[str, str]], secrets: Secrets) -> list[str]:
    """Return a sentence for everything that is not as it should be.

    Args:
        events: What the agent's side logged.
        received: The headers that arrived outside.
        secrets: What must not be in any event; of these the session token and the keys must not have left either.
    """
    return [*_differences(events, secrets), *_leaks(received, secrets)]


def _differences(events: Sequence[Event], secrets: Secrets) -> Iterator[str]:
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
            for problem in (*_problems(task, event, ids), *secret_problems(event, secrets)):
                yield f"{title}: {problem}"
    for (method, path), found in by_path.items():
        yield f"{method} {path} was logged {len(found)} times, but not done"


def _problems(task: Task, event: Event, ids: Mapping[str, str]) -> Iterator[str]:
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
    for name, value in expected.items():
        if found[name] != value:
            yield f"{name} is {found[name]!r} instead of {value!r}"
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
