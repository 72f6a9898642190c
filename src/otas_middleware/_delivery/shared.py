"""One capture on its way to several destinations, built once: all of them get the same event with the same id."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._delivery.protocols import Receipt, Weighted
    from otas_middleware._event.model import Envelope


class Shared:
    """What several queues hold of one item.

    Args:
        item: What the request path left.
        queues: How many they are.
    """

    __slots__ = ("_built", "_error", "_fate", "_item", "_lock", "_open", "_parcel", "_receipt", "_stored_as", "weight")

    def __init__(self, item: Weighted, queues: int) -> None:
        self._item: Weighted | None = item
        self._lock = threading.Lock()
        self._built = False
        self._parcel: Envelope | None = None
        self._error: Exception | None = None
        self.weight = item.weight
        self._receipt: Receipt | None = getattr(item, "receipt", None)
        self._open = queues
        self._fate = self._stored_as = ""

    @property
    def receipt(self) -> Receipt | None:
        """What each queue tells; the item's own is told once, when the last of them has: of a loss if all lost it."""
        return None if self._receipt is None else self._settled

    def _settled(self, fate: str, stored_as: str = "") -> None:
        with self._lock:
            self._open -= 1
            if not self._fate or fate in {"delivered", "spooled"}:
                self._fate = fate
            self._stored_as = self._stored_as or stored_as
            over = not self._open
        if over and self._receipt is not None:
            self._receipt(self._fate, self._stored_as)

    def build(self, build: Callable[[Weighted], Envelope | None]) -> Envelope | None:
        """Return the envelope; the first one to ask builds it.

        Raises:
            Exception: What building raised, for each who asks.
        """
        with self._lock:
            if not self._built and self._item is not None:
                try:
                    self._parcel = build(self._item)
                except Exception as error:  # raised again below, and for the other destinations
                    self._error = error
                self._built = True
                self._item = None
        if self._error is not None:
            raise self._error
        return self._parcel
