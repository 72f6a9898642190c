"""What a test expects of an event, how an event differs from that, and where a secret stands in it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, cast
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from otas_middleware._event import BackendEvent, Envelope

_MISSING = object()
_SHOWN_CHARACTERS = 120


class Expected(TypedDict, total=False):
    """The fields of a `BackendEvent`, those of its metadata that tests look at most, and whose event it is.

    A field matches

    - a regular expression (`re.compile(...)`) that is found in it,
    - a function that returns true for it,
    - a dictionary whose members it has, whatever else it has; a body's text is parsed as JSON for this,
    - a list of as many items, each of which matches,
    - and anything else that is equal to it (`pytest.approx(...)`, `unittest.mock.ANY`, …).
    """

    project_id: object
    path: object
    method: object
    status_code: object
    latency_ms: object
    request_size_bytes: object
    response_size_bytes: object
    request_headers: object
    response_headers: object
    request_body: object
    response_body: object
    query_params: object
    post_data: object
    request_content_type: object
    response_content_type: object
    custom_properties: object
    metadata: object
    error: object
    route: object
    """The route's template, such as `/orders/{order_id}`."""
    operation: object
    """What was called: its name, such as `tools/call refund`, or a dictionary of members of `metadata.operation`."""
    framework: object
    session_id: object
    agent_id: object
    source: object
    """`backend`: a middleware recorded it; `agent`: an `AgentSession` logged it."""


def check_names(expected: Mapping[str, object]) -> None:
    """Refuse a name that no event can have: a misspelled expectation must not fail as if the event were wrong.

    Raises:
        TypeError: A name is unknown.
    """
    unknown = sorted(set(expected) - Expected.__annotations__.keys())
    if unknown:
        known = ", ".join(Expected.__annotations__)
        raise TypeError(f"an event has no {', '.join(unknown)}; it can be asked for: {known}")


def differences(envelope: Envelope, expected: Mapping[str, object]) -> list[str]:
    """Say, a line each, in what a recorded event is not what is expected."""
    found: list[str] = []
    for name, value in expected.items():
        actual = _actual(envelope, name, by_member=isinstance(value, Mapping))
        if not _matches(actual, value):
            shown = "absent" if actual is _MISSING else shorten(actual)
            found.append(f"{name} is {shown}, not {describe(value)}")
    return found


def describe(value: object) -> str:
    """Return an expected value as a failure message shows it."""
    if isinstance(value, re.Pattern):
        return f"a match of {shorten(cast('re.Pattern[str]', value).pattern)}"
    if callable(value):
        return f"what {getattr(value, '__qualname__', repr(value))}() accepts"
    return shorten(value)


def shorten(value: object) -> str:
    """Return a value's `repr`, cut to what a line can hold."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}… ({len(text):,} characters)"


def _actual(envelope: Envelope, name: str, *, by_member: bool) -> object:
    if name in {"session_id", "agent_id", "source"}:
        return getattr(envelope, name)
    if name in {"route", "framework"}:
        return envelope.event.metadata.get(name, _MISSING)
    if name == "operation":
        record: dict[str, object] = envelope.event.metadata.get(name, {})
        return record if by_member else record.get("name", _MISSING)
    return getattr(envelope.event, name)


def _matches(actual: object, expected: object) -> bool:
    if isinstance(expected, re.Pattern):
        pattern = cast("re.Pattern[str]", expected)
        return isinstance(actual, str) and pattern.search(actual) is not None
    if isinstance(expected, Mapping | list):
        if isinstance(actual, str):
            try:
                actual = json.loads(actual)
            except ValueError:
                return False
        return _contains(actual, cast("Mapping[Any, object] | list[object]", expected))
    if callable(expected) and not isinstance(expected, type):
        accepts = cast("Callable[[object], object]", expected)
        return actual is not _MISSING and bool(accepts(actual))
    return bool(actual == expected)


def _contains(actual: object, expected: Mapping[Any, object] | list[object]) -> bool:
    if isinstance(expected, Mapping):
        if not isinstance(actual, Mapping):
            return False
        members = cast("Mapping[Any, object]", actual)
        return all(name in members and _matches(members[name], value) for name, value in expected.items())
    if not isinstance(actual, list | tuple):
        return False
    items = cast("Sequence[object]", actual)
    return len(items) == len(expected) and all(map(_matches, items, expected))


def traces(event: BackendEvent, secret: str) -> list[str]:
    """Return the names of the event's fields in which a text stands, in one of its forms."""
    forms = _forms(secret)
    fields: dict[str, object] = json.loads(event.to_json())
    found: list[str] = []
    for name, value in fields.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if any(form in text for form in forms):
            found.append(name)
    return found


def _forms(secret: str) -> set[str]:
    escaped = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    # A JSON text inside of a JSON text is escaped twice.
    escaped |= {json.dumps(form)[1:-1] for form in escaped}
    return {secret, *escaped, quote(secret), quote(secret, safe=""), quote_plus(secret), *_base64_forms(secret)}


def _base64_forms(secret: str) -> set[str]:
    """Return what stays the same in base64 wherever the secret begins: at each of three offsets, without both ends."""
    raw = secret.encode()
    if len(raw) < 12:
        return set()  # too little would be left to be told from anything else
    return {base64.b64encode(b"\0" * offset + raw).decode()[4:-4] for offset in range(3)}
