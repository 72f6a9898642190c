"""`OTAS_RELAY=auto`: one relay for all workers, started by the first event, gone when nobody needs it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import otas_middleware
from otas_middleware._cli.relay import make_build
from otas_middleware._delivery import process
from otas_middleware._delivery.relay import start, trust
from otas_middleware._delivery.relay.server import Server
from otas_middleware._delivery.relay.start import state_of
from otas_middleware._runtime import runtime
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
    monkeypatch.setenv("LD_LIBRARY_PATH", "/where/libpython/is")
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
    assert b"LD_LIBRARY_PATH=/where/libpython/is" in environ


def test_the_relay_runs_the_package_that_its_host_runs(
    brain: LocalBrain, agent: Agent, runtime_folder: Path, tmp_path: Path
) -> None:
    """Another one is installed for the host's interpreter, as where an application brings its own packages along."""
    package = tmp_path / "vendored" / "otas_middleware"
    shutil.copytree(Path(otas_middleware.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    version = package / "_version.py"
    version.write_text(version.read_text().replace(f'"{__version__}"', '"999.0"'))
    environ = {
        "OTAS_SDK_KEY": brain.sdk_key,
        "OTAS_BRAIN_URL": brain.url,
        "OTAS_RELAY": "auto",
        "XDG_RUNTIME_DIR": str(runtime_folder),
        "PYTHONPATH": str(tmp_path / "vendored"),
    }
    worker = [sys.executable, "-c", WORKER, agent.token, "0"]  # ends when it is connected
    subprocess.run(worker, env=environ, input="go\n", stdout=subprocess.DEVNULL, text=True, check=True, timeout=60)
    [log] = runtime_folder.glob("*/*.log")
    assert "refused" not in log.read_text()


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


def test_a_file_system_without_a_temporary_directory_is_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError("No usable temporary directory found in ['/tmp']")

    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    with pytest.raises(trust.UnsafePlaceError, match="neither XDG_RUNTIME_DIR nor the temporary directory"):
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


def test_its_log_is_where_the_host_says_as_the_host_sees_it(
    runtime_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    real = tmp_path / "real.log"
    Path("logs").mkdir()
    Path("logs/relay.log").symlink_to(real)
    finder = start.Finder(Path("logs/relay.log"))
    monkeypatch.chdir("/")
    finder.look()
    eventually(lambda: finder.path is not None, within=20)
    [pid] = relays_in(runtime_folder)
    assert Path(f"/proc/{pid}/fd/2").readlink() == real
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


@pytest.mark.parametrize("fault", ["no folder", "a folder", "a pipe that nobody reads"])
def test_a_log_that_cannot_be_written_is_named_and_no_relay_started(
    fault: str,
    brain: LocalBrain,
    agent: Agent,
    runtime_folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = tmp_path / "relay.log"
    if fault == "no folder":
        log = tmp_path / "missing" / "relay.log"
    elif fault == "a folder":
        log.mkdir()
    else:
        os.mkfifo(log)
    with host(brain, agent, "auto", relay_log=log) as app:
        app.call()
        eventually(lambda: app.stats()["relay"]["state"] == "not_started")
        app.call()
        assert app.delivery.flush(20)
        assert app.stats()["delivered"] == 2
    assert f"its log {log} cannot be written" in caplog.text
    assert not relays_in(runtime_folder)


def test_a_process_that_has_given_up_its_privileges_looks_for_a_relay_of_its_new_user(
    runtime_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "logged", set[str]())  # what is said once here is said to others too
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    finder = start.Finder(None)
    finder.look()
    eventually(finder.known, within=20)
    [pid] = relays_in(runtime_folder)
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert finder.known() is None
    finder.look()
    eventually(lambda: finder.trouble == "unsafe_place")  # for the test's folder is still the first user's
    assert relays_in(runtime_folder) == [pid]


def test_the_interpreter_is_of_the_hosts_version_whatever_python3_is(
    runtime_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "prefix" / "bin"
    folder.mkdir(parents=True)
    other = folder / "python3"
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    (folder / f"python{sys.version_info.major}.{sys.version_info.minor}{sys.abiflags}").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "prefix", str(folder.parent))
    start.find_or_start(None)
    assert len(relays_in(runtime_folder)) == 1


@pytest.mark.parametrize("packed", [True, False])
def test_an_application_that_is_its_own_interpreter_is_not_started_once_more(
    *, packed: bool, runtime_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    application = tmp_path / "shop"
    application.write_text(f"#!/bin/sh\necho >> {started}\n")
    application.chmod(0o755)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(application))
    if packed:
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(OSError, match="no interpreter of its own"):
        start.find_or_start(None)
    assert not started.exists()
    assert not relays_in(runtime_folder)


def test_an_interpreter_that_does_not_run_is_told_with_its_log(
    runtime_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}{sys.abiflags}"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho cannot open shared object file >&2\nexit 127\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    log = runtime_folder / "relay.log"
    with pytest.raises(OSError, match=f"status 127; see {log}"):
        start.find_or_start(log)
    assert log.read_text() == "cannot open shared object file\n"


def test_a_relay_that_ends_as_soon_as_it_listens_is_not_started_for_ever(
    brain: LocalBrain,
    agent: Agent,
    runtime_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    starts = tmp_path / "starts"
    program = tmp_path / "bootstrap.py"
    listen = start._BOOTSTRAP.read_text().partition("    sys.path +=")[0]
    comes_and_goes = "    listener.settimeout(2)\n    listener.accept()\n\n\nmain(*sys.argv[1:])\n"
    program.write_text(f"{listen}    open({str(starts)!r}, 'a').write('x')\n{comes_and_goes}")
    monkeypatch.setattr(start, "_BOOTSTRAP", program)
    with host(brain, agent, "auto") as app:

        def given_up() -> bool:
            app.call()
            return bool(app.stats()["relay"]["state"] == "not_started")

        eventually(given_up, within=30)
        app.call(count=5)
        assert app.delivery.flush(20)
        stats = app.stats()
    assert len(paths(brain, agent)) == stats["captured"] == stats["delivered"]
    assert "it ends as soon as it listens; see" in caplog.text
    assert len(starts.read_text()) <= 10
    eventually(lambda: not relays_in(runtime_folder))


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
