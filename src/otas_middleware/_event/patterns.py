"""Regular expressions: those of the probes and of the settings, in linear time, and ours, when they are needed."""

from __future__ import annotations

import logging
import re
import sys
from functools import cache, lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, StringConstraints, TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from otas_middleware._config.settings import OtasSettings

_LINEAR = ConfigDict(regex_engine="rust-regex")


def probe(*sources: str) -> Callable[[str], bool]:
    """Return a function that tells whether any of the patterns occurs in a text.

    Args:
        sources: Patterns in the syntax of Rust's `regex` crate (no look-around, no back-references).

    Returns:
        The function. Its argument must be encodable as UTF-8: a text with a lone surrogate is answered `False`.
    """
    constrained = Annotated[str, StringConstraints(pattern="|".join(sources), strict=True)]
    return TypeAdapter(constrained, config=_LINEAR).validator.isinstance_python


shared_probe = lru_cache(maxsize=256)(probe)
"""As `probe`, and made once for all settings: for patterns that no secret is part of."""


_ENDS = re.compile(r"(\\.|\[\^?\]?(?:\\.|[^\]\\])*\])|\)(?=(?:[*+?]|\{\d*,?\d*\})\+)", re.DOTALL)
"""What is passed over in a pattern, or the end of a group that is repeated possessively."""


@cache
def compiled(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """Return a pattern, compiled; of those of which this is asked at their first use, most are never needed.

    Before 3.11.5, when the last turn of a possessively repeated group begins well and fails, Python goes on where that
    turn had come to (gh-106052), past names and values. A last branch that never matches brings it back.
    """
    if sys.version_info < (3, 11, 5):
        pattern = _ENDS.sub(lambda found: found[1] or "|(?!))", pattern)
    return re.compile(pattern, flags)


def rows(table: str) -> Iterator[list[str]]:
    """Yield the rows of a table of patterns that is written as a text, of three fields each.

    Args:
        table: Rows begin a line, and so do comments (`# `). Fields are two blanks apart, or in lines of their own, set
            in by four blanks; the last goes on in further such lines.
    """
    for row in re.split(r"\n(?=\S)", table.strip()):
        if not row.startswith("# "):
            yield [field.replace("\n    ", "") for field in re.split(r" {2,}|\n +", row, maxsplit=2)]


def filled(pattern: str, parts: Mapping[str, str]) -> str:
    """Return a pattern with its parts in place of their names, `<name>`; those that hold others come before them."""
    for name, part in parts.items():
        pattern = pattern.replace(f"<{name}>", part)
    return pattern


_log = logging.getLogger("otas_middleware")


@lru_cache(maxsize=1)
def _re2() -> Any:
    try:
        return import_module("re2")
    except ImportError:
        return None


def compile_pattern(pattern: str) -> Any:
    """Return a compiled pattern, of RE2 where it takes it, else of `re`; both have `sub`."""
    engine = _re2()
    if engine is not None:
        options = engine.Options()
        options.log_errors = False
        try:
            return engine.compile(pattern, options)
        except engine.error:
            pass
    return compiled(pattern)


def unbounded(patterns: Iterable[str]) -> list[str]:
    """Return those patterns that Python's engine runs."""
    return [pattern for pattern in patterns if isinstance(compile_pattern(pattern), re.Pattern)]


def warn_of_patterns(settings: OtasSettings) -> None:
    """Say once, at the start, which patterns strangers could make run for very long."""
    patterns = unbounded((*settings.redact_patterns, *settings.redact_path_patterns))
    if not patterns:
        return
    _log.warning(
        "%s run with Python's engine over what strangers send: with nested repetitions, one text can stop all threads "
        "for minutes. %s",
        ", ".join(repr(pattern) for pattern in patterns),
        "Install otas-middleware[re2], which runs them in linear time."
        if _re2() is None
        else "RE2 refuses them; write them without look-around and back-references.",
    )
