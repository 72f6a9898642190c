"""What the examples say of the middleware: that it is one line, and that they run without any configuration."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
import pytest

from otas_middleware._cli.demo.environment import (
    APPLICATIONS,
    HELP_DESK,
    KNOWLEDGE_BASE,
    ORDERS,
    Application,
    Launcher,
    address,
)
from otas_middleware._cli.demo.processes import Children, Interruptions

EXAMPLES = Path(__file__).parents[2] / "examples"
ORDERS_LINE = ["app.add_middleware(OtasMiddleware)"]
CHECKPOINT = ["import otas_middleware as otas", 'otas.checkpoint("placed", items=len(order.items))']
"""One example also names a moment within a request, which needs no middleware of its own."""


@pytest.mark.parametrize(
    ("application", "lines"),
    [
        (ORDERS, [*CHECKPOINT[:1], "from otas_middleware.asgi import OtasMiddleware", *ORDERS_LINE, *CHECKPOINT[1:]]),
        (KNOWLEDGE_BASE, ["from otas_middleware.flask import Otas", "Otas(app)"]),
        (HELP_DESK, ['"otas_middleware.django.OtasMiddleware",']),
    ],
    ids=lambda value: value.framework if isinstance(value, Application) else "",
)
def test_the_middleware_is_one_line_beside_its_import(application: Application, lines: list[str]) -> None:
    programs = (EXAMPLES / application.folder).rglob("*.py")
    code = [line.strip() for program in programs for line in program.read_text().splitlines()]
    assert [line for line in code if re.search("(?i)otas", line) and "example of" not in line] == lines


@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda application: application.framework)
def test_without_configuration_it_runs_and_says_once_that_nothing_is_recorded(
    application: Application, tmp_path: Path
) -> None:
    with Children(Interruptions(), tmp_path) as children:
        launcher = Launcher(children, EXAMPLES, tmp_path, {"editor password": "pa55"})
        if preparation := launcher.prepare(application):
            preparation.finished(timeout=30)
        server = launcher.serve(application, {})
        headers = {"X-OTAS-AGENT-SESSION-TOKEN": "a.b.c"}
        path = "/health" if application is ORDERS else "/"
        with httpx2.Client(base_url=address(server), headers=headers, trust_env=False, timeout=20) as client:
            assert [client.get(path).status_code for _ in range(3)] == [200, 200, 200]
    assert server.log.read_text().count("OTAS_SDK_KEY") == 1
