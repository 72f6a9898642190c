"""A finished capture on its way to another process: what it consists of, and the equal one that is made there.

Beside the state go the session's token, of which the session is read again, the bodies' bytes as they are, and what the
application gave (`path_params`, `custom_properties`, `checkpoints`), which may be anything and is looked at first
(`_delivery.relay.packets`).
"""

from __future__ import annotations

from functools import lru_cache
from operator import attrgetter
from typing import Any

from otas_middleware._capture import Capture
from otas_middleware._capture.body import BoundedBody
from otas_middleware._capture.session import SessionInfo, read_claims, session_in
from otas_middleware._capture.values import CapturedException

AS_THEY_ARE = (
    "_end",
    "_first_byte",
    "_started",
    "_t0",
    "captured_at",
    "complete",
    "disconnected",
    "event_id",
    "framework",
    "method",
    "opaque",
    "parent_id",
    "path",
    "query_string",
    "reason",
    "request_headers",
    "response_headers",
    "route",
    "sampled_out",
    "status_code",
)
"""The attributes of a capture that are plain values. Its clock's readings mean something only between themselves."""

_BODY = len(BoundedBody.STATE)

state_of = attrgetter(
    "session.verified",
    "exception",
    *(f"{body}.{name}" for body in ("request", "response") for name in BoundedBody.STATE),
    *AS_THEY_ARE,
)
"""Returns of a finished capture what an equal one needs, beside the token, the bodies' bytes and what the application
gave."""


class CarriedCapture(Capture):
    """A capture that was finished in another process.

    Args:
        token: The session's token.
        state: What `state_of` returned there, perhaps as lists.
        request: What is kept of the request body, joined.
        response: Those of the response body.

    Raises:
        ValueError: It is no such state.
        TypeError: As above.
    """

    __slots__ = ()

    def __init__(self, token: str, state: Any, request: bytes, response: bytes) -> None:
        verified, exception, *rest = state
        super().__init__(_nowhere, _session(token, verified), 0, with_traceback=False)
        self.exception = None if exception is None else CapturedException(*exception)
        self.request = BoundedBody.restored(rest[:_BODY], request)
        self.response = BoundedBody.restored(rest[_BODY : 2 * _BODY], response)
        for name, value in zip(AS_THEY_ARE, rest[2 * _BODY :], strict=True):
            setattr(self, name, value)
        self.finished = True


@lru_cache(maxsize=1024)
def _session(token: str, verified: bool) -> SessionInfo:  # noqa: FBT001  # cached, and called from one place
    """Return the session of a token that has been admitted, the same object for all its captures.

    Raises:
        ValueError: It is no token that could have been admitted.
    """
    session = session_in(read_claims(token) or {}, token, verified=verified)
    if session is None:
        raise ValueError("a session token that names no session")
    return session


def _nowhere(_: Capture) -> None:
    """Take a capture that has been taken already."""
