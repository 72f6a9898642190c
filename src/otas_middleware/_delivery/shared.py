"""One capture on its way to several destinations, built once: all of them get the same event with the same id."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._delivery.protocols import Weighted
    from otas_middleware._event.model import Envelope


class Shared:
    """What several queues hold of one item.

    Args:
        item: What the request path left.
    """

    __slots__ = ("_built", "_error", "_item", "_lock", "_parcel", "weight")

    def __init__(self, item: Weighted) -> None:
        self._item: Weighted | None = item
        self._lock = threading.Lock()
        self._built = False
        self._parcel: Envelope | None = None
        self._error: Exception | None = None
        self.weight = item.weight

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
