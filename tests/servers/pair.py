"""The same application twice in the same server: with the middleware and bare."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from servers.process import start
from servers.wire import Call
from support.agent import Agent

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from otas_middleware.localbrain import LocalBrain, StoredEvent
    from servers.catalogue import Combination
    from servers.process import Running
    from servers.wire import Reply

ARRIVAL_SECONDS = 10.0


class Pair:
    """Two servers that should not be told apart, and the events of the first one.

    Attributes:
        combination: The server and the application.
        wrapped: The server whose application has the middleware.
        bare: The server whose application has not.
    """

    def __init__(self, combination: Combination, brain: LocalBrain, wrapped: Running, bare: Running) -> None:
        self.combination = combination
        self.wrapped = wrapped
        self.bare = bare
        self._brain = brain
        self._expected: dict[str, int] = {}

    def agent(self) -> Agent:
        """Return an agent with a session of its own, whose one request to the first server is to be recorded."""
        agent = Agent(self._brain)
        self._expected[agent.session_id] = 1
        return agent

    def both(
        self, method: str, path: str, agent: Agent, body: Sequence[bytes] | None = None, *, chunked: bool = False
    ) -> tuple[Reply, Reply]:
        """Make the agent's request to both servers; return both replies, the bare one second."""
        length = None if body is None or chunked else sum(map(len, body))
        replies: list[Reply] = []
        for server in (self.wrapped, self.bare):
            with Call(server.port, method, path, [agent.header], body, length=length) as call:
                replies.append(call.reply())
        return replies[0], replies[1]

    def event(self, agent: Agent) -> StoredEvent:
        """Wait for the event of the agent's request."""
        deadline = time.monotonic() + ARRIVAL_SECONDS
        while not (events := self._brain.events(agent.session_id)):
            assert time.monotonic() < deadline, f"no event arrived; the server said:\n{self.wrapped.log()[-3000:]}"
            time.sleep(0.01)
        return events[0]

    def wait_for_events(self) -> None:
        """Wait until all events are there: some servers end their process in the middle of a delivery."""
        deadline = time.monotonic() + ARRIVAL_SECONDS
        while self._found() != self._expected and time.monotonic() < deadline:
            time.sleep(0.01)

    def _found(self) -> dict[str, int]:
        return {session: len(self._brain.events(session)) for session in self._expected}

    def check_that_each_request_is_one_event(self) -> None:
        """To be called at the end, when nothing is on its way any more."""
        found = self._found()
        assert found == self._expected, f"not one event for each request to {self.combination}"
        assert len(self._brain.events()) == sum(self._expected.values()), "there are events of nobody's requests"


@contextmanager
def pair_of(combination: Combination, brain: LocalBrain, folder: Path, *more: tuple[str, str]) -> Generator[Pair]:
    """Run both servers as a context.

    Args:
        combination: The server and the application.
        brain: Where the events go; an empty one.
        folder: An empty folder.
        more: More environment variables.
    """
    environ = {"OTAS_SDK_KEY": brain.sdk_key, "OTAS_PROJECT_ID": brain.project_id, "OTAS_BRAIN_URL": brain.url}
    with ExitStack() as stack:
        servers: list[Running] = []
        for bare in (False, True):
            scratch = folder / ("bare" if bare else "wrapped")
            scratch.mkdir()
            added = dict(more) if bare else {**environ, **dict(more)}
            starting = start(combination.server, combination.application, scratch, added, bare=bare)
            servers.append(stack.enter_context(starting))
        for server in servers:  # they start side by side
            server.wait_until_serving()
        yield Pair(combination, brain, *servers)


def fresh_name() -> str:
    """Return a name that no stream has had."""
    return uuid4().hex
