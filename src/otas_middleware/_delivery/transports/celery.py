"""The transport `celery`: events are handed to the user's own Celery application as messages (see `codec.py`)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, cast

from otas_middleware._delivery.codec import message_of, record_of
from otas_middleware._delivery.protocols import Outcome, Verdict, load
from otas_middleware._errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery.codec import TokenCipher
    from otas_middleware._delivery.queue_item import QueueItem

TASK = "otas_middleware.deliver"
"""The task's name, by which workers find it."""

_BROKER = "Check the Celery application's broker_url, and that the broker is up."


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

    def prepare(self, item: QueueItem) -> None:
        """Do nothing: a message holds how often it failed, so it is made for each attempt."""

    def __call__(self, item: QueueItem, timeout: float, meanwhile: Callable[[], float] | None = None) -> Outcome:
        del meanwhile
        envelope = item.envelope
        if envelope is None:
            raise ValueError("the event was not built")
        message = message_of(record_of(item, envelope), self._destination, self._cipher)
        event_id = envelope.event.metadata.get("event_id")
        fresh = self._producer is None
        published = self._publish(message, str(event_id), timeout)
        if not published and not fresh:  # the connection had gone stale
            published = self._publish(message, str(event_id), timeout)
            return Outcome(Verdict.DELIVERED, "published", resent=True) if published else self._unavailable(sent=True)
        return Outcome(Verdict.DELIVERED, "published") if published else self._unavailable(sent=False)

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
        self._connection = connection_to_broker(self._app, seconds, min(seconds, self._settings.connect_timeout))
        self._connection.ensure_connection(max_retries=1, interval_start=0, timeout=seconds)
        self._producer = kombu.Producer(self._connection)

    @staticmethod
    def _unavailable(*, sent: bool) -> Outcome:
        return Outcome(Verdict.UNAVAILABLE, "broker_unavailable", _BROKER, ambiguous=sent)


def connection_to_broker(app: Any, timeout: float, connect_timeout: float) -> Any:
    """Return a connection that is not open yet, and that waits for nothing longer than it is told.

    Args:
        app: The Celery application.
        timeout: Seconds for each answer.
        connect_timeout: Seconds for connecting.
    """
    connection = app.connection_for_write(connect_timeout=connect_timeout)
    driver = connection.transport.driver_type
    options: dict[str, object] = {}
    if driver == "amqp":
        options = {"confirm_publish": True, "read_timeout": timeout, "write_timeout": timeout}
    elif driver == "redis":
        options = {"socket_timeout": timeout, "socket_connect_timeout": connect_timeout}
    connection.transport_options = {**options, **connection.transport_options}
    return connection


def load_app(settings: OtasSettings) -> Any:
    """Import the user's Celery application.

    Raises:
        ConfigurationError: The path leads nowhere, or to something else.
    """
    app = load(settings.celery_app or "", "OTAS_CELERY_APP")
    if not hasattr(app, "send_task"):
        raise ConfigurationError(
            f"otas_middleware: the OTAS_CELERY_APP {settings.celery_app!r} is no Celery application."
        )
    return app
