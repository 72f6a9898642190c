"""The pytest plugin in projects as users have them: no key, an application made when it is imported, nothing set up."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

FLASK_PROJECT = {
    "shop.py": """
        from flask import Flask
        from otas_middleware.flask import Otas

        app = Flask(__name__)
        Otas(app)

        @app.get("/orders/<int:order_id>")
        def order(order_id):
            return {"order": order_id}
    """,
    "conftest.py": """
        import pytest
        from shop import app

        @pytest.fixture
        def client():
            return app.test_client()
    """,
    "test_shop.py": """
        def test_an_order_is_recorded(client, otas_events):
            client.get("/orders/42", headers=otas_events.headers)
            otas_events.one(route="/orders/{order_id}", status_code=200)
    """,
}


class Project:
    """A folder with a user's files, and pytest run in it as a user does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            lines = text.strip("\n").splitlines()
            indent = len(lines[0]) - len(lines[0].lstrip())
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(line[indent:] for line in lines) + "\n")

    def pytest(self, *arguments: str, plugin: bool = True) -> str:
        """Run pytest with no plugin of others' (that takes time), and return what it prints.

        Args:
            arguments: Further arguments.
            plugin: Whether to load ours, by the name under which it is installed.
        """
        ours = ["-p", "otas_middleware"] if plugin else []
        result = subprocess.run(
            [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", *ours, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        return result.stdout + result.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_an_application_that_is_imported_without_a_key_is_recorded(project: Project) -> None:
    project.write(FLASK_PROJECT)
    assert re.search(r"^1 passed", project.pytest(), re.MULTILINE)


def test_a_failing_assertion_points_at_the_users_line_and_explains_itself(project: Project) -> None:
    project.write(FLASK_PROJECT)
    project.write(
        {
            "test_shop.py": """
                def test_an_order_is_recorded(client, otas_events):
                    client.get("/orders/42", headers=otas_events.headers)
                    client.get("/nowhere", headers=otas_events.headers)
                    otas_events.one(path="/orders/43")

                def test_the_whole_traffic(client, otas_events):
                    client.get("/orders/42", headers=otas_events.headers)
                    assert otas_events.summaries == ["GET /orders/42 200", "GET /orders/43 200"]
            """
        }
    )
    output = project.pytest()
    assert '>       otas_events.one(path="/orders/43")' in output
    assert "E       AssertionError: No event was recorded with path='/orders/43', but 2 others were:" in output
    assert "E         GET /orders/42 200: path is '/orders/42', not '/orders/43'" in output
    assert "E         GET /nowhere 404: path is '/nowhere', not '/orders/43'" in output
    assert "Right contains one more item: 'GET /orders/43 200'" in output
    assert "_recording.py" not in output


def test_a_users_own_mistake_that_production_swallows_fails_the_test_at_its_end(project: Project) -> None:
    project.write(FLASK_PROJECT)
    project.write(
        {
            "shop.py": """
                from flask import Flask
                from otas_middleware.flask import Otas

                def only_paying(request):
                    return request.customer.pays

                app = Flask(__name__)
                Otas(app, should_record=only_paying)
            """,
            "test_shop.py": """
                def test_a_request(client, otas_events):
                    client.get("/orders/42", headers=otas_events.headers)
            """,
        }
    )
    output = project.pytest()
    assert "1 passed, 1 error" in output
    assert "recording failed in should_record with AttributeError; production would have swallowed it" in output
    assert "AttributeError: 'RequestInfo' object has no attribute 'customer'" in output


def test_a_django_test_case_records_without_the_fixture(project: Project) -> None:
    project.write(
        {
            "conftest.py": """
                import django
                from django.conf import settings

                settings.configure(
                    ROOT_URLCONF="site_urls",
                    MIDDLEWARE=["otas_middleware.django.OtasMiddleware"],
                    ALLOWED_HOSTS=["*"],
                    SECRET_KEY="only for tests",
                )
                django.setup()
            """,
            "site_urls.py": """
                from django.http import JsonResponse
                from django.urls import path

                urlpatterns = [path("orders/<int:pk>/", lambda request, pk: JsonResponse({"order": pk}))]
            """,
            "test_site.py": """
                from django.test import SimpleTestCase
                from otas_middleware.testing import record_events

                class OrdersTest(SimpleTestCase):
                    def test_an_order_is_recorded(self):
                        with record_events() as events:
                            self.client.get("/orders/42/", headers=events.headers)
                            self.client.get("/orders/43/")
                        self.assertEqual(events.one().metadata["route"], "/orders/{pk}/")
            """,
        }
    )
    assert re.search(r"^1 passed", project.pytest(), re.MULTILINE)


def test_recording_without_a_key_can_be_switched_off(project: Project) -> None:
    project.write(FLASK_PROJECT)
    project.write({"pytest.ini": "[pytest]\notas_record_without_key = false"})
    output = project.pytest()
    assert "the middleware was made while no SDK key was set, and is off" in output


def test_the_plugin_can_be_left_out(project: Project) -> None:
    project.write(FLASK_PROJECT)
    assert "fixture 'otas_events' not found" in project.pytest(plugin=False)


def test_the_fixture_is_explained_by_pytest_itself(project: Project) -> None:
    output = project.pytest("--fixtures")
    assert "Record agent requests of this test in memory, without a thread and without a network." in output


def test_pytest_is_not_slowed_down(project: Project) -> None:
    """A run that has nothing to do with us imports no framework, no HTTP client and no pydantic for us."""
    project.write(
        {
            "test_other.py": """
                import sys

                def test_what_is_there():
                    ours = {name for name in sys.modules if name.startswith("otas_middleware")}
                    assert not any("_testing" in name or "_delivery" in name for name in ours)
                    heavy = {"pydantic", "httpx2", "httpx", "django", "flask", "starlette", "werkzeug", "sqlite3"}
                    assert not heavy & sys.modules.keys()
            """
        }
    )
    assert re.search(r"^1 passed", project.pytest(), re.MULTILINE)


def test_pytest_finds_the_plugin_by_itself() -> None:
    (plugin,) = [each for each in entry_points(group="pytest11") if each.dist and each.dist.name == "otas-middleware"]
    assert plugin.value == "_otas_middleware_pytest"


def test_nothing_of_ours_is_imported_before_coverage_can_be_measured() -> None:
    code = "import _otas_middleware_pytest, sys; assert 'otas_middleware' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
