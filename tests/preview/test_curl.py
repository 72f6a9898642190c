"""A curl command is read as curl itself reads it: both are asked, and curl is listened to on a socket."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from otas_middleware._cli.preview import Exchange, UnreadableError, curl, recorded
from support.delivery import RawServer, Received, answer

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

COMMANDS = [
    "curl URL/orders/42",
    "curl 'URL/orders/42?a=1&b=%C3%A4'",
    "curl -X DELETE URL/orders/42",
    "curl -XPATCH -sS URL/orders/42 --data-raw '{\"a\": 1}' -H 'Content-Type: application/json'",
    "curl URL -d a=1 -d 'b=2 3'",
    "curl URL --data ''",
    "curl URL --data @FILE",
    "curl URL --data-binary @FILE",
    "curl URL --data-raw @FILE",
    "curl URL --data-urlencode 'name=Zoë & Ada' --data-urlencode =x --data-urlencode 'a b' --data-urlencode f@FILE",
    "curl -G URL/search -d q=tea --data-urlencode 'who=Zoë & Ada'",
    "curl -G 'URL/search?x=1' -d q=tea",
    "curl URL --json '{\"item\": ' --json '\"tea\"}'",
    "curl -I URL/orders",
    "curl -T FILE URL/files/notes.txt",
    "curl -u ada:s3cret URL",
    "curl --oauth2-bearer s3cret URL",
    "curl -A 'an agent' -e https://from.example/ -b 'a=1; b=2' -b c=3 URL",
    "curl --compressed -H 'Accept:' -H 'X-Empty;' -H 'X-One:1' -H 'X-Two:   2 ' URL",
    "curl -r 0-99 URL",
    "curl URL -F 'note=hello there' -F file=@FILE",
    "curl URL -F 'file=@FILE;type=text/csv;filename=other.csv' -F 'inline=<FILE' --form-string 'at=@home'",
    "curl -sSLkvgN --max-time 5 -o /dev/null -w '%{http_code}' URL/quiet",
    "curl --url URL/named",
    "curl URL -d $'line one\\nline two\\t\\u00e9\\x41\\101'",
    "curl URL \\\n  -H 'X-Folded: yes' \\\n  -d x",
    "curl -H @HEADERS URL",
    'curl URL -d "quo\\"ted $HOME" -H "X-A: it\'s"',
]

AUTOMATIC = {"user-agent", "host", "accept-encoding", "expect"}
"""What differs between versions of curl, or with the port."""


@pytest.fixture(scope="module")
def listener() -> Iterator[RawServer]:
    def script(connection: socket.socket, request: Received) -> bool:
        connection.sendall(answer("200 OK", b"", "Connection: close"))
        return False

    with RawServer(script) as server:
        yield server


def fields(exchange: Exchange) -> dict[str, object]:
    headers = [(name.lower(), value) for name, value in exchange.headers if name.lower() not in AUTOMATIC]
    boundary = (exchange.header("Content-Type") or "").partition("boundary=")[2]
    headers = [(name, value.replace(boundary, "B") if boundary else value) for name, value in headers]
    body = exchange.body.replace(boundary.encode(), b"B") if boundary else exchange.body
    if boundary:
        headers = [each for each in headers if each[0] != "content-length"]
    target = re.sub("%[0-9a-fA-F]{2}", lambda match: match[0].upper(), exchange.target)  # the case is the version's
    return {"method": exchange.method, "target": target, "headers": sorted(headers), "body": body}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_read_as_curl_reads_it(command: str, listener: RawServer, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("first line\nsecond = line\n")
    (tmp_path / "headers").write_text("X-From-File: yes\nX-Too: yes\n")
    command = command.replace("URL", listener.url).replace("$HOME", "there")
    command = command.replace("FILE", str(tmp_path / "notes.txt")).replace("HEADERS", str(tmp_path / "headers"))
    before = len(listener.requests)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    bash = ["bash", "-c", command if "--head" in command or "-I" in command else f"{command} >/dev/null 2>&1"]
    subprocess.run(bash, check=True, env=environment, capture_output=True, timeout=20)
    (request,) = listener.requests[before:]

    assert fields(curl.read(curl.split(command))) == fields(recorded.read_wire(request.data))


def test_curls_own_headers_are_there() -> None:
    exchange = curl.read(["curl", "https://shop.example:8443/"])
    assert exchange.headers == (("Host", "shop.example:8443"), ("User-Agent", "curl"), ("Accept", "*/*"))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("curl --frobnicate https://a", r"option --frobnicate is not understood; .*Understood are --compressed, "),
        ("curl -sZ https://a", r"option -Z is not understood"),
        ("curl", r"names 0 URLs"),
        ("curl https://a https://b", r"names 2 URLs; preview takes one"),
        ("curl https://a -d", r"option --data lacks its value"),
        ("curl https://a -H Accept", r"-H 'Accept' is not a header; write it as 'Name: value'"),
        ("curl https://a -F name", r"-F 'name' is not a form field"),
        ("curl https://a -b jar.txt", r"names a file of cookies"),
        (
            "curl https://a -d @/no/such/file",
            r"the file /no/such/file of the curl command cannot be read: No such file",
        ),
        ("curl https://a -d @-", r"standard input"),
        ("curl ftp://a/b", r"'ftp://a/b' is not the URL of an HTTP request"),
        ("curl 'https://[a'", r"cannot be read"),
        ("curl 'https://a", r"a quote is not closed"),
        ("curl https://a | jq .", r"goes on with '\|' after 2 words"),
        ("curl https://a > out.txt", r"goes on with '>'"),
        ('curl ^"https://a^" ^\n -H ^"A: b^"', r"copy it again as cURL for bash"),
    ],
)
def test_what_is_not_understood_is_said(command: str, message: str) -> None:
    with pytest.raises(UnreadableError, match=message):
        curl.read(curl.split(command))
