"""Who is told what: log lines about an exporter, each kind at most once a minute, and the user's `on_loss`."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from otas_middleware import _errors
from otas_middleware._delivery.protocols import Verdict
from otas_middleware._runtime import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otas_middleware._delivery.protocols import Outcome

INTERVAL = 60.0
"""Seconds between two lines of one kind."""

_INTENDED = frozenset({"filtered"})
"""What the user's own `before_send` left out is counted, but it is no loss."""

_ADVICE = {
    "queue_full": "events came faster than they could be sent; set OTAS_SPOOL_DIR, or raise OTAS_QUEUE_MAX_EVENTS",
    "exit": "the process ended first; set OTAS_SPOOL_DIR, or raise OTAS_SHUTDOWN_TIMEOUT",
    "spool_full": "the spool was full; raise OTAS_SPOOL_MAX_BYTES",
    "bad_token": "their session tokens were refused: expired, malformed, or of another OTAS installation",
    "retries_exhausted": "the destination failed on them again and again while it took others",
    "internal_error": "a fault of otas_middleware or of an extension; the log names the place",
    "unknown_token": "their session tokens had yet to be accepted, and such share a quarter of the queue; while "
    "strangers send invented tokens, set OTAS_SESSION_SECRET or OTAS_SESSION_JWKS_URL",
}


class DeliveryLog:
    """Speaks for one exporter. Called from its worker threads, never under its lock, never on the request path.

    Args:
        name: The destination's name.
        on_loss: The user's callback, called with a summary and the reason of each loss.
        waiting: Tells how many events wait, in memory and on disk; asked when there is something to say.
    """

    def __init__(
        self,
        name: str,
        on_loss: Callable[[Mapping[str, Any], str], object] | None,
        waiting: Callable[[], int],
    ) -> None:
        self._name = name
        self._waiting = waiting
        self._on_loss = on_loss
        self._last: dict[str, float] = {}
        self._lock = threading.Lock()
        self._told: dict[str, int] = {}
        self._logged: dict[str, int] = {}

    def say(self, kind: str, level: int, message: str, *values: object) -> bool:
        """Write a line unless one of this kind was written within the last minute; return whether it was.

        Args:
            kind: What the line is about; each kind has a minute of its own.
            level: Of `logging`.
            message: The line, with placeholders as `logging` has them.
            *values: What stands in them.
        """
        if not self._may_say(kind):
            return False
        _errors.log(level, message, *values)
        return True

    def _may_say(self, kind: str) -> bool:
        now = monotonic()
        if now - self._last.get(kind, float("-inf")) < INTERVAL:
            return False
        self._last[kind] = now
        return True

    def outcome(self, outcome: Outcome, *, opened: bool = False, closed: bool = False) -> None:
        """Tell what an outcome means, if it changes anything.

        Args:
            outcome: It.
            opened: The destination is taken to be away from now on.
            closed: It is back.
        """
        if opened and self._may_say(f"away {outcome.reason}"):
            _errors.log(
                logging.WARNING,
                "otas: %s takes no events now (%s); %d wait and are sent when it does. %s",
                self._name,
                outcome.reason,
                self._waiting(),
                outcome.advice,
            )
        elif closed and self._may_say("back"):
            _errors.log(logging.INFO, "otas: %s takes events again; %d wait.", self._name, self._waiting())
        if outcome.verdict == Verdict.REJECTED:
            self.say(
                f"rejected {outcome.reason}",
                logging.WARNING,
                "otas: %s rejected an event (%s); it was dropped and counted. %s",
                self._name,
                outcome.reason,
                outcome.advice,
            )

    def clocks(self, wait: float, offset: float) -> None:
        """Tell that session tokens come from the future.

        Args:
            wait: Seconds until the destination's clock has reached one.
            offset: Seconds by which the destination's clock is ahead of ours.
        """
        side = "ahead of" if offset > 0 else "behind"
        self.say(
            "clocks",
            logging.WARNING,
            "otas: a session token was issued %.0f s ahead of the clock of %s (which is %.0f s %s this host's), so its "
            "events are held back until then. Clocks differ: synchronise those of UASAM, Brain and this host (NTP).",
            wait,
            self._name,
            abs(offset),
            side,
        )

    def losses(self, dropped: Mapping[str, int]) -> None:
        """Tell `on_loss` of all that was lost since the last call, and the log once a minute.

        Args:
            dropped: All losses of the exporter so far, by reason.
        """
        if not dropped:
            return
        if self._on_loss is not None:
            with self._lock:  # several threads come here at once, and each loss is told once
                news = _since(dropped, self._told)
                if news:
                    self._told = dict(dropped)
            for reason, count in news.items():
                try:
                    self._on_loss({"count": count, "destination": self._name, "total": dropped[reason]}, reason)
                except Exception:  # the user's code; report_internal_error logs it
                    _errors.report_internal_error("delivery.on_loss")
        news = _since(dropped, self._logged)
        if not news:
            return
        details = "; ".join(
            f"{count} {reason}" + (f" ({_ADVICE[reason]})" if reason in _ADVICE else "")
            for reason, count in sorted(news.items())
        )
        if self.say("lost", logging.WARNING, "otas: events for %s were lost: %s.", self._name, details):
            self._logged = dict(dropped)

    def summary(self, stats: Mapping[str, Any]) -> None:
        """Write the counters in one line."""
        dropped: Mapping[str, int] = stats["dropped"]
        _errors.log(
            logging.INFO,
            "otas: %s: captured %d, delivered %d, spooled %d, dropped %d, queued %d, retries %d, connections %d, %s",
            self._name,
            stats["captured"],
            stats["delivered"],
            stats["spooled"],
            sum(dropped.values()),
            stats["queued"],
            stats["retries"],
            stats["connections"],
            stats["state"],
        )


def _since(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    """Return what was lost since, by reason."""
    grown = ((reason, count - before.get(reason, 0)) for reason, count in now.items())
    return {reason: count for reason, count in grown if count > 0 and reason not in _INTENDED}
