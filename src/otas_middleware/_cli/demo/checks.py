"""Compares what was sent with what was stored; what is expected comes from the steps alone."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from otas_middleware._cli.demo.agent import REQUEST_ID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otas_middleware._cli.demo.agent import Exchange
    from otas_middleware._cli.demo.sentinels import Secrets
    from otas_middleware._cli.demo.steps import Step

Event = dict[str, Any]
"""A stored event, as Brain gives it out."""


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


def differences(exchanges: Sequence[Exchange], events: Sequence[Event], secrets: Secrets) -> list[str]:
    """Return a sentence for everything that is not as it should be; nothing when all is well."""
    return list(_differences(exchanges, events, secrets))


def _differences(exchanges: Sequence[Exchange], events: Sequence[Event], secrets: Secrets) -> Iterator[str]:
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
    for field, value in expected.items():
        if event[field] != value:
            yield f"{field} is {event[field]!r} instead of {value!r}"
    if not event["latency_ms"] > 0:
        yield f"latency_ms is {event['latency_ms']!r}"
    yield from _error_problems(step, event["error"] or "")
    yield from secret_problems(event, secrets)


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
