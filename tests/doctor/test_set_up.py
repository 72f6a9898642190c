"""The doctor reads the configuration as the application does, and finds the middleware in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otas_middleware import OtasSettings
from otas_middleware._runtime import runtime

if TYPE_CHECKING:
    from doctor.conftest import Doctor

FLASK = """
from flask import Flask
from otas_middleware.flask import Otas
from otas_middleware.wsgi import OtasMiddleware

bare = Flask("shop")

app = Flask("shop")
app.config["OTAS_MAX_BODY_BYTES"] = 1000
Otas(app, capture_traceback=True)
Otas(app)

def create_app(name, *, twice=False):
    print("the factory speaks")
    made = Flask(name)
    Otas(made)
    if twice:
        made.wsgi_app = OtasMiddleware(made.wsgi_app)
    return made
"""

ASGI = """
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount
from otas_middleware import OtasSettings
from otas_middleware.asgi import OtasMiddleware

bare = FastAPI()
app = FastAPI()
app.add_middleware(OtasMiddleware, max_body_bytes=1000)
app.add_middleware(GZipMiddleware)

twice = FastAPI()
twice.add_middleware(OtasMiddleware)
twice = OtasMiddleware(twice)

inner = Starlette()
inner.add_middleware(OtasMiddleware)
mounting = Starlette(routes=[Mount("/inner", inner)])
mounting.add_middleware(OtasMiddleware)

class Wrapper:
    def __init__(self, app):
        self.app = app
    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)

wrapped = Wrapper(OtasMiddleware(bare))

def by_closure(app):
    async def call(scope, receive, send):
        await app(scope, receive, send)
    return call

closed_over = by_closure(OtasMiddleware(bare))
off = OtasMiddleware(bare, enabled=False)

def make_shop(name="shop"):
    return OtasMiddleware(bare)
"""

WSGI = """
from otas_middleware.asgi import OtasMiddleware as Wrong
from otas_middleware.wsgi import OtasMiddleware

def bare(environ, start_response):
    start_response("200 OK", [])
    return []

application = OtasMiddleware(bare)
wrong = Wrong(bare)
text = "not an application"
"""

DJANGO = """
SECRET_KEY = "only for tests"
MIDDLEWARE = [{middleware}]
OTAS = {{"MAX_BODY_BYTES": 1000}}
"""
OURS = '"otas_middleware.django.OtasMiddleware"'
SECURITY = '"django.middleware.security.SecurityMiddleware"'


@pytest.fixture(autouse=True)
def applications(doctor: Doctor) -> None:
    doctor.write("flask_shop.py", FLASK)
    doctor.write("asgi_shop.py", ASGI)
    doctor.write("wsgi_shop.py", WSGI)
    for name, middleware in {
        "bare": SECURITY,
        "good": f"{OURS}, {SECURITY}",
        "late": f"{SECURITY}, {OURS}",
        "twice": f"{OURS}, {SECURITY}, {OURS}",
        "derived": '"django_derived.Derived"',
        "wrong": f'{SECURITY}, "otas_middleware.asgi.OtasMiddleware"',
    }.items():
        doctor.write(f"django_{name}_settings.py", DJANGO.format(middleware=middleware))
    doctor.write(
        "django_derived.py",
        "from otas_middleware.django import OtasMiddleware\nclass Derived(OtasMiddleware):\n    pass\n",
    )
    doctor.write("empty.py", "")
    doctor.write("broken.py", "import no_such_module_at_all\n")
    doctor.write("raising.py", "raise RuntimeError('no database')\n")
    doctor.write("no_python.py", "import os\ndef f(:\n")
    doctor.write("imports_no_python.py", "import no_python\n")
    doctor.write("reads_no_python.py", "import ast\n\nast.literal_eval('(')\n")
    doctor.write("names_no_reason.py", "raise SyntaxError\n")
    doctor.write("asks_a_library.py", "import json\n\njson.loads('')\n")


@pytest.mark.parametrize(
    ("arguments", "places"),
    [
        (("--flask", "flask_shop:app"), ["the hooks of flask_shop:app"]),
        (("--flask", "flask_shop:create_app('a')"), ["the hooks of flask_shop:create_app('a')"]),
        (("--asgi", "asgi_shop:wrapped"), ["around asgi_shop:wrapped"]),
        (("--asgi", "asgi_shop:closed_over"), ["around asgi_shop:closed_over"]),
        (("--wsgi", "wsgi_shop:application"), ["around wsgi_shop:application"]),
        (("--django", "django_good_settings"), ["MIDDLEWARE[0]"]),
        (("--django", "django_derived_settings"), ["MIDDLEWARE[0]"]),
    ],
)
def test_the_middleware_is_found(doctor: Doctor, arguments: tuple[str, ...], places: list[str]) -> None:
    diagnosis = doctor(*arguments)
    assert diagnosis.failed == {}
    assert diagnosis.checks["middleware"]["status"] == "ok"
    assert diagnosis.checks["middleware"]["data"]["places"] == places


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (("--flask", "flask_shop:bare"), "call Otas(app) where the application is made"),
        (("--asgi", "asgi_shop:bare"), "app.add_middleware(OtasMiddleware)"),
        (("--wsgi", "wsgi_shop:bare"), "application = OtasMiddleware(application)"),
        (("--django", "django_bare_settings"), 'put "otas_middleware.django.OtasMiddleware" first in MIDDLEWARE'),
    ],
)
def test_a_missing_middleware_is_named_with_the_line_to_add(
    doctor: Doctor, arguments: tuple[str, ...], fix: str
) -> None:
    diagnosis = doctor(*arguments)
    assert list(diagnosis.failed) == ["middleware"]
    assert "it is not installed in" in diagnosis.of("middleware")
    assert fix in diagnosis.of("middleware")


@pytest.mark.parametrize(
    ("arguments", "places"),
    [
        (
            ("--flask", "flask_shop:create_app('a', twice=True)"),
            ["around {}.wsgi_app", "the hooks of {}"],
        ),
        (("--asgi", "asgi_shop:twice"), ["around {}", "{}.user_middleware[0]"]),
        (("--asgi", "asgi_shop:mounting"), ["{}.user_middleware[0]", "the application mounted at /inner"]),
        (("--django", "django_twice_settings"), ["MIDDLEWARE[0]", "MIDDLEWARE[2]"]),
    ],
)
def test_a_middleware_that_is_there_twice_is_a_failure(
    doctor: Doctor, arguments: tuple[str, ...], places: list[str]
) -> None:
    diagnosis = doctor(*arguments)
    assert list(diagnosis.failed) == ["middleware"]
    assert diagnosis.of("middleware").startswith("it is installed 2 times: ")
    for place, found in zip(places, diagnosis.checks["middleware"]["data"]["places"], strict=True):
        assert found.startswith(place.format(arguments[1]))
    assert "keep " + places[0].format(arguments[1]) in diagnosis.of("middleware")


def test_what_stands_before_it_in_django_is_pointed_out(doctor: Doctor) -> None:
    diagnosis = doctor("--django", "django_late_settings")
    assert diagnosis.status == 0
    assert diagnosis.checks["middleware"]["status"] == "warning"
    assert "django.middleware.security.SecurityMiddleware" in diagnosis.of("middleware")


def test_an_adapter_that_is_not_djangos_in_its_list_is_found_out(doctor: Doctor) -> None:
    diagnosis = doctor("--django", "django_wrong_settings")
    assert list(diagnosis.failed) == ["middleware"]
    assert "MIDDLEWARE[1] is the middleware for ASGI: in that list each request fails" in diagnosis.of("middleware")
    assert 'put "otas_middleware.django.OtasMiddleware" there instead' in diagnosis.of("middleware")


def test_the_adapter_of_the_other_protocol_is_found_out(doctor: Doctor) -> None:
    diagnosis = doctor("--wsgi", "wsgi_shop:wrong")
    assert "the middleware for ASGI is around wsgi_shop:wrong" in diagnosis.failed["middleware"]


@pytest.mark.parametrize(
    ("arguments", "origin"),
    [
        (("--flask", "flask_shop:app"), "OTAS_MAX_BODY_BYTES in the application's config"),
        (("--asgi", "asgi_shop:app"), "the code"),
        (("--django", "django_good_settings"), "OTAS['MAX_BODY_BYTES'] in the Django settings"),
    ],
)
def test_each_setting_is_shown_with_its_origin(doctor: Doctor, arguments: tuple[str, ...], origin: str) -> None:
    doctor.variables["OTAS_MAX_BODY_BYTES"] = "2000"
    doctor.variables["OTAS_QUEUE_MAX_EVENTS"] = "77"
    data = doctor(*arguments).checks["settings"]["data"]
    assert data["max_body_bytes"] == {"value": "1000", "from": origin}
    assert data["queue_max_events"] == {"value": "77", "from": "OTAS_QUEUE_MAX_EVENTS"}


def test_settings_of_an_application_that_was_made_already_are_those_that_it_works_with(doctor: Doctor) -> None:
    doctor.variables["OTAS_QUEUE_MAX_EVENTS"] = "77"
    doctor.variables["OTAS_CAPTURE_HEADERS"] = "0"
    data = doctor("--wsgi", "wsgi_shop:application").checks["settings"]["data"]
    assert list(data) == [name for name in OtasSettings.model_fields if name in data]
    assert data["queue_max_events"] == {"value": "77", "from": "OTAS_QUEUE_MAX_EVENTS"}


def test_secrets_are_masked(doctor: Doctor) -> None:
    doctor.variables["OTAS_SESSION_SECRET"] = "a secret of at least thirty-two bytes"
    diagnosis = doctor()
    key = doctor.variables["OTAS_SDK_KEY"]
    assert key not in diagnosis.output
    assert key.rpartition("_")[2] not in diagnosis.output
    assert "thirty-two" not in diagnosis.output
    assert diagnosis.checks["settings"]["data"]["session_secret"]["value"] == "… (37 characters)"


def test_a_bad_setting_is_named_with_its_fix(doctor: Doctor) -> None:
    doctor.variables["OTAS_MAX_BODY_BYTES"] = "much"
    diagnosis = doctor()
    assert list(diagnosis.failed) == ["settings"]
    assert "OTAS_MAX_BODY_BYTES cannot be used" in diagnosis.of("settings")
    assert diagnosis.checks["brain"]["status"] == "skipped"


def test_an_unknown_variable_is_a_warning_that_names_the_one_that_was_meant(doctor: Doctor) -> None:
    doctor.variables["OTAS_SDKKEY"] = "x"
    diagnosis = doctor()
    assert "settings" not in diagnosis.failed
    assert "OTAS_SDKKEY is not a setting and is ignored; did you mean OTAS_SDK_KEY?" in diagnosis.of("settings")


def test_an_unknown_variable_that_resembles_none_is_given_no_other_meaning(doctor: Doctor) -> None:
    doctor.variables["OTAS_FOO"] = "x"
    assert "OTAS_FOO is not a setting and is ignored; correct or remove it." in doctor().of("settings")


@pytest.mark.parametrize("arguments", [(), ("--asgi", "asgi_shop:off")])
def test_the_kill_switch_is_named(doctor: Doctor, arguments: tuple[str, ...]) -> None:
    if not arguments:
        doctor.variables["OTAS_ENABLED"] = "0"
    diagnosis = doctor(*arguments)
    assert list(diagnosis.failed) == ["settings"]
    assert "recording is switched off" in diagnosis.of("settings")
    assert diagnosis.of("brain") == "not looked at while recording is switched off\n"


KEYLESS = """
from fastapi import FastAPI
from otas_middleware.asgi import OtasMiddleware

async def bare(scope, receive, send):
    ...

wrapped = OtasMiddleware(bare, sdk_key=None)
added = FastAPI()
added.add_middleware(OtasMiddleware, sdk_key=None)
"""


@pytest.mark.parametrize("name", ["wrapped", "added"])
def test_a_missing_key_that_the_code_gives_is_named(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(runtime, "off_because", set[str]())
    doctor.write("keyless.py", KEYLESS)
    diagnosis = doctor("--asgi", f"keyless:{name}")
    assert list(diagnosis.failed) == ["sdk_key"]
    assert "the code gives none (sdk_key=None), so nothing is recorded" in diagnosis.of("sdk_key")


def test_an_option_without_its_value_is_a_usage_error(doctor: Doctor) -> None:
    ended = doctor.run("--asgi", "")
    assert ended.returncode == 2
    assert "--asgi is empty; name the application" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "cause", "fix"),
    [
        (("--asgi", "asgi_shop:make_shop"), "asgi_shop:make_shop is a function that takes neither", "make_shop()"),
        (("--flask", ":app"), "':app' names no application", "package.module:app"),
        (("--wsgi", "empty"), "empty holds none of app, application, create_app, make_app", "empty:NAME"),
        (("--flask", "no_shop:app"), "there is no module no_shop in ", "run this where the server is started"),
        (("--flask", "flask_shop:ap"), "flask_shop has no ap", "did you mean flask_shop:app?"),
        (
            ("--flask", "flask_shop:create_app()"),
            "TypeError: create_app() missing 1 required",
            "start it as its server",
        ),
        (("--flask", "flask_shop:create_app(x)"), "'create_app(x)' is neither a name nor a call", "create_app()"),
        (("--flask", "wsgi_shop:bare"), "wsgi_shop:bare is of type function, not a Flask application", "factory"),
        (("--wsgi", "wsgi_shop:text"), "wsgi_shop:text is of type str, which cannot be called", "name the variable"),
        (("--wsgi", "broken:app"), "ModuleNotFoundError: No module named 'no_such_module_at_all'", "start it as"),
        (("--wsgi", "raising:app"), "RuntimeError: no database", "raising.py:1"),
        (("--django", "no_settings"), "there is no module no_settings", "run this where"),
        (("--django", "raising"), "RuntimeError: no database", "raising.py:1"),
        (("--wsgi", "no_python:app"), "SyntaxError: ", "no_python.py:2)\n"),
        (("--wsgi", "imports_no_python:app"), "SyntaxError: ", "no_python.py:2)\n"),
        (("--wsgi", "reads_no_python:app"), "SyntaxError: ", "reads_no_python.py:3)\n"),
        (("--wsgi", "names_no_reason:app"), "failed: SyntaxError (", "names_no_reason.py:1)\n"),
        (("--wsgi", "asks_a_library:app"), "JSONDecodeError: Expecting value", "asks_a_library.py:3)\n"),
    ],
)
def test_an_application_that_cannot_be_loaded_is_named_with_the_cause(
    doctor: Doctor, arguments: tuple[str, ...], cause: str, fix: str
) -> None:
    diagnosis = doctor(*arguments)
    assert list(diagnosis.failed) == ["application"]
    assert cause in diagnosis.of("application")
    assert fix in diagnosis.of("application")
    assert "Traceback" not in diagnosis.output
    assert diagnosis.of("brain") == "not looked at while the application cannot be loaded\n"


def test_what_an_applications_exception_says_shows_no_secret(doctor: Doctor) -> None:
    doctor.variables["OTAS_SESSION_SECRET"] = "plain words of a secret of 32 bytes"
    doctor.variables["DATABASE_URL"] = "postgres://shop:hunter2@db/shop"
    names = ", ".join(f"os.environ[{name!r}]" for name in ("OTAS_SDK_KEY", "OTAS_SESSION_SECRET", "DATABASE_URL"))
    doctor.write("telling.py", f"import os\nraise RuntimeError('with', {names})\n")
    diagnosis = doctor("--wsgi", "telling:app")
    assert "RuntimeError: ('with', '[REDACTED]', '[REDACTED]', 'postgres://" in diagnosis.of("application")
    assert all(
        secret not in diagnosis.output for secret in ("plain words", "hunter2", doctor.variables["OTAS_SDK_KEY"])
    )


def test_without_an_application_the_middleware_is_not_looked_at(doctor: Doctor) -> None:
    check = doctor().checks["middleware"]
    assert check["status"] == "skipped"
    assert "otas-middleware doctor shop.main:app" in check["text"]


def test_versions_are_told(doctor: Doctor) -> None:
    versions = doctor("--asgi", "asgi_shop:app").checks["versions"]["data"]
    assert {"otas-middleware", "Python", "pydantic", "httpx2", "FastAPI"} == versions.keys()
