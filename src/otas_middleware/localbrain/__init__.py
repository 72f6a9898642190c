"""The local Brain: what `otas-middleware brain` runs, and what tests run in their own process.

Here its parts are put together, and run in a background thread of this process.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from otas_middleware._config.origins import in_url
from otas_middleware._errors import MissingExtraError

try:
    from otas_middleware.localbrain.app import assemble
    from otas_middleware.localbrain.runner import Runner
except ModuleNotFoundError as error:
    if error.name not in {"starlette", "uvicorn"}:
        raise
    raise MissingExtraError("The local Brain", "brain") from None
from otas_middleware.localbrain.faults import Fault, Faults, Mode
from otas_middleware.localbrain.page.http import check_reach
from otas_middleware.localbrain.schema import AgnostEvent, AgnostSession, StoredEvent, StoredSession
from otas_middleware.localbrain.tokens import SESSION_LIFETIME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from otas_middleware.localbrain.app import Parts

__all__ = ["AgnostEvent", "AgnostSession", "Fault", "Faults", "LocalBrain", "Mode", "StoredEvent", "StoredSession"]

_POLL_SECONDS = 0.01
_ANY = ("0.0.0.0", "::")  # noqa: S104  # not to be named in a URL


@dataclass(frozen=True, slots=True)
class ProjectAccess:
    """A project and a key to it."""

    project_id: str
    sdk_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AgentAccess:
    """An agent and a key of it."""

    agent_id: str
    agent_key: str = field(repr=False)


class LocalBrain:
    """A Brain, a UASAM and an Agnost on one loopback port, in a thread of this process.

    ```python
    with LocalBrain() as brain:
        token = brain.create_session({"task": "refund 42"})
        ...  # let something post to brain.url with brain.sdk_key and the token
        assert brain.wait_for_events(1)[0]["path"] == "/orders/42"
    ```

    Its methods may be called from any thread. What it does wrong on request is in `faults`.

    Args:
        port: Where to listen; 0 chooses a free port, which it keeps over `close` and `start`.
        host: A loopback address or `localhost`; with an access token any address.
        allow_hosts: Further names under which it may be addressed, such as that of its container.
        access_token: What has to be shown to see what is stored: by the page once, by programs as
            `Authorization: Bearer`. Posting events needs no more than keys. At least 16 characters.
        db: The SQLite file that keeps keys and events; None keeps them until `close`.
        slow_ms: How long each event waits before it is handled, in milliseconds.
        fail_rate: The share of events that are answered `500 event_capture_failed`, from 0 to 1.
        down_after: After how many stored events it goes down.
        keep_alive: How long an idle connection stays open, in seconds (2 under gunicorn, for ever under runserver).
        on_events: Called on the server's thread with the events that were just stored. They are rows of
            `schema.EVENT_COLUMNS`; `store.named` gives them names.
        on_refused: Called on the server's thread with the reason whenever an event cannot be stored.

    Raises:
        ConfigurationError: `host` is not a loopback address, and there is no access token.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        allow_hosts: Sequence[str] = (),
        access_token: str | None = None,
        db: Path | str | None = None,
        slow_ms: float = 0.0,
        fail_rate: float = 0.0,
        down_after: int | None = None,
        keep_alive: int = 75,
        on_events: Callable[[Sequence[tuple[object, ...]]], None] | None = None,
        on_refused: Callable[[str], None] | None = None,
    ) -> None:
        check_reach(host, access_token)
        self.faults = Faults(slow_ms=slow_ms, fail_rate=fail_rate, down_after=down_after)
        self.port = port
        self._host = host
        self._hosts = [in_url(host), *allow_hosts]
        self._access_token = access_token
        self._db = None if db is None else Path(db)
        self._keep_alive = keep_alive
        self._on_events = on_events or _ignore
        self._on_refused = on_refused or _ignore
        self._started: Parts | None = None
        self._running = ExitStack()

    def start(self) -> None:
        """Open the store and the port; returns when requests are answered.

        Raises:
            ConfigurationError: The port is taken, or the file is not a local Brain's.
        """
        with ExitStack() as running:
            runner = Runner(self._host, self.port, self.faults, keep_alive=self._keep_alive)
            callbacks = self._on_events, self._on_refused
            parts = assemble(self._db, self.faults, runner.drop, self._hosts, self._access_token, *callbacks)
            running.callback(parts.store.close)
            runner.start(parts.app)
            running.callback(runner.stop)
            self.port = runner.port
            self._started = parts
            self._running = running.pop_all()

    def close(self) -> None:
        """Answer what is in flight, stop, and close the store. Closing twice does nothing."""
        self._running.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The address of Brain, UASAM and Agnost, without a trailing slash."""
        name = self._hosts[0] if self._host not in _ANY else next(iter(self._hosts[1:]), "127.0.0.1")
        return f"http://{name}:{self.port}"

    @property
    def sdk_key(self) -> str:
        """The first project's backend SDK key."""
        return self._parts.credentials.sdk_key

    @property
    def agent_key(self) -> str:
        """The first agent's key."""
        return self._parts.credentials.agent_key

    @property
    def project_id(self) -> str:
        """The first project's id."""
        return self._parts.credentials.project_id

    @property
    def agent_id(self) -> str:
        """The first agent's id."""
        return self._parts.credentials.agent_id

    @property
    def agnost_org_id(self) -> str:
        """The organisation that Agnost's endpoints know."""
        return self._parts.credentials.agnost_org_id

    @property
    def user_token(self) -> str:
        """A token for the analytics endpoints, valid for 30 days (`X-OTAS-USER-TOKEN`)."""
        now = int(time.time())
        return self.sign({"user_id": self._parts.credentials.user_id, "iat": now, "exp": now + SESSION_LIFETIME})

    def environment(self, *, agnost: bool = False) -> dict[str, str]:
        """Return the variables that point an application, and an agent, at this Brain.

        Args:
            agnost: Whether to add those that send the events to Agnost as well.
        """
        variables = {
            "OTAS_SDK_KEY": self.sdk_key,
            "OTAS_PROJECT_ID": self.project_id,
            "OTAS_BRAIN_URL": self.url,
            "OTAS_UASAM_URL": self.url,
            "OTAS_AGENT_KEY": self.agent_key,
        }
        if agnost:
            variables |= {"OTAS_AGNOST_ORG_ID": self.agnost_org_id, "OTAS_AGNOST_URL": self.url}
        return variables

    def create_session(self, meta: object = None, *, agent_id: str | None = None) -> str:
        """Create a session, as UASAM's endpoint does, and return its token.

        Args:
            meta: What the agent says of the session, any JSON.
            agent_id: The agent; the first one when left out.

        Raises:
            KeyError: There is no such agent.
        """
        agent = self._parts.directory.agent(agent_id or self.agent_id)
        if agent is None:
            raise KeyError(agent_id)
        return self._parts.uasam.new_session(agent, {} if meta is None else meta)

    def sign(self, claims: Mapping[str, object]) -> str:
        """Return a signed token with any claims, such as an expired session's.

        Args:
            claims: The token's payload.
        """
        return self._parts.tokens.issue(claims)

    def session_id(self, token: str) -> str:
        """Return the session of a token that `create_session` or `sign` made.

        Args:
            token: The token.

        Raises:
            ValueError: The token is not valid.
        """
        session = self._parts.tokens.session(token)
        if session is None:
            raise ValueError("not a valid session token of this Brain")
        return session.session_id

    def add_project(self, name: str = "Another project") -> ProjectAccess:
        """Make another project with an SDK key.

        Args:
            name: What the project is called.
        """
        project = self._parts.directory.add_project(name)
        return ProjectAccess(project.id, self._parts.directory.add_key("sdk", project.id))

    def add_agent(
        self, name: str = "Another agent", *, project_id: str | None = None, prefix: str | None = None
    ) -> AgentAccess:
        """Make another agent with a key.

        Args:
            name: Its name.
            project_id: Its project; the first one when left out.
            prefix: The prefix of its key. With an underscore in it the key is useless, as in the real UASAM.
        """
        agent = self._parts.directory.add_agent(project_id or self.project_id, name)
        return AgentAccess(agent.id, self._parts.directory.add_key("agent", agent.id, prefix))

    def revoke(self, key: str) -> None:
        """Make a key invalid for good. Tokens of sessions that it created stay valid.

        Args:
            key: An SDK key or an agent key.
        """
        self._parts.directory.revoke(key)

    def events(self, session_id: str | None = None) -> list[StoredEvent]:
        """Return the stored events in the order of their arrival.

        Args:
            session_id: The session whose events are wanted; those of all when left out.
        """
        return self._parts.store.events(session_id)

    def wait_for_events(self, count: int, *, session_id: str | None = None, timeout: float = 10.0) -> list[StoredEvent]:
        """Wait until so many events are stored, and return all.

        Args:
            count: How many, at least.
            session_id: Count only those of this session.
            timeout: How long to wait, in seconds.

        Raises:
            TimeoutError: There are fewer; the message lists those that came.
        """
        deadline = time.monotonic() + timeout
        while self._parts.store.count_events(session_id) < count and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        events = self.events(session_id)
        if len(events) < count:
            came = ", ".join(f"{event['method']} {event['path']} {event['status_code']}" for event in events)
            raise TimeoutError(f"{len(events)} of {count} events within {timeout} s: {came or 'none'}")
        return events

    def sessions(self) -> list[StoredSession]:
        """Return the sessions that were created, oldest first."""
        return self._parts.store.sessions()

    def agnost_sessions(self) -> list[AgnostSession]:
        """Return what Agnost's `capture-session` took, in the order of arrival."""
        return self._parts.store.agnost_sessions()

    def agnost_events(self) -> list[AgnostEvent]:
        """Return what Agnost's `capture-event` took, in the order of arrival."""
        return self._parts.store.agnost_events()

    def clear(self) -> None:
        """Delete all events and sessions; projects, agents, keys and faults stay."""
        self._parts.store.clear()

    @property
    def _parts(self) -> Parts:
        if self._started is None:
            raise RuntimeError("this LocalBrain has not been started: use it in a with block, or call start()")
        return self._started


def _ignore(_: object) -> None:
    pass
