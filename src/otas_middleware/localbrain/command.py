"""What `otas-middleware brain` does: run, say how to reach it, print a line for each event, and end on a signal."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from otas_middleware.localbrain import LocalBrain
from otas_middleware.localbrain.store import named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_LONGEST_TEXT = 120
_MOST_LINES = 10_000


def run(*, db: Path | None, quiet: bool, **options: Any) -> None:
    """Run a local Brain until SIGINT, SIGTERM or SIGHUP.

    Args:
        db: The SQLite file that keeps keys and events.
        quiet: Leave out the line for each event.
        **options: Those of `LocalBrain`.

    Raises:
        ConfigurationError: It cannot start.
    """
    lines = Lines()
    told: dict[str, Any] = {} if quiet else {"on_events": lines.add_events, "on_refused": lines.add}
    brain = LocalBrain(db=db, **options, **told)
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), brain:
        _write(introduction(brain, db))
        while True:
            lines.print_waiting(timeout=1.0)  # limited, for Windows delivers no signal to a thread that waits without


def introduction(brain: LocalBrain, db: Path | None) -> str:
    """Say where the Brain is and how to use it, in lines that can be pasted into a shell as they are."""
    kept = f"Keys and events are kept in {db}." if db else "Nothing is kept when it ends; --db FILE keeps all."
    plain = brain.environment()
    agnost = {name: value for name, value in brain.environment(agnost=True).items() if name not in plain}
    agent_key = plain.pop("OTAS_AGENT_KEY")  # a backend has no use for it
    return "\n".join(
        [
            f"# See what arrives, and make session tokens: {brain.url}/",
            f"# Local Brain, UASAM and Agnost on {brain.url} (Ctrl-C ends it). {kept}",
            "# For the application:",
            *(f"export {name}={value}" for name, value in plain.items()),
            "# For the agent as well, in its own terminal:",
            f"# export OTAS_AGENT_KEY={agent_key}",
            "# To send the events to Agnost as well:",
            *(f"# export {name}={value}" for name, value in agnost.items()),
            "# Headers for the analytics endpoints:",
            f"# X-OTAS-USER-TOKEN: {brain.user_token}",
            f"# X-OTAS-AGENT-ID: {brain.agent_id}",
            f"# X-OTAS-PROJECT-ID: {brain.project_id}",
            "",
        ]
    )


class Lines:
    """Lines on their way from the server's thread to standard output.

    A terminal, or whoever reads a pipe, may be slow: then lines are left out, and the server never waits.

    Args:
        most: How many lines may wait.
    """

    def __init__(self, most: int = _MOST_LINES) -> None:
        self._waiting: queue.Queue[str] = queue.Queue(most)
        self._left_out = 0

    def add_events(self, rows: Sequence[tuple[object, ...]]) -> None:
        """Add a line for each event."""
        for row in rows:
            self.add(describe(named(row)))

    def add(self, line: str) -> None:
        """Add a line, with the time before it."""
        try:
            self._waiting.put_nowait(f"{time.strftime('%H:%M:%S')}  {line}")
        except queue.Full:
            self._left_out += 1

    def print_waiting(self, timeout: float) -> None:
        """Print the lines that are there, waiting for the first one as long as `timeout` (seconds)."""
        with contextlib.suppress(queue.Empty):
            lines = [self._waiting.get(timeout=timeout)]
            while not self._waiting.empty():
                lines.append(self._waiting.get_nowait())
            if self._left_out:
                lines.append(f"          ({self._left_out} lines left out)")
                self._left_out = 0
            _write("\n".join(lines) + "\n")


def describe(event: Mapping[str, object]) -> str:
    """Describe an event in a line that no terminal obeys: whatever is not printable is written as an escape."""
    latency = event["latency_ms"]
    parts = [
        f"{event['method']:<7}",
        f"{event['status_code']:>3}",
        f"{latency:>9.1f} ms" if isinstance(latency, float) else f"{'NaN':>9} ms",
        f"session {str(event['agent_session_id'])[:8]}",
        str(event["path"]),
        _operation(event.get("metadata")),
        f"({event['error']})" if event["error"] else "",
    ]
    return "  ".join(_printable(part) for part in parts if part)


def _operation(metadata: object) -> str:
    """Return the name of what was called inside, such as `tools/call refund`; empty where none is told."""
    if not isinstance(metadata, str):
        return ""
    try:
        told: Any = json.loads(metadata)
        return str(told["operation"]["name"] or "")
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""


def _printable(text: str) -> str:
    shown = text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)


def _write(text: str) -> None:
    """Write to standard output unbuffered, so that a signal during a write leaves nothing that the exit would flush.

    Flushing into a full pipe that nobody reads would never end.
    """
    data = text.encode(sys.stdout.encoding, "backslashreplace")
    with open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as raw:
        while data:
            data = data[raw.write(data) :]
