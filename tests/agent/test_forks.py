"""What was under way when a process forked is its own: the child has copies, and hands none of them in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from agent.host import streams

if TYPE_CHECKING:
    from agent.host import Host
    from otas_middleware.localbrain import LocalBrain

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

PIECES = [b"data: 1\n\n", b"data: 2\n\n"]

BEGINNING = """
import gc, os, sys
import requests
from otas_middleware.agent import AgentSession

url = sys.argv[1]

def in_a_child(work):
    child = os.fork()
    if child == 0:
        try:
            work()
            session.flush(10)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

session = AgentSession()
session.open()
"""

STREAM = """
with session.client() as http, http.stream("GET", url) as answer:
    pieces = answer.iter_raw()
    read = next(pieces)
    in_a_child(lambda: answer.stream.close())
    read += b"".join(pieces)
"""

DROPPED_STREAM = """
with session.client() as http:
    answers = [http.send(http.build_request("GET", url), stream=True)]
    def drop():
        answers.clear()
        gc.collect()
    in_a_child(drop)
    read = answers[0].read()
"""

REQUESTS_STREAM = """
with session.requests_session() as http, http.get(url, stream=True) as answer:
    pieces = answer.iter_content(None)
    read = next(pieces)
    in_a_child(answer.close)
    read += b"".join(pieces)
"""

ENDING = """
assert read == b"data: 1\\n\\ndata: 2\\n\\n"
session.close()
"""

TOOL = """
run = session.tool("search")
with run:
    in_a_child(lambda: run.__exit__(None, None, None))
session.close()
"""


@pytest.fixture
def stream(outside: Host) -> str:
    """The URL of a stream outside."""
    return outside.on("/stream", streams(PIECES))


SAME_NUMBER = """
import os
os.getpid = lambda: 1  # as the first process of a container, and its child that is the first of a namespace within
"""


@pytest.mark.parametrize("numbers", ["", SAME_NUMBER], ids=["", "with its parent's number"])
@pytest.mark.parametrize(
    ("code", "path"),
    [
        pytest.param(STREAM + ENDING, "/stream", id="a stream that the child closes"),
        pytest.param(DROPPED_STREAM + ENDING, "/stream", id="a stream that the child drops"),
        pytest.param(REQUESTS_STREAM + ENDING, "/stream", id="a stream of requests that the child closes"),
        pytest.param(TOOL, "/tools/search", id="a tool that the child leaves"),
    ],
)
def test_what_the_parent_had_begun_is_one_event_of_the_parent(
    brain: LocalBrain, stream: str, code: str, path: str, numbers: str
) -> None:
    before = len(brain.events())
    ended = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", numbers + BEGINNING + code, stream],
        env={
            **os.environ,
            "OTAS_AGENT_KEY": brain.agent_key,
            "OTAS_BRAIN_URL": brain.url,
            "OTAS_UASAM_URL": brain.url,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    (event,) = (event for event in brain.events()[before:] if event["path"] == path)
    assert event["error"] == "", json.dumps(event)
    assert "aborted" not in event["metadata"]
