"""Routes that are written as regular expressions (Django) in the form `/orders/{order_id}`. Runs in the worker.

What a pattern leaves open becomes a parameter: a named group by its name, an unnamed one as `{arg1}`, alternatives as
`{json|xml}`, anything else as `{*}`. What is optional stands there only if the request had it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_QUANTIFIER = re.compile(r"(?:[?*+]|\{\d*,?\d*\})[?+]?")
_GROUP = re.compile(
    r"\((?:(?P<open>(?![?]))"  # unnamed
    r"|\?P<(?P<name>\w+)>"
    r"|\?P=(?P<again>\w+)\)"
    r"|\?[aiLmsux-]+(?P<flags>\))"
    r"|\?(?P<skip><?[=!]|#)"
    r"|\?[aiLmsux-]*[:>]"  # not captured
    r"|\?)"
)
_PARAMETER = re.compile(r"\{[^{}]*[^{}\d,][^{}]*\}")  # of a part that is written in the other form
_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]")
_NAME = re.compile(r"\{(\w+)\}")
_OPEN = "{*}"


def readable(route: str, given: Collection[str]) -> str:
    """Return the template that a regular expression stands for.

    Args:
        route: The pattern. Parts of it may be in the other form, their parameters spelled `{order_id}`.
        given: The names of the parameters that the request had.
    """
    return _Reader(route, given).alternatives()


class _Reader:
    """Reads one pattern from left to right."""

    def __init__(self, pattern: str, given: Collection[str]) -> None:
        self._pattern = pattern
        self._given = given
        self._at = 0
        self._positional = None if "(?P<" in pattern else 0  # Django passes unnamed groups only if none is named

    def alternatives(self) -> str:
        """Read up to the end of the group, or of the pattern, and choose between its alternatives."""
        found = [self._sequence()]
        while self._taken("|"):
            found.append(self._sequence())
        self._taken(")")
        if len(found) == 1:
            return found[0]
        for text in found:
            if (names := _NAME.findall(text)) and set(names) <= set(self._given):
                return text
        plain = [text for text in found if text and "{" not in text]
        if len(plain) == len(found):
            return "{" + "|".join(dict.fromkeys(plain)) + "}" if len(set(plain)) > 1 else plain[0]
        return plain[0] if plain and "" in found else found[0]

    def _sequence(self) -> str:
        parts: list[str] = []
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            text, fixed = self._atom()
            quantifier = self._match(_QUANTIFIER)
            if quantifier and quantifier[0] in "?*" and (fixed or text != _OPEN):
                names = _NAME.findall(text)
                if not names or not set(names) <= set(self._given):
                    continue  # optional, and the request did not have it, or it says nothing
            if not (text == _OPEN and parts and parts[-1] == _OPEN):
                parts.append(text)
        return "".join(parts)

    def _atom(self) -> tuple[str, bool]:
        """Read one piece; return its text, and whether it is a literal character."""
        if parameter := self._match(_PARAMETER):
            return parameter, False
        if self._pattern[self._at] == "(":
            return self._group(), False
        text = self._class() if self._pattern[self._at] == "[" else self._character()
        return text, len(text) == 1

    def _class(self) -> str:
        characters = self._match(_CLASS) or self._next()
        inside = characters[1:-1]
        return inside[-1] if len(inside) == 1 or re.fullmatch(r"\\[^dDwWsS]", inside) else _OPEN

    def _character(self) -> str:
        character = self._next()
        if character == "\\":
            character = self._next()
            return "" if character in "AZzbB" else _OPEN if character in "dDwWsS" else character
        if character == "." and self._pattern[self._at : self._at + 1] in {"*", "+"}:
            return _OPEN  # a single one is the dot that somebody forgot to escape
        return "" if character in "^$" else character

    def _group(self) -> str:
        match = _GROUP.match(self._pattern, self._at)
        kind, name = (match.lastgroup, match[match.lastgroup or 0]) if match else (None, "")
        self._at = match.end() if match else self._at + 1
        if kind == "again":
            return "{" + name + "}"
        if kind == "flags":
            return ""
        if kind is None or (kind == "open" and self._positional is None):
            return self.alternatives()
        self._skip_group()
        if kind == "open":
            self._positional = (self._positional or 0) + 1
            name = f"arg{self._positional}"
        return "" if kind == "skip" else "{" + name + "}"

    def _skip_group(self) -> None:
        depth = 1
        while depth and self._at < len(self._pattern):
            if self._match(_CLASS):
                continue
            character = self._next()
            if character == "\\":
                self._next()
            depth += (character == "(") - (character == ")")

    def _match(self, expression: re.Pattern[str]) -> str:
        match = expression.match(self._pattern, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match.group()

    def _next(self) -> str:
        character = self._pattern[self._at : self._at + 1]
        self._at += 1
        return character

    def _taken(self, character: str) -> bool:
        taken = self._pattern.startswith(character, self._at)
        self._at += taken
        return taken
