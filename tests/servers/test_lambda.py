"""AWS Lambda's events through Mangum: the function is frozen once it has answered, and its events are in Brain."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from otas_middleware.localbrain import LocalBrain
from servers.catalogue import installed
from servers.process import clean_environ
from support.agent import Agent

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(installed("mangum") is None, reason="not installed: mangum (dependency group `matrix`)"),
]


def gateway_event(method: str, path: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return an event as API Gateway's HTTP APIs make it (payload format 2.0)."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "page=2",
        "headers": {name.lower(): value for name, value in headers.items()} | {"host": "function.example"},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": "function.example",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "agent",
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000",
            "timeEpoch": 1767225600000,
        },
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


@contextmanager
def frozen_after(event: Mapping[str, Any], environ: Mapping[str, str]) -> Generator[Any]:
    """Start the function and have it handle one event; as a context of its answer, in which the function is frozen."""
    function = subprocess.Popen(
        [sys.executable, "-m", "servers.applications.on_lambda"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environ,
        start_new_session=True,
    )
    with function:
        try:
            assert function.stdin
            assert function.stdout
            function.stdin.write(json.dumps(event).encode() + b"\n")
            function.stdin.flush()
            answer = function.stdout.readline()
            os.waitid(os.P_PID, function.pid, os.WSTOPPED | os.WEXITED)
            yield json.loads(answer)
        finally:
            function.kill()


@pytest.mark.check("echo")
def test_a_frozen_function_has_delivered_its_event(tmp_path: Path) -> None:
    body = bytes(range(256))
    with LocalBrain(slow_ms=100) as brain:
        agent = Agent(brain)
        environ = clean_environ(tmp_path) | {"OTAS_SDK_KEY": brain.sdk_key, "OTAS_BRAIN_URL": brain.url}
        event = gateway_event("POST", "/echo", dict([agent.header]), body)

        with frozen_after(event, environ) as answer:
            (recorded,) = brain.events(agent.session_id)
        with frozen_after(event, {**environ, "BARE": "1"}) as bare:
            assert answer == bare

    assert base64.b64decode(answer["body"]) == body
    assert (recorded["method"], recorded["path"], recorded["query_params"]) == ("POST", "/echo", "page=2")
    assert (recorded["status_code"], recorded["request_size_bytes"], recorded["response_size_bytes"]) == (200, 256, 256)
