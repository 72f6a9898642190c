"""Route templates of all frameworks in one form: `/orders/{order_id}`. Runs in the worker."""

from __future__ import annotations

import re
from datetime import date, time, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        from otas_middleware._event.regex_route import readable  # noqa: PLC0415  # for those who write such

        text = readable(text, given)
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
