"""What must not go along: the session token outside the domain, keys anywhere but to Brain and UASAM."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._errors import OtasError
from otas_middleware._outbound.gate import Place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otas_middleware._outbound.gate import Gate, RawHeaders

_TOKEN_NAME = TOKEN_HEADER.lower().encode()
_KEY_NAMES = frozenset({b"x-otas-agent-key", b"x-otas-sdk-key"})
OUR_NAMES = _KEY_NAMES | {_TOKEN_NAME}
"""The names of the headers that hold secrets of OTAS, in lower case."""


class Secrets:
    """Texts that must not be in the head of a request.

    Args:
        values: The texts.
    """

    __slots__ = ("_values", "shortest")

    def __init__(self, values: Iterable[str]) -> None:
        self._values = tuple(value.encode("latin-1", "ignore") for value in values if value)
        self.shortest = min(map(len, self._values), default=sys.maxsize)
        """What has fewer bytes than this holds none of them: true of almost all headers, and quickly seen."""

    def are_in(self, data: bytes) -> bool:
        """Say whether one of them is in there."""
        if len(data) >= self.shortest:
            for value in self._values:
                if value in data:
                    return True
        return False


NOTHING = Secrets(())


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


def is_clean(raw: RawHeaders, target: bytes, secrets: Secrets) -> bool:
    """Say whether nothing of OTAS is anywhere in a request's head: true of almost all requests."""
    if secrets.are_in(target):
        return False
    shortest = secrets.shortest
    for name, value in raw:
        if name.lower() in OUR_NAMES:
            return False
        if (len(value) >= shortest or len(name) >= shortest) and (secrets.are_in(value) or secrets.are_in(name)):
            return False
    return True


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
        if secrets.are_in(target):
            raise SecretInUrlError(host.decode("latin-1"))
        names = _KEY_NAMES if place is Place.INSIDE and token is None else OUR_NAMES
    return [
        (name, value)
        for name, value in raw
        if name.lower() not in names and not secrets.are_in(value) and not secrets.are_in(name)
    ]


def has_token(raw: RawHeaders) -> bool:
    """Say whether a request has a token already."""
    return _TOKEN_NAME in [name.lower() for name, _ in raw]
