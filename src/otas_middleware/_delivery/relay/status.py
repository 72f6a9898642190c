"""Asking a relay how it is."""

from __future__ import annotations

import time
from typing import Any

from otas_middleware._delivery.relay import packets, trust
from otas_middleware._delivery.relay.frames import decode
from otas_middleware._delivery.relay.link import RelayUnavailableError, connect
from otas_middleware._errors import OtasError
from otas_middleware._runtime import monotonic
from otas_middleware._version import __version__

ANSWER_SECONDS = 5.0


class NoRelayError(OtasError):
    """There is no relay, or it does not answer; the text says which."""


def automatic_path() -> str:
    """Return where the relay of `OTAS_RELAY=auto` is, for this user, version and environment."""
    try:
        return str(trust.automatic(__version__))
    except trust.UnsafePlaceError as error:
        raise NoRelayError(f"there is no place for a relay: {error}") from None


def state_of(path: str) -> dict[str, Any]:
    """Return the counters of the relay at a path.

    Raises:
        NoRelayError: There is none, or it does not answer.
    """
    try:
        sock = connect(path)
    except (RelayUnavailableError, trust.UnsafePlaceError) as error:
        raise NoRelayError(f"no relay at {path} ({error}); start one with `otas-middleware relay`") from None
    try:
        sock.send(packets.order(packets.STATUS, b""))
        deadline = monotonic() + ANSWER_SECONDS
        while monotonic() < deadline:
            try:
                packet = sock.recv(packets.MAX_PACKET)
            except BlockingIOError:
                time.sleep(0.005)
                continue
            if packet[:1] == packets.STATE:
                state: dict[str, Any] = decode(memoryview(packet)[packets.MESSAGE_HEAD :])
                return state
            break
    except OSError:
        pass
    finally:
        sock.close()
    raise NoRelayError(f"the relay at {path} does not answer: it hangs, or is another version")
