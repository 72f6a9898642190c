"""What the system allows the process of the tests, for a moment."""

from __future__ import annotations

import contextlib
import resource
from typing import TYPE_CHECKING

import otas_middleware

if TYPE_CHECKING:
    from collections.abc import Generator


@contextlib.contextmanager
def no_descriptor_left() -> Generator[None]:
    """Let the process open nothing in the block; what is open stays.

    What other tests have recorded is delivered before, or their exporters would take Brain for away.
    """
    otas_middleware.flush(2.0)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
