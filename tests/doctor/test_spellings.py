"""Applications are named as servers and frameworks name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from doctor.conftest import diagnosis as diagnosis_of

if TYPE_CHECKING:
    from doctor.conftest import Doctor

APP = """
from flask import Flask
from otas_middleware.flask import Otas
{name} = Flask("shop")
Otas({name})
"""
FACTORY = """
from flask import Flask
from otas_middleware.flask import Otas
def create_app():
    app = Flask("shop")
    Otas(app)
    return app
"""


@pytest.fixture(autouse=True)
def applications(doctor: Doctor) -> None:
    doctor.write("shop_main.py", APP.format(name="app"))
    doctor.write("shop_factory.py", FACTORY)
    for folder in ("shop_package", "sources"):
        (doctor.folder / folder).mkdir()
    doctor.write("shop_package/__init__.py", "")
    doctor.write("shop_package/wsgi.py", APP.format(name="application"))
    doctor.write(
        "shop_package/settings.py", 'SECRET_KEY = "x"\nMIDDLEWARE = ["otas_middleware.django.OtasMiddleware"]\n'
    )
    doctor.write("sources/shop_inner.py", APP.format(name="app"))


@pytest.mark.parametrize(
    "target",
    [
        "shop_main",
        "shop_main:app",
        "shop_main.py",
        "shop_main.py:app",
        "./shop_main.py:app",
        "shop_factory",
        "shop_factory:create_app()",
        "shop_package.wsgi",
        "shop_package/wsgi.py:application",
        "sources/shop_inner.py:app",
    ],
)
@pytest.mark.parametrize("kind", ["--flask", "--wsgi"])
def test_an_application_is_found_by_any_of_its_usual_names(doctor: Doctor, kind: str, target: str) -> None:
    diagnosis = doctor(kind, target)
    assert diagnosis.failed == {}
    assert diagnosis.checks["middleware"]["status"] == "ok"


def test_the_colon_of_a_drive_separates_no_file_from_its_application(doctor: Doctor) -> None:
    (doctor.folder / "C:").mkdir()
    doctor.write("C:/shop_driven.py", APP.format(name="app"))
    for target in ("C:/shop_driven.py:app", "C:/shop_driven.py"):
        assert doctor("--flask", target).failed == {}
    assert "there is no module C:\\shop in" in doctor("--flask", "C:\\shop.py:app").failed["application"]


@pytest.mark.parametrize("target", ["shop_package", "shop_package.settings", "shop_package/settings.py"])
def test_a_django_project_is_found_by_its_settings_or_its_package(doctor: Doctor, target: str) -> None:
    diagnosis = doctor("--django", target)
    assert diagnosis.failed == {}
    assert diagnosis.checks["middleware"]["data"]["places"] == ["MIDDLEWARE[0]"]


def test_a_module_that_holds_no_django_settings_is_named(doctor: Doctor) -> None:
    doctor.write("shop_package/settings.py", "")
    assert "shop_package holds no settings" in doctor("--django", "shop_package").failed["application"]


ASGI = """
from starlette.applications import Starlette
from otas_middleware.asgi import OtasMiddleware
app = Starlette()
app.add_middleware(OtasMiddleware)
"""
PLAIN = """
from otas_middleware.{kind} import OtasMiddleware
app = OtasMiddleware({application})
"""
DJANGO = """
SECRET_KEY = "x"
ROOT_URLCONF = "shop_project.urls"
MIDDLEWARE = ["otas_middleware.django.OtasMiddleware"]
"""
SERVED = """
import os
from django.core.wsgi import get_wsgi_application
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop_project.settings")
application = get_wsgi_application()
"""


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("shop_main:app", "flask"),
        ("shop_main", "flask"),
        ("shop_factory:create_app()", "flask"),
        ("shop_package.wsgi", "flask"),
        ("shop_asgi.py:app", "asgi"),
        ("plain_asgi:app", "asgi"),
        ("plain_wsgi:app", "wsgi"),
    ],
)
def test_an_application_that_is_named_alone_is_told_by_what_it_is(doctor: Doctor, target: str, kind: str) -> None:
    doctor.write("shop_asgi.py", ASGI)
    doctor.write("plain_asgi.py", PLAIN.format(kind="asgi", application="lambda scope, receive, send: None"))
    doctor.write("plain_wsgi.py", PLAIN.format(kind="wsgi", application="lambda environ, start_response: []"))
    diagnosis = doctor(target)
    assert diagnosis.failed == {}
    assert f"read from --{kind} {target}" in diagnosis.of("settings")


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("shop_project", "django"),
        ("shop_project.settings", "django"),
        ("shop_project/settings.py", "django"),
        ("shop_project.wsgi", "wsgi"),
        ("shop_project.wsgi:application", "wsgi"),
    ],
)
def test_a_django_project_that_is_named_alone_is_told_by_what_it_is(doctor: Doctor, target: str, kind: str) -> None:
    (doctor.folder / "shop_project").mkdir()
    doctor.write("shop_project/__init__.py", "")
    doctor.write("shop_project/settings.py", DJANGO)
    doctor.write("shop_project/wsgi.py", SERVED)
    process = doctor.run("--json", target)
    diagnosis = diagnosis_of(process.returncode, process.stdout, process.stderr)
    assert diagnosis.failed == {}
    assert f"read from --{kind} {target}" in diagnosis.of("settings")
    assert diagnosis.checks["middleware"]["data"]["places"] == ["MIDDLEWARE[0]"]


def test_a_package_whose_settings_are_not_djangos_is_no_django_project(doctor: Doctor) -> None:
    doctor.write("shop_package/__init__.py", APP.format(name="app"))
    diagnosis = doctor("shop_package")
    assert diagnosis.failed == {}
    assert "read from --flask shop_package" in diagnosis.of("settings")


def test_an_application_whose_call_does_not_tell_what_it_is_must_be_named_with_an_option(doctor: Doctor) -> None:
    doctor.write("shop_odd.py", "class App:\n    def __call__(self, *args): ...\napp = App()\n")
    said = doctor("shop_odd:app").failed["application"]
    assert said == (
        "shop_odd:app is of type App, whose call tells neither ASGI nor WSGI\n"
        "say which it is: --asgi shop_odd:app, or --wsgi"
    )


def test_an_application_is_named_once(doctor: Doctor) -> None:
    ended = doctor.run("shop_main:app", "--asgi", "shop:app")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "name one application: shop_main:app, or --asgi" in ended.stderr
    ended = doctor.run("")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "the application's name is empty; name the application, as package.module:app" in ended.stderr
