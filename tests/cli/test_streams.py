"""The command line where its standard streams are not what programs expect."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.process import COMMAND

FULL = Path("/dev/full")
UNBUFFERED = {**os.environ, "PYTHONUNBUFFERED": "1"}
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
ANSWERS = [("--version",), ("settings",), ("doctor", "--timeout", "0.1"), ("preview", "curl", "https://shop.example/")]


@pytest.mark.skipif(not FULL.exists(), reason="needs Linux's device that is always full")
@pytest.mark.parametrize("words", ANSWERS, ids=" ".join)
@pytest.mark.parametrize("environ", [BUFFERED, UNBUFFERED], ids=["buffered", "unbuffered"])
def test_a_full_disk_is_one_clear_line(words: tuple[str, ...], environ: dict[str, str]) -> None:
    with FULL.open("w") as full:
        ended = subprocess.run(
            [*COMMAND, *words], stdout=full, stderr=subprocess.PIPE, text=True, env=environ, check=False
        )
    assert ended.returncode == 1
    assert ended.stderr == "otas-middleware: the output cannot be written: no space is left on its device\n"


@pytest.mark.skipif(sys.platform == "win32", reason="by a pipe of POSIX")
@pytest.mark.parametrize("words", ANSWERS, ids=" ".join)
def test_a_reader_that_has_gone_is_told_nothing(words: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        ended = subprocess.run(
            [*COMMAND, *words], stdout=gone, stderr=subprocess.PIPE, text=True, env=BUFFERED, check=False
        )
    assert (ended.returncode, ended.stderr) == (1, "")


@pytest.mark.skipif(sys.platform == "win32", reason="by a shell of POSIX")
@pytest.mark.parametrize("words", [*ANSWERS, ("preview",)], ids=" ".join)
def test_streams_that_are_closed_are_no_failure_of_ours(words: tuple[str, ...]) -> None:
    command = ["sh", "-c", '"$@" <&- >&-', "sh", *COMMAND, *words]
    assert "Traceback" not in subprocess.run(command, capture_output=True, text=True, check=False).stderr


@pytest.mark.skipif(sys.platform == "win32", reason="locales of POSIX")
def test_a_locale_without_utf_8_takes_and_shows_every_character() -> None:
    ascii_only = {**os.environ, "LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    words = ["preview", "curl", "https://shop.example/ü", "-d", "a=é"]
    ended = subprocess.run([*COMMAND, *words], env=ascii_only, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert r'"path": "/\xfc"' in ended.stdout
    assert r'"request_body": "a=\xe9"' in ended.stdout
