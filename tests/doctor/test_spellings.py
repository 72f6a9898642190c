"""Applications are named as servers and frameworks name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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


def test_an_application_without_its_option_is_told_how_to_be_named(doctor: Doctor) -> None:
    ended = doctor.run("shop:app")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "say what shop:app is: --asgi shop:app, or --wsgi, --flask or --django" in ended.stderr
