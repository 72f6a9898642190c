"""The events of a test: a sequence of `BackendEvent`, with assertions that say what was recorded instead, and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, overload
from uuid import uuid4

from otas_middleware import _recorder
from otas_middleware._agent import sessions
from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._errors import OtasError
from otas_middleware._runtime import runtime
from otas_middleware._testing import make_token, session_headers
from otas_middleware._testing.expected import check_names, describe, differences, traces
from otas_middleware._testing.memory import Memory, for_agent, for_recorder, issuer

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import Unpack

    from otas_middleware._event import BackendEvent, Envelope
    from otas_middleware._testing.expected import Expected


class SwallowedFailureError(OtasError, AssertionError):
    """While events were recorded, something failed that production would have swallowed; the cause is attached."""


class RecordedEvents(Sequence["BackendEvent"]):
    """The events that were recorded, in the order in which their requests, or the calls of agents, ended.

    Attributes:
        session_id: The session of `token` and `headers`, and of every `AgentSession`.
        agent_id: The agent of `token` and `headers`, and of every `AgentSession`.
        strict: Fail the test at its end if recording failed somewhere (a bug of ours, or a `should_record` or
            `before_send` of yours that raises). Set it to False to see what production would do.
    """

    def __init__(self, memory: Memory, *, strict: bool = True) -> None:
        self.session_id = str(uuid4())
        self.agent_id = str(uuid4())
        self.strict = strict
        self._memory = memory
        self._baseline = Baseline()
        self._token = ""
        self.failures: list[tuple[str, BaseException]] = []
        """Place and exception of each failure that was swallowed."""

    @property
    def token(self) -> str:
        """The token of a session of this recording's own, signed with the `session_secret` where one is configured."""
        if not self._token:
            self._token = self.new_token()
        return self._token

    def new_token(self) -> str:
        """Make another token of that session."""
        return make_token(
            session_id=self.session_id,
            agent_id=self.agent_id,
            expires_in=None,  # a test may turn the clock
            secret=self._baseline.session_secret(),
            claims={"jti": str(uuid4())},
        )

    @property
    def headers(self) -> dict[str, str]:
        """The header by which an agent is recognised, with `token`; give it to a test client."""
        return session_headers(self.token)

    @overload
    def __getitem__(self, index: int) -> BackendEvent: ...

    @overload
    def __getitem__(self, index: slice) -> list[BackendEvent]: ...

    def __getitem__(self, index: int | slice) -> BackendEvent | list[BackendEvent]:
        __tracebackhide__ = True
        events = self._events()
        try:
            return events[index]
        except IndexError:
            counted = _counted(len(events), "event was", "events were")
            lines = [f"only {counted} recorded:", *map(_summary, events)]
            raise IndexError("\n  ".join(lines) if events else self._none_found({}, "")) from None

    def __len__(self) -> int:
        return len(self._memory.envelopes())

    def __repr__(self) -> str:
        return f"<RecordedEvents {list(map(_summary, self._events()))}>"

    @property
    def summaries(self) -> list[str]:
        """A short text for each event, such as `POST /orders 201`, to compare a whole test's traffic at once.

        What failed, and why, is in the events' `error`.
        """
        return [_called(event) for event in self._events()]

    def one(self, **expected: Unpack[Expected]) -> BackendEvent:
        """Return the one recorded event that is as expected; without arguments, the only event.

        Args:
            **expected: What the event is to be like (see `Expected`).

        Raises:
            AssertionError: None is, or more than one; the text shows what was recorded, and what may be the reason.
        """
        __tracebackhide__ = True
        found = self.matching(**expected)
        if len(found) == 1:
            return found[0]
        wanted = _wanted(expected)
        if found:
            lines = [f"{len(found)} events were recorded{wanted}, not one:", *map(_summary, found)]
            raise AssertionError("\n  ".join(lines))
        raise AssertionError(self._none_found(expected, wanted))

    def matching(self, **expected: Unpack[Expected]) -> list[BackendEvent]:
        """Return the recorded events that are as expected.

        Args:
            **expected: What they are to be like (see `Expected`).
        """
        check_names(expected)
        return [envelope.event for envelope in self._memory.envelopes() if not differences(envelope, expected)]

    def assert_none(self, **expected: Unpack[Expected]) -> None:
        """Check that no event as expected was recorded; without arguments, none at all.

        Args:
            **expected: What none is to be like (see `Expected`).

        Raises:
            AssertionError: The text shows those that were.
        """
        __tracebackhide__ = True
        found = self.matching(**expected)
        if found:
            lines = [f"{_counted(len(found), 'event was', 'events were')} recorded{_wanted(expected)}:"]
            raise AssertionError("\n  ".join([*lines, *map(_summary, found)]))

    def assert_no_trace_of(self, *secrets: str) -> None:
        """Check that some texts stand nowhere in what would be sent, nor JSON-escaped, percent-encoded or in base64.

        Args:
            *secrets: The texts.

        Raises:
            AssertionError: One does; the text names event and field, and not the secret.
            ValueError: There is nothing to check: no secret, an empty one, or no recorded event.
        """
        __tracebackhide__ = True
        if not secrets or not all(secrets):
            raise ValueError("name the texts that must not be recorded; an empty one stands everywhere")
        events = self._events()
        if not events:
            raise ValueError(self._none_found({}, ""))
        lines = [
            f"number {position} of the texts stands in {place} of: {_summary(event)}"
            for position, secret in enumerate(secrets, 1)
            for event in events
            for place in traces(event, secret)
        ]
        if lines:
            raise AssertionError("\n  ".join(["What must not be recorded was recorded:", *lines]))

    def wait(self, count: int = 1, timeout: float = 5.0) -> None:
        """Wait for events of requests that another thread answers, such as a live server's.

        Args:
            count: How many events there are to be, in all.
            timeout: The longest wait, in seconds.

        Raises:
            AssertionError: There were not as many in time.
        """
        __tracebackhide__ = True
        if not self._memory.wait(count, timeout):
            reasons = self._none_found({}, "") if not len(self) else f"{self!r}"
            raise AssertionError(f"{len(self)} of {count} events were recorded within {timeout:g} s. {reasons}")

    def note_failure(self, where: str, error: BaseException) -> None:
        """Take a failure that is being swallowed.

        Args:
            where: The place in this package.
            error: What was raised there.
        """
        self.failures.append((where, error))

    def clear(self) -> None:
        """Forget the events recorded so far."""
        self._memory.clear()

    def _events(self) -> list[BackendEvent]:
        return [envelope.event for envelope in self._memory.envelopes()]

    def _none_found(self, expected: Expected, wanted: str) -> str:
        envelopes = self._memory.envelopes()
        if envelopes:
            lines = [f"No event was recorded{wanted}, but {_counted(len(envelopes), 'other was', 'others were')}:"]
            lines += [f"{_summary(envelope.event)}: {_reasons(envelope, expected)}" for envelope in envelopes]
            return "\n  ".join(lines)
        reasons = self._baseline.reasons(self._memory.withheld, self._memory.unfinished(), self.failures)
        return "\n  ".join(["No event was recorded:", *reasons])


@contextmanager
def record_events(*, strict: bool = True) -> Generator[RecordedEvents]:
    """Record into memory what the middlewares and agents of this process record, while the block runs.

    No thread is started and nothing is sent. Applications may have been made before, with an SDK key, or are made
    within the block, where none is needed; the pytest plugin spares even applications that were imported before.
    An `AgentSession` needs neither a key nor UASAM, whenever it was made: its session is the recording's own.

    Args:
        strict: See `RecordedEvents`.

    Raises:
        SwallowedFailureError: At the end of the block, if recording failed somewhere and `strict` is still set.
    """
    memory = Memory()
    events = RecordedEvents(memory, strict=strict)
    with runtime.replaced(
        record_without_key=True,
        deliver=partial(for_recorder, memory),
        deliver_agent=partial(for_agent, memory),
        issue=issuer(events.new_token),
        on_internal_error=events.note_failure,
    ):
        yield events
        if events.strict:
            memory.envelopes()  # what no assertion has looked at must be fit to be sent as well
    if events.strict and events.failures:
        where, error = events.failures[0]
        more = f" (and {len(events.failures) - 1} more)" if len(events.failures) > 1 else ""
        raise SwallowedFailureError(
            f"recording failed in {where} with {type(error).__name__}{more}; production would have swallowed it"
        ) from error


def _summary(event: BackendEvent) -> str:
    error = f" ({event.error})" if event.error and not event.error.startswith(str(event.status_code)) else ""
    return _called(event) + error


def _called(event: BackendEvent) -> str:
    origin = event.metadata.get("origin", "")  # of an agent's call
    operation: dict[str, object] = event.metadata.get("operation", {})
    name = f" {operation['name']}" if operation.get("name") and operation["protocol"] != "sse" else ""
    return f"{event.method} {origin}{event.path} {event.status_code}{name}"


def _wanted(expected: Expected) -> str:
    text = ", ".join(f"{name}={describe(value)}" for name, value in expected.items())
    return f" with {text}" if text else ""


def _reasons(envelope: Envelope, expected: Expected) -> str:
    return "; ".join(differences(envelope, expected))


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


_OFF = {
    "disabled": "recording is switched off (OTAS_ENABLED=0, or `enabled` false in the settings); switch it on",
    "no_sdk_key": "the middleware was made while no SDK key was set, and is off: make the application within the test, "
    "or set OTAS_SDK_KEY to anything (such as otas_test_test) before it is made",
}


class Baseline:
    """The counters of all recorders at a moment, to tell later what has happened since."""

    def __init__(self) -> None:
        self._refused: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()
        for recorder in _recorder.recorders():
            self._refused += recorder.gate.refused
            self._skipped += recorder.selection.skipped

    def session_secret(self) -> str | None:
        """Return the secret that the recorders check tokens with, if one has been configured so far."""
        for recorder in _recorder.recorders():
            if recorder.settings.session_secret is not None:
                return recorder.settings.session_secret.get_secret_value()
        return os.environ.get("OTAS_SESSION_SECRET") or None

    def reasons(self, withheld: int, unfinished: int, failures: Sequence[tuple[str, BaseException]]) -> list[str]:
        """Say, a sentence each, what may be the reason that there is no event.

        Args:
            withheld: How many finished requests were left out by the build step.
            unfinished: How many requests are not over.
            failures: Place and exception of what was swallowed.
        """
        recorders = _recorder.recorders()
        refused = sum((recorder.gate.refused for recorder in recorders), Counter[str]()) - self._refused
        skipped = sum((recorder.selection.skipped for recorder in recorders), Counter[str]()) - self._skipped
        found = [f"{count}x the session token was refused: {reason}" for reason, count in refused.items()]
        found += [f"{count}x the settings leave the request out: {reason}" for reason, count in skipped.items()]
        found += [f"recording failed in {where}: {type(error).__name__}: {error}" for where, error in failures]
        if withheld:
            found.append(f"{withheld}x `ignore_paths`, `ignore_operations` or `before_send` withheld the event")
        if unfinished:
            found.append(f"{unfinished}x the response has not been read to its end, or not been closed")
        return found or list(self._guesses())

    def _guesses(self) -> Iterator[str]:
        """Say what it can be when no counter has moved."""
        for reason in sorted(runtime.off_because):
            yield _OFF[reason]
        if _recorder.recorders():
            yield f"no request carried the header {TOKEN_HEADER}: pass headers=otas_events.headers"
        elif not runtime.off_because:
            yield "no middleware of otas_middleware was made in this process: is the application the right one?"
        if sessions():
            yield (
                "no call to a host outside of project_domain went through a client of the AgentSession "
                "(session.client(), session.instrument(...)); calls inside are recorded by the backend that they reach"
            )
