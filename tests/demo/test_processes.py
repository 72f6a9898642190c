"""Child processes and signals, with real ones."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from otas_middleware._cli.demo.processes import Child, Children, Interrupted, Interruptions, ProcessError

READY = re.compile(r"ready (\d+)")

STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pid = os.fork()
if pid: print("ready", pid, flush=True)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and waits for its parent does not count."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    """Tell whether a process is gone, or goes within the moment that the kernel takes to end it."""
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


def start(children: Children, folder: Path, program: str) -> Child:
    return children.start("child", ("-c", program), os.environ, folder)


def test_a_child_gets_its_folder_and_exactly_the_environment_given(tmp_path: Path) -> None:
    program = "import os; print('ready', 1, os.getcwd(), sorted(set(os.environ) - {'LC_CTYPE'}))"
    with Children(Interruptions(), tmp_path) as children:
        child = children.start("child", ("-c", program), {"ONLY": "this"}, tmp_path)
        child.logged(READY, timeout=10)
    assert child.log.read_text() == f"ready 1 {tmp_path} ['ONLY']\n"


def test_a_child_that_ends_too_early_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with Children(Interruptions(), tmp_path) as children:
        child = start(children, tmp_path, "raise SystemExit('the port is taken')")
        with pytest.raises(ProcessError, match=r"(?s)child ended with status 1.*the port is taken"):
            child.logged(READY, timeout=10)


def test_a_child_that_stays_silent_is_not_waited_for_forever(tmp_path: Path) -> None:
    with Children(Interruptions(), tmp_path) as children:
        child = start(children, tmp_path, "import time; time.sleep(60)")
        with pytest.raises(ProcessError, match=r"child was not ready after 0\.1 s"):
            child.logged(READY, timeout=0.1)
        with pytest.raises(ProcessError, match=r"child was not done after 0\.1 s"):
            child.finished(timeout=0.1)
    assert not alive(child.pid)


def test_a_child_that_fails_is_not_taken_for_done(tmp_path: Path) -> None:
    with Children(Interruptions(), tmp_path) as children:
        start(children, tmp_path, "pass").finished(timeout=10)
        with pytest.raises(ProcessError, match="child ended with status 3"):
            start(children, tmp_path, "raise SystemExit(3)").finished(timeout=10)


def test_children_may_end_by_themselves_before_they_are_killed(tmp_path: Path) -> None:
    program = """
import signal, sys, time
def leave(*_): time.sleep(0.2); print("good bye"); sys.exit()
signal.signal(signal.SIGTERM, leave)
print("ready", 1, flush=True)
time.sleep(60)
"""
    with Children(Interruptions(), tmp_path) as children:
        child = start(children, tmp_path, program)
        child.logged(READY, timeout=10)
    assert child.log.read_text().endswith("good bye\n")


def test_a_child_that_does_not_listen_is_killed_with_all_its_descendants(tmp_path: Path) -> None:
    with Children(Interruptions(), tmp_path, patience=0.1) as children:
        child = start(children, tmp_path, STUBBORN)
        grandchild = int(child.logged(READY, timeout=10)[1])
        assert alive(grandchild)
    assert not alive(child.pid)
    assert gone(grandchild)


def test_descendants_of_a_child_that_is_gone_are_ended_too(tmp_path: Path) -> None:
    program = STUBBORN.replace("time.sleep(60)", "time.sleep(0 if pid else 60)")
    with Children(Interruptions(), tmp_path, patience=0.1) as children:
        child = start(children, tmp_path, program)
        grandchild = int(child.logged(READY, timeout=10)[1])
        while child.status() is None:
            time.sleep(0.01)
        assert alive(grandchild)
    assert gone(grandchild)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = f"""
import os, time
from pathlib import Path
from otas_middleware._cli.demo.processes import Children
from otas_middleware._cli.demo.processes import Interruptions
children = Children(Interruptions(), Path({str(tmp_path)!r}))
print(children.start("child", ("-c", "import time; time.sleep(60)"), os.environ, Path("/")).pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
    assert gone(child)


def test_a_signal_interrupts_once_and_the_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interruptions():
        with pytest.raises(Interrupted, match="SIGTERM") as interrupted:
            signal.raise_signal(signal.SIGTERM)
        assert interrupted.value.exit_status == 143
        signal.raise_signal(signal.SIGINT)  # cleaning up is not cut short
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_shielded_piece_of_work_is_done_whole_before_the_signal_counts() -> None:
    done = False

    def work(interruptions: Interruptions) -> None:
        nonlocal done
        with interruptions.shield():
            signal.raise_signal(signal.SIGINT)
            done = True

    with Interruptions() as interruptions, pytest.raises(Interrupted, match="SIGINT"):
        work(interruptions)
    assert done


def test_a_signal_that_comes_while_a_finalizer_runs_counts_as_well() -> None:
    class Dying:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGHUP)

    def work() -> None:
        Dying()
        time.sleep(10)

    with Interruptions(), pytest.raises(Interrupted, match="SIGHUP"):
        work()


def test_an_interrupted_stop_is_still_completed(tmp_path: Path) -> None:
    with Interruptions() as interruptions:
        children = Children(interruptions, tmp_path, patience=0.5)
        child = start(children, tmp_path, STUBBORN)
        grandchild = int(child.logged(READY, timeout=10)[1])
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(Interrupted):
            children.__exit__()
    assert not alive(child.pid)
    assert gone(grandchild)
