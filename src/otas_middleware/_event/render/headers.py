"""Headers as one object, whatever the server gave."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otas_middleware._capture.capture import Headers

HeaderMap = dict[str, "str | list[str]"]


def header_map(pairs: Headers) -> HeaderMap:
    """Return headers with lower-case names, and a list of values where a name came more than once."""
    known = _names.get
    try:
        simple = {
            known(name) or _name(name): value.decode("latin-1") if isinstance(value, bytes) else value
            for name, value in pairs
        }
        if len(simple) == len(pairs) and "".join(simple.values()).isascii():
            return cast("HeaderMap", simple)
        return _merged(pairs)
    except (TypeError, ValueError, AttributeError):  # an application or a test client put what is no text among them
        return _merged(_texts(pairs))


def _texts(pairs: Iterable[object]) -> Iterator[tuple[str, str]]:
    """Yield headers as texts, whatever they are; what is no pair is left out."""
    for pair in pairs:
        if isinstance(pair, tuple | list) and len(cast("tuple[object, ...]", pair)) == 2:
            name, value = cast("tuple[object, object]", pair)
            yield _text(name), "" if value is None else _text(value)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray):
        return value.decode("latin-1")
    try:
        return str(value)
    except Exception:  # a class of the application's own
        return f"({type(value).__name__})"


def _merged(pairs: Iterable[tuple[bytes | str, bytes | str]]) -> HeaderMap:
    result: HeaderMap = {}
    for raw_name, raw_value in pairs:
        name = _name(raw_name)
        value = raw_value.decode("latin-1") if isinstance(raw_value, bytes) else raw_value
        if not value.isascii():
            value = _reread(value)
        known = result.get(name)
        if known is None:
            result[name] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            result[name] = [known, value]
    return result


def first_value(headers: HeaderMap, name: str) -> str:
    """Return a header's first value, or the empty string."""
    value = headers.get(name, "")
    return value if isinstance(value, str) else value[0]


def all_values(headers: HeaderMap, name: str) -> str:
    """Return all of a header's values as one list, as RFC 9110, section 5.3, joins them."""
    value = headers.get(name, "")
    return value if isinstance(value, str) else ", ".join(value)


_MAX_NAMES = 1024
_LONGEST_NAME = 64
_names: dict[bytes | str, str] = {}
"""Names of headers as servers give them to names in lower case."""


def _name(raw: bytes | str) -> str:
    name = (raw.decode("latin-1") if isinstance(raw, bytes) else raw).lower()
    if not name.isascii():
        return _without_surrogates(name)
    if len(name) <= _LONGEST_NAME:
        if len(_names) >= _MAX_NAMES:
            _names.clear()  # clients invent names
        _names[raw] = name
    return name


def _without_surrogates(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _reread(value: str) -> str:
    """Return a value that was read as Latin-1 (RFC 9110 and PEP 3333 demand it) as the UTF-8 that it mostly is."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return _without_surrogates(value)
