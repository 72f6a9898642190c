"""What importing costs, and in which direction modules know each other."""

from __future__ import annotations

import ast
import functools
import json
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import otas_middleware
from otas_middleware._event.operation import PROTOCOLS
from otas_middleware.localbrain import LocalBrain

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(otas_middleware.__file__).parent
FRAMEWORKS = ("django", "flask", "starlette", "fastapi", "celery")


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(result.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "statement",
    ["import otas_middleware", "import otas_middleware.asgi", "import otas_middleware.wsgi"],
)
def test_importing_the_core_brings_no_framework_no_http_client_and_no_pydantic(statement: str) -> None:
    loaded = modules_after(statement)
    for heavy in (
        *FRAMEWORKS,
        "httpx",
        "httpx2",
        "httpcore",
        "httpcore2",
        "pydantic",
        "werkzeug",
        "asyncio",
        "sqlite3",
    ):
        assert heavy not in loaded


def test_the_flask_adapter_brings_no_other_framework() -> None:
    loaded = modules_after("import otas_middleware.flask")
    for other in ("django", "starlette", "fastapi", "celery", "httpx2", "httpx"):
        assert other not in loaded


def test_the_django_adapter_brings_no_other_framework() -> None:
    loaded = modules_after("import otas_middleware.django")
    for other in ("flask", "starlette", "fastapi", "celery", "httpx2", "httpx"):
        assert other not in loaded


def test_opening_a_recorder_starts_no_thread_and_imports_no_http_client() -> None:
    loaded = modules_after(
        "import threading\n"
        "from otas_middleware._recorder import open_recorder\n"
        "assert open_recorder({'sdk_key': 'otas_a_b'}) is not None\n"
        "assert threading.active_count() == 1"
    )
    assert "httpx2" not in loaded
    assert "httpx" not in loaded


DELIVER_ONE = """
import asyncio
import otas_middleware
from otas_middleware.asgi import OtasMiddleware

async def application(scope, receive, send):
    await receive()
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}})
    await send({{"type": "http.response.body", "body": b"{{}}"}})

async def receive():
    return {{"type": "http.request", "body": b'{{"number": 7}}', "more_body": False}}

async def send(message):
    pass

headers = [(b"content-type", b"application/json"), (b"x-otas-agent-session-token", {token!r}.encode())]
scope = {{"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}}
asyncio.run(OtasMiddleware(application, sdk_key={key!r}, brain_url={url!r})(scope, receive, send))
assert otas_middleware.flush(20) and otas_middleware.stats()["delivered"] == 1
"""


def test_what_a_delivered_event_does_not_need_is_not_imported_for_it() -> None:
    with LocalBrain() as brain:
        loaded = modules_after(DELIVER_ONE.format(url=brain.url, key=brain.sdk_key, token=brain.create_session()))
    ours = {name.removeprefix("otas_middleware.") for name in loaded if name.startswith("otas_middleware.")}
    assert len(ours) < 56, "each costs every process that records time and memory"
    protocols = {f"_event.operation.{protocol.module}" for protocol in PROTOCOLS}
    rare = {"coding", "multipart", "stream"}
    assert ours.isdisjoint(protocols | {f"_event.render.{name}" for name in rare} | {"_event.routes"})
    rare = {"labels", "markup", "named", "named_value", "tables", "values"}  # where there is something to mask
    assert ours.isdisjoint({f"_event.redact.{name}" for name in rare})
    for room in ("_agent", "_outbound", "_cli", "_testing", "localbrain", "celery", "_delivery.disk_queue"):
        assert not [name for name in ours if name.startswith(room)]
    for name in ("agnost", "uasam", "announced_sessions"):
        assert f"_delivery.destinations.{name}" not in ours
    assert not [name for name in ours if name.startswith(("_delivery.relay.", "_delivery.transports.celery"))]


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def statements(tree: ast.AST, *, types: bool) -> Iterator[ast.stmt]:
    """All statements, with or without those under TYPE_CHECKING; expressions hold no imports and are passed over."""
    unseen = not types and isinstance(tree, ast.If) and ast.unparse(tree.test) == "TYPE_CHECKING"
    for field in ("orelse",) if unseen else ("body", "handlers", "cases", "orelse", "finalbody"):
        for node in getattr(tree, field, ()):
            if isinstance(node, ast.stmt):
                yield node
            yield from statements(node, types=types)


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path: Path, known: set[str], *, types: bool) -> set[str]:
    """The modules of the package that a module imports, with or without those under TYPE_CHECKING."""
    found: set[str] = set()
    for node in statements(parsed(path), types=types):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
    return found & known


@functools.cache
def import_graph(*, types: bool = False) -> dict[str, set[str]]:
    paths = [path for path in PACKAGE.rglob("*.py") if "examples" not in path.parts]
    known = {module_name(path) for path in paths}
    return {module_name(path): imports_of(path, known, types=types) - {module_name(path)} for path in paths}


def test_imports_form_a_tree_without_a_cycle_types_included() -> None:
    TopologicalSorter(import_graph(types=True)).prepare()


def test_what_builds_events_is_named_by_import_statements_which_packers_of_programs_see() -> None:
    graph = import_graph()
    named = set[str]().union(*graph.values())
    packages = {name.rpartition(".")[0] for name in graph}
    assert not {name for name in graph.keys() - named - packages if name.startswith("otas_middleware._event.")}
    parser = statements(parsed(PACKAGE / "_event/render/multipart.py"), types=True)
    assert "multipart" in [node.names[0].name for node in parser if isinstance(node, ast.Import)]


def room(module: str) -> str:
    """The folder that a module lies in; a module beside the folders is a room of its own."""
    return module.removeprefix("otas_middleware").lstrip(".").split(".")[0] or "otas_middleware"


def test_rooms_know_each_other_in_one_direction_types_included() -> None:
    rooms: dict[str, set[str]] = {}
    for module, imported in import_graph(types=True).items():
        rooms.setdefault(room(module), set()).update({room(name) for name in imported} - {room(module)})
    TopologicalSorter(rooms).prepare()


def test_the_core_knows_no_adapter_and_no_tool() -> None:
    outer = {
        "asgi",
        "wsgi",
        "django",
        "flask",
        "agent",
        "propagate",
        "testing",
        "_cli",
        "__main__",
        "localbrain",
        "_testing",
    }
    for module, imported in import_graph().items():
        top = module.removeprefix("otas_middleware").lstrip(".").split(".")[0]
        if top.startswith("_") and top not in outer:
            for name in imported:
                assert name.removeprefix("otas_middleware").lstrip(".").split(".")[0] not in outer, f"{module} → {name}"


def test_each_adapter_imports_only_its_own_framework() -> None:
    for path in PACKAGE.rglob("*.py"):
        module = module_name(path).removeprefix("otas_middleware").lstrip(".")
        if module.startswith(("localbrain", "_cli.demo", "testing", "_cli.application", "apps", "management")):
            continue
        names = {
            node.module.split(".")[0]
            for node in statements(parsed(path), types=True)
            if isinstance(node, ast.ImportFrom) and node.module
        }
        for framework in FRAMEWORKS:
            if framework not in module.split("."):
                assert framework not in names, f"{module} imports {framework}"


def test_every_public_name_is_there() -> None:
    for name in otas_middleware.__all__:
        assert getattr(otas_middleware, name) is not None
    assert dir(otas_middleware) == sorted(otas_middleware.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = otas_middleware.no_such_name


@pytest.mark.parametrize(("module", "framework"), [("flask", "flask"), ("django", "django")])
def test_a_missing_framework_is_named_with_the_line_that_brings_it(module: str, framework: str) -> None:
    code = (
        "import sys\n"
        f"sys.modules[{framework!r}] = None\n"
        "try:\n"
        f"    import otas_middleware.{module}\n"
        "except ImportError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("MissingExtraError")
    assert f"pip install 'otas-middleware[{framework}]'" in result.stdout
