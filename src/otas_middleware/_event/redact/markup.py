"""XML and HTML: `<password>…</password>`, `<add key="ApiKey" value="…"/>`, `<meta name="csrf-token" content="…">`.

Attributes that are sensitive by their own name are `name="value"` like elsewhere and are left to `named`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otas_middleware._event.redact.mask import MASK

if TYPE_CHECKING:
    from otas_middleware._event.redact.names import NameRules

_NAME = r"[A-Za-z_][\w:.\-]*+"
_TAG = re.compile(rf"<(?P<name>{_NAME})(?P<attributes>(?:\"[^\"<]*+(?:\"|$)|'[^'<]*+(?:'|$)|[^<>\"'])*+)(?P<closed>>?)")
_ATTRIBUTE = re.compile(
    r"(?P<name>[\w:.\-]++)\s*+=\s*+"
    r"(?:\\*+\"(?P<double>(?:[^\"\\]|\\[^\"])*+)|\\*+'(?P<single>(?:[^'\\]|\\[^'])*+)|(?P<bare>[^\s\"'<>=`\\]++))"
)
_INNER = re.compile(rf"<!\[CDATA\[|<!--|<(?P<slash>/?)(?P<name>{_NAME})[^<>]*+>?")
_SECTIONS = {"<![CDATA[": "]]>", "<!--": "-->"}

_LABELS = frozenset(
    (
        "name",
        "key",
        "field",
        "property",
        "itemprop",
        "param",
        "header",
    )
)
"""Attributes that say what an element holds."""
_KINDS = frozenset(
    (
        "id",
        "type",
    )
)
"""Attributes that may say so, of elements whose content may be a whole page."""
_VALUES = frozenset(
    (
        "value",
        "content",
        "val",
        "data",
        "default",
    )
)
_VOID = frozenset(
    (
        "add",
        "embed",
        "img",
        "input",
        "link",
        "meta",
        "param",
        "source",
    )
)


def mask_markup(text: str, rules: NameRules) -> str:
    """Return XML or HTML, whole or cut off, with the values of sensitive elements masked."""
    pieces: list[str] = []
    done = 0
    position = text.find("<")
    while position >= 0 and (tag := _TAG.search(text, position)) is not None:
        position = tag.end()
        holds_secret = rules.sensitive(tag["name"])
        masked = tag["attributes"]
        if "=" in masked:
            labels = {name: value for _, _, name, value in _attributes(masked) if name in _LABELS | _KINDS}
            labelled = {name for name, value in labels.items() if rules.sensitive(value)}
            if holds_secret or labelled:
                masked = _mask_values(masked)
            holds_secret = holds_secret or (not _LABELS.isdisjoint(labelled) and tag["name"].lower() not in _VOID)
        if masked != tag["attributes"]:
            pieces += (text[done : tag.start("attributes")], masked)
            done = tag.end("attributes")
        if not holds_secret or masked.endswith("/") or not tag["closed"]:
            continue
        end = _content_end(text, position, tag["name"])
        if text[position:end].strip() not in {"", MASK}:
            pieces += (text[done:position], MASK)
            done = end
        position = end
    return "".join((*pieces, text[done:])) if pieces else text


def _attributes(text: str) -> list[tuple[int, int, str, str]]:
    found: list[tuple[int, int, str, str]] = []
    for match in _ATTRIBUTE.finditer(text):
        kind = match.lastgroup or "bare"
        found.append((*match.span(kind), match["name"].lower(), match[kind]))
    return found


def _mask_values(text: str) -> str:
    for start, end, name, value in reversed(_attributes(text)):
        if name in _VALUES and value:
            text = text[:start] + MASK + text[end:]
    return text


def _content_end(text: str, start: int, name: str) -> int:
    """Return where an element's content ends: at its end tag, or with the text."""
    depth = 1
    position = start
    while (inner := _INNER.search(text, position)) is not None:
        position = inner.end()
        section = _SECTIONS.get(inner[0])
        if section is not None:
            end = text.find(section, position)
            position = len(text) if end < 0 else end + len(section)
        elif inner["name"] == name and not inner[0].endswith("/>"):
            depth += -1 if inner["slash"] else 1
            if depth == 0:
                return inner.start()
    return len(text)
