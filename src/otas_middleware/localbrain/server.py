"""The local Brain as a whole: its parts put together, and run in a background thread of this process."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from otas_middleware.localbrain.app import build_app
from otas_middleware.localbrain.batch import Batch
from otas_middleware.localbrain.directory import Directory, first_credentials
from otas_middleware.localbrain.faults import Faults
from otas_middleware.localbrain.intake import Intake
from otas_middleware.localbrain.runner import Runner
from otas_middleware.localbrain.store import Store
from otas_middleware.localbrain.tokens import TokenAuthority
from otas_middleware.localbrain.uasam import Uasam

if TYPE_CHECKING:
    from types import TracebackType

    from otas_middleware.localbrain.schema import StoredEvent


class LocalBrain:
    """A Brain, a UASAM and an Agnost on one loopback port, in a thread of this process.

    ```python
    with LocalBrain() as brain:
        token = brain.create_session({"task": "refund 42"})
        ...  # let something post to brain.url with brain.sdk_key and the token
        assert brain.events()[0]["path"] == "/orders/42"
    ```

    Args:
        port: Where to listen; 0 chooses a free port.
        host: A loopback address or `localhost`.
        db: The SQLite file that keeps keys and events; None keeps them until `close`.
        slow_ms: How long each event waits before it is handled, in milliseconds.
        fail_rate: The share of events that are answered `500 event_capture_failed`, from 0 to 1.
        down_after: After how many stored events it goes down.
        keep_alive: How long an idle connection stays open, in seconds (gunicorn: 2).

    Raises:
        ConfigurationError: `host` is not a loopback address.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        db: Path | str | None = None,
        slow_ms: float = 0.0,
        fail_rate: float = 0.0,
        down_after: int | None = None,
        keep_alive: int = 75,
    ) -> None:
        self.faults = Faults(slow_ms=slow_ms, fail_rate=fail_rate, down_after=down_after)
        self._runner = Runner(host, port, self.faults, keep_alive=keep_alive)
        self._db = None if db is None else Path(db)
        self._running = ExitStack()

    def start(self) -> None:
        """Open the store and the port; returns when requests are answered.

        Raises:
            ConfigurationError: The port is taken, or the file is not a local Brain's.
        """
        with ExitStack() as running:
            self._store = Store(self._db)
            running.callback(self._store.close)
            self._directory = Directory(self._store)
            self._credentials = first_credentials(self._store, self._directory)
            self.tokens = TokenAuthority(self._credentials.token_secret)
            self._uasam = Uasam(self._store, self._directory, self.tokens)
            batch = Batch(self._store, lambda _: None)
            intake = Intake(self._directory, self.tokens, batch.save, self.faults, lambda _: None)
            app = build_app(intake, self._uasam, self.faults, self._runner.drop, [self._runner.host])
            self._runner.start(app)
            running.callback(self._runner.stop)
            self._running = running.pop_all()

    def close(self) -> None:
        """Answer what is in flight, stop, and close the store. Closing twice does nothing."""
        self._running.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The address of Brain, UASAM and Agnost, without a trailing slash."""
        host = f"[{self._runner.host}]" if ":" in self._runner.host else self._runner.host
        return f"http://{host}:{self._runner.port}"

    @property
    def sdk_key(self) -> str:
        """The first project's backend SDK key."""
        return self._credentials.sdk_key

    @property
    def agent_key(self) -> str:
        """The first agent's key."""
        return self._credentials.agent_key

    @property
    def project_id(self) -> str:
        """The first project's id."""
        return self._credentials.project_id

    @property
    def agent_id(self) -> str:
        """The first agent's id."""
        return self._credentials.agent_id

    def create_session(self, meta: object = None, *, agent_id: str | None = None) -> str:
        """Create a session, as UASAM's endpoint does, and return its token.

        Args:
            meta: What the agent says of the session.
            agent_id: The agent; the first one when left out.

        Raises:
            KeyError: There is no such agent.
        """
        agent = self._directory.agent(agent_id or self.agent_id)
        if agent is None:
            raise KeyError(agent_id)
        return self._uasam.new_session(agent, {} if meta is None else meta)

    def events(self, session_id: str | None = None) -> list[StoredEvent]:
        """Return the stored events in the order of their arrival, of one session or of all."""
        return self._store.events(session_id)

    def clear(self) -> None:
        """Delete all events and sessions; keys stay."""
        self._store.clear()
