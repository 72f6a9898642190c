"""The pytest plugin of otas_middleware: the fixture `otas_events`.

It stands beside the package, and not in it, so that pytest, which loads the plugins of all installed packages, imports
nothing of ours but this file before a coverage measurement could begin.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from otas_middleware.testing import RecordedEvents

_WITHOUT_KEY = "otas_record_without_key"
_without_key = ExitStack()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tell pytest of our setting."""
    parser.addini(
        _WITHOUT_KEY,
        "Let applications that have no OTAS SDK key record all the same, for the fixture otas_events (default: true).",
        type="bool",
        default=True,
    )


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Act before the first import of an application: a middleware decides when it is made whether it is off."""
    if early_config.getini(_WITHOUT_KEY):
        from otas_middleware._runtime import runtime  # noqa: PLC0415  # see above

        _without_key.enter_context(runtime.replaced(record_without_key=True))


def pytest_unconfigure() -> None:
    """Leave nothing behind, where pytest was called as a function."""
    _without_key.close()


@pytest.fixture
def otas_events() -> Generator[RecordedEvents]:
    """Record agent requests of this test in memory, without a thread and without a network.

    Send `otas_events.headers` with a request, then ask `otas_events.one(path=..., status_code=...)` for its event.
    Nothing leaves the process; see `otas_middleware.testing`.
    """
    from otas_middleware.testing import record_events  # noqa: PLC0415  # see above

    with record_events() as events:
        yield events
