"""What `docs/architecture.md` says of the whole package holds in its code."""

from __future__ import annotations

import ast
from pathlib import Path

import otas_middleware

PACKAGE = Path(otas_middleware.__file__).parent
TOOLS = {"_cli", "localbrain", "_testing"}
"""What runs in no host's process, or in its tests: there an exception may become a line for a person."""

BROAD = {"Exception", "BaseException"}


def handlers_that_catch_broadly() -> list[tuple[Path, ast.ExceptHandler]]:
    return [
        (path, node)
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] not in TOOLS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in BROAD))
    ]


def reports_or_raises(handler: ast.ExceptHandler) -> bool:
    for node in ast.walk(handler):
        if isinstance(node, ast.Raise):
            return True
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name == "report_internal_error":
                return True
    return False


def test_what_is_caught_broadly_is_reported_or_raised_again_or_says_why_not() -> None:
    silent = [
        f"{path.relative_to(PACKAGE)}:{handler.lineno}"
        for path, handler in handlers_that_catch_broadly()
        if not reports_or_raises(handler)
        and "#" not in path.read_text(encoding="utf-8").splitlines()[handler.lineno - 1]
    ]
    assert not silent


def test_no_module_is_longer_than_350_lines() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert not {str(path.relative_to(PACKAGE)): length for path, length in lengths.items() if length > 350}


RENEWED = {"_delivery/process.py"}
"""Modules that give a forked child new locks by themselves."""


def test_a_lock_that_a_whole_process_shares_is_free_in_a_forked_child() -> None:
    held = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] not in TOOLS and str(path.relative_to(PACKAGE)) not in RENEWED
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) in {"threading.Lock", "threading.RLock", "threading.Condition"}
    ]
    assert not held, "use `_runtime.ForkSafeLock`"
