"""Calls that leave this process: which hosts may get the session token; instrumentation of HTTP client libraries.

Comes in: requests as a library is about to send them, redirects and retries included. Goes out: the same requests, with
or without a token, and the record of each that is to be recorded. May import `_capture` and `_config`.

An `OutboundPolicy` decides: where a request goes, which token it may carry, what must not go along. `httpx_transport`,
`requests_adapter` and `aiohttp_middleware` ask it; `otas_middleware.agent` and `otas_middleware.propagate` share them.
"""

from __future__ import annotations

import enum
import sys
from base64 import b64encode
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._config.origins import locate
from otas_middleware._errors import OtasError, report_internal_error, swallowing
from otas_middleware._runtime import SharedWeakSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otas_middleware._capture import Capture
    from otas_middleware._capture.body import Chunk
    from otas_middleware._config.origins import Location

    RawHeaders = list[tuple[bytes, bytes]]

_TOKEN_NAME = TOKEN_HEADER.lower().encode()
_KEY_NAMES = frozenset({b"x-otas-agent-key", b"x-otas-sdk-key"})
_OUR_NAMES = _KEY_NAMES | {_TOKEN_NAME}


class Scope(enum.Enum):
    """Which part of the world a request goes to, and so what it may carry."""

    INSIDE = "inside"
    """To a host that gets the session token."""
    OUTSIDE = "outside"
    """To any other host: no token, no key."""
    EXEMPT = "exempt"
    """To OTAS itself, or nothing is to be done at all: left as it is, and not recorded."""


class OutgoingRequest(NamedTuple):
    """A request that is about to be sent, as far as recording needs it."""

    library: str
    """`httpx2`, `httpx`, `requests` or `aiohttp`."""
    method: str
    location: Location
    headers: RawHeaders


class OutboundPolicy(Protocol):
    """Decides for each request, at the moment it is sent; no method but `token` may block, none may raise."""

    may_wait: bool
    """Whether `token` may block, so that an event loop asks it in a thread."""
    exclusive: bool
    """Whether the headers of OTAS are this policy's alone: it replaces tokens inside, and takes any token or key out
    outside. Otherwise it leaves a token that the caller set, and takes out only what `secrets` says."""

    def scope(self, scheme: str, host: bytes, port: int | None, target: bytes) -> Scope:
        """Return where a request goes (see `Domain.covers` for the arguments)."""
        ...

    def token_at_hand(self) -> str | None:
        """Return the token for a request inside if there is one already."""
        ...

    def token(self) -> str | None:
        """Return the token for a request inside, getting one first where that is needed; None if there is none."""
        ...

    def secrets(self, scope: Scope) -> Secrets:
        """Return what must not be in the head of a request in such a scope: keys, and tokens if it is outside."""
        ...

    def begin(self, outgoing: OutgoingRequest) -> Capture | None:
        """Start the record of a request outside, or return None when it is not to be recorded."""
        ...


_policies: SharedWeakSet[OutboundPolicy] = SharedWeakSet()


def register(policy: OutboundPolicy) -> None:
    """Have the other policies of this process leave the tokens alone that this one sends."""
    _policies.add(policy)


class Layer:
    """What stands around a client's own transport or adapter, for one policy."""

    inner: Any
    policy: OutboundPolicy


_OF_A_LAYER = frozenset(("inner", "policy", "_only"))
"""What a layer has itself."""


def innermost(layer: Any) -> Any:
    """Return what sends, whatever layers are around it."""
    while isinstance(layer, Layer):
        layer = layer.inner
    return layer


def has_layer(layer: Any, policy: OutboundPolicy) -> bool:
    """Return whether one of the layers is this policy's."""
    while isinstance(layer, Layer):
        if layer.policy is policy:
            return True
        layer = layer.inner
    return False


def without_layer(layer: Any, policy: OutboundPolicy) -> Any:
    """Take this policy's layer out from among the others; return the outermost that is left, or what sends."""
    above: Layer | None = None
    found = layer
    while isinstance(found, Layer):
        if found.policy is policy:
            if vars(found).keys() - _OF_A_LAYER:
                return layer  # a tracer, say, has put something of its own there
            if above is None:
                return found.inner
            above.inner = found.inner
            return layer
        above, found = found, found.inner
    return layer


def confirmed(policy: OutboundPolicy, location: Location, raw: RawHeaders) -> Scope:
    """Return the scope of a request to a host inside: it is outside if its `Host` header names one that is.

    That header is the authority of what is asked for (RFC 9110, section 7.2); a server passes the request on by it.

    Args:
        policy: Has said that what is connected to is inside.
        location: Where the request goes.
        raw: Its headers.
    """
    scheme, host, port, target = location
    authority = host if port is None else b"%b:%d" % (host, port)
    for name, value in raw:
        if len(name) == 4 and name.lower() == b"host" and value != authority:
            named = None if _NO_AUTHORITY.intersection(value) else locate(f"{scheme}://{value.decode('latin-1')}")
            if named is None or policy.scope(scheme, named.host, named.port, target) is not Scope.INSIDE:
                return Scope.OUTSIDE
    return Scope.INSIDE


_NO_AUTHORITY = frozenset(b"/?#@")


class Secrets:
    """Texts that must not be in the head of a request.

    Args:
        values: The texts.
    """

    __slots__ = ("_forms", "_values", "shortest")

    def __init__(self, values: Iterable[str]) -> None:
        self._values = tuple(value.encode("latin-1", "ignore") for value in values if value)
        self._forms: tuple[bytes, ...] = ()
        self.shortest = min(map(len, self._values), default=sys.maxsize)
        """What has fewer bytes than this holds none of them: true of almost all headers, and quickly seen."""

    def are_in(self, data: bytes) -> bool:
        """Return whether one of them is in there, as it is or in base64, as the password of a URL is sent."""
        if len(data) < self.shortest:
            return False
        self._forms = self._forms or tuple(form for value in self._values for form in (value, *_in_base64(value)))
        return any(form in data for form in self._forms)


def _in_base64(value: bytes) -> Iterator[bytes]:
    """Yield what base64 makes of a text for certain, whatever stands before and behind it."""
    for lead in range(3):
        coded = b64encode(bytes(lead) + value)
        yield coded[(0, 2, 3)[lead] : len(coded) - (0, 3, 2)[(lead + len(value)) % 3]]


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
    """Return whether nothing of OTAS is anywhere in a request's head: true of almost all requests."""
    if secrets.are_in(target):
        return False
    shortest = secrets.shortest
    for name, value in raw:
        if name.lower() in _OUR_NAMES:
            return False
        if (len(value) >= shortest or len(name) >= shortest) and (secrets.are_in(value) or secrets.are_in(name)):
            return False
    return True


def clean(policy: OutboundPolicy, scope: Scope, raw: RawHeaders, location: Location, token: str | None) -> RawHeaders:
    """Return a request's headers without what must not go there; a token is still to be put in.

    Args:
        policy: Says what is secret.
        scope: What it makes of where the request goes.
        raw: Its headers.
        location: Where it goes.
        token: The token that is to be put in; without one, a token that the caller set stays inside.

    Raises:
        SecretInUrlError: The URL holds what must not go there.
    """
    secrets = policy.secrets(scope)
    names: frozenset[bytes] = frozenset()
    if policy.exclusive:
        _, host, _, target = location
        if secrets.are_in(target):
            raise SecretInUrlError(host.decode("latin-1"))
        stays = token is None if scope is Scope.INSIDE else _has_anothers_token(policy, raw, location)
        names = _KEY_NAMES if stays else _OUR_NAMES
    return [
        (name, value)
        for name, value in raw
        if name.lower() not in names and not secrets.are_in(value) and not secrets.are_in(name)
    ]


def _has_anothers_token(policy: OutboundPolicy, raw: RawHeaders, location: Location) -> bool:
    """Say whether the one token in a request is another policy's, which sends it there, where it belongs."""
    tokens = [value.decode("latin-1") for name, value in raw if name.lower() == _TOKEN_NAME]
    if len(tokens) != 1:
        return False
    return any(
        other.token_at_hand() == tokens[0]
        and other.scope(*location) is Scope.INSIDE
        and confirmed(other, location, raw) is Scope.INSIDE
        for other in _policies
        if other is not policy
    )


def head_for(
    policy: OutboundPolicy, scope: Scope, raw: RawHeaders, location: Location, token: str | None
) -> RawHeaders | None:
    """Return the headers that a request is to be sent with, or None when it is sent with those it has.

    Args:
        policy: Says what is secret, and whose the headers of OTAS are.
        scope: Inside or outside.
        raw: The request's headers; not changed.
        location: Where it goes.
        token: What a request inside is to carry, in place of any other; None leaves the caller's.

    Raises:
        SecretInUrlError: The URL holds what must not go there.
    """
    if is_clean(raw, location[3], policy.secrets(scope)):
        return None if token is None else [*raw, _entry(token)]
    if token is not None and not policy.exclusive and has_token(raw):
        token = None
    headers = clean(policy, scope, raw, location, token)
    if token is None:
        return headers
    return [*(header for header in headers if header[0].lower() != _TOKEN_NAME), _entry(token)]


def has_token(raw: RawHeaders) -> bool:
    """Return whether a request has a token already."""
    return _TOKEN_NAME in [name.lower() for name, _ in raw]


def _entry(token: str) -> tuple[bytes, bytes]:
    return TOKEN_HEADER.encode(), token.encode("latin-1")


def note_request(call: Capture, data: Chunk) -> None:
    """Note a piece of a recorded call's request body."""
    try:
        if not call.finished:
            call.request.add(data)
    except Exception:
        report_internal_error("outbound.request")


def ended(call: Capture) -> None:
    """Note that a recorded call ended well, unless it has ended already."""
    if not call.finished:
        call.ended()
        call.finish()


@swallowing("outbound.failed")
def failed(call: Capture | None, error: BaseException) -> None:
    """Note what a recorded call ended with, unless it has ended already.

    Args:
        call: The record; None when there is none.
        error: What is on its way to the caller.
    """
    if call is not None and not call.finished:
        call.failed(error)
        call.finish()
