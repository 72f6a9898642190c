"""A setting that cannot be used, where the middleware is made late: the start fails visibly, and never a request."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from otas_middleware import _recorder
from otas_middleware._runtime import runtime
from otas_middleware.asgi import OtasMiddleware
from support.asgi_gateway import call_asgi
from support.request import Request
from support.sink import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request as StarletteRequest

KEY = "otas_aaaaaaaaaaa_s3cr3tvalue"

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "value": ({"max_body_bytes": -1}, "max_body_bytes="),
    "name": ({"max_body": 1}, "max_body= in the arguments is not a setting"),
    "settings": ({"settings": {"sdk_key": KEY}}, "settings= is of type dict"),
    "before_send": ({"before_send": "no.such:function"}, "before_send="),
    "failing module": ({"before_send": "support.unimportable:function"}, "raises ZeroDivisionError"),
    "destination": ({"destinations": "no.such:place"}, "'no.such:place'"),
    "failing destination": ({"destinations": "support.unimportable:place"}, "raises ZeroDivisionError"),
    "spool": ({"durability": "spool"}, "OTAS_SPOOL_DIR"),
    "key": ({"sdk_key": f"{KEY} \u00e4"}, "sdk_key="),
}


@pytest.fixture(autouse=True)
def _log_anew() -> None:
    runtime.logged.clear()


async def hello(_: StarletteRequest) -> PlainTextResponse:
    return PlainTextResponse("hello")


def starlette(**options: Any) -> Any:
    app = Starlette(routes=[Route("/", hello)])
    app.add_middleware(OtasMiddleware, **options)
    return app


def fastapi(**options: Any) -> Any:
    app = FastAPI()
    app.add_route("/", hello)
    app.add_middleware(OtasMiddleware, **options)
    return app


def around(**options: Any) -> Any:
    return OtasMiddleware(Starlette(routes=[Route("/", hello)]), **options)


async def start_up(app: Any) -> list[dict[str, Any]]:
    """Send a lifespan's beginning, as a server does; return what the application said."""
    said: list[dict[str, Any]] = []
    coming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> dict[str, Any]:
        return coming.pop(0)

    async def send(message: dict[str, Any]) -> None:
        said.append(dict(message))

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    return said


def run(conversation: Any) -> Any:
    import asyncio

    return asyncio.run(conversation)


@pytest.mark.parametrize("make", [starlette, fastapi, around])
@pytest.mark.parametrize("bad", BAD)
def test_a_setting_that_cannot_be_used_fails_the_start_up_with_its_text(
    bad: str, make: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    options, words = BAD[bad]
    app = make(**{"sdk_key": KEY, **options} if bad != "settings" else options)
    [message] = run(start_up(app))
    assert message["type"] == "lifespan.startup.failed"
    assert words in message["message"]
    assert "s3cr3tvalue" not in message["message"] + caplog.text
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert words in record.message


@pytest.mark.parametrize("make", [starlette, fastapi, around])
@pytest.mark.parametrize("bad", BAD)
def test_without_a_lifespan_the_application_runs_unrecorded_under_one_error_line(
    bad: str, make: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    options, _ = BAD[bad]
    for _ in range(2):
        app = make(**{"sdk_key": KEY, **options} if bad != "settings" else options)
        for _ in range(2):
            answer = call_asgi(app, Request(headers=(TOKEN,)))
            assert (answer.status_code, answer.body) == (200, b"hello")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_mounted_application_with_a_bad_setting_answers_too(caplog: pytest.LogCaptureFixture) -> None:
    """Starlette hands the lifespan to the outermost application only, and makes the inner middleware with a request."""
    app = Starlette(routes=[Mount("/inner", app=starlette(max_body=1))])
    assert call_asgi(app, Request(path="/inner/", headers=(TOKEN,))).body == b"hello"
    assert "max_body=" in caplog.text


def test_settings_without_their_name_are_a_setting_that_cannot_be_used() -> None:
    make: Any = OtasMiddleware
    [message] = run(start_up(make(starlette(), {"sdk_key": KEY})))
    assert message["type"] == "lifespan.startup.failed"
    assert "by name" in message["message"]
    assert KEY not in message["message"]


@pytest.mark.parametrize("options", [{}, {"sdk_key": ""}, {"enabled": False, "max_body_bytes": "many"}])
def test_without_a_key_the_middleware_is_off_and_the_lifespan_the_applications(options: dict[str, Any]) -> None:
    assert [message["type"] for message in run(start_up(starlette(**options)))] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


def test_an_unknown_name_in_the_environment_starts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTAS_MAXBODY", "1")
    said = run(start_up(starlette(sdk_key=KEY)))
    assert said[0]["type"] == "lifespan.startup.complete"
    levels = [record.levelno for record in caplog.records if "OTAS_MAXBODY" in record.message]
    assert levels == [logging.WARNING]


def test_a_missing_extra_fails_the_start_up_with_the_line_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "jwt", None)
    [message] = run(start_up(starlette(sdk_key=KEY, session_secret="a-secret-of-thirty-two-bytes-and-more")))
    assert message["type"] == "lifespan.startup.failed"
    assert "pip install 'otas-middleware[verify]'" in message["message"]


def test_a_mistake_of_ours_while_it_is_made_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(_recorder.Recorder, "__init__", fail)
    with runtime.replaced(reraise=False):
        app = starlette(sdk_key=KEY, project_id=uuid4())
        assert run(start_up(app))[0]["type"] == "lifespan.startup.complete"
        assert call_asgi(app, Request(headers=(TOKEN,))).body == b"hello"
