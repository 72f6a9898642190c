"""Importing an application by the names that servers and frameworks use.

`module:app`, `module:create_app()`, `module:make("prod")`, a file (`main.py:app`), and a module alone (`shop`,
`shop.wsgi`), in which the usual names are looked for.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import os
import re
import sys
import sysconfig
from importlib import import_module
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from otas_middleware._config.settings import OtasSettings
from otas_middleware._config.sources import load_settings
from otas_middleware._errors import ConfigurationError, OtasError
from otas_middleware._event.redact import Masker, redactor_for

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import ModuleType

_APPLICATIONS = ("app", "application")
_FACTORIES = ("create_app", "make_app")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")  # as the path of a file begins on Windows; its colon separates nothing
_LIBRARIES = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib"))


class ApplicationError(OtasError):
    """The application cannot be loaded.

    Args:
        problem: What happened.
        fix: What to do about it.
    """

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}; {fix}")
        self.problem = problem
        self.fix = fix


def load(target: str) -> Any:
    """Import what a target names, as from the current directory, and call it where it is written as a call.

    Raises:
        ApplicationError: It cannot be imported, found or called.
        ConfigurationError: Our middleware refuses its settings while the application is made.
    """
    start = 2 if _DRIVE.match(target) else 0
    module_name, colon, expression = target[start:].partition(":")
    module_name = target[:start] + module_name
    if not module_name or (colon and not expression):
        raise ApplicationError(
            f"{target!r} names no application", "write it as package.module:app or package.module:create_app()"
        )
    found: Any = import_named(module_of(module_name))
    path, arguments, keywords = _parse(expression or _usual_name(found))
    for name in path:
        if not hasattr(found, name):
            close = difflib.get_close_matches(name, dir(found), n=1)
            raise ApplicationError(
                f"{module_name} has no {'.'.join(path)}",
                f"did you mean {module_name}:{close[0]}?" if close else "name the variable that the server is given",
            )
        found = getattr(found, name)
    if arguments is None:
        return found
    with user_code(f"{target} failed"):
        return found(*arguments, **keywords)


def importable_here() -> str:
    """Put the current directory on the path, as it is under servers, and return it."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return here


def import_named(name: str) -> ModuleType:
    """Import a module, the current directory being on the path as it is under servers.

    Raises:
        ApplicationError: It is not there, or importing it fails.
        ConfigurationError: Our middleware refuses its settings.
    """
    here = importable_here()
    with user_code(f"importing {name} failed"):
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            raise ApplicationError(
                f"there is no module {error.name} in {here} or on the path",
                "run this where the server is started, or set PYTHONPATH as for it",
            ) from None


def module_of(name: str) -> str:
    """Return the name of a module; a file such as `src/main.py` is made importable first."""
    if not name.endswith(".py"):
        return name
    file = Path(name).resolve().with_suffix("")
    parts = [file.name]
    folder = file.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return ".".join(parts)


def _usual_name(module: ModuleType) -> str:
    """Return the name under which a module holds its application, or the call that makes it."""
    for name in _APPLICATIONS:
        if callable(getattr(module, name, None)):
            return name
    for name in _FACTORIES:
        if callable(getattr(module, name, None)):
            return f"{name}()"
    raise ApplicationError(
        f"{module.__name__} holds none of {', '.join(_APPLICATIONS)}, {', '.join(_FACTORIES)}",
        f"say which: {module.__name__}:NAME, or {module.__name__}:FACTORY()",
    )


@contextlib.contextmanager
def user_code(what: str) -> Generator[None]:
    """Run code of the application: what it prints goes to standard error, how it fails becomes one sentence.

    Raises:
        ApplicationError: It failed.
    """
    with contextlib.redirect_stdout(sys.stderr):
        try:
            yield
        except (ApplicationError, ConfigurationError):
            raise
        except (Exception, SystemExit) as error:
            said = str(error.msg or "") if isinstance(error, SyntaxError) else str(error)
            text = _masked(said.strip().partition("\n")[0])
            where = _last_place(error)
            raise ApplicationError(
                f"{what}: {type(error).__name__}{f': {text}' if text else ''}{where}",
                "start it as its server does, with the same environment, and correct what that shows",
            ) from error


def _masked(text: str) -> str:
    """Return what an application's exception says, without the secrets that it read from its environment."""
    try:
        settings = load_settings({})
    except ConfigurationError:
        settings = OtasSettings()
    return Masker(redactor_for(settings), "").text(text)


def _last_place(error: BaseException) -> str:
    """Return where code failed: the file that is no Python, or else the innermost line, if possible no library's."""
    if isinstance(error, SyntaxError) and error.filename and not error.filename.startswith("<"):
        return f" ({error.filename}:{error.lineno or 1})"
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    places = [(file, line) for file, line in frames if not file.startswith("<") and file != __file__]
    own = [(file, line) for file, line in places if not file.startswith(_LIBRARIES)]
    file, line = (own or places or [("", 0)])[-1]
    return f" ({file}:{line})" if file else ""


def _parse(expression: str) -> tuple[list[str], list[Any] | None, dict[str, Any]]:
    """Split `app`, `site.app`, `create_app("prod", debug=False)` into names and, for a call, its literal arguments."""
    wrong = ApplicationError(
        f"{expression!r} is neither a name nor a call", 'write app, create_app() or create_app("production")'
    )
    try:
        node = ast.parse(expression.strip(), mode="eval").body
    except SyntaxError:
        raise wrong from None
    arguments: list[Any] | None = None
    keywords: dict[str, Any] = {}
    if isinstance(node, ast.Call):
        try:
            arguments = [ast.literal_eval(argument) for argument in node.args]
            keywords = {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in node.keywords}
        except ValueError:
            raise wrong from None
        node = node.func
    path: list[str] = []
    while isinstance(node, ast.Attribute):
        path.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or "" in keywords:
        raise wrong
    return [node.id, *path], arguments, keywords


SDK_KEY = re.compile(r"otas_.+_.+")  # a prefix may hold underscores, and begin with one
_LONG_KEY = 30


def masked(value: object) -> str:
    """Return a setting's value as it may be shown: of a secret no more than what tells one key from another."""
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        start = f"{secret[:9]}…" if SDK_KEY.fullmatch(secret) and len(secret) >= _LONG_KEY else "…"
        return f"{start} ({len(secret)} characters)"
    if callable(value):
        return f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', repr(value))}"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return str(value)
