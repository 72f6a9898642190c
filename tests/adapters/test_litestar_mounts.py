"""Litestar's mounts: their template says nothing of what the mounted application made of the path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from litestar import Litestar, asgi, get
from litestar.types import Receive, Scope, Send  # noqa: TC002  # Litestar reads the annotations
from starlette.responses import PlainTextResponse

from otas_middleware.asgi import OtasMiddleware
from support.asgi_gateway import call_asgi
from support.request import Request

if TYPE_CHECKING:
    from otas_middleware import OtasSettings
    from support.agent import Agent


@asgi("/mounted", is_mount=True, copy_scope=False)
async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
    """Be an application that Litestar mounts."""
    await PlainTextResponse("ok")(scope, receive, send)  # type: ignore[arg-type]  # Litestar's types are narrower


@get("/orders/{number:int}")
async def order() -> str:
    """Be a route beside it."""
    return "ok"


@pytest.mark.parametrize(
    ("path", "route"), [("/mounted", None), ("/mounted/a/b", None), ("/orders/007", "/orders/{number}")]
)
def test_what_is_mounted_has_no_route_of_litestars(
    path: str, route: str | None, settings: OtasSettings, agent: Agent
) -> None:
    app = OtasMiddleware(Litestar([mounted, order], openapi_config=None, logging_config=None), settings=settings)
    assert call_asgi(app, Request(path=path, headers=(agent.header,))).status_code == 200
    assert agent.event()["metadata"]["route"] == route
