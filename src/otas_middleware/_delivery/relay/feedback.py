"""What a client tells its delivery, and its account of all that it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from otas_middleware._delivery.relay import packets
from otas_middleware._delivery.relay.frames import decode_request

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Collection


class Account(NamedTuple):
    """What became of the events that a client handed over.

    Attributes:
        acknowledged: Delivered, or on disk.
        kept: Not settled yet; this process still has them.
        lost: Dropped by the relay, by reason.
        returned: Given back by a relay that ended, and delivered by this process.
    """

    acknowledged: int
    kept: int
    lost: Counter[str]
    returned: int


class Returned(NamedTuple):
    """An event that a relay took and did not settle before it ended.

    Attributes:
        done: The names of the destinations that are done with it, as far as is known.
    """

    finished: object
    frame: tuple[bytes, ...]
    secret: bytes
    done: frozenset[str]

    def __repr__(self) -> str:
        return "<Returned>"  # the frame holds the session's token

    def item(self) -> object:
        """Return it as it was recorded, with the id that it has at the relay, which may have delivered it."""
        return self.finished or decode_request(packets.read(b"".join(self.frame)), self.secret)


class Feedback:
    """What a client tells; each may be replaced. All are called where the relay's messages are read.

    Attributes:
        returned: Gets each item that the relay did not settle, to be delivered by this process, and the names of the
            destinations that are done with it.
        token: Gets what was found out about a session token, and the token.
        lost: Called after events were dropped by the relay; `RelayClient.account` has the counts.
        stored: Gets an item and the id that the destination gave it.
    """

    def __init__(self, returned: Callable[[Any, Collection[str]], object]) -> None:
        self.returned = returned
        self.token: Callable[[str, str], object] = _ignore
        self.lost: Callable[[], object] = _ignore
        self.stored: Callable[[Any, str], object] = _ignore


def _ignore(*_: object) -> None:
    """Take the place of a hook that nobody has set."""
