"""The order of the checks, and their output; and what the services' answers say together: of the key, of the clocks."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from otas_middleware._cli import has_colours, without_log
from otas_middleware._cli.application import IN_CODE, ApplicationError, read
from otas_middleware._cli.application.load import SDK_KEY
from otas_middleware._cli.doctor import TOKEN_VARIABLE, Check, as_json, as_text, conclusion, healthy
from otas_middleware._cli.doctor.delivery import check_relay, check_send, check_threads, check_transport, new_token
from otas_middleware._cli.doctor.recording import check_agent, check_recording
from otas_middleware._cli.doctor.services import ask_brain, ask_uasam, check_brain, check_uasam
from otas_middleware._cli.doctor.set_up import check_set_up, check_spool, check_surroundings
from otas_middleware._config.sources import env_name
from otas_middleware._errors import OtasError
from otas_middleware._version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from otas_middleware._cli.application import Source, Subject
    from otas_middleware._cli.doctor.services import Probe
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


def key_problem(subject: Subject) -> tuple[str, str] | None:
    """Say what is wrong with the form of the SDK key, and what to do; None when nothing is."""
    settings = subject.settings
    setting = spelled(subject, "sdk_key")
    if settings is None or settings.sdk_key is None:
        if subject.origins.get("sdk_key") == IN_CODE:
            return (
                "the code gives none (sdk_key=None), so nothing is recorded",
                "give it the key there, or leave it out",
            )
        return (
            "none is set, so nothing is recorded",
            f"set {setting} to the project's backend SDK key, otas_<prefix>_<secret>, as OTAS shows it for the project",
        )
    key = settings.sdk_key.get_secret_value()
    again = f"copy the project's backend SDK key, otas_<prefix>_<secret>, to {setting} again"
    if key[0] in "\"'" or key[-1] in "\"'":
        return "it is malformed: it holds the quotes that stood around it", f"take the quotes out of {setting}"
    if key.startswith("agent_"):
        return "it is an agent's key (agent_…); a backend needs the project's SDK key", again
    if not SDK_KEY.fullmatch(key):
        what = "an id" if len(key) == 36 and key.count("-") == 4 else f"malformed ({len(key)} characters)"
        return f"it is {what}: not of the form otas_<prefix>_<secret>", again
    return None


def check_key(problem: tuple[str, str] | None, brain: Probe, uasam: Probe | None, subject: Subject) -> Check:
    """Say whether the SDK key is good, and whose project it opens.

    Args:
        problem: What is wrong with its form.
        brain: What came of asking Brain.
        uasam: What came of asking UASAM, if its address is known.
        subject: The settings, and where they came from.
    """
    setting = spelled(subject, "sdk_key")
    if problem is not None:
        return Check("sdk_key", "failed", *problem)
    judges = ["UASAM"] * (uasam is not None and uasam.key == "good") + ["Brain"] * (brain.key == "good")
    if uasam is not None and uasam.key == "bad":
        text = "it is wrong: UASAM does not know it, or it has expired or been revoked"
        fix = f"make a new backend SDK key for the project, set {setting} to it, and restart the application"
        return Check("sdk_key", "failed", text, fix)
    if judges:
        return _accepted(judges, (uasam.project if uasam is not None else None) or {}, subject)
    if brain.key == "bad" and uasam is None:
        text = "Brain refuses it; it does so for a bad key, and for every key while UASAM is away"
        fix = "give UASAM's address to learn which: --uasam-url http://HOST:8000, or OTAS_UASAM_URL"
        return Check("sdk_key", "failed", text, fix)
    if brain.key == "bad":
        return Check("sdk_key", "skipped", "cannot be judged: Brain refuses every key while UASAM is away (see uasam)")
    return Check("sdk_key", "skipped", "cannot be judged: nobody could be asked")


def _accepted(judges: list[str], project: Mapping[str, str], subject: Subject) -> Check:
    """Name the project of an accepted key, and warn where the settings name another one."""
    opens = f"; project {project.get('name', '?')} ({project.get('id', '?')})" if project else ""
    text = f"accepted by {' and '.join(judges)}{opens}"
    data = {"project": project} if project else {}
    named = subject.settings.project_id if subject.settings is not None else None
    if named is None or str(named) == project.get("id", str(named)):
        return Check("sdk_key", "ok", text, data=data)
    setting = spelled(subject, "project_id")
    fix = f"correct {setting}, or leave it out: Brain stores events in the key's project"
    return Check("sdk_key", "warning", f"{text}; {setting} names another, {named}", fix, data=data)


def spelled(subject: Subject, field: str) -> str:
    """Return a setting's name as the user spelled it, or as the environment's variable."""
    spelling = subject.origins.get(field, "").partition(" in ")[0]
    return spelling if spelling.startswith("OTAS") else env_name(field)


TOLERANCE = 2.0
"""Seconds by which clocks may differ: Brain refuses a token that is so far from the future."""


def check_clock(brain: Probe, uasam: Probe | None) -> Check:
    """Compare this machine's clock with those of Brain and UASAM.

    UASAM stamps session tokens with its clock, Brain checks them by its own, and events carry the time of this one.
    """
    ahead = brain.clock
    if ahead is None:
        return Check("clock", "skipped", "cannot be compared: no answer of Brain's says its time")
    third = None if uasam is None or urlsplit(uasam.url).netloc == urlsplit(brain.url).netloc else uasam.clock
    data = {"brain_ahead_seconds": round(sum(ahead) / 2, 1)}
    if not _off(ahead):
        if third is not None and _off(third):
            return _clock_failed("UASAM's clock", third, "this machine's and Brain's", data)
        return Check("clock", "ok", f"this machine's and Brain's agree within {TOLERANCE:g} s", data=data)
    if third is None:
        text = f"Brain's clock is {_distance(ahead)} this machine's"
        fix = "set both by NTP (timedatectl set-ntp true); while Brain's is behind, it refuses fresh session tokens"
        return Check("clock", "failed", text, fix, data=data)
    if _off(third) and not _off((third[0] - ahead[1], third[1] - ahead[0])):
        return _clock_failed("this machine's clock", (-ahead[1], -ahead[0]), "Brain's and UASAM's", data)
    return _clock_failed("Brain's clock", ahead, "this machine's and UASAM's", data)


def _clock_failed(whose: str, ahead: tuple[float, float], others: str, data: dict[str, float]) -> Check:
    consequence = {
        "Brain's clock": "Brain takes session tokens for expired, or for ones from the future, and refuses them",
        "UASAM's clock": "its session tokens seem expired, or from the future, to Brain, which refuses them",
        "this machine's clock": "events carry a wrong time, and valid session tokens may seem expired here",
    }[whose]
    where = {"Brain's clock": "on Brain's machine", "UASAM's clock": "on UASAM's machine"}.get(whose, "here")
    text = f"{whose} is {_distance(ahead)} {others}: {consequence}"
    fix = f"set the clock {where} by NTP (timedatectl set-ntp true)"
    return Check("clock", "failed", text, fix, data=data)


def _off(ahead: tuple[float, float]) -> bool:
    return ahead[0] > TOLERANCE or ahead[1] < -TOLERANCE


def _distance(ahead: tuple[float, float]) -> str:
    middle = sum(ahead) / 2
    return f"{abs(middle):.0f} s {'ahead of' if middle > 0 else 'behind'}"


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
