"""What people see of the doctor, on a terminal, in a pipe, and in the worst of terminals."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

from otas_middleware._cli.doctor import Check, as_text

if TYPE_CHECKING:
    from doctor.conftest import Doctor


def test_each_check_is_a_line_with_a_sign_and_each_failure_has_a_fix(doctor: Doctor) -> None:
    del doctor.variables["OTAS_SDK_KEY"]
    result = doctor.run()
    lines = result.stdout.splitlines()
    assert result.returncode == 1
    assert lines[0].startswith("✓ versions     otas-middleware ")
    assert "✗ sdk key      none is set, so nothing is recorded" in lines
    assert lines[lines.index("✗ sdk key      none is set, so nothing is recorded") + 1].startswith(
        "               → set OTAS_SDK_KEY to "
    )
    assert lines[-1] == "1 of 8 checks failed: sdk key. Not looked at: middleware, spool, send."
    assert "\x1b" not in result.stdout


def test_when_all_is_well_the_last_line_says_so(doctor: Doctor) -> None:
    result = doctor.run()
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == "All is well: 8 checks. Not looked at: middleware, spool, send."


def test_a_terminal_gets_colours(doctor: Doctor) -> None:
    primary, secondary = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-m", "otas_middleware", "doctor"],
        stdout=secondary,
        cwd=doctor.folder,
        env={**environment, **doctor.variables, "TERM": "xterm"},
    )
    os.close(secondary)
    shown = b""
    try:
        while chunk := os.read(primary, 65536):
            shown += chunk
    except OSError:  # the terminal's other end is closed
        pass
    os.close(primary)
    assert process.wait(20) == 0
    assert "\x1b[32m✓\x1b[0m versions".encode() in shown


def test_an_output_that_knows_only_ascii_gets_ascii(doctor: Doctor) -> None:
    doctor.variables |= {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    del doctor.variables["OTAS_SDK_KEY"]
    result = doctor.run()
    assert "ok   versions " in result.stdout
    assert "FAIL sdk key " in result.stdout
    assert "-> set OTAS_SDK_KEY" in result.stdout
    assert result.stdout.isascii()


def test_the_json_document_is_all_there_is_on_standard_output(doctor: Doctor) -> None:
    doctor.write("shop.py", "print('the application speaks')\nfrom flask import Flask\napp = Flask('shop')\n")
    result = doctor.run("--json", "--flask", "shop:app")
    document = json.loads(result.stdout)
    assert document["ok"] is False
    assert [check["name"] for check in document["checks"]] == [
        *("versions", "application", "settings", "middleware", "brain", "uasam", "sdk_key", "clock", "transport"),
        *("spool", "threads", "send"),
    ]
    assert "the application speaks" in result.stderr


def test_what_a_server_says_cannot_control_the_terminal() -> None:
    text = as_text(Check("brain", "failed", "it says \x1b[31mred", "\x07"), colour=True, ascii_only=False)
    assert text == "\x1b[31m✗\x1b[0m brain        it says ?[31mred\n               → ?"


def test_an_address_that_is_none_is_a_usage_error(doctor: Doctor) -> None:
    result = doctor.run("--uasam-url", "localhost:8000")
    assert result.returncode == 2
    assert "--uasam-url: it is not an http(s) URL" in result.stderr
