"""What Brain and UASAM say: which service answers at an address, and what it thinks of the SDK key.

Nothing here writes an event: Brain checks the key before it asks for the session token, and no token is sent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from otas_middleware._cli.application import IN_CODE
from otas_middleware._cli.application.load import SDK_KEY
from otas_middleware._cli.doctor import Check
from otas_middleware._cli.doctor.wire import Answer, TroubleError, post
from otas_middleware._config.sources import env_name
from otas_middleware._delivery.destinations.brain import BACKEND_PATH
from otas_middleware._delivery.destinations.uasam import KEY_PATH
from otas_middleware._delivery.protocols import as_object, fields_of
from otas_middleware._version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otas_middleware._cli.application import Subject

KeyState = Literal["good", "bad", "unjudged"]
Kind = Literal["brain", "uasam"]

_BRAIN_SAYS: dict[str, KeyState] = {
    "missing_agent_session_token": "good",
    "invalid_sdk_key": "bad",
    "missing_sdk_key": "unjudged",
}


@dataclass(frozen=True)
class Probe:
    """One question to one service.

    Attributes:
        url: The service's URL.
        answer: What came back; None when nothing did.
        trouble: Why nothing did; None when something did.
        is_it: Whether what answered is the service.
        key: What it says of the key.
        project: The key's project: `id` and `name` (UASAM only).
    """

    url: str
    answer: Answer | None = None
    trouble: TroubleError | None = None
    is_it: bool = False
    key: KeyState = "unjudged"
    project: Mapping[str, str] | None = None

    @property
    def status(self) -> int:
        """The answer's status; 0 when there is none."""
        return 0 if self.answer is None else self.answer.response.status

    @property
    def clock(self) -> tuple[float, float] | None:
        """By how many seconds the service's clock is ahead of ours: at least, at most; None when it does not say.

        A `Date` header has whole seconds, and the answer was under way for a time that we know.
        """
        text = None if self.answer is None else self.answer.response.headers.get("date")
        if self.answer is None or text is None:
            return None
        try:
            then = parsedate_to_datetime(text).timestamp()
        except ValueError:
            return None
        return then - self.answer.received_at, then + 1.0 - self.answer.sent_at

    def described(self) -> str:
        """Say how long the steps took."""
        if self.answer is None:
            return ""
        return ", ".join(f"{name} {_milliseconds(seconds)}" for name, seconds in self.answer.steps.items())


def ask_brain(url: str, key: str | None, timeout: float, connect_timeout: float) -> Probe:
    """Ask Brain about a key: a post with a key and without a token.

    Args:
        url: Where it is.
        key: The SDK key; None asks only whether it is there.
        timeout: Seconds for the answer.
        connect_timeout: Seconds for the connection.
    """
    answer = _probe(url, BACKEND_PATH, key, timeout, connect_timeout)
    if isinstance(answer, TroubleError):
        return Probe(url, trouble=answer)
    fields = fields_of(answer.response)
    description = str(fields.get("status_description"))
    state = _BRAIN_SAYS.get(description)
    if answer.response.status == 401 and state is not None:
        return Probe(url, answer, is_it=True, key=state)
    # Brain's other answers, and its failures (500 with a page), are Brain's as well; a 404 is not.
    return Probe(url, answer, is_it="status_description" in fields or answer.response.status >= 500)


def ask_uasam(url: str, key: str | None, timeout: float, connect_timeout: float) -> Probe:
    """Ask UASAM about a key: it tells a bad one from an outage, and names its project.

    Args:
        url: Where it is.
        key: The SDK key; None asks only whether it is there.
        timeout: Seconds for the answer.
        connect_timeout: Seconds for the connection.
    """
    answer = _probe(url, KEY_PATH, key, timeout, connect_timeout)
    if isinstance(answer, TroubleError):
        return Probe(url, trouble=answer)
    fields = fields_of(answer.response)
    status = answer.response.status
    if status == 200 and fields.get("status") == 1:
        project = as_object(as_object(fields.get("response")).get("project"))
        named = {name: str(project[name]) for name in ("id", "name") if project.get(name)}
        return Probe(url, answer, is_it=True, key="good", project=named)
    if status == 403 and isinstance(fields.get("error"), str):
        return Probe(url, answer, is_it=True, key="bad")
    return Probe(url, answer, is_it=isinstance(fields.get("error"), str) or status >= 500)


def find_brain(near: str, *others: str | None) -> str | None:
    """Look for Brain on the ports where it may be instead: its usual one, and those of the other services.

    Args:
        near: The URL where it is not.
        others: URLs of other services, which may be those of Brain.

    Returns:
        Brain's URL, or None.
    """
    parts = urlsplit(near)
    candidates = [f"{parts.scheme}://{_bracketed(parts.hostname or '')}:8002", *filter(None, others)]
    for url in dict.fromkeys(candidates):
        if url != near and urlsplit(url).hostname == parts.hostname and ask_brain(url, None, 2.0, 1.0).is_it:
            return url
    return None


def _probe(url: str, path: str, key: str | None, timeout: float, connect_timeout: float) -> Answer | TroubleError:
    headers = [("User-Agent", f"otas-middleware/{__version__} doctor")]
    if key is not None:
        headers.append(("X-OTAS-SDK-KEY", key))
    try:
        return post(url, path, tuple(headers), timeout, connect_timeout)
    except TroubleError as error:
        return error


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _milliseconds(seconds: float) -> str:
    milliseconds = seconds * 1000
    return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{math.floor(milliseconds + 0.5)} ms"


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
        return f"it is malformed ({len(key)} characters): not of the form otas_<prefix>_<secret>", again
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
