"""Notes in the test results what a check was about, for the table in the documentation."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from servers.catalogue import Combination, installed

if TYPE_CHECKING:
    from collections.abc import Callable

_PARAMETERS = ("pair", "served")


@pytest.fixture(autouse=True)
def noted_for_the_table(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Record the check's name, and the server and framework that the test is parametrised with."""
    mark = request.node.get_closest_marker("check")
    if mark is None:
        return
    record_property("check", mark.args[0])
    record_property("python", f"{sys.version_info.major}.{sys.version_info.minor}")
    spec = getattr(request.node, "callspec", None)
    values = [] if spec is None else [spec.params.get(name) for name in _PARAMETERS]
    for each in values:
        if isinstance(each, Combination):
            record_property("server", each.server.name)
            record_property("framework", each.application.framework)
            for role, distributions in {
                "server": each.server.distributions,
                "framework": (each.application.distribution,) if each.application.distribution else (),
            }.items():
                for name in distributions:
                    record_property(f"{role} version", f"{name} {installed(name)}")
