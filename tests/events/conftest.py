"""What all tests of events have in common."""

from __future__ import annotations

import pytest

from otas_middleware._event.redact import redactor_for


@pytest.fixture(scope="module", autouse=True)
def _redactors_are_made_anew() -> None:
    """Let each module's tests make the redactors that they use: nothing is decided before them."""
    redactor_for.cache_clear()
