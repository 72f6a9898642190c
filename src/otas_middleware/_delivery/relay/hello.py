"""What a host says of itself when it connects: its version, its environment, and the settings that cross."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from msgspec import DecodeError
from pydantic import SecretStr

from otas_middleware._delivery.relay import packets, trust
from otas_middleware._delivery.relay.packets import decode, encode

if TYPE_CHECKING:
    from otas_middleware._config.settings import OtasSettings

_STAY = frozenset(
    {
        "before_send",
        "celery_app",
        "destinations",
        "durability",
        "on_loss",
        "operation_protocols",
        "project_domain",
        "propagate_to",
        "relay",
        "relay_batch",
        "relay_log",
        "session_secret",
        "should_record",
        "stats_interval",
    }
)
"""Settings that mean something only where the request is: callables, the secret that signs tokens, the way here."""


def builds_here(settings: OtasSettings) -> str:
    """Return which setting makes the host build its events, which are handed over finished; "" for none."""
    if settings.before_send is not None:
        return "before_send"
    return "operation_protocols" if settings.operation_protocols else ""


def setting_against_relay(settings: OtasSettings) -> str:
    """Return which setting keeps delivery in the host altogether; "" for none."""
    if settings.transport == "celery" or ":" in settings.transport:
        return f"transport={settings.transport}"
    return "destinations" if settings.destinations else ""


def hello(settings: OtasSettings) -> bytes:
    """Return what introduces a host with these settings."""
    crossing = {name: _plain(getattr(settings, name)) for name in sorted(settings.model_fields_set - _STAY)}
    certificates = {name: os.fsencode(value) for name, value in trust.environment().items()}
    trusting = settings.session_secret is not None
    agreed = certificates if _uses_tls(settings) else None
    return encode((packets.PROTOCOL, os.getpid(), agreed, trusting, crossing))


def _uses_tls(settings: OtasSettings) -> bool:
    urls = [settings.brain_url, settings.uasam_url, settings.session_jwks_url]
    if settings.agnost_org_id is not None:
        urls.append(settings.agnost_url)
    return any(url is not None and url.startswith("https:") for url in urls)


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Path):
        return os.fsencode(value.absolute())  # the relay has another directory, and perhaps another locale
    return str(value) if isinstance(value, UUID) else value


class RefusedError(Exception):
    """A host cannot be served; the text says why."""


class Introduced(NamedTuple):
    """What a hello says.

    Attributes:
        pid: The host's process.
        key: What tells its settings from others.
        settings: Those.
        trusting: It has checked the signature of each token.
    """

    pid: int
    key: bytes
    settings: OtasSettings
    trusting: bool


def introduced(meta: memoryview) -> Introduced:
    """Return what a hello says.

    Raises:
        RefusedError: It is another version, or its settings cannot be used here.
    """
    from otas_middleware._config.settings import OtasSettings  # noqa: PLC0415  # pydantic, when there is a host
    from otas_middleware._errors import ConfigurationError  # noqa: PLC0415  # as above

    try:
        protocol, pid, certificates, trusting, values = decode(meta)
    except (DecodeError, ValueError, TypeError):
        raise RefusedError("its hello cannot be read") from None
    if protocol != packets.PROTOCOL:
        raise RefusedError(f"the relay is {packets.PROTOCOL}, and it is {protocol}")
    try:
        _adopt(certificates)
        key = encode((bool(trusting), values))
        values.update({name: Path(os.fsdecode(it)) for name, it in values.items() if isinstance(it, bytes)})
        return Introduced(int(pid), key, OtasSettings(**values), bool(trusting))
    except (ConfigurationError, TypeError, ValueError) as error:
        raise RefusedError(f"its settings cannot be used: {error}") from None


def _adopt(certificates: dict[str, bytes] | None) -> None:
    """Use the authorities of a host that sends over TLS; those of the relay's own environment, if it names any, stay.

    Raises:
        RefusedError: Another host's are in use: a process has but one set.
    """
    if certificates is None:
        return
    for name in trust.ENVIRONMENT:
        wanted = os.fsdecode(certificates[name]) if name in certificates else None
        if wanted is not None and name not in os.environ:
            os.environ[name] = _adopted[name] = wanted
        elif (wanted is not None and os.environ[name] != wanted) or (wanted is None and name in _adopted):
            raise RefusedError(f"{name} is {os.environ[name]} in the relay, and {wanted or 'not set'} here")


_adopted: dict[str, str] = {}
"""What hosts have brought with them."""
