"""`OTAS_RELAY=auto` where it cannot be: no place for its socket or log, no interpreter, no threads; or not for long."""

from __future__ import annotations

import os
import signal
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otas_middleware._delivery import process
from otas_middleware._delivery.relay import start, trust
from otas_middleware._delivery.relay.start import state_of
from otas_middleware._runtime import runtime
from otas_middleware._version import __version__
from relay.host import alive, host, paths, relays_in
from support.delivery import eventually

if TYPE_CHECKING:
    from otas_middleware.localbrain import LocalBrain
    from support.agent import Agent


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
