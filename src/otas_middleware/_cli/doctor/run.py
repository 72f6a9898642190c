"""The order of the checks, and their output."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otas_middleware._cli import has_colours, without_log
from otas_middleware._cli.application import ApplicationError, read
from otas_middleware._cli.doctor import TOKEN_VARIABLE, Check, as_json, as_text, conclusion, healthy
from otas_middleware._cli.doctor.delivery import check_relay, check_send, check_threads, check_transport, new_token
from otas_middleware._cli.doctor.network import check_brain, check_uasam
from otas_middleware._cli.doctor.recording import check_agent, check_recording
from otas_middleware._cli.doctor.services import ask_brain, ask_uasam, check_clock, check_key, key_problem, spelled
from otas_middleware._cli.doctor.set_up import check_set_up, check_spool, check_surroundings
from otas_middleware._errors import OtasError
from otas_middleware._version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otas_middleware._cli.application import Source, Subject
    from otas_middleware._config.settings import OtasSettings

NO_TOKEN = "there is no session token to send with, and no agent's key to open a session with"  # noqa: S105  # a text


@dataclass(frozen=True)
class Order:
    """What the user asked for.

    Attributes:
        source: Where the configuration is read from.
        uasam_url: UASAM's address, where the settings do not hold it.
        uwsgi: uWSGI's configuration.
        agent: The agent's session whose clients are tried, instead of everything else.
        send: Whether to deliver one test event.
        token: The session token to send it with; None lets the agent's key open a session.
        strict: Whether a warning makes the exit status 1.
        timeout: Seconds for each answer.
    """

    source: Source
    uasam_url: str | None = None
    uwsgi: Path | None = None
    agent: str | None = None
    send: bool = False
    token: str | None = None
    strict: bool = False
    timeout: float = 10.0


def examine(order: Order) -> Iterator[Check]:
    """Run all checks, in the order in which one depends on another."""
    if order.agent is not None:
        yield from check_agent(order.agent)
        return
    subject = read(order.source)
    yield from check_set_up(subject)
    settings = subject.settings
    if settings is None or not settings.enabled:
        reason = _why_no_services(subject)
        for name in ("brain", "uasam", "sdk_key", "clock", "transport", "spool"):
            yield Check(name, "skipped", f"not looked at while {reason}")
        yield check_threads(order.uwsgi)
        return
    yield from _services(order, subject, settings)


def _why_no_services(subject: Subject) -> str:
    if isinstance(subject.error, ApplicationError):
        return "the application cannot be loaded"
    return "the settings are not right" if subject.settings is None else "recording is switched off"


def _services(order: Order, subject: Subject, settings: OtasSettings) -> Iterator[Check]:
    problem = key_problem(subject)
    key = None if problem is not None or settings.sdk_key is None else settings.sdk_key.get_secret_value()
    connect_timeout = min(settings.connect_timeout, order.timeout)
    uasam_url = order.uasam_url or settings.uasam_url
    brain = ask_brain(settings.brain_url, key, order.timeout, connect_timeout)
    uasam = None if uasam_url is None else ask_uasam(uasam_url, key, order.timeout, connect_timeout)
    of_brain = check_brain(brain, uasam, spelled(subject, "brain_url"))
    of_uasam = check_uasam(uasam, brain, spelled(subject, "uasam_url"))
    of_key = check_key(problem, brain, uasam, subject)
    yield from check_surroundings(subject, settings)
    yield from check_recording(settings)
    yield from (
        of_brain,
        of_uasam,
        of_key,
        check_clock(brain, uasam),
        check_transport(settings, order.timeout),
        check_spool(settings),
    )
    if settings.relay is not None:
        yield check_relay(settings)
    yield check_threads(order.uwsgi)
    if not order.send:
        yield Check("send", "skipped", "whether Brain stores events (its database) was not tried; --send delivers one")
    elif of_brain.status == "failed" or of_key.status == "failed":
        at_fault = "brain" if of_brain.status == "failed" else "sdk key"
        yield Check("send", "failed", f"no test event was sent, because of: {at_fault}", "see above")
    else:
        yield _send(order, settings, uasam_url, brain.clock)


def _send(
    order: Order, settings: OtasSettings, uasam_url: str | None, brain_ahead: tuple[float, float] | None
) -> Check:
    token = order.token
    if token is None and settings.agent_key is None:
        return Check("send", "failed", NO_TOKEN, f"set {TOKEN_VARIABLE} to a session token, or OTAS_AGENT_KEY")
    try:
        token = token or new_token(settings, uasam_url, order.timeout)
    except OtasError as error:
        return Check("send", "failed", f"no session could be opened: {error}", f"or set {TOKEN_VARIABLE} to its token")
    return check_send(settings, token, brain_ahead)


def run(order: Order, *, machine: bool) -> int:
    """Run all checks and print them.

    Args:
        order: What to check.
        machine: Print one JSON document instead of lines.

    Returns:
        The exit status: 0 when all is well, 1 otherwise.
    """
    with without_log():
        checks = list(examine(order)) if machine else _printed(examine(order))
    if machine:
        sys.stdout.write(as_json(checks, __version__, strict=order.strict) + "\n")
    else:
        sys.stdout.write("\n" + conclusion(checks) + "\n")
    return 0 if healthy(checks, strict=order.strict) else 1


def _printed(checks: Iterator[Check]) -> list[Check]:
    """Print each check as it is done, and return them all."""
    colour = has_colours()
    ascii_only = not _writes("✓✗→…")
    done: list[Check] = []
    for check in checks:
        done.append(check)
        sys.stdout.write(as_text(check, colour=colour, ascii_only=ascii_only) + "\n")
        sys.stdout.flush()
    return done


def _writes(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
