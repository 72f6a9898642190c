"""`otas-middleware brain` as a process: what it prints, its options, and its end."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.process import RunningBrain, run
from otas_middleware._config.sources import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def brain() -> Iterator[RunningBrain]:
    """One for the tests that leave it as it is."""
    with RunningBrain() as brain:
        yield brain


def test_it_says_first_where_its_page_is(brain: RunningBrain) -> None:
    first = brain.introduction.splitlines()[0]
    url = brain.environment["OTAS_BRAIN_URL"]
    assert first == f"# See what arrives, and make session tokens: {url}/"
    connection = brain.connection()
    connection.request("GET", "/")
    assert "<title>" in connection.getresponse().read().decode()
    connection.close()


def test_it_prints_lines_that_a_shell_takes_as_they_are(brain: RunningBrain) -> None:
    script = brain.introduction + "\nenv"
    shell = subprocess.run(["/bin/sh", "-eu"], input=script, capture_output=True, text=True, check=True, env={})
    assert shell.stderr == ""
    exported = {name: value for name, _, value in (line.partition("=") for line in shell.stdout.splitlines())}
    assert {name: exported.get(name) for name in brain.environment} == {**brain.environment, "OTAS_AGENT_KEY": None}
    assert set(brain.environment) == {
        "OTAS_SDK_KEY",
        "OTAS_PROJECT_ID",
        "OTAS_BRAIN_URL",
        "OTAS_UASAM_URL",
        "OTAS_AGENT_KEY",
    }
    assert brain.environment["OTAS_SDK_KEY"].startswith("otas_")
    assert brain.environment["OTAS_AGENT_KEY"].startswith("agent_")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", brain.environment["OTAS_BRAIN_URL"])
    assert brain.environment["OTAS_UASAM_URL"] == brain.environment["OTAS_BRAIN_URL"]


def test_the_settings_take_what_it_prints(brain: RunningBrain) -> None:
    settings = load_settings({}, environ=brain.environment)
    assert settings.sdk_key is not None
    assert settings.sdk_key.get_secret_value() == brain.environment["OTAS_SDK_KEY"]


def test_it_prints_a_line_for_each_event(brain: RunningBrain) -> None:
    assert brain.log() == [201]
    line = brain.wait_for_line("/orders/42")
    assert re.fullmatch(r"\d\d:\d\d:\d\d  GET      200       12\.5 ms  session \w{8}  /orders/42\n", line)
    brain.log(error="ValueError: x", path="/broken", latency_ms=float("nan"))
    line = brain.wait_for_line("/broken")
    assert re.search(r"  NaN ms  session \w{8}  /broken  \(ValueError: x\)\n$", line)


def test_it_says_why_an_event_is_not_stored(brain: RunningBrain) -> None:
    assert brain.log(status_code=-1) == [500]
    assert "event not stored: status_code is not within" in brain.wait_for_line("not stored")


def test_a_terminal_cannot_be_commanded_by_an_event(brain: RunningBrain) -> None:
    brain.log(path="/\x1b]0;owned\x07\r\n\x9b31m\u202eevil", method="\x1bcGET", error="\x08\x7f")
    line = brain.wait_for_line("owned")
    assert line.removesuffix("\n").isprintable()
    assert r"\x1b]0;owned\x07\r\n\x9b31m\u202eevil" in line


def test_quiet_prints_no_events() -> None:
    with RunningBrain("--quiet") as brain:
        assert brain.log(3) == [201] * 3
        assert brain.log(status_code=-1) == [500]
        assert brain.end(signal.SIGTERM) == (0, "")
    assert brain.lines == []


def test_a_reader_that_stops_does_not_stop_the_brain() -> None:
    """The pipe is full after some hundred lines."""
    with RunningBrain(read=False) as brain:
        assert brain.log(1000, path="/" + "x" * 100) == [201] * 1000


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_it_quietly(name: str) -> None:
    with RunningBrain() as brain:
        brain.log()
        began = time.monotonic()
        assert brain.end(getattr(signal, name)) == (0, "")
        assert time.monotonic() - began < 3


def test_a_signal_ends_it_though_nobody_reads_its_output() -> None:
    with RunningBrain(read=False) as brain:
        brain.log(1000, path="/" + "x" * 100)
        assert brain.end(signal.SIGTERM)[0] == 0


def test_a_busy_port_is_one_clear_line() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        ended = run("brain", "--port", port)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == (
        f"otas-middleware: port {port} is already in use; choose another with --port, or --port 0 for any free one\n"
    )


def test_another_machine_cannot_be_served() -> None:
    ended = run("brain", "--host", "0.0.0.0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("otas-middleware: host '0.0.0.0' is not a loopback address: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "options", [["--fail", "2"], ["--slow", "-1"], ["--down-after", "0"], ["--port", "70000"], ["--port", "x"]]
)
def test_a_bad_option_is_named(options: list[str]) -> None:
    ended = run("brain", *options)
    assert ended.returncode == 2
    assert options[0] in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_file_keeps_keys_and_events(tmp_path: Path) -> None:
    file = tmp_path / "brain.sqlite3"
    with RunningBrain("--db", str(file)) as brain:
        assert brain.log() == [201]
        assert brain.end(signal.SIGTERM)[0] == 0
        first = brain.environment
        assert str(file) in brain.introduction
    with RunningBrain("--db", str(file)) as brain:
        kept = ("OTAS_SDK_KEY", "OTAS_AGENT_KEY", "OTAS_PROJECT_ID")
        assert {name: brain.environment[name] for name in kept} == {name: first[name] for name in kept}
        connection = brain.connection()
        connection.request("GET", "/_local/events")
        assert b'"/orders/42"' in connection.getresponse().read()
        connection.close()


def test_a_killed_brain_has_kept_what_it_answered(tmp_path: Path) -> None:
    file = tmp_path / "brain.sqlite3"
    with RunningBrain("--db", str(file), "--quiet") as brain:
        assert brain.log(50) == [201] * 50
        brain.process.kill()
    with RunningBrain("--db", str(file)) as brain:
        connection = brain.connection()
        connection.request("GET", "/_local/state")
        assert b'"event": 50' in connection.getresponse().read()
        connection.close()


def test_a_file_that_is_something_else_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("notes " * 500)
    ended = run("brain", "--db", str(file))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"otas-middleware: {file} is not a database of this version's local Brain; name another file, or a new one\n"
    )


def test_its_misbehaviour_can_be_asked_for() -> None:
    with RunningBrain("--fail", "1") as brain:
        assert brain.log(3) == [500] * 3
    with RunningBrain("--slow", "200") as brain:
        began = time.monotonic()
        assert brain.log() == [201]
        assert time.monotonic() - began >= 0.2
    with RunningBrain("--down-after", "2") as brain:
        with pytest.raises((ConnectionError, OSError)):
            brain.log(3)
        with pytest.raises(ConnectionRefusedError):
            brain.token()
        assert brain.process.poll() is None


@pytest.mark.skipif(sys.platform == "win32", reason="the script is named otherwise")
def test_the_script_is_the_module() -> None:
    script = Path(sys.executable).with_name("otas-middleware")
    by_script = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert by_script.stdout == run("--version").stdout
    assert re.fullmatch(r"otas-middleware \d+\.\d+\.\d+\n", by_script.stdout)


def test_the_help_names_the_commands() -> None:
    for ended in (run("--help"), run()):
        assert "brain" in ended.stdout + ended.stderr
        assert "demo" in ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr
    assert "--down-after" in run("brain", "--help").stdout
    assert run("-h").stdout == run("--help").stdout


def test_what_a_command_does_is_readable_in_eighty_columns() -> None:
    assert "..." not in run("--help").stdout.partition("Commands:")[2]
