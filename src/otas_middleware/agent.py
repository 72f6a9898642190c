"""The agent's side of OTAS: one object that gives an agent its session, its HTTP clients and its record.

```python
from otas_middleware.agent import AgentSession

with AgentSession(project_domain="https://api.example.com", meta={"task": "refund 42"}) as session:
    http = session.client()                        # an httpx.Client
    http.get("https://api.example.com/orders/42")  # inside the domain: carries the session token
    http.post("https://api.openai.com/v1/…")       # outside: the request is untouched, and logged to Brain afterwards
```

Calls inside the domain are recorded by the middleware of the backend that they reach; calls outside it by this module.
The token goes to no other host than those of the domain, the agent key only to Brain and UASAM.
"""

from __future__ import annotations

import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload
from uuid import uuid4

from otas_middleware._agent import Core
from otas_middleware._agent.clients import HttpClients
from otas_middleware._agent.tools import Tool, ToolRun, enclosing
from otas_middleware._agent.uasam import MissingAgentKeyError, SessionError
from otas_middleware._outbound import SecretInUrlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Unpack

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._config.types import CommonOptions
    from otas_middleware._event import BackendEvent, Envelope

__all__ = ["AgentSession", "LoggedEvent", "MissingAgentKeyError", "SecretInUrlError", "SessionError", "ToolRun"]


_F = TypeVar("_F", bound="Callable[..., Any]")


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event that Brain has stored.

    Attributes:
        event_id: The id under which Brain keeps it.
        session_id: The session that it belongs to.
        event: The event as it was sent: redacted, with our own id in `metadata["event_id"]`.
    """

    event_id: str
    session_id: str
    event: BackendEvent


class AgentSession(HttpClients):
    """An agent's session with OTAS, as a context manager (also `async with`) or for the life of the process.

    Entering it creates the session and says clearly if that fails. Without `with`, the session is created at first
    use; while there is none to be had, the agent's calls go out as they are, and one line is logged. A forked process
    gets a session of its own. A session is renewed before it ends.

    Args:
        project_domain: Origins inside the project: `https://api.example.com`; `https://*.example.com` for sub-domains;
            `https://example.com/api/*` for a part. `OTAS_PROJECT_DOMAIN` when left out.
        meta: What UASAM is to keep of the session: any JSON object.
        on_logged: Called with each event that Brain has stored, in a delivery thread. May be set later.
        settings: Complete settings; the environment is not read then.
        **options: Any other setting of `otas_middleware.OtasSettings`: `agent_key`, `brain_url` and `uasam_url`
            (`http://localhost:8000` when nothing sets it) above all.

    Raises:
        ConfigurationError: A setting cannot be used, or `meta` is not a JSON object.
    """

    def __init__(
        self,
        project_domain: str | Iterable[str] | None = None,
        *,
        meta: Mapping[str, Any] | None = None,
        on_logged: Callable[[LoggedEvent], object] | None = None,
        settings: OtasSettings | None = None,
        **options: Unpack[CommonOptions],
    ) -> None:
        keywords: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        if project_domain is not None:
            keywords["project_domain"] = project_domain if isinstance(project_domain, str) else tuple(project_domain)
        self.on_logged = on_logged
        self._core = Core(_settings(settings, keywords), meta, _teller(self))
        super().__init__(self._core)

    # ---- its life

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await _in_thread(self.open)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def open(self) -> None:
        """Create the session now, if there is none; `with` does this. Does nothing with `OTAS_ENABLED=0`.

        Raises:
            MissingAgentKeyError: There is no agent key.
            SessionError: UASAM gave no session; the message says why and what to do.
        """
        core = self._core
        if core.settings.enabled:
            core.require_key()
            if core.closed:
                core.closed = False
                self._instrument_again()
            core.manager.require()

    def close(self) -> None:
        """Deliver what was logged, within `shutdown_timeout`, and close the clients that were made here.

        A client that cannot be closed is named in the log, and keeps nothing else from happening.
        Clients that were made elsewhere go on as if they had never been instrumented. Asynchronous clients are closed
        by `aclose`.
        """
        try:
            self._close_clients()
        finally:
            self._end()

    async def aclose(self) -> None:
        """Close as `close` does, and asynchronous clients too. Being cancelled does not cut it short."""
        from anyio import CancelScope  # noqa: PLC0415  # comes with httpx; asyncio and trio

        with CancelScope(shield=True):
            try:
                await self._aclose_clients()
            finally:
                await _in_thread(self.close)

    def _end(self) -> None:
        if not self._core.closed:
            self._core.closed = True
            self._uninstrument()
            self.flush(self._core.settings.shutdown_timeout)

    def flush(self, timeout: float = 2.0) -> bool:
        """Wait until everything logged so far has been delivered, spooled or counted as lost.

        Args:
            timeout: The longest wait, in seconds.

        Returns:
            False when the time was up first, or while there is no session.
        """
        return self._core.exporter.flush(timeout)

    def stats(self) -> dict[str, Any]:
        """Return the delivery counters of all sessions of this process that have the same settings."""
        return self._core.exporter.stats()

    @property
    def session_id(self) -> str | None:
        """The id of the current session; None while there is none."""
        session = self._core.manager.at_hand()
        return None if session is None else session.session_id

    @property
    def agent_id(self) -> str | None:
        """The agent's id; None while there is no session."""
        session = self._core.manager.at_hand()
        return None if session is None else session.agent_id

    def __repr__(self) -> str:
        return f"<AgentSession {self.session_id or 'not created'}>"

    # ---- what is not HTTP, or not seen

    @overload
    def tool(self, name: str | None = None, /, **arguments: object) -> Tool: ...
    @overload
    def tool(self, name: _F, /) -> _F: ...
    def tool(self, name: str | Callable[..., Any] | None = None, /, **arguments: object) -> Tool | Callable[..., Any]:
        """Record a tool's run, as a context manager (also `async with`) or as a decorator.

        ```python
        @session.tool  # or @session.tool("search")
        def search(query: str) -> list[str]: ...

        with session.tool("search", query="shoes") as run:
            run.result = ["…"]
        ```

        Arguments and result are recorded as JSON (`max_body_bytes` each, redacted), with duration and exception. What
        happens within a run, calls outside the domain and other tools, carries its event id as `metadata.parent_id`.

        Args:
            name: The tool's name; a decorated function's own when left out, or when this is the function.
            **arguments: What a `with` block is to record as the arguments.

        Raises:
            TypeError: A generator function is decorated.
        """
        if callable(name):
            return self.tool()(name)
        settings = self._core.settings
        return Tool(
            name, arguments, self._core.note, limit=settings.max_body_bytes, with_traceback=settings.capture_traceback
        )

    def log(
        self,
        method: str,
        url: str,
        *,
        status_code: int,
        latency_ms: float,
        error: str = "",
        request_headers: Mapping[str, str] | None = None,
        response_headers: Mapping[str, str] | None = None,
        custom_properties: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> str:
        """Log a call that was made in a way that nothing here can see.

        Args:
            method: The HTTP method, or another word for what was done (at most 20 characters).
            url: The URL, or a path.
            status_code: The answer's status; 0 when nobody answered.
            latency_ms: How long it took, in milliseconds.
            error: What went wrong; filled in for a status of 400 and above.
            request_headers: Sent headers; redacted.
            response_headers: Received headers; redacted.
            custom_properties: Any JSON: the model or tool that was used, and so on.
            metadata: Any JSON, in addition to what is put there.
            **fields: Any other field of `otas_middleware.BackendEvent`, such as `request_body`.

        Returns:
            Our id of the event (`metadata.event_id`).
        """
        from otas_middleware._agent.events import described  # noqa: PLC0415  # heavy

        if custom_properties is not None:
            fields["custom_properties"] = dict(custom_properties)
        if metadata is not None:
            fields["metadata"] = dict(metadata)
        headers = {"request_headers": request_headers, "response_headers": response_headers}
        return self.log_event(
            described(method, url, headers, status_code=status_code, latency_ms=latency_ms, error=error, **fields)
        )

    def log_event(self, event: BackendEvent) -> str:
        """Log an event; it is redacted and made to fit, and `metadata` gets what it lacks.

        Args:
            event: The event; it is left as it is.

        Returns:
            Our id of the event (`metadata.event_id`).
        """
        from otas_middleware._event import milliseconds  # noqa: PLC0415  # heavy

        event_id = str(uuid4())
        self._core.note(event, event_id, enclosing(), time.time() - milliseconds(event.latency_ms) / 1000)
        return event_id


def _settings(settings: OtasSettings | None, keywords: dict[str, Any]) -> OtasSettings:
    from otas_middleware._config.sources import load_settings  # noqa: PLC0415  # pydantic, when there is a session

    if settings is None:
        return load_settings(keywords)
    return settings.replace(**keywords) if keywords else settings


def _teller(session: AgentSession) -> Callable[[Envelope, str], None]:
    """Return what tells a session's `on_logged`, without keeping the session alive."""
    reference = weakref.ref(session)

    def tell(envelope: Envelope, event_id: str) -> None:
        alive = reference()
        if alive is not None and alive.on_logged is not None:
            alive.on_logged(LoggedEvent(event_id, envelope.session_id, envelope.event))

    return tell


async def _in_thread(function: Callable[[], None]) -> None:
    from anyio import to_thread  # noqa: PLC0415  # comes with httpx; asyncio and trio

    await to_thread.run_sync(function, abandon_on_cancel=True)
