"""Fixtures around real servers, and the order of tests that share one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otas_middleware.localbrain import LocalBrain
from servers.catalogue import Combination, combination, combinations
from servers.noting import noted_for_the_table
from servers.pair import Pair, pair_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["noted_for_the_table"]

# What every run of the tests looks at; the rest is slow.
ALWAYS = {
    str(combination("uvicorn, httptools", "Starlette")),
    str(combination("hypercorn, asyncio", "ASGI callable")),
    str(combination("gunicorn, gthread", "Flask")),
}

# What a matrix environment that does not run everything looks at: each framework, and the most used servers.
SMALL = {
    *ALWAYS,
    str(combination("uvicorn, h11", "Django (async)")),
    str(combination("uvicorn, h11", "FastAPI")),
    str(combination("uvicorn, httptools", "ASGI callable")),
    str(combination("gunicorn, gthread", "Django (sync)")),
    str(combination("gunicorn, sync", "WSGI callable")),
    str(combination("werkzeug (flask run)", "Flask")),
    str(combination("Django (runserver)", "Django (sync)")),
}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "check(name): what this test says about a server, for the table in the docs")
    config.addinivalue_line("markers", "small: part of every environment of the matrix")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "pair" in metafunc.fixturenames:
        metafunc.parametrize("pair", [_parameter(each) for each in combinations()], indirect=True, scope="session")


def _parameter(each: Combination) -> object:
    marks: list[pytest.MarkDecorator] = [pytest.mark.xdist_group(str(each))]
    if str(each) in SMALL:
        marks.append(pytest.mark.small)
    if str(each) not in ALWAYS:
        marks.append(pytest.mark.slow)
    return pytest.param(each, id=str(each), marks=marks)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of one pair of servers together, in whatever order they come otherwise: each pair starts once."""
    first: dict[str, int] = {}

    def place(item: pytest.Item) -> tuple[int, int]:
        spec = getattr(item, "callspec", None)
        index = first.setdefault(str(spec.params["pair"]), len(first)) if spec and "pair" in spec.params else -1
        return index, 0

    items.sort(key=place)


@pytest.fixture(scope="session")
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both servers of one combination, and a Brain; afterwards each request must be one event there."""
    wanted: Combination = request.param
    if missing := wanted.missing():
        pytest.skip(f"not installed: {', '.join(missing)} (dependency group `matrix`)")
    with LocalBrain() as brain:
        with pair_of(wanted, brain, tmp_path_factory.mktemp("servers")) as servers:
            yield servers
            servers.wait_for_events()
        servers.check_that_each_request_is_one_event()
