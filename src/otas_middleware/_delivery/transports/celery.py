"""Handing events to Celery: what a message holds, and the attempt that publishes it.

A message is the redacted event as JSON, the session token (encrypted with `OTAS_SPOOL_KEY` if there is one), and the
name of the destination. It does not hold any key: workers have their own settings.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Literal, cast

from otas_middleware._delivery.protocols import Outcome, Verdict
from otas_middleware._delivery.queue import QueueItem
from otas_middleware._delivery.token_cipher import UnsealError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery.token_cipher import TokenCipher
    from otas_middleware._event.model import Envelope

TASK = "otas_middleware.deliver"
"""The task's name, by which workers find it."""

VERSION = 1
"""Of the message's form. Workers leave messages of a later version to later workers."""

_BROKER = "Check the Celery application's broker_url, and that the broker is up."


class MessageError(Exception):
    """A message that this worker cannot read. The text says why and holds nothing of it."""


def encode(entry: QueueItem, envelope: Envelope, destination: str, cipher: TokenCipher | None) -> dict[str, object]:
    """Return the message for an entry, ready for Celery's JSON serializer."""
    token = envelope.token if cipher is None else cipher.cipher(envelope.token).decode()
    return {
        "version": VERSION,
        "destination": destination,
        "event": envelope.event.to_json().decode(),
        "token": token,
        "sealed": cipher is not None,
        "session_id": envelope.session_id,
        "agent_id": envelope.agent_id,
        "source": envelope.source,
        "failures": entry.failures,
        "failed_at": None,
    }


def decode(message: dict[str, Any], cipher: TokenCipher | None) -> QueueItem:
    """Return the entry of a message.

    Raises:
        MessageError: It is not one of ours, or its token was encrypted with another key.
    """
    from otas_middleware._event.model import BackendEvent, Envelope  # noqa: PLC0415  # pydantic, in the worker only

    if message.get("version") != VERSION:
        raise MessageError("it has another version")
    token = str(message["token"])
    if message["sealed"]:
        if cipher is None:
            raise MessageError("its token is encrypted and OTAS_SPOOL_KEY is not set")
        try:
            token = cipher.unseal(token.encode())
        except UnsealError:
            raise MessageError("its token was encrypted with another OTAS_SPOOL_KEY") from None
    try:
        event = BackendEvent.model_validate_json(message["event"])
    except ValueError:
        raise MessageError("it holds no event") from None
    source: Literal["backend", "agent"] = "agent" if message["source"] == "agent" else "backend"
    envelope = Envelope(event, token, str(message["session_id"]), str(message["agent_id"]), source)
    entry = QueueItem(envelope=envelope, weight=0)
    entry.failures = int(message["failures"])
    return entry


class CeleryAttempt:
    """Publishes one message for each entry, over a broker connection of its own. For one thread.

    Where the broker can confirm (RabbitMQ), the confirmation is waited for.

    Args:
        destination: The name of the destination that the workers are to deliver to.
        settings: Where the Celery application is, and the queue.
        cipher: Encrypts the token.
    """

    def __init__(self, destination: str, settings: OtasSettings, cipher: TokenCipher | None) -> None:
        self._destination = destination
        self._settings = settings
        self._cipher = cipher
        self._app = load_app(settings)
        self._connection: Any = None
        self._producer: Any = None

    def __call__(self, entry: QueueItem, timeout: float) -> Outcome:
        envelope = entry.envelope
        if envelope is None:  # pragma: no cover  # the exporter builds first
            return Outcome(Verdict.REJECTED, "not_built")
        message = encode(entry, envelope, self._destination, self._cipher)
        event_id = envelope.event.metadata.get("event_id")
        fresh = self._producer is None
        published = self._publish(message, str(event_id), timeout)
        if not published and not fresh:  # the connection had gone stale
            published = self._publish(message, str(event_id), timeout)
            return Outcome(Verdict.DELIVERED, "published", resent=True) if published else self._away(sent=True)
        return Outcome(Verdict.DELIVERED, "published") if published else self._away(sent=False)

    def use_waits(self, look_ahead: Callable[[], QueueItem | None]) -> None:
        """Do nothing: kombu keeps its waits to itself."""

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            connection.release()

    def _publish(self, message: dict[str, object], event_id: str, timeout: float) -> bool:
        kombu = cast("Any", importlib.import_module("kombu"))
        try:
            self._open(kombu, timeout)
            self._app.send_task(
                TASK,
                args=(message,),
                producer=self._producer,
                queue=self._settings.celery_queue,
                serializer="json",
                delivery_mode="persistent",
                ignore_result=True,
                retry=False,
                headers={"otas_event_id": event_id},
            )
        except (kombu.exceptions.OperationalError, OSError):
            self.close()
            return False
        except Exception as error:
            connection = self._connection
            if connection is None or not isinstance(error, connection.connection_errors + connection.channel_errors):
                raise
            self.close()
            return False
        return True

    def _open(self, kombu: Any, timeout: float) -> None:
        if self._producer is not None:
            return
        seconds = min(timeout, self._settings.request_timeout)
        connection = self._app.connection_for_write(connect_timeout=min(seconds, self._settings.connect_timeout))
        driver = connection.transport.driver_type
        options: dict[str, object] = {}
        if driver == "amqp":
            options = {"confirm_publish": True, "read_timeout": seconds, "write_timeout": seconds}
        elif driver == "redis":
            options = {"socket_timeout": seconds, "socket_connect_timeout": self._settings.connect_timeout}
        connection.transport_options = {**options, **connection.transport_options}
        self._connection = connection
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=seconds)
        self._producer = kombu.Producer(connection)

    @staticmethod
    def _away(*, sent: bool) -> Outcome:
        return Outcome(Verdict.UNAVAILABLE, "broker_unavailable", _BROKER, ambiguous=sent)


def load_app(settings: OtasSettings) -> Any:
    """Import the user's Celery application.

    Raises:
        ImportError: The path leads nowhere.
    """
    module, _, name = (settings.celery_app or "").partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ImportError(f"OTAS_CELERY_APP: there is no {part!r} in {module}") from None
    return found
