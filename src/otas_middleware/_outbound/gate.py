"""What a tap asks before it lets a request out: where it goes, which token it may carry, whether to record it."""

from __future__ import annotations

import enum
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, Protocol

from otas_middleware._errors import OtasError
from otas_middleware._session import TOKEN_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otas_middleware._capture import Capture

    RawHeaders = list[tuple[bytes, bytes]]

KEY_HEADERS = ("X-OTAS-AGENT-KEY", "X-OTAS-SDK-KEY")
_TOKEN_NAME = TOKEN_HEADER.lower().encode()
_KEY_NAMES = frozenset(name.lower().encode() for name in KEY_HEADERS)
_OUR_NAMES = _KEY_NAMES | {_TOKEN_NAME}
_OURS = b"x-otas-"
"""What all of them begin with."""


class Place(enum.Enum):
    """Where a request goes."""

    INSIDE = "inside"
    """To a host that gets the session token."""
    OUTSIDE = "outside"
    """To any other host: no token, no key."""
    OURS = "ours"
    """To OTAS itself, or nothing is to be done at all: left as it is, and not recorded."""


class Outgoing(NamedTuple):
    """A request that is about to be sent, as far as recording needs it."""

    library: str
    """`httpx2`, `httpx` or `requests`."""
    method: str
    scheme: str
    host: str
    port: int | None
    target: bytes
    """Path and query, percent-encoded."""
    headers: RawHeaders


class Gate(Protocol):
    """Decides for each request, at the moment it is sent; no method but `token` may block, none may raise."""

    may_wait: bool
    """Whether `token` may block, so that an event loop asks it in a thread."""
    exclusive: bool
    """Whether the headers of OTAS are this gate's alone: it replaces tokens inside, and takes any token or key out
    outside. Otherwise it leaves a token that the caller set, and takes out only what `secrets` says."""

    def place(self, scheme: str, host: bytes, port: int | None, target: bytes) -> Place:
        """Say where a request goes (see `Domain.covers` for the arguments)."""
        ...

    def token_at_hand(self) -> str | None:
        """Return the token for a request inside if there is one already."""
        ...

    def token(self) -> str | None:
        """Return the token for a request inside, getting one first where that is needed; None if there is none."""
        ...

    def secrets(self, place: Place) -> tuple[bytes, ...]:
        """Return what must not be in the head of a request to such a place: keys, and tokens if it is outside."""
        ...

    def begin(self, outgoing: Outgoing) -> Capture | None:
        """Start the record of a request outside, or return None when it is not to be recorded."""
        ...


class SecretInUrlError(OtasError):
    """A request has a session token or a key in its URL and does not go where that may go; it was not sent.

    A header can be left out without changing what is asked for; a URL cannot. The message does not hold the secret.
    """

    def __init__(self, host: str) -> None:
        super().__init__(
            f"The URL of a request to {host} holds an OTAS session token or key, which must not go there; the request "
            "was not sent. Take the secret out of the URL. (Tokens go to the project's domain only, keys to Brain "
            "and UASAM only.)"
        )


def is_clean(headers: Iterable[tuple[bytes, ...]], target: bytes, secrets: Iterable[bytes]) -> bool:
    """Say whether nothing of OTAS is anywhere in a request's head, at little cost: true of almost all requests."""
    text = b"\n".join(chain.from_iterable(headers))
    for secret in secrets:
        if secret in text or secret in target:
            return False
    return _OURS not in text.lower()


def clean(gate: Gate, place: Place, raw: RawHeaders, target: bytes, host: bytes, token: str | None) -> RawHeaders:
    """Return a request's headers without what must not go to a place; a token is still to be put in.

    Args:
        gate: Says what is secret.
        place: Where the request goes.
        raw: Its headers.
        target: Path and query.
        host: The host, for the error.
        token: The token that is to be put in; without one, a token that the caller set stays inside.

    Raises:
        SecretInUrlError: The URL holds what must not go there.
    """
    secrets = gate.secrets(place)
    names: frozenset[bytes] = frozenset()
    if gate.exclusive:
        for secret in secrets:
            if secret in target:
                raise SecretInUrlError(host.decode("latin-1"))
        names = _KEY_NAMES if place is Place.INSIDE and token is None else _OUR_NAMES
    return [
        (name, value)
        for name, value in raw
        if name.lower() not in names and not any(secret in value for secret in secrets)
    ]


def has_token(raw: RawHeaders) -> bool:
    """Say whether a request has a token already."""
    return _TOKEN_NAME in [name.lower() for name, _ in raw]
