"""Delivery through another process: the host hands each request over in one packet, the relay builds and sends.

`delivery` is the host's side (`client`, `link`, `batch`), `server` the relay's (`tenant`); `packets` and `hello` are
what both speak, `trust` says whom either believes, `start` finds or starts a host's relay. Here is what a client tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

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
