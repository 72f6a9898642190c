"""The file of usages is complete, and its names are there when it runs. `make lint` has it checked."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from runpy import run_path

import pytest

from otas_middleware import OtasSettings
from otas_middleware._config.types import SettingOptions

USAGES = Path(__file__).with_name("usages.py")

# What a user imports to catch, to configure, or for a type alone, and what the file shows by another name of the same.
UNTYPED = {
    "otas_middleware": {"ConfigurationError", "MissingExtraError", "OtasError", "__version__"},
    "otas_middleware.agent": {"MissingAgentKeyError", "SecretInUrlError", "SessionError", "ToolRun"},
    "otas_middleware.delivery": {"DELIVERED", "Verdict", "BackendEvent"},
    "otas_middleware.propagate": {"aiohttp_middleware", "async_httpx_hook", "connect_celery", "httpx_hook"},
    "otas_middleware.testing": {"Expected", "SwallowedFailureError"},
}
MODULES = ["", ".agent", ".asgi", ".delivery", ".django", ".flask", ".propagate", ".testing", ".wsgi"]


def names_in_usages() -> set[str]:
    tree = ast.parse(USAGES.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    return imported | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize("module", [f"otas_middleware{name}" for name in MODULES])
def test_every_public_name_has_a_usage(module: str) -> None:
    public = set(import_module(module).__all__) - UNTYPED.get(module, set())
    assert public <= names_in_usages()


def test_every_name_that_the_usages_import_is_there() -> None:
    assert "OtasSettings" in run_path(str(USAGES))


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(import_module("otas_middleware").__file__ or "").parent / "py.typed").exists()


def test_the_options_that_checkers_know_are_the_settings() -> None:
    assert set(SettingOptions.__annotations__) == set(OtasSettings.model_fields)
