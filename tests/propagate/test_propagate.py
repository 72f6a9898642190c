"""A backend's own calls carry its caller's token to the listed hosts, and to no other."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from agent.callers import BODIES, BOUNDARY, TLS, How, bare
from agent.host import redirects
from otas_middleware import propagate
from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware.agent import AgentSession
from propagate.backend import ask, ask_asynchronously, ask_synchronously
from support.agent import Agent

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.callers import Caller
    from agent.host import Host
    from otas_middleware import OtasSettings
    from otas_middleware.localbrain import LocalBrain


def test_only_a_listed_host_gets_the_callers_token(
    caller: Caller, backend: OtasSettings, agent: Agent, listed: Host, unlisted: Host
) -> None:
    def handler() -> None:
        for host in (listed, unlisted):
            assert caller.call(propagate.instrument, "GET", host.url + "/stock").status == 200

    ask_synchronously(backend, agent, handler)
    assert listed.one().header(TOKEN_HEADER) == [agent.token]
    assert b"otas" not in unlisted.one().raw.lower()


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_but_for_the_token_requests_are_the_same_byte_for_byte(
    caller: Caller, backend: OtasSettings, agent: Agent, listed: Host, unlisted: Host, body: dict[str, Any]
) -> None:
    def handler() -> None:
        for host in (listed, unlisted):
            for instrument in (bare, propagate.instrument):
                caller.call(instrument, "POST", host.url + "/stock?a=1", **body)

    ask_synchronously(backend, agent, handler)
    line = f"{TOKEN_HEADER}: {agent.token}\r\n".encode()
    without, ours = (BOUNDARY.sub(b"", request.raw) for request in listed.requests)
    assert ours.replace(line, b"") == without != ours
    without, ours = (BOUNDARY.sub(b"", request.raw) for request in unlisted.requests)
    assert ours == without


def test_a_redirect_to_another_host_loses_the_token_and_back_gets_it_again(
    caller: Caller, backend: OtasSettings, agent: Agent, listed: Host, unlisted: Host
) -> None:
    listed.on("/out", redirects(unlisted.url + "/there"))
    unlisted.on("/there", redirects(listed.url + "/back"))

    def handler() -> None:
        assert caller.call(propagate.instrument, "GET", listed.url + "/out", How(follow=True)).status == 200

    ask_synchronously(backend, agent, handler)
    assert unlisted.one().header(TOKEN_HEADER) == []
    assert [request.header(TOKEN_HEADER) for request in listed.requests] == [[agent.token], [agent.token]]


@pytest.mark.parametrize("outermost", ["propagate", "session"])
def test_a_client_of_a_backends_own_agent_passes_the_callers_token_on_too(
    caller: Caller, backend: OtasSettings, agent: Agent, listed: Host, unlisted: Host, brain: LocalBrain, outermost: str
) -> None:
    with AgentSession(agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url) as session:

        def instrument(client: Any) -> Any:
            if outermost == "propagate":
                return propagate.instrument(session.instrument(client))
            return session.instrument(propagate.instrument(client))

        def handler() -> None:
            for host in (listed, unlisted):
                caller.call(instrument, "GET", host.url)

        ask_synchronously(backend, agent, handler)
    assert listed.one().header(TOKEN_HEADER) == [agent.token]
    assert unlisted.one().header(TOKEN_HEADER) == []


def test_a_token_copied_to_another_host_by_hand_is_taken_out(
    caller: Caller, backend: OtasSettings, agent: Agent, unlisted: Host
) -> None:
    headers = {TOKEN_HEADER: agent.token, "X-Kept": "yes"}

    def handler() -> None:
        caller.call(propagate.instrument, "GET", unlisted.url, headers=headers)

    ask_synchronously(backend, agent, handler)
    assert unlisted.one().header(TOKEN_HEADER) == []
    assert unlisted.one().header("x-kept") == ["yes"]


def test_a_token_of_the_backends_own_stays_as_it_is(
    caller: Caller, backend: OtasSettings, agent: Agent, listed: Host, unlisted: Host
) -> None:
    def handler() -> None:
        for host in (listed, unlisted):
            caller.call(propagate.instrument, "GET", host.url, headers={TOKEN_HEADER: "its.own.token"})

    ask_synchronously(backend, agent, handler)
    assert listed.one().header(TOKEN_HEADER) == unlisted.one().header(TOKEN_HEADER) == ["its.own.token"]


def test_where_no_agent_asks_nothing_is_changed(
    caller: Caller, backend: OtasSettings, listed: Host, unlisted: Host
) -> None:
    def handler() -> None:
        for host in (listed, unlisted):
            caller.call(propagate.instrument, "GET", host.url, headers={TOKEN_HEADER: "its.own.token"})
            caller.call(propagate.instrument, "GET", host.url)

    ask_synchronously(backend, None, handler)
    handler()
    for host in (listed, unlisted):
        assert [request.header(TOKEN_HEADER) for request in host.requests] == [["its.own.token"], []] * 2


def test_origins_can_be_given_in_code(
    caller: Caller, settings: OtasSettings, agent: Agent, listed: Host, unlisted: Host
) -> None:
    instrument = partial(propagate.instrument, to=[listed.url])

    def handler() -> None:
        for host in (listed, unlisted):
            caller.call(lambda client: instrument(instrument(client)), "GET", host.url)
        assert propagate.headers_for(listed.url, to=listed.url) == {TOKEN_HEADER: agent.token}

    ask_synchronously(settings, agent, handler)
    assert listed.one().header(TOKEN_HEADER) == [agent.token]
    assert unlisted.one().header(TOKEN_HEADER) == []


def test_headers_for_says_what_any_other_library_should_send(
    backend: OtasSettings, agent: Agent, listed: Host, unlisted: Host
) -> None:
    def handler() -> None:
        assert propagate.headers_for(listed.url + "/stock?a=1") == {TOKEN_HEADER: agent.token}
        assert propagate.headers_for(unlisted.url) == {}
        assert propagate.headers_for("not a url") == {}

    ask_synchronously(backend, agent, handler)
    assert propagate.headers_for(listed.url) == {}


# ---- hooks of httpx


def test_a_hook_of_httpx_does_the_same_across_redirects(
    backend: OtasSettings, agent: Agent, listed: Host, unlisted: Host
) -> None:
    listed.on("/out", redirects(unlisted.url + "/there"))

    def handler() -> None:
        hooks: dict[str, list[Callable[..., Any]]] = {"request": [propagate.httpx_hook]}
        with httpx2.Client(event_hooks=hooks, follow_redirects=True, trust_env=False, verify=TLS) as http:
            http.get(listed.url + "/out")
            http.get(listed.url + "/own", headers={TOKEN_HEADER: "its.own.token"})

    ask_synchronously(backend, agent, handler)
    assert unlisted.one().header(TOKEN_HEADER) == []
    assert [request.header(TOKEN_HEADER) for request in listed.requests] == [[agent.token], ["its.own.token"]]


def test_an_asynchronous_hook_of_httpx_does_the_same(
    backend: OtasSettings, agent: Agent, listed: Host, unlisted: Host
) -> None:
    async def handler() -> None:
        hooks: dict[str, list[Callable[..., Any]]] = {"request": [propagate.async_httpx_hook]}
        async with httpx2.AsyncClient(event_hooks=hooks, trust_env=False, verify=TLS) as http:
            await http.get(listed.url)
            await http.get(unlisted.url)

    ask(backend, agent, handler)
    assert listed.one().header(TOKEN_HEADER) == [agent.token]
    assert unlisted.one().header(TOKEN_HEADER) == []


# ---- tasks and threads


def fetch(host: Host) -> None:
    """Call a host from wherever this runs."""
    with propagate.instrument(httpx2.Client(trust_env=False, verify=TLS)) as http:
        http.get(host.url)


def test_tasks_and_worker_threads_of_a_handler_pass_its_token_on(
    backend: OtasSettings, agent: Agent, listed: Host
) -> None:
    async def in_a_task() -> None:
        async with propagate.instrument(httpx2.AsyncClient(trust_env=False, verify=TLS)) as http:
            await http.get(listed.url)

    async def handler() -> None:
        await asyncio.gather(in_a_task(), asyncio.create_task(in_a_task()), asyncio.to_thread(fetch, listed))

    ask(backend, agent, handler)
    assert [request.header(TOKEN_HEADER) for request in listed.requests] == [[agent.token]] * 3


def test_a_task_keeps_the_token_when_the_response_is_finished(
    backend: OtasSettings, agent: Agent, listed: Host
) -> None:
    async def run() -> None:
        answered = asyncio.Event()
        tasks: list[asyncio.Task[None]] = []

        async def afterwards() -> None:
            await answered.wait()
            await asyncio.to_thread(fetch, listed)

        async def handler() -> None:
            tasks.append(asyncio.create_task(afterwards()))

        await ask_asynchronously(backend, agent, handler)
        answered.set()
        await tasks[0]

    asyncio.run(run())
    assert listed.one().header(TOKEN_HEADER) == [agent.token]


def test_threads_and_executors_get_the_token_carried(backend: OtasSettings, agent: Agent, listed: Host) -> None:
    def handler() -> None:
        thread = threading.Thread(target=propagate.carry(fetch), args=(listed,))
        thread.start()
        thread.join()
        with ThreadPoolExecutor(2) as executor:
            list(executor.map(propagate.carry(fetch), [listed, listed]))
            executor.submit(fetch, listed).result()  # not carried

    ask_synchronously(backend, agent, handler)
    assert [request.header(TOKEN_HEADER) for request in listed.requests] == [[agent.token]] * 3 + [[]]


def test_what_was_carried_keeps_its_token_within_another_request(
    backend: OtasSettings, agent: Agent, brain: LocalBrain, listed: Host
) -> None:
    other = Agent(brain)
    carried: list[Callable[[str], dict[str, str]]] = [propagate.carry(propagate.headers_for)]

    def inner() -> None:
        assert propagate.headers_for(listed.url) == {TOKEN_HEADER: other.token}

    def run() -> None:
        of_nobody, of_agent = carried
        assert of_nobody(listed.url) == {}
        assert of_agent(listed.url) == {TOKEN_HEADER: agent.token}
        assert propagate.headers_for(listed.url) == {TOKEN_HEADER: other.token}
        # A request that is made within has its own.
        propagate.carry(lambda: ask_synchronously(backend, other, inner))()

    ask_synchronously(backend, agent, lambda: carried.append(propagate.carry(propagate.headers_for)))
    ask_synchronously(backend, other, run)


def test_requests_that_are_handled_at_once_never_mix_their_tokens(
    backend: OtasSettings, brain: LocalBrain, listed: Host
) -> None:
    agents = [Agent(brain) for _ in range(10)]

    async def run() -> None:
        async with propagate.instrument(httpx2.AsyncClient(trust_env=False, verify=TLS)) as http:

            async def handler(number: int) -> None:
                await asyncio.sleep(0.001 * (10 - number))
                await http.get(f"{listed.url}/{number}")

            await asyncio.gather(
                *(ask_asynchronously(backend, each, partial(handler, number)) for number, each in enumerate(agents))
            )

    asyncio.run(run())
    sent = {request.target: request.header(TOKEN_HEADER) for request in listed.requests}
    assert sent == {f"/{number}": [each.token] for number, each in enumerate(agents)}


# ---- settings


def test_without_a_middleware_the_environment_says_which_hosts(listed: Host) -> None:
    code = (
        "import sys\n"
        "from types import SimpleNamespace\n"
        "from otas_middleware import propagate\n"
        "request = SimpleNamespace(x_otas_agent_session_token='a.b.c', is_eager=False)\n"
        "propagate._starting(SimpleNamespace(request=request))\n"  # as Celery does where a task runs
        "print(propagate.headers_for(sys.argv[1]), propagate.headers_for('http://127.0.0.1:1'))\n"
    )
    for value, expected in ((listed.url, f"{{'{TOKEN_HEADER}': 'a.b.c'}} {{}}"), ("nonsense", "{} {}")):
        ended = subprocess.run(
            [sys.executable, "-c", code, listed.url + "/x"],
            env={**os.environ, "OTAS_PROPAGATE_TO": value},
            capture_output=True,
            text=True,
            check=True,
        )
        assert ended.stdout.strip() == expected
        assert ("OTAS_PROPAGATE_TO" in ended.stderr) == (value == "nonsense")


def test_a_thing_that_is_no_client_is_refused() -> None:
    with pytest.raises(TypeError, match="headers_for"):
        propagate.instrument(object())


def test_an_origin_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not an origin"):
        propagate.instrument(httpx2.Client(verify=TLS), to="inventory.internal")
