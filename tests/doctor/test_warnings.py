"""What works, but not as it should, is a warning: said, and a failure only when the doctor is to be strict."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from litestar import Litestar
from starlette.testclient import TestClient

from doctor.relay import Relay
from otas_middleware.asgi import OtasMiddleware
from otas_middleware.testing import record_events

if TYPE_CHECKING:
    from doctor.conftest import Diagnosis, Doctor
    from otas_middleware.localbrain import LocalBrain

ASGI = """
from fastapi import FastAPI
from litestar import Litestar
from starlette.middleware.gzip import GZipMiddleware
from otas_middleware.asgi import OtasMiddleware
from otas_middleware.wsgi import OtasMiddleware as ForWsgi

app = FastAPI()
app.add_middleware(OtasMiddleware)

zipped = FastAPI()
zipped.add_middleware(OtasMiddleware)
zipped.add_middleware(GZipMiddleware)

unzipped = FastAPI()
unzipped.add_middleware(GZipMiddleware)
unzipped.add_middleware(OtasMiddleware)

wrong = FastAPI()
wrong.add_middleware(ForWsgi)

inside = Litestar([], middleware=[OtasMiddleware], logging_config=None)
around = OtasMiddleware(Litestar([], logging_config=None))
"""

WSGI = """
from flask import Flask
from otas_middleware.flask import Otas
app = Flask("shop")
Otas(app)
"""

DJANGO = """
SECRET_KEY = "only for tests"
MIDDLEWARE = [{middleware}]
WSGI_APPLICATION = "{name}_wsgi.application"
"""
DJANGO_WSGI = """
import django.core.handlers.wsgi
from otas_middleware.wsgi import OtasMiddleware
application = OtasMiddleware(django.core.handlers.wsgi.WSGIHandler())
"""


@pytest.fixture(autouse=True)
def applications(doctor: Doctor) -> None:
    doctor.write("asgi_shop.py", ASGI)
    doctor.write("flask_shop.py", WSGI)
    for name, middleware in {"both": '"otas_middleware.django.OtasMiddleware"', "around": ""}.items():
        doctor.write(f"{name}_settings.py", DJANGO.format(middleware=middleware, name=name))
        doctor.write(f"{name}_wsgi.py", DJANGO_WSGI)


def warned(diagnosis: Diagnosis, name: str) -> str:
    """The warning's text; there is no other, and nothing failed."""
    assert diagnosis.failed == {}
    assert [check for check in diagnosis.checks if diagnosis.checks[check]["status"] == "warning"] == [name]
    assert diagnosis.status == 0
    return diagnosis.of(name)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--wsgi", "asgi_shop:app"), "is an application of ASGI (FastAPI "),
        (("--wsgi", "asgi_shop:app"), "name it with --asgi"),
        (("--asgi", "flask_shop:app"), "is an application of WSGI (Flask "),
    ],
)
def test_an_application_of_the_other_protocol_is_a_warning(
    doctor: Doctor, arguments: tuple[str, ...], said: str
) -> None:
    assert said in warned(doctor(*arguments), "application")


def test_the_adapter_of_the_other_protocol_in_a_list_is_a_failure(doctor: Doctor) -> None:
    diagnosis = doctor("--asgi", "asgi_shop:wrong")
    assert (
        "the middleware for WSGI is asgi_shop:wrong.user_middleware[0], which is for ASGI"
        in diagnosis.failed["middleware"]
    )


def test_to_stand_inside_of_a_middleware_that_compresses_is_a_warning(doctor: Doctor) -> None:
    said = warned(doctor("--asgi", "asgi_shop:zipped"), "middleware")
    assert "it is inside of GZipMiddleware" in said
    assert doctor("--asgi", "asgi_shop:unzipped").checks["middleware"]["status"] == "ok"


def test_to_stand_in_the_list_of_litestar_is_a_warning(doctor: Doctor) -> None:
    said = warned(doctor("--asgi", "asgi_shop:inside"), "middleware")
    assert "app = OtasMiddleware(app)" in said
    assert doctor("--asgi", "asgi_shop:around").checks["middleware"]["status"] == "ok"


def test_litestars_own_answers_are_missing_there_as_the_warning_says() -> None:
    with record_events() as events:
        inside: Any = Litestar([], middleware=[OtasMiddleware], logging_config=None)
        bare: Any = Litestar([], logging_config=None)
        for app in (inside, OtasMiddleware(bare)):
            TestClient(app).get("/nowhere", headers=events.headers)
        assert events.summaries == ["GET /nowhere 404"]


def test_two_adapters_around_one_django_project_are_a_failure(doctor: Doctor) -> None:
    diagnosis = doctor("--django", "both_settings")
    assert diagnosis.checks["middleware"]["data"]["places"] == ["MIDDLEWARE[0]", "around both_wsgi:application"]
    assert "it is installed 2 times" in diagnosis.failed["middleware"]


def test_one_adapter_around_a_django_project_is_enough(doctor: Doctor) -> None:
    diagnosis = doctor("--django", "around_settings")
    assert diagnosis.failed == {}
    assert diagnosis.checks["middleware"]["text"] == "around around_wsgi:application"


def test_a_request_timeout_that_loses_events_is_a_warning(doctor: Doctor) -> None:
    doctor.variables["OTAS_REQUEST_TIMEOUT"] = "9.5"
    assert "9.5 s: a busy Brain answers later" in warned(doctor(), "request_timeout")
    doctor.variables["OTAS_REQUEST_TIMEOUT"] = "10"
    assert "request_timeout" not in doctor().checks


def test_django_settings_that_are_named_and_not_used_are_a_warning(doctor: Doctor) -> None:
    doctor.variables["DJANGO_SETTINGS_MODULE"] = "shop.settings"
    said = warned(doctor(), "django_settings")
    assert "DJANGO_SETTINGS_MODULE is shop.settings, and no application is named" in said
    assert "otas-middleware doctor shop.settings" in said
    assert "--flask flask_shop:app was read" in warned(doctor("--flask", "flask_shop:app"), "django_settings")


def test_a_django_setting_beside_the_dictionary_is_a_warning(doctor: Doctor) -> None:
    doctor.write("beside_settings.py", DJANGO.format(middleware="", name="around") + "OTAS_MAX_BODY_BYTES = 1\n")
    said = warned(doctor("--django", "beside_settings"), "unread_settings")
    assert "OTAS_MAX_BODY_BYTES in the Django settings is read by nobody" in said
    assert 'write OTAS = {"MAX_BODY_BYTES": …} there' in said


def test_django_settings_that_are_used_are_no_warning(doctor: Doctor) -> None:
    doctor.variables["DJANGO_SETTINGS_MODULE"] = "around_settings"
    assert "django_settings" not in doctor("--django", "around_settings").checks


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_that_events_do_not_use_is_a_warning(doctor: Doctor, local: LocalBrain, name: str) -> None:
    doctor.variables |= {name: "http://127.0.0.1:1", "OTAS_BRAIN_URL": local.url.replace("127.0.0.1", "127.0.0.2")}
    said = doctor().of("proxy")
    assert f"{name} is set, and events do not go through that proxy" in said
    assert "set OTAS_TRANSPORT=httpx" in said


@pytest.mark.parametrize("variables", [{"HTTPS_PROXY": "http://127.0.0.1:1"}, {"HTTP_PROXY": "http://127.0.0.1:1"}])
def test_a_proxy_is_no_warning_for_a_brain_on_this_machine(doctor: Doctor, variables: dict[str, str]) -> None:
    doctor.variables |= variables
    assert "proxy" not in doctor().checks


def test_a_brain_beside_the_proxy_is_no_warning(doctor: Doctor, local: LocalBrain) -> None:
    doctor.variables |= {
        "HTTP_PROXY": "http://127.0.0.1:1",
        "NO_PROXY": "127.0.0.2",
        "OTAS_BRAIN_URL": local.url.replace("127.0.0.1", "127.0.0.2"),
    }
    assert "proxy" not in doctor().checks


def test_a_spool_that_even_root_cannot_make_is_a_failure(doctor: Doctor) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("needs Linux: /proc, where nobody can make a directory")
    doctor.variables["OTAS_SPOOL_DIR"] = "/proc/otas-spool"
    assert "/proc/otas-spool is not usable for" in doctor().failed["spool"]


def test_a_spool_without_room_is_a_warning(doctor: Doctor, tmp_path: Path) -> None:
    doctor.variables |= {"OTAS_SPOOL_DIR": str(tmp_path / "spool"), "OTAS_SPOOL_MAX_BYTES": str(2**50)}
    said = warned(doctor(), "spool")
    assert "MiB are free, and the spool may grow to 1,073,741,824 MiB" in said


def test_a_parser_of_uploads_that_somebody_removed_is_a_warning(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(name: str) -> object:
        return None if name == "multipart" else find_spec(name)

    monkeypatch.setattr("otas_middleware._cli.doctor.set_up.find_spec", found)
    assert "pip install 'multipart>=2'" in warned(doctor(), "multipart")


def test_a_database_that_is_down_is_said_not_to_be_looked_at(doctor: Doctor, local: LocalBrain) -> None:
    with Relay(local.url, saves=False) as brain:
        doctor.variables["OTAS_BRAIN_URL"] = brain.url
        assert "whether Brain stores events (its database) was not tried" in doctor().of("send")
        assert doctor.run().stdout.splitlines()[-1].endswith("Not looked at: middleware, spool, send.")
        doctor.variables["OTAS_AGENT_KEY"] = local.agent_key
        assert "event_capture_failed" in doctor("--send").failed["send"]


def test_the_transport_in_use_is_named(doctor: Doctor) -> None:
    doctor.variables["OTAS_TRANSPORT"] = "httpx"
    assert doctor().checks["transport"]["text"].partition(" ")[0] in {"direct", "httpx"}


def test_a_warning_fails_when_the_doctor_is_strict(doctor: Doctor) -> None:
    doctor.variables["OTAS_REQUEST_TIMEOUT"] = "5"
    lenient, strict = doctor.run(), doctor.run("--strict")
    assert (lenient.returncode, strict.returncode) == (0, 1)
    assert lenient.stdout.splitlines()[-1].startswith("1 warning: request timeout.")
    assert "! request timeout: 5 s" in lenient.stdout
    assert json.loads(doctor.run("--strict", "--json").stdout)["ok"] is False
    assert json.loads(doctor.run("--json").stdout)["ok"] is True


def test_a_strict_doctor_is_content_when_all_is_well(doctor: Doctor) -> None:
    assert doctor.run("--strict").returncode == 0


@pytest.mark.parametrize(
    "key", ["otas__bcdefghijk_thisIsASecretOfManyCharacters", "otas_a_cdefghijk_thisIsASecretOfManyCharacters"]
)
def test_a_key_with_an_underscore_in_its_prefix_is_no_malformed_one(doctor: Doctor, key: str) -> None:
    doctor.variables["OTAS_SDK_KEY"] = key
    diagnosis = doctor()
    assert "it is wrong: UASAM does not know it" in diagnosis.failed["sdk_key"]
    assert key not in diagnosis.output
    assert diagnosis.checks["settings"]["data"]["sdk_key"]["value"] == f"{key[:9]}… ({len(key)} characters)"
