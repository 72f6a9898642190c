"""Servers as child processes that never outlive the demo.

Each child leads a process group of its own, so that Ctrl-C in the terminal reaches the demo only, which then stops the
children in order. Groups are ended as a whole; when the demo itself is killed, the kernel ends its children (`launch`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import re
    from collections.abc import Generator, Mapping, Sequence
    from types import FrameType

LAUNCH = Path(__file__).with_name("launch.py")
POLL_SECONDS = 0.02


class ProcessError(Exception):
    """A child ended or stayed silent when it should have served. The message ends with what it logged last."""


class Child:
    """A started process and the file that its output goes to.

    Where the system allows it (anywhere but on older Pythons on macOS), it is reaped by `end` alone: until then its id,
    which is also that of its group, cannot pass to a foreign process.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self.pid = process.pid
        self._process = process

    def status(self) -> int | None:
        """Return its exit status (negative: the signal that ended it), or None while it runs."""
        if not hasattr(os, "waitid"):
            return self._process.poll()
        result = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if result is None:
            return None
        return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status

    def logged(self, pattern: re.Pattern[str], timeout: float) -> re.Match[str]:
        """Wait until its output holds a match of `pattern`.

        Raises:
            ProcessError: It ended first, or `timeout` seconds passed.
        """
        deadline = time.monotonic() + timeout
        while True:
            status = self.status()  # asked before reading: what it said last counts
            if match := pattern.search(self.log.read_text(errors="replace")):
                return match
            if status is not None:
                raise self._failure(f"ended with status {status}")
            if time.monotonic() > deadline:
                raise self._failure(f"was not ready after {timeout:g} s")
            time.sleep(POLL_SECONDS)

    def finished(self, timeout: float) -> None:
        """Wait until it has ended well.

        Raises:
            ProcessError: It ended with another status than 0, or `timeout` seconds passed.
        """
        deadline = time.monotonic() + timeout
        while (status := self.status()) is None:
            if time.monotonic() > deadline:
                raise self._failure(f"was not done after {timeout:g} s")
            time.sleep(POLL_SECONDS)
        if status:
            raise self._failure(f"ended with status {status}")

    def terminate(self) -> None:
        """Ask it to end, by SIGTERM to the leader of the group, as an init system does."""
        if self._process.returncode is None:
            os.kill(self.pid, signal.SIGTERM)

    def end(self) -> None:
        """Kill what is left of its group, and reap it."""
        if self._process.returncode is None:
            with suppress(PermissionError):  # macOS's answer when only the dead leader is left
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()

    def _failure(self, problem: str) -> ProcessError:
        tail = "\n".join("    " + line for line in self.log.read_text(errors="replace").splitlines()[-15:])
        return ProcessError(f"{self.name} {problem}. It said:\n{tail}")


class Children:
    """Context manager around child processes: when it closes, none of them is left.

    Args:
        interruptions: Where signals are held back while a child is being started or reaped.
        logs: The folder for their output.
        patience: How long they may take to end by themselves, in seconds.
    """

    def __init__(self, interruptions: Interruptions, logs: Path, patience: float = 4.0) -> None:
        self._interruptions = interruptions
        self._logs = logs
        self._patience = patience
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._stop()
        except Interrupted:  # it comes once, so nothing cuts the second attempt short
            self._stop()
            raise

    def start(self, name: str, arguments: Sequence[str], environ: Mapping[str, str], folder: Path) -> Child:
        """Start `python ARGUMENTS…` in `folder`, with exactly this environment."""
        log = self._logs / f"{name.replace(' ', '-')}.log"
        launch = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), sys.executable]
        with self._interruptions.shield(), log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603  # the demo's own commands
                [*launch, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=dict(environ),
                start_new_session=True,
            )
            child = Child(name, process, log)
            self._children.append(child)
        return child

    def _stop(self) -> None:
        for child in self._children:
            child.terminate()
        deadline = time.monotonic() + self._patience
        while time.monotonic() < deadline and any(child.status() is None for child in self._children):
            time.sleep(POLL_SECONDS)
        with self._interruptions.shield():
            while self._children:
                self._children.pop().end()


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_SOON = 0.01
"""Seconds."""


class Interrupted(BaseException):
    """The demo was asked to stop; not an `Exception`, so that nothing takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number
        """What a shell reports for a program that ended by this signal."""


class Interruptions:
    """Context manager: while it is open, SIGINT, SIGTERM and SIGHUP raise `Interrupted` in the main thread.

    Only the first of them does: what follows it is cleaning up, which is bounded in time and must not be cut short.
    The handlers that were installed before come back at the end.
    """

    def __init__(self) -> None:
        self._shielded = False
        self._received: int | None = None
        self._raised = False

    def __enter__(self) -> Self:
        self._previous = [(number, signal.signal(number, self._receive)) for number in SIGNALS]
        self._previous.append((signal.SIGALRM, signal.signal(signal.SIGALRM, self._remember)))
        self._hook, sys.unraisablehook = sys.unraisablehook, self._swallowed
        return self

    def __exit__(self, *_: object) -> None:
        sys.unraisablehook = self._hook
        for number, handler in self._previous:
            signal.signal(number, handler)

    @contextmanager
    def shield(self) -> Generator[None]:
        """Hold a signal back for a short piece of work that must be done whole."""
        self._shielded = True
        try:
            yield
        finally:
            self._shielded = False
            self._raise()

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self._received = number
        if not self._shielded:
            self._raise()

    def _remember(self, _number: int, _frame: FrameType | None) -> None:
        if not self._shielded:
            self._raise()

    def _swallowed(self, ignored: sys.UnraisableHookArgs) -> None:
        """Raise it once more where it fell into code that lets nothing out: a finalizer, a callback of an import's."""
        if not isinstance(ignored.exc_value, Interrupted):
            self._hook(ignored)
            return
        self._raised = False
        signal.setitimer(signal.ITIMER_REAL, _SOON)

    def _raise(self) -> None:
        if self._received is not None and not self._raised:
            self._raised = True
            raise Interrupted(self._received)
