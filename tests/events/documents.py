"""Documents that hypothesis invents: structures with secrets in them, and what they must become."""

from __future__ import annotations

import json
import random
import re
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from hypothesis import strategies as st

from otas_middleware._event.redact.name_rules import NameRules
from otas_middleware._event.redact.sensitive_names import DEFAULT_NAMES

Values = st.SearchStrategy[Any]

SECRET = "zq7xkv9wjh3yfb5t"
PIECE = 6
RULES = NameRules()

_ENTRIES = [entry for row in DEFAULT_NAMES if not row.stays for entry in (*row.inside, *row.phrase)]
_HARMLESS = [
    "x",
    "yy",
    "count",
    "user",
    "shipping",
    "author",
    "inside",
    "passenger",
    "design",
    "résumé",
    "größe",
    "日本",
]
# Every character that means something in some format, and none that a name or a number could be read from.
_JUNK = st.text(alphabet="xyz \t\n\r\"'\\/{}[](),;|#éß日😀", max_size=12)


def _spell(entry: str, style: int, prefix: str, suffix: str) -> str:
    words = [*prefix.split(), *entry.split("_"), *suffix.split()]
    if style == 0:
        return "_".join(words)
    if style == 1:
        return "-".join(words).upper()
    if style == 2 and entry.isascii():
        return words[0] + "".join(word.capitalize() for word in words[1:])
    if style == 3 and "bearer" not in words:
        return " ".join(word.capitalize() for word in words)
    return ".".join(words)


sensitive_names = st.builds(
    _spell,
    st.sampled_from(_ENTRIES),
    st.integers(0, 4),
    st.sampled_from(["", "my", "x", "user", "old new"]),
    st.sampled_from(["", "value", "v2", "raw"]),
)
harmless_names = st.one_of(st.sampled_from(_HARMLESS), st.text(alphabet="xyz-_ éß日\"'\\{}[](),", max_size=8))
harmless_values: Values = st.one_of(st.none(), st.booleans(), st.integers(-(10**9), 10**9), st.floats(-1e6, 1e6), _JUNK)


def _around_the_secret(before: str, after: str) -> str:
    return before + SECRET + after


def _containers(inner: Values) -> Values:
    item = st.one_of(inner, harmless_values)
    return st.one_of(
        st.lists(item, min_size=1, max_size=3), st.dictionaries(harmless_names, item, min_size=1, max_size=3)
    )


def _shuffled(plain: dict[str, Any], secret: dict[str, Any], seed: int) -> dict[str, Any]:
    items = list({**plain, **secret}.items())
    random.Random(seed).shuffle(items)
    return dict(items)


def _objects(inner: Values) -> Values:
    return st.builds(
        _shuffled,
        st.dictionaries(harmless_names, inner, max_size=4),
        st.dictionaries(sensitive_names, st.one_of(secret_values, harmless_values), max_size=2),
        st.integers(0, 1000),
    )


def _objects_and_lists(inner: Values) -> Values:
    return st.one_of(_objects(inner), st.lists(inner, max_size=4))


def _object_of(inner: Any) -> Values:
    return _objects(st.just(inner))


secret_texts: st.SearchStrategy[str] = st.builds(_around_the_secret, _JUNK, _JUNK)
secret_values: Values = st.recursive(secret_texts, _containers, max_leaves=4)
documents: Values = st.recursive(harmless_values, _objects_and_lists, max_leaves=12).flatmap(_object_of)
flat_documents: st.SearchStrategy[dict[str, str]] = st.builds(
    _shuffled,
    st.dictionaries(st.sampled_from(_HARMLESS), _JUNK, max_size=4),
    st.dictionaries(sensitive_names, secret_texts, min_size=1, max_size=2),
    st.integers(0, 1000),
)


def _is(value: object, kind: type[Any]) -> bool:
    """Say what `isinstance` says; the value stays `Any` to the type checkers."""
    return isinstance(value, kind)


def _is_of_flags(item: Any) -> bool:
    if _is(item, dict):
        return all(re.fullmatch(r"[A-Za-z0-9_ .-]{1,64}", name) for name in item) and all(
            map(_is_of_flags, item.values())
        )
    return item is None or isinstance(item, bool) or (_is(item, list) and all(map(_is_of_flags, item)))


def _hides(name: str, item: object) -> bool:
    if item in (None, "") or isinstance(item, bool) or (_is(item, dict) and _is_of_flags(item)):
        return False
    return RULES.sensitive(name)


def expected(value: Any) -> Any:
    """Return a document with everything under a sensitive name masked, and nothing else changed."""
    if _is(value, dict):
        return {name: "[REDACTED]" if _hides(name, item) else expected(item) for name, item in value.items()}
    return [expected(item) for item in value] if _is(value, list) else value


def escape_some(text: str, seed: int) -> str:
    """Return the same JSON with some letters and quotes of its strings written as `\\u00XX`."""
    chance = random.Random(seed)
    result: list[str] = []
    inside = escaped = False
    kept = 0
    for char in text:
        if kept:
            kept -= 1
            result.append(char)
        elif inside and not escaped and char.isalnum() and char.isascii() and chance.random() < 0.2:
            result.append(f"\\u{ord(char):04x}")
        elif escaped and char == '"' and chance.random() < 0.5:
            result.append("u0022")
        else:
            result.append(char)
        if escaped and char == "u":
            kept = 4
        if char == '"' and not escaped:
            inside = not inside
        escaped = inside and char == "\\" and not escaped
    return "".join(result)


_PIECES = (
    r"""password|token|api_key|Authorization|Bearer |Basic dXNlcjpwYXNz|sk_live_abcdef0123456789|4111 1111 1111 1111"""
    r"""|AKIAIOSFODNN7EXAMPLE|:|=| |, |"|'|\|\"|\n|{|}|[|]|(|)|<|>|&|&quot;|%22|/|--|--password |/*|*/|`|#|é|😀"""
    r"""|{"password":"x"}|<password>x</password>|password: |password=|"password":|Password is |my password is hunter2"""
    r"""|postgres://u:p@h/db|Cookie: a=b; c=d|export TOKEN=abc|-----BEGIN PRIVATE KEY-----|-----END PRIVATE KEY-----"""
    r"""|eyJwYXNzd29yZCI6IngifQ==|key='abc'|name|value|null|1|data: """
)
_HOSTILE = [*_PIECES.split("|"), "\n", "\t", "|"]
_hostile_texts: st.SearchStrategy[str] = st.lists(st.sampled_from(_HOSTILE), max_size=5).map("".join)
hostile_documents: Values = st.recursive(
    st.one_of(_hostile_texts, st.none(), st.booleans(), st.integers(0, 10**17)),
    lambda inner: st.one_of(
        st.dictionaries(_hostile_texts, inner, max_size=4), st.lists(inner, max_size=4), inner.map(json.dumps)
    ),
    max_leaves=12,
).map(lambda value: {"x": value})
"""Documents of pieces that mean something in some format, or look like JSON themselves."""

json_styles = st.sampled_from(
    [
        {"separators": (",", ":")},
        {"separators": (", ", ": ")},
        {"separators": (" , ", "\t:\n ")},
        {"indent": 2},
        {"ensure_ascii": False},
    ]
)


def to_xml(value: Any, name: str = "root") -> str:
    """Return a document as XML: names as elements, those that XML does not allow as attributes' values."""
    if _is(value, dict):
        inner = "".join(to_xml(item, key) for key, item in value.items())
    elif _is(value, list):
        inner = "".join(to_xml(item, "item") for item in value)
    else:
        inner = escape(str(value))
    plain = name.isascii() and name.replace("_", "").replace("-", "").isalpha()
    return f"<{name}>{inner}</{name}>" if plain else f"<entry key={quoteattr(name)}>{inner}</entry>"


def to_yaml(value: Any, indent: int = 0) -> str:
    """Return a document as YAML; texts that need no quotes have none."""
    pad = "  " * indent
    if _is(value, dict) and value:
        return "".join(f"{pad}{key}:{_yaml_item(item, indent)}" for key, item in value.items())
    if _is(value, list) and value:
        return "".join(f"{pad}-{_yaml_item(item, indent)}" for item in value)
    return f"{pad}{json.dumps(value)}\n"


def _yaml_item(item: Any, indent: int) -> str:
    if (_is(item, dict) or _is(item, list)) and item:
        return "\n" + to_yaml(item, indent + 1)
    if isinstance(item, str) and item.isalnum():
        return f" {item}\n"
    return f" {json.dumps(item)}\n"
