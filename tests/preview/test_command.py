"""`otas-middleware preview` as people call it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

DUMP = """\
POST /orders HTTP/1.1
Host: shop.example
Content-Type: application/json

{"password": "hunter2", "note": "<red>"}

HTTP/1.1 201 Created
Content-Type: text/plain

made
"""


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTAS_", "NO_COLOR"))}
    return {**kept, **variables}


def preview(
    *arguments: str, stdin: str = "", cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "otas_middleware", "preview", *arguments],
        input=stdin,
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )


def test_curl_alone_is_a_curl_command_that_lacks_its_url() -> None:
    result = preview("curl")
    assert result.returncode == 1
    assert "the curl command names 0 URLs" in result.stderr


def test_a_curl_command_is_given_as_it_is() -> None:
    result = preview(
        *("--json", "curl", "-s", "-X", "PUT", "https://shop.example/orders/7", "--json", '{"token": "abc"}'),
        OTAS_SDK_KEY="otas_a_b",
    )
    event = json.loads(result.stdout)
    assert (event["method"], event["path"]) == ("PUT", "/orders/7")
    assert json.loads(event["request_body"]) == {"token": "[REDACTED]"}
    assert result.returncode == 0


def test_a_file_is_laid_out_with_marks_and_a_list_of_what_was_redacted(tmp_path: Path) -> None:
    (tmp_path / "dump.http").write_text(DUMP)
    result = preview("dump.http", cwd=tmp_path, OTAS_SDK_KEY="otas_a_b", OTAS_BRAIN_URL="https://brain.example")
    assert result.stdout.startswith("POST /orders → 201\n")
    assert "POST https://brain.example/api/v1/backend/log/sdk/, " in result.stdout
    assert '    "password": ">>[REDACTED]<<",\n' in result.stdout
    assert "Redacted: request_headers (x-otas-agent-session-token); request_body (password).\n" in result.stdout
    assert "hunter2" not in result.stdout
    assert "\x1b" not in result.stdout


def test_a_terminal_gets_colour_and_no_control_character_of_the_clients() -> None:
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "otas_middleware", "preview", "-"],
        stdin=subprocess.PIPE,
        stdout=secondary,
        env=environment(TERM="xterm"),
    )
    assert process.stdin is not None
    process.stdin.write(DUMP.replace("<red>", "\x1b[31mred\x1b[0m").encode())
    process.stdin.close()
    os.close(secondary)
    shown = b""
    try:
        while chunk := os.read(primary, 65536):
            shown += chunk
    except OSError:  # the terminal's other end is closed
        pass
    os.close(primary)
    assert process.wait(20) == 0
    assert b"\x1b[1;97;41m[REDACTED]\x1b[0m" in shown
    assert b"\x1b[31m" not in shown
    assert rb"\u001b[31mred" in shown


def test_no_color_is_honoured_through_a_pipe_as_well() -> None:
    assert "\x1b" not in preview(stdin=DUMP, NO_COLOR="1").stdout


def test_each_request_of_an_archive_is_shown_or_one_of_them(tmp_path: Path) -> None:
    entries = [{"request": {"method": "GET", "url": f"http://shop.example/{name}"}} for name in ("a", "b", "c")]
    (tmp_path / "session.har").write_text(json.dumps({"log": {"entries": entries}}))
    everything = preview("session.har", cwd=tmp_path).stdout
    assert [line for line in everything.splitlines() if line.startswith("[")] == [
        "[1 of 3] GET /a",
        "[2 of 3] GET /b",
        "[3 of 3] GET /c",
    ]
    assert json.loads(preview("--json", "--entry", "2", "session.har", cwd=tmp_path).stdout)["path"] == "/b"
    assert "--entry 4 is not there; the input holds 3" in preview("--entry", "4", "session.har", cwd=tmp_path).stderr


def test_a_response_can_come_from_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "response").write_text("HTTP/2 404 \ncontent-type: text/plain\n\nno such order")
    result = preview("--json", "--response", "response", "curl", "http://shop.example/orders/9", cwd=tmp_path)
    event = json.loads(result.stdout)
    assert (event["status_code"], event["response_body"], event["error"]) == (404, "no such order", "404 Not Found")


def test_the_settings_may_be_an_applications(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from flask import Flask\n"
        "from otas_middleware.flask import Otas\n"
        "def create_app():\n"
        "    print('the application says something')\n"
        "    app = Flask('shop')\n"
        "    app.config['OTAS_SENSITIVE_FIELDS'] = ['item']\n"
        "    Otas(app, sdk_key='otas_a_b')\n"
        "    return app\n"
    )
    result = preview(
        *("--json", "--flask", "shop:create_app()", "--route", "/orders/<int:order_id>"),
        *("curl", "http://shop.example/orders/7", "-d", "item=tea&amount=3"),
        cwd=tmp_path,
    )
    event = json.loads(result.stdout)
    assert event["request_body"] == "item=[REDACTED]&amount=3"
    assert event["metadata"]["framework"] == "flask"
    assert event["metadata"]["route"] == "/orders/{order_id}"


def test_bad_settings_are_one_line_and_a_status() -> None:
    result = preview(stdin=DUMP, OTAS_MAX_BODY_BYTES="much")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("otas-middleware: OTAS_MAX_BODY_BYTES cannot be used")


def test_what_is_not_understood_is_one_line_and_a_status() -> None:
    for arguments, message in (
        (("-",), "this is not understood (it is empty)"),
        (("https://shop.example/",), "a URL needs curl before it"),
        (("/orders",), "No such file or directory; give a curl command, a HAR file, or HTTP"),
        (("a", "b"), "'a' and what follows it (1) are not understood"),
        (("--as", "har", "-"), "not a HAR file that can be read"),
    ):
        result = preview(*arguments)
        assert result.returncode == 1
        assert message in result.stderr
        assert "Traceback" not in result.stderr


def test_only_one_application_can_be_named() -> None:
    result = preview("--flask", "a:b", "--wsgi", "c:d", stdin=DUMP)
    assert result.returncode == 2
    assert "give one of --django, --flask, --asgi and --wsgi" in result.stderr


def test_a_curl_command_may_stand_within_quotes() -> None:
    quoted = preview("--json", "curl -X POST https://shop.example/orders -d '{\"item\": 7}'")
    words = ("curl", "-X", "POST", "https://shop.example/orders", "-d", '{"item": 7}')
    one, other = (json.loads(ended.stdout) for ended in (quoted, preview("--json", *words)))
    assert {**one, "metadata": None} == {**other, "metadata": None}
    assert one["path"] == "/orders"
