"""What Brain and UASAM say: which service answers at an address, and what it thinks of the SDK key.

Nothing here writes an event: Brain checks the key before it asks for the session token, and no token is sent.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal, cast
from urllib.parse import urlsplit

from otas_middleware._cli.doctor.wire import Answer, TroubleError, post
from otas_middleware._version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otas_middleware._delivery.protocols import Response

BRAIN_PATH = "/api/v1/backend/log/sdk/"
UASAM_PATH = "/api/project/v1/sdk/backend/key/authenticate/"

KeyState = Literal["good", "bad", "unjudged"]
Kind = Literal["brain", "uasam"]

_BRAIN_SAYS: dict[str, KeyState] = {
    "missing_agent_session_token": "good",
    "invalid_sdk_key": "bad",
    "missing_sdk_key": "unjudged",
}


@dataclass(frozen=True)
class Visit:
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


def ask_brain(url: str, key: str | None, timeout: float, connect_timeout: float) -> Visit:
    """Ask Brain about a key: a post with a key and without a token."""
    answer = _visit(url, BRAIN_PATH, key, timeout, connect_timeout)
    if isinstance(answer, TroubleError):
        return Visit(url, trouble=answer)
    fields = fields_of(answer.response)
    description = str(fields.get("status_description"))
    state = _BRAIN_SAYS.get(description)
    if answer.response.status == 401 and state is not None:
        return Visit(url, answer, is_it=True, key=state)
    # Brain's other answers, and its failures (500 with a page), are Brain's as well; a 404 is not.
    return Visit(url, answer, is_it="status_description" in fields or answer.response.status >= 500)


def ask_uasam(url: str, key: str | None, timeout: float, connect_timeout: float) -> Visit:
    """Ask UASAM about a key: it tells a bad one from an outage, and names its project."""
    answer = _visit(url, UASAM_PATH, key, timeout, connect_timeout)
    if isinstance(answer, TroubleError):
        return Visit(url, trouble=answer)
    fields = fields_of(answer.response)
    status = answer.response.status
    if status == 200 and fields.get("status") == 1:
        project = _object(_object(fields.get("response")).get("project"))
        named = {name: str(project[name]) for name in ("id", "name") if project.get(name)}
        return Visit(url, answer, is_it=True, key="good", project=named)
    if status == 403 and isinstance(fields.get("error"), str):
        return Visit(url, answer, is_it=True, key="bad")
    return Visit(url, answer, is_it=isinstance(fields.get("error"), str) or status >= 500)


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


def fields_of(response: Response) -> dict[str, object]:
    """Return an answer's JSON object; an empty one for pages and garbage."""
    try:
        return _object(json.loads(response.body))
    except (ValueError, RecursionError):
        return {}


def _visit(url: str, path: str, key: str | None, timeout: float, connect_timeout: float) -> Answer | TroubleError:
    headers = [("User-Agent", f"otas-middleware/{__version__} doctor")]
    if key is not None:
        headers.append(("X-OTAS-SDK-KEY", key))
    try:
        return post(url, path, tuple(headers), timeout, connect_timeout)
    except TroubleError as error:
        return error


def _object(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _milliseconds(seconds: float) -> str:
    milliseconds = seconds * 1000
    return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{math.floor(milliseconds + 0.5)} ms"
