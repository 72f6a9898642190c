"""Recorders that end with a test: those whose Brain is in trouble would go on trying after it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from otas_middleware._runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Generator

    from otas_middleware import OtasSettings


@contextmanager
def own_recorder(settings: OtasSettings, **changes: Any) -> Generator[OtasSettings]:
    """Give settings that no other test has, and with them a recorder of its own; end it after the block."""
    own = settings.replace(project_id=uuid4(), **changes)
    try:
        yield own
    finally:
        recorder = runtime.recorders.pop(own, None)
        if recorder is not None:
            recorder.pipeline.close(0)
