"""Celery tasks continue the session of the request that sends them."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from agent.callers import TLS
from otas_middleware import propagate
from otas_middleware._capture.session import TOKEN_HEADER
from propagate.backend import ask_synchronously

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.host import Host
    from otas_middleware import OtasSettings
    from support.agent import Agent

celery: Any = pytest.importorskip("celery", reason="the extra `celery` is not installed")


def fetch(url: str) -> None:
    """Call a host from wherever this runs."""
    with propagate.instrument(httpx2.Client(trust_env=False, verify=TLS)) as http:
        http.get(url)


def _sets_up_nothing(**_: object) -> None: ...


@pytest.fixture(scope="module")
def app() -> Any:
    """A Celery application with its broker in memory, and three tasks."""
    app = celery.Celery("shop", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.update(worker_hijack_root_logger=False, broker_transport_options={"polling_interval": 0.01})
    propagate.connect_celery()
    propagate.connect_celery()
    # A worker sets logging up for its whole process, which here is that of all tests, unless somebody else does.
    import_module("celery.signals").setup_logging.connect(_sets_up_nothing, weak=False)

    def chain(url: str) -> None:
        app.tasks["restock"].delay(url + "/from-task")
        fetch(url + "/chained")

    app.task(fetch, name="restock", shared=False)  # or each later application of the process gets it

    def eager(url: str) -> None:
        app.tasks["restock"].apply(args=(url + "/eager",))
        fetch(url + "/after")

    app.task(chain, name="chain", shared=False)
    app.task(eager, name="eager", shared=False)
    return app


@pytest.fixture(scope="module")
def worker(app: Any) -> Iterator[None]:
    """A worker in a thread."""
    testing: Any = import_module("celery.contrib.testing.worker")
    with testing.start_worker(app, perform_ping_check=False, pool="solo"):
        yield


def test_a_task_passes_on_the_token_of_the_request_that_sent_it(
    app: Any, worker: None, backend: OtasSettings, agent: Agent, listed: Host, unlisted: Host
) -> None:
    never_listed = unlisted.url.replace("127.0.0.1", "localhost")  # a port may have been, in another test

    def handler() -> None:
        for url in (listed.url, never_listed):
            app.tasks["restock"].delay(url).get(timeout=10, interval=0.01)

    ask_synchronously(backend, agent, handler)
    assert listed.one().header(TOKEN_HEADER) == [agent.token]
    assert unlisted.one().header(TOKEN_HEADER) == []


def test_a_task_that_a_task_sends_belongs_to_the_same_session(
    app: Any, worker: None, backend: OtasSettings, agent: Agent, listed: Host
) -> None:
    def handler() -> None:
        app.tasks["chain"].delay(listed.url).get(timeout=10, interval=0.01)

    ask_synchronously(backend, agent, handler)
    app.tasks["restock"].delay(listed.url + "/last").get(timeout=10, interval=0.01)
    sent = {request.target: request.header(TOKEN_HEADER) for request in listed.requests}
    assert sent == {"/chained": [agent.token], "/from-task": [agent.token], "/last": []}


def test_the_next_task_of_a_worker_knows_nothing_of_the_last(
    app: Any, worker: None, backend: OtasSettings, agent: Agent, listed: Host
) -> None:
    def handler() -> None:
        app.tasks["restock"].delay(listed.url).get(timeout=10, interval=0.01)

    ask_synchronously(backend, agent, handler)
    app.tasks["restock"].delay(listed.url).get(timeout=10, interval=0.01)
    assert [request.header(TOKEN_HEADER) for request in listed.requests] == [[agent.token], []]


def test_an_eager_task_is_part_of_the_request(app: Any, backend: OtasSettings, agent: Agent, listed: Host) -> None:
    ask_synchronously(backend, agent, lambda: app.tasks["restock"].apply(args=(listed.url,)).get())
    assert listed.one().header(TOKEN_HEADER) == [agent.token]


# ---- what remains in a worker


@pytest.mark.parametrize(
    "pool", ["threads", "solo", *(pytest.param(pool, marks=pytest.mark.slow) for pool in ("prefork", "gevent"))]
)
@pytest.mark.parametrize("how", ["retried at once", "delivered twice"])
def test_a_run_leaves_no_token_behind_in_its_worker(pool: str, how: str, listed: Host, tmp_path: Path) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent", reason="gevent is not installed")
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        listed.requests.clear()
        arguments = [str(Path(__file__).parent / "celery_runs.py"), pool, how, listed.url, str(folder)]
        environment = {**os.environ, "OTAS_PROPAGATE_TO": listed.url}
        ended = subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        if ended.returncode == 2 and pool == "prefork" and attempt < 2:
            continue  # the worker was ended by its broker of files
        assert ended.returncode == 0, ended.stderr[-2000:]
        break
    sent = {request.target: request.header(TOKEN_HEADER) for request in listed.requests}
    assert {target: tokens for target, tokens in sent.items() if target.startswith("/work")} == {
        "/work": ["the.agents.token"]
    }
    assert {target for target in sent if target.startswith("/plain")} == {f"/plain/{number}" for number in range(6)}
    assert all(not tokens for target, tokens in sent.items() if target.startswith("/plain"))


def test_an_eager_task_within_a_task_belongs_to_the_same_session(
    app: Any, worker: None, backend: OtasSettings, agent: Agent, listed: Host
) -> None:
    ask_synchronously(backend, agent, lambda: app.tasks["eager"].delay(listed.url).get(timeout=10, interval=0.01))
    sent = {request.target: request.header(TOKEN_HEADER) for request in listed.requests}
    assert sent == {"/eager": [agent.token], "/after": [agent.token]}
