"""What a tap asks before it lets a request out: where it goes, which token it may carry, whether to record it."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from otas_middleware._capture.capture import Capture
    from otas_middleware._outbound.secrets import Secrets

    RawHeaders = list[tuple[bytes, bytes]]


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

    def secrets(self, place: Place) -> Secrets:
        """Return what must not be in the head of a request to such a place: keys, and tokens if it is outside."""
        ...

    def begin(self, outgoing: Outgoing) -> Capture | None:
        """Start the record of a request outside, or return None when it is not to be recorded."""
        ...
