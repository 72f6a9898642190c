"""What users import explains itself where editors show it: each argument of each public function has its line."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULES = (
    *("otas_middleware", "otas_middleware.agent", "otas_middleware.asgi", "otas_middleware.delivery"),
    *("otas_middleware.django", "otas_middleware.flask", "otas_middleware.localbrain", "otas_middleware.operations"),
    *("otas_middleware.propagate", "otas_middleware.testing", "otas_middleware.wsgi"),
)
OF_THE_PROTOCOLS = {"process_exception", "process_view"}
"""Called by a framework alone, which documents their arguments."""


def functions(module: str) -> Iterator[tuple[str, Any]]:
    """Yield each public function and method with its name, of classes the constructor under the name of the class."""
    namespace = import_module(module)
    for name in namespace.__all__:
        found = getattr(namespace, name)
        if inspect.isfunction(found):
            yield name, found
        elif inspect.isclass(found) and found.__module__.startswith("otas_middleware"):
            members = inspect.getmembers(found, inspect.isfunction)
            for method, function in members:
                ours = function.__module__.startswith("otas_middleware")
                if ours and not method.startswith("_") and method not in OF_THE_PROTOCOLS:
                    yield f"{name}.{method}", function


@pytest.mark.parametrize("module", MODULES)
def test_each_argument_of_a_public_function_is_explained(module: str) -> None:
    unexplained: list[str] = []
    for name, function in functions(module):
        text = inspect.getdoc(function) or ""
        _, _, explained = text.partition("\nArgs:\n")
        for parameter in inspect.signature(function).parameters.values():
            if parameter.name in {"self", "cls"} or parameter.name.startswith("_"):
                continue
            if f"{parameter.name}:" not in explained:
                unexplained.append(f"{name}({parameter.name})")
    assert unexplained == []


@pytest.mark.parametrize(
    ("name", "place"),
    [("OtasMiddleware", "otas_middleware.asgi (Starlette, FastAPI, …)"), ("Otas", "otas_middleware.flask")],
)
def test_an_adapter_that_is_looked_for_in_the_package_itself_is_said_to_be_elsewhere(name: str, place: str) -> None:
    with pytest.raises(ImportError, match=re.escape(f"import {name} from {place}")):
        exec(f"from otas_middleware import {name}", {})  # as users write it
    with pytest.raises(ImportError, match=re.escape(place)):
        import_string(f"otas_middleware.{name}")
