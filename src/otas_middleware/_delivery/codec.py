"""How an event looks outside of this process: as a record in the disk queue, and as a message for Celery.

Both hold the redacted event as JSON and the session token, which is encrypted with `OTAS_SPOOL_KEY` (Fernet, extra
`encryption`) if there is one. Neither holds any key. What comes back may be anything: it is checked before it is used.
"""

from __future__ import annotations

import base64
import importlib.util
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from otas_middleware._delivery.protocols import is_header_value
from otas_middleware._delivery.queue_item import QueueItem, built
from otas_middleware._errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

    from otas_middleware._event import Envelope, EventSource

VERSION = 1
"""Of the message's form. Workers leave messages of a later version to later workers."""

_MOST_FAILURES = 1_000_000


class UnreadableError(ValueError):
    """A record or message that cannot be read. The text says why and holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Record:
    """One event as it leaves the process."""

    body: bytes = field(repr=False)
    token: str = field(repr=False)
    session_id: str
    agent_id: str
    source: str
    failures: int = 0
    possibly_stored: bool = False


def record_of(item: QueueItem, envelope: Envelope) -> Record:
    """Return the record of an event and of what has been learnt about it."""
    from otas_middleware._event import storable  # noqa: PLC0415  # pydantic, in the worker only

    return Record(
        envelope.event.to_json(),
        envelope.token,
        storable(envelope.session_id),  # anybody can make a token, and its claims hold any text
        storable(envelope.agent_id),
        envelope.source,
        item.failures,
        item.possibly_stored,
    )


def item_of(record: Record, row: int | None = None) -> QueueItem:
    """Return the item of a record.

    Raises:
        UnreadableError: It holds no event.
    """
    from otas_middleware._event import BackendEvent, Envelope  # noqa: PLC0415  # pydantic, in the worker only

    try:
        event = BackendEvent.model_validate_json(record.body)
    except ValueError:
        raise UnreadableError("it holds no event") from None
    if not math.isfinite(event.latency_ms):  # Brain stores it, and no analytics answer can be read from then on
        raise UnreadableError("its latency is no number")
    source: EventSource = "agent" if record.source == "agent" else "backend"
    envelope = Envelope(event, record.token, record.session_id, record.agent_id, source)
    item = built(envelope)
    if row is not None:
        item.row, item.seq = row, -row
    item.failures = record.failures
    item.possibly_stored = record.possibly_stored
    item.attempts = int(record.possibly_stored or record.failures > 0)
    return item


def message_of(record: Record, destination: str, cipher: TokenCipher | None) -> dict[str, object]:
    """Return the message of a record for one destination, ready for Celery's JSON serializer."""
    token, sealed = protect(record.token, cipher)
    return {
        "version": VERSION,
        "destination": destination,
        "event": record.body.decode(),
        "token": token.decode(),
        "sealed": sealed,
        "session_id": record.session_id,
        "agent_id": record.agent_id,
        "source": record.source,
        "failures": record.failures,
        "failed_at": None,
    }


@dataclass(frozen=True, slots=True)
class Message:
    """What a Celery message says."""

    item: QueueItem
    destination: str
    failures: int
    failed_at: float | None
    """Unix seconds of the first failure that may be the event's own; None when there was none."""


def read_message(message: object, cipher: TokenCipher | None) -> Message:
    """Return what a message says, whatever somebody put into the queue.

    Raises:
        UnreadableError: It is not one of ours, or its token was encrypted with another key.
    """
    if not isinstance(message, dict):
        raise UnreadableError("it is no object")
    fields = cast("dict[str, Any]", message)
    if fields.get("version") != VERSION:
        raise UnreadableError("it has another version")
    body, token, destination = (_text(fields, name) for name in ("event", "token", "destination"))
    session_id, agent_id, source = (_text(fields, name) for name in ("session_id", "agent_id", "source"))
    failures, failed_at = fields.get("failures"), fields.get("failed_at")
    if type(failures) is not int or not 0 <= failures <= _MOST_FAILURES:
        raise UnreadableError("its count of failures is no small number")
    if failed_at is not None and (isinstance(failed_at, bool) or not isinstance(failed_at, int | float)):
        raise UnreadableError("its time of failure is no number")
    try:
        token = reveal(token.encode(), cipher, sealed=bool(fields.get("sealed")))
        record = Record(body.encode(), token, session_id, agent_id, source, failures)
    except UnicodeError:
        raise UnreadableError("it holds what is no text") from None
    if not is_header_value(token):
        raise UnreadableError("its token cannot be sent in a header")
    return Message(item_of(record), destination, failures, failed_at)


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise UnreadableError(f"its {name} is no text")
    return value


def protect(token: str, cipher: TokenCipher | None) -> tuple[bytes, bool]:
    """Return a token as it may be written down, and whether it is encrypted."""
    return (token.encode(), False) if cipher is None else (cipher.encrypt(token), True)


def reveal(token: bytes, cipher: TokenCipher | None, *, sealed: bool) -> str:
    """Return the token that was written down.

    Raises:
        UnreadableError: It was encrypted with a key that is not ours, or it is no text.
    """
    if not sealed:
        try:
            return token.decode()
        except UnicodeError:
            raise UnreadableError("its token is no text") from None
    if cipher is None:
        raise UnreadableError("its token is encrypted and OTAS_SPOOL_KEY is not set")
    return cipher.decrypt(token)


class TokenCipher:
    """Encrypts with the first key, decrypts with any.

    Args:
        keys: Fernet keys separated by commas: 32 bytes each, in URL-safe base64. Put a new one in front to change it.

    Raises:
        ConfigurationError: A key is not a Fernet key. The message does not hold it.
        MissingExtraError: The package `cryptography` is not installed.
    """

    def __init__(self, keys: str) -> None:
        self._keys = [key.strip() for key in keys.split(",") if key.strip()]
        for key in self._keys:
            _check(key)
        if importlib.util.find_spec("cryptography") is None:
            raise MissingExtraError("OTAS_SPOOL_KEY", "encryption")
        self._fernet: MultiFernet | None = None

    def encrypt(self, text: str) -> bytes:
        """Encrypt."""
        return self._open().encrypt(text.encode())

    def decrypt(self, data: bytes) -> str:
        """Decrypt.

        Raises:
            UnreadableError: None of the keys fits.
        """
        from cryptography.fernet import InvalidToken  # noqa: PLC0415  # in the worker only

        try:
            return self._open().decrypt(data).decode()
        except (InvalidToken, UnicodeError):  # keys that begin alike have the signature in common
            raise UnreadableError("its token was encrypted with another OTAS_SPOOL_KEY") from None

    def _open(self) -> MultiFernet:
        if self._fernet is None:
            from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415  # in the worker only

            self._fernet = MultiFernet([Fernet(key) for key in self._keys])
        return self._fernet


def _check(key: str) -> None:
    try:
        good = len(base64.urlsafe_b64decode(key)) == 32
    except ValueError:
        good = False
    if not good:
        raise ConfigurationError(
            "otas_middleware: OTAS_SPOOL_KEY is not a Fernet key; make one with "
            'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
        ) from None
