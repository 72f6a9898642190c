"""`OTAS_RELAY=auto`: one relay for all workers, started by the first event, gone when nobody needs it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import otas_middleware
from otas_middleware._cli.relay import make_build
from otas_middleware._delivery.relay import start, trust
from otas_middleware._delivery.relay.server import Server
from otas_middleware._delivery.relay.start import state_of
from otas_middleware._version import __version__
from relay.host import alive, host, paths, relays_in
from support.delivery import eventually

if TYPE_CHECKING:
    import pytest

    from otas_middleware.localbrain import LocalBrain
    from support.agent import Agent


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
