"""Servers that load the application and then fork: each event comes once, from the process that recorded it."""

from __future__ import annotations

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from otas_middleware.localbrain import LocalBrain
from servers.catalogue import combination
from servers.process import running
from servers.wire import Call
from support.agent import PATIENCE, Agent

if TYPE_CHECKING:
    from pathlib import Path

    from servers.catalogue import Combination
    from servers.process import Running

FORKING = [
    pytest.param(combination(server, "WSGI callable"), id=server, marks=pytest.mark.slow)
    for server in ("gunicorn, preload", "uWSGI, prefork", "uWSGI, threads", "uWSGI, lazy apps")
]


@pytest.mark.check("fork")
@pytest.mark.parametrize("served", FORKING)
def test_each_request_is_one_event_whichever_worker_served_it(served: Combination, tmp_path: Path) -> None:
    """The parent has recorded a request before it forks, and a worker dies and is replaced by a new fork."""
    if missing := served.missing():
        pytest.skip(f"not installed: {', '.join(missing)} (dependency group `matrix`)")
    application = replace(served.application, module="preloaded", attribute="who_served")
    with LocalBrain() as brain:
        parent = Agent(brain)
        environ = {"OTAS_SDK_KEY": brain.sdk_key, "OTAS_BRAIN_URL": brain.url, "WARM_UP_TOKEN": parent.token}
        with running(served.server, application, tmp_path, environ) as server, ThreadPoolExecutor(4) as pool:
            agents = [Agent(brain) for _ in range(60)]
            before = set(pool.map(partial(ask, server), agents[:30]))
            wait_for_events(brain, agents[:30])
            os.kill(min(before), signal.SIGKILL)
            after = set(pool.map(partial(ask, server), agents[30:]))
            wait_for_events(brain, agents)

        assert min(before) not in after
        assert len(before | after) >= 2
        assert [len(brain.events(agent.session_id)) for agent in agents] == [1] * len(agents)
        assert len(brain.events(parent.session_id)) <= times_loaded(served, before | after)


def times_loaded(served: Combination, workers: set[int]) -> int:
    """How many processes have loaded the application, and so recorded what it does while it is loaded, at most.

    uWSGI's master starts no thread, since it forks without telling Python: what it has recorded may be lost.
    """
    return len(workers) + 1 if "--lazy-apps" in served.server.arguments else 1


def ask(server: Running, agent: Agent) -> int:
    """Make one request; return the id of the process that served it."""
    with Call(server.port, "POST", "/echo", [agent.header], [b"hello"], length=5) as call:
        reply = call.reply()
    worker = re.search(rb"(?i)x-worker: (\d+)", reply.head)
    assert worker, reply
    return int(worker[1])


def wait_for_events(brain: LocalBrain, agents: list[Agent]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not all(brain.events(agent.session_id) for agent in agents) and time.monotonic() < deadline:
        time.sleep(0.05)
