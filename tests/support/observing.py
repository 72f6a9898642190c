"""What the harnesses' views do to see, and to use, the session that they serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import otas_middleware as otas

if TYPE_CHECKING:
    from collections.abc import Iterator

STEPS = 3
"""How many chunks an observing stream has."""


def observe(place: str) -> str:
    """Leave a property and a checkpoint, and return the id of the current session, or `none`."""
    otas.annotate(**{place: True})
    otas.checkpoint(place, seen=place)
    session = otas.current_session()
    return "none" if session is None else session.session_id


def observing_stream() -> Iterator[bytes]:
    """Yield lines that say what is observed while the response is being sent."""
    for step in range(STEPS):
        yield f"{observe(f'step {step}')}\n".encode()
