"""Route templates of all frameworks in one form: `/orders/{order_id}`. Runs in the worker.

What a regular expression (Django) leaves open becomes a parameter: a named group by its name, an unnamed one as
`{arg1}`, alternatives as `{json|xml}`, anything else as `{*}`. What is optional is there only if the request had it.
"""

from __future__ import annotations

import re
from datetime import date, time, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

# `<int:order_id>` (Django, Flask), `{order_id:path}` (Starlette), `{order_id:int}` (Litestar, Falcon)
_ANGLE = re.compile(r"(?<!\?P)<(?:[^<>:]*:)?([^<>:]+)>")
_BRACE = re.compile(r"{([^{}:]+):[^{}]*}")
_NAME = re.compile(r"{([^{}]+)}")
_MAX_SEARCHED = 4_096
"""Characters of a path; patterns may look through a longer one for long."""
_IS_REGEX = re.compile(r"\(\?P<|\^|\\|\$\Z|[])][?*+]|\(\?:")


@lru_cache(maxsize=2048)
def normalise(template: str, given: tuple[str, ...] = ()) -> str:
    """Return a framework's own template in the form `/orders/{order_id}`.

    Args:
        template: As the framework spells it.
        given: The names of the parameters that the request had; optional parts of a regular expression depend on them.
    """
    text = _BRACE.sub(r"{\1}", _ANGLE.sub(r"{\1}", template))
    if not text.startswith("/") and _IS_REGEX.search(text):  # only Django's do not begin with a slash
        text = _RegexReader(text, given).alternatives()
    return text if text.startswith("/") else "/" + text


def template(
    path: str, route: str | None, path_params: Mapping[str, object] | None, *, mounts: bool = True
) -> str | None:
    """Return the template that a path was matched with, mounts and prefixes included.

    Args:
        path: The full path, decoded.
        route: The framework's template of the innermost router, `""` when it is not known but a route matched, or
            None when none matched.
        path_params: Names to values, as they stand in the path.
        mounts: Whether some of the parameters may be those of mounts, which the innermost template does not hold.

    Returns:
        Such as `/v1/orders/{order_id}`, or None; also when it cannot be told which part of the path is a mount's
        parameter.
    """
    if route is None:
        return None
    params = path_params or {}
    tail = normalise(route, tuple(params)) if route else ""
    prefix = _before(path, tail, params)
    if prefix is None:
        return tail
    if mounts:
        names, _ = _names_and_format(tail)
        of_mounts = {name: value for name, value in params.items() if name not in names}
        prefix = _with_names(prefix, of_mounts) if of_mounts else prefix
    return None if prefix is None else (prefix + tail) or "/"


def _before(path: str, tail: str, params: Mapping[str, object]) -> str | None:
    """Return what stands before the part of the path that the innermost template matched, or None."""
    names, form = _names_and_format(tail)
    texts = [_text(params.get(name)) for name in names]
    if None not in texts and path.endswith(filled := form % tuple(texts)):
        return path.removesuffix(filled)
    if len(path) > _MAX_SEARCHED:
        return None
    # A value was converted, such as 042 to 42. How many slashes are in the part that it is from, a text still tells.
    slashes = tuple((text or "").count("/") for text in texts)
    for pattern in _end_patterns(tail, slashes):
        match = pattern.search(path)
        if match is not None:
            return path[: match.start()]
    return None


@lru_cache(maxsize=2048)
def _split(tail: str) -> tuple[str, ...]:
    """Return the texts of a template and, between them, the names of its parameters."""
    return tuple(_NAME.split(tail))


@lru_cache(maxsize=2048)
def _names_and_format(tail: str) -> tuple[tuple[str, ...], str]:
    """Return the names of a template's parameters, and the template with `%s` in place of each."""
    parts = _split(tail)
    return parts[1::2], "%s".join(part.replace("%", "%%") for part in parts[::2])


@lru_cache(maxsize=2048)
def _end_patterns(tail: str, slashes: tuple[int, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return patterns for the end of a path: with so many slashes in each parameter, and with any number of them."""
    parts = [re.escape(text) for text in _split(tail)]
    counted = [*parts]
    counted[1::2] = [f"[^/]+(?:/[^/]*){{{count}}}" for count in slashes]
    parts[1::2] = [".+"] * len(slashes)
    return re.compile("".join(counted) + r"\Z"), re.compile("".join(parts) + r"\Z")


def _with_names(prefix: str, params: Mapping[str, object]) -> str | None:
    """Return what stands before the innermost template with the parameters of mounts in place of their values.

    The values alone are known, and not where they stood: where more segments have one, nothing is said.
    """
    segments = prefix.split("/")
    texts = {name: _text(value) for name, value in params.items()}
    for text, value in {texts[name]: value for name, value in params.items()}.items():
        if text is None:
            return None
        names = [name for name, other in texts.items() if other == text]
        length = text.count("/") + 1
        places = [at for at in range(1, len(segments)) if _is_value("/".join(segments[at : at + length]), text, value)]
        if len(places) != len(names):
            return None
        for at, name in sorted(zip(places, names, strict=True), reverse=True):
            segments[at : at + length] = ["{" + name + "}"]
    return "/".join(segments)


def _is_value(segment: str, text: str, value: object) -> bool:
    """Say whether a parameter has its value from this part of a path: 7 is from `007`, a UUID from one in capitals."""
    if segment == text:
        return True
    if isinstance(value, str) or not segment:
        return False
    try:
        return bool(cast("type[Any]", type(value))(segment) == value)
    except Exception:  # what a class of Python's own may raise of any text
        return False


_PLAIN = (str, int, float, Decimal, UUID, date, time, timedelta, PurePath)


def _text(value: object) -> str | None:
    """Return a parameter's value as it may stand in a path, or None for what only the application's code could tell.

    A converter of its own may give anything, such as an object of a database that is asked for its text.
    """
    if type(value) is str:
        return value
    try:
        return str(value) if isinstance(value, _PLAIN) else None
    except ValueError:  # an integer of more than 4,300 digits
        return None


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
_REGEX_NAME = re.compile(r"\{(\w+)\}")
_OPEN = "{*}"


class _RegexReader:
    """Reads one regular expression from left to right.

    Args:
        pattern: The expression; parts of it may be in the other form, their parameters spelled `{order_id}`.
        given: The names of the parameters that the request had.
    """

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
            if (names := _REGEX_NAME.findall(text)) and set(names) <= set(self._given):
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
                names = _REGEX_NAME.findall(text)
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
