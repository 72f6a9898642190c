"""`OTAS_RELAY=auto`: one relay for all workers, started by the first event, gone when nobody needs it."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otas_middleware._cli.relay import make_build
from otas_middleware._delivery import process
from otas_middleware._delivery.relay import start, trust
from otas_middleware._delivery.relay.server import Server
from otas_middleware._delivery.relay.status import state_of
from otas_middleware._version import __version__
from relay.host import host, paths
from support.delivery import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware.localbrain import LocalBrain
    from support.agent import Agent


@pytest.fixture
def runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for relays of this test's own; those that were started there end with it."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    for pid in relays_in(folder):
        os.kill(pid, signal.SIGTERM)
        eventually(lambda pid=pid: not alive(pid), within=20)  # type: ignore[misc]


def relays_in(folder: Path) -> list[int]:
    """The processes that run as relays with a socket in a folder."""
    found: list[int] = []
    for running in Path("/proc").glob("[0-9]*"):
        try:
            command = (running / "cmdline").read_bytes()
        except OSError:
            continue
        if b"bootstrap.py" in command and os.fsencode(folder) in command:
            found.append(int(running.name))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_first_event_starts_a_relay_that_takes_over(brain: LocalBrain, agent: Agent, runtime_folder: Path) -> None:
    with host(brain, agent, "auto") as app:
        assert not relays_in(runtime_folder)
        app.call("/first")
        eventually(app.connected)
        app.call("/last")
        assert app.delivery.flush(20)
        stats = app.stats()
    [pid] = relays_in(runtime_folder)
    assert stats["acknowledged"] >= 1
    assert stats["captured"] == len(paths(brain, agent))
    status = Path(f"/proc/{pid}/status").read_text()
    assert f"PPid:\t{os.getpid()}" not in status
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    assert os.getsid(pid) != os.getsid(0)


WORKER = """
import sys, time
import otas_middleware as otas
from otas_middleware.wsgi import OtasMiddleware

app = OtasMiddleware(lambda environ, start_response: (start_response("204 No Content", []), [])[1])
print("ready", flush=True)
sys.stdin.readline()
number = 0
while otas.stats().get("relay", {}).get("state") != "connected" or number < 20:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/{sys.argv[2]}/{number}"}
    environ["HTTP_X_OTAS_AGENT_SESSION_TOKEN"] = sys.argv[1]
    list(app(environ, lambda *_: None))
    number += 1
    time.sleep(0.01)
assert otas.flush(20)
print(number, flush=True)
"""


def test_eight_workers_that_race_for_it_have_one_relay(brain: LocalBrain, agent: Agent, runtime_folder: Path) -> None:
    environ = {
        "OTAS_SDK_KEY": brain.sdk_key,
        "OTAS_BRAIN_URL": brain.url,
        "OTAS_RELAY": "auto",
        "XDG_RUNTIME_DIR": str(runtime_folder),
    }
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, agent.token, str(number)],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    recorded = 0
    for worker in workers:
        output, _ = worker.communicate(timeout=60)
        assert worker.returncode == 0
        recorded += int(output)
    assert len(relays_in(runtime_folder)) == 1
    arrived = paths(brain, agent)
    assert len(arrived) == len(set(arrived)) == recorded


def test_a_relay_that_is_told_to_end_takes_its_socket_with_it(
    runtime_folder: Path,
) -> None:
    path = Path(start.find_or_start(None))
    [pid] = relays_in(runtime_folder)
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not alive(pid), within=20)
    assert not path.exists()


def test_a_relay_whose_socket_a_cleaner_removed_ends_and_another_takes_over(
    brain: LocalBrain, agent: Agent, runtime_folder: Path
) -> None:
    place = trust.automatic(__version__)
    with host(brain, agent, "auto") as app:
        eventually(app.connected)
        [first] = relays_in(runtime_folder)
        assert state_of(str(place))["pid"] == first  # it has come so far as to serve
        place.unlink()

        def another() -> bool:
            app.call("/two")
            others = [pid for pid in relays_in(runtime_folder) if pid != first]
            return bool(others) and not alive(first) and app.stats()["relay"]["state"] == "connected"

        eventually(another, within=30)
        assert app.delivery.flush(20)
        stats = app.stats()
    arrived = paths(brain, agent)
    assert len(arrived) == stats["captured"]


def test_a_relay_whose_socket_is_removed_before_it_serves_ends_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "relay.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        path.unlink()
        Server(listener, str(path), make_build).run()


def test_the_relay_has_none_of_the_hosts_files_and_little_of_its_environment(
    runtime_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "do not pass on")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    read, write = os.pipe()
    os.set_inheritable(write, True)
    start.find_or_start(None)
    os.close(write)
    [pid] = relays_in(runtime_folder)
    environ = Path(f"/proc/{pid}/environ").read_bytes()
    assert os.read(read, 1) == b""  # its other end is open nowhere
    os.close(read)
    assert b"SECRET_OF_THE_HOST" not in environ
    assert b"PYTHONPATH" not in environ


def test_the_place_is_the_users_own(runtime_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0o777)
    try:
        path = trust.automatic(__version__)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.parent.parent == runtime_folder


@pytest.mark.parametrize("fault", ["a link", "open to others", "a file"])
def test_a_place_that_others_may_enter_is_not_used(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / f"otas-relay-{os.geteuid()}"
    if fault == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    elif fault == "open to others":
        folder.mkdir()
        folder.chmod(0o755)
    else:
        folder.write_text("")
    with pytest.raises(trust.UnsafePlaceError):
        trust.automatic(__version__)


def test_without_a_place_the_host_delivers_by_itself(
    brain: LocalBrain, agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with host(brain, agent, "auto") as app:
        app.call()
        eventually(lambda: app.stats()["relay"]["state"] == "unsafe_place")
        app.call()
        assert app.delivery.flush(20)
        assert app.stats()["delivered"] == 2
    assert caplog.text.count("no relay") == 1


def test_a_path_that_is_longer_than_the_kernel_takes_works(
    brain: LocalBrain, agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("long" * 40)
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    path = start.find_or_start(None)
    assert len(path) > trust.LONGEST_NAME
    with host(brain, agent, "auto") as app:
        eventually(app.connected)
        assert app.delivery.flush(20)
    pid = state_of(path)["pid"]
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not alive(pid), within=20)


@pytest.mark.slow
def test_a_relay_ends_by_itself_when_its_hosts_are_gone(runtime_folder: Path) -> None:
    start.find_or_start(None)
    [pid] = relays_in(runtime_folder)
    begun = time.monotonic()
    eventually(lambda: not alive(pid), within=start.IDLE_SECONDS + 10)
    assert time.monotonic() - begun > start.IDLE_SECONDS / 2


def test_without_threads_the_relay_is_started_and_not_waited_for(
    runtime_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_threads(_target: object, _name: str) -> bool:
        return False

    monkeypatch.setattr(process, "start_thread", no_threads)
    finder = start.Finder(None)
    finder.look()
    assert finder.path is None
    assert len(relays_in(runtime_folder)) == 1

    def found() -> bool:
        finder.look()
        return finder.path is not None

    eventually(found, within=20)
    assert len(relays_in(runtime_folder)) == 1
    assert finder.path == str(trust.automatic(__version__))
