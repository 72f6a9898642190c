"""The demo as its user runs it: a command, what it prints, its exit status, and what it leaves behind (nothing)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx2
import pytest

from support.delivery import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[2] / "examples"
DEMO = ("-m", "otas_middleware", "demo")
LIMIT = 90.0
OTHERS = {
    "OTAS_BRAIN_URL": "http://127.0.0.1:9",
    "OTAS_SDK_KEY": "otas_somebody_else",
    "OTAS_ENABLED": "0",
    "KNOWLEDGE_BASE_PASSWORD": "somebody else's",
    "DJANGO_SETTINGS_MODULE": "somebody.elses",
    "GUNICORN_CMD_ARGS": "--workers 3",
    "WEB_CONCURRENCY": "3",
    "HTTP_PROXY": "http://127.0.0.1:9",
}

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


class Demo:
    """A demo that was started, all of whose processes can be told by a mark in their environment."""

    def __init__(self, arguments: tuple[str, ...], temporary: Path) -> None:
        self._mark = f"DEMO_MARK={uuid4()}"
        name, _, value = self._mark.partition("=")
        self.temporary = temporary
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, **OTHERS, "TMPDIR": str(temporary), name: value},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self.output = ""

    def read_until(self, text: str) -> None:
        assert self.process.stdout is not None
        while text not in self.output:
            line = self.process.stdout.readline()
            assert line, self.output
            self.output += line

    def finish(self) -> int:
        self.output += self.process.communicate(timeout=LIMIT)[0]
        return self.process.returncode

    def processes(self) -> list[int]:
        return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit() and self._owns(folder)]

    def is_gone(self) -> bool:
        """Tell whether no process is left, or none after the moment that the kernel takes to end them."""
        deadline = time.monotonic() + 10
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self.processes()

    def _owns(self, folder: Path) -> bool:
        try:
            return self._mark.encode() in (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            return False


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    started = Demo(DEMO, tmp_path)
    yield started
    end(started)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    started = Demo(DEMO, tmp_path_factory.mktemp("demo"))
    started.finish()
    yield started
    end(started)


def end(demo: Demo) -> None:
    demo.process.kill()
    demo.process.communicate()


def table(demo: Demo) -> list[str]:
    text = demo.output[demo.output.index("Where ") :].split("\n\n")[0]
    return [line.rstrip() for line in text.split("\n")]


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_it_ends_well_whatever_is_configured_for_other_purposes(finished: Demo) -> None:
    assert finished.process.returncode == 0, finished.output
    assert "As it should be" in finished.output


def test_it_shows_the_requests_of_all_three_applications_in_a_table(finished: Demo) -> None:
    heading, *rows = table(finished)
    assert re.split(r"  +", heading) == [
        *(
            "Where",
            "Told by",
            "Method",
            "Path or operation",
            "Status",
            "Latency",
            "Request",
            "Response",
            "Agnost",
            "Error or model",
        )
    ]
    told_by_backends = [row for row in rows if "  backend  " in row]
    assert len(told_by_backends) >= 40
    assert {re.split(r"  +", row)[0] for row in told_by_backends} == {"orders", "knowledge base", "help desk"}
    assert re.search(
        r"^orders +backend +POST +/orders +201 +\d+\.\d ms +\d+ B +\d+ B +yes$", "\n".join(rows), re.MULTILINE
    )
    assert re.search(r"/articles/reset/readi.* 500 .*  ZeroDivision", "\n".join(rows))


def test_it_shows_what_the_agent_did_elsewhere_each_below_its_tool(finished: Demo) -> None:
    rows = [row for row in table(finished) if "  agent  " in row]
    assert [re.split(r"  +", row)[:4] for row in rows] == [
        ["a tool", "agent", "TOOL", "/tools/refund"],
        ["a model", "agent", "POST", "/v1/chat/completions"],
        ["a tool", "agent", "TOOL", "/tools/exchange_rate"],
        ["mock_service", "agent", "GET", "/rates"],
        ["nobody", "agent", "POST", "/notify"],
    ]
    assert rows[1].endswith("yes     demo-1, 27 tokens")
    assert re.search(r" none .*  ConnectError", rows[-1])


def test_it_shows_what_agnost_holds(finished: Demo) -> None:
    assert (
        "Agnost, the second destination, holds 55 events of 1 session, with 2 checkpoints (placed)." in finished.output
    )
    assert "  no  " not in "\n".join(table(finished))


def test_its_lines_are_readable_in_a_file(finished: Demo) -> None:
    assert "\033" not in finished.output
    assert max(map(len, finished.output.splitlines())) <= 120


def test_it_leaves_nothing_behind(finished: Demo) -> None:
    assert list(finished.temporary.iterdir()) == []


@linux
def test_no_process_outlives_it(finished: Demo) -> None:
    assert finished.processes() == []


@linux
@pytest.mark.parametrize(
    ("number", "moment", "seconds"),
    [
        (signal.SIGINT, "Starting", 0.0),
        (signal.SIGTERM, "Starting", 0.5),
        (signal.SIGINT, "Starting", 1.0),
        (signal.SIGHUP, "help desk", 0.0),
        (signal.SIGTERM, "Sent", 0.0),
    ],
)
def test_a_signal_at_any_moment_leaves_nothing_behind(
    demo: Demo, number: signal.Signals, moment: str, seconds: float
) -> None:
    demo.read_until(moment)
    time.sleep(seconds)
    demo.process.send_signal(number)
    assert demo.finish() == 128 + number, demo.output
    assert demo.is_gone()
    assert list(demo.temporary.iterdir()) == []
    assert "Traceback" not in demo.output


@linux
def test_no_process_is_left_even_when_it_is_killed(demo: Demo) -> None:
    demo.read_until("help desk")
    eventually(lambda: len(demo.processes()) >= 5)
    demo.process.kill()
    assert demo.is_gone()


@linux
def test_it_can_be_kept_running_until_ctrl_c(tmp_path: Path) -> None:
    before = files(EXAMPLES)
    demo = Demo((*DEMO, "--keep"), tmp_path)
    try:
        demo.read_until("curl")
        urls = dict(re.findall(r"^  (Brain|orders|knowledge base|help desk) +(http://\S+)", demo.output, re.MULTILINE))
        assert len(urls) == 4
        settings = dict(re.findall(r"^  export (OTAS_\w+)=(\S+)$", demo.output, re.MULTILINE))
        assert settings["OTAS_BRAIN_URL"] == urls["Brain"]
        assert settings.keys() >= {"OTAS_SDK_KEY", "OTAS_AGENT_KEY"}
        assert httpx2.get(urls["orders"] + "/health", trust_env=False).json() == {"status": "ok"}
        assert files(EXAMPLES) == before
        demo.process.send_signal(signal.SIGINT)
        assert demo.finish() == 0, demo.output
        assert demo.is_gone()
        assert list(tmp_path.iterdir()) == []
    finally:
        end(demo)


def test_a_difference_is_shown_and_gives_a_non_zero_exit_status(tmp_path: Path) -> None:
    program = """
import sys
from dataclasses import replace
from otas_middleware._cli.demo import run
from otas_middleware._cli.demo import main
real = run.steps
run.steps = lambda secrets: [replace(s, status=202) if s.target == "/export.csv" else s for s in real(secrets)]
sys.exit(main())
"""
    demo = Demo(("-c", program), tmp_path)
    try:
        assert demo.finish() == 1, demo.output
    finally:
        end(demo)
    assert "Not as it should be (2 differences" in demo.output
    assert "help desk: GET /export.csv was answered with 200 instead of 202" in demo.output
    assert "help desk: GET /export.csv: status_code is 200 instead of 202" in demo.output


def test_a_server_that_does_not_start_is_named_with_its_last_words(tmp_path: Path) -> None:
    program = """
import sys
from dataclasses import replace
from otas_middleware._cli.demo import environment
from otas_middleware._cli.demo import main
broken = replace(environment.HELP_DESK, serve=("-m", "uvicorn", "help_desk.nothing:application", "--port", "0"))
environment.APPLICATIONS = (environment.ORDERS, environment.KNOWLEDGE_BASE, broken)
sys.exit(main())
"""
    demo = Demo(("-c", program), tmp_path)
    try:
        assert demo.finish() == 1, demo.output
    finally:
        end(demo)
    assert "The demo cannot go on: help desk ended with status" in demo.output
    assert 'Could not import module "help_desk.nothing"' in demo.output


def test_a_missing_package_is_named_with_the_command_that_brings_it(tmp_path: Path) -> None:
    program = """
import sys
sys.modules["gunicorn"] = sys.modules["flask"] = None
sys.argv = ["otas-middleware", "demo"]
from otas_middleware.__main__ import main
sys.exit(main())
"""
    demo = Demo(("-c", program), tmp_path)
    assert demo.finish() == 1
    assert demo.output == (
        "otas-middleware: The demo (flask, gunicorn) needs a package that is not installed; "
        "run: pip install 'otas-middleware[demo]'\n"
    )
