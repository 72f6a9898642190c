"""The check of the clocks: a token from the future is refused, and an event carries the time of its capture."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from otas_middleware._cli.doctor.report import Check

if TYPE_CHECKING:
    from otas_middleware._cli.doctor.services import Visit

TOLERANCE = 2.0
"""Seconds by which clocks may differ: Brain refuses a token that is so far from the future."""


def check_clock(brain: Visit, uasam: Visit | None) -> Check:
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
    return Check(
        "clock",
        "failed",
        f"{whose} is {_distance(ahead)} {others}: {consequence}",
        f"set the clock {where} by NTP (timedatectl set-ntp true)",
        data=data,
    )


def _off(ahead: tuple[float, float]) -> bool:
    return ahead[0] > TOLERANCE or ahead[1] < -TOLERANCE


def _distance(ahead: tuple[float, float]) -> str:
    middle = sum(ahead) / 2
    return f"{abs(middle):.0f} s {'ahead of' if middle > 0 else 'behind'}"
