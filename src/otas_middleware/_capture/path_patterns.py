"""Paths as settings name them: exact (`/health`), a prefix (`/static/`), or a pattern (`/*/internal`)."""

from __future__ import annotations

import re
from fnmatch import translate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class PathSet:
    """Tells whether a path is among those that a setting names.

    Args:
        entries: A path; a prefix, which ends in `/` or in `*`; or a pattern with `*`, `?` or `[...]` in it.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        exact: list[str] = []
        prefixes: list[str] = []
        patterns: list[str] = []
        for entry in entries:
            stem = entry.removesuffix("*")
            if set(stem) & set("*?["):
                patterns.append(translate(entry))
            else:
                (prefixes if stem.endswith("/") or stem != entry else exact).append(stem)
        self._exact = frozenset(exact)
        self._prefixes = tuple(prefixes)
        self._pattern = re.compile("|".join(patterns)) if patterns else None

    def __contains__(self, path: str) -> bool:
        return (
            path in self._exact
            or path.startswith(self._prefixes)
            or (self._pattern is not None and self._pattern.match(path) is not None)
        )
