"""XML and HTML: `<password>…</password>`, `<add key="ApiKey" value="…"/>`, `<meta name="csrf-token" content="…">`.

Attributes that are sensitive by their own name are `name="value"` like elsewhere and are left to `named`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otas_middleware._event.redact.labels import Label, is_label, is_value
from otas_middleware._event.redact.mask import MASK, mask_of, replaced, with_masked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware._event.redact.name_rules import NameRules, Rule

_NAME = r"[A-Za-z_][\w:.\-]*+"
_TAG = re.compile(rf"<(?P<name>{_NAME})(?P<attributes>(?:\"[^\"<]*+(?:\"|$)|'[^'<]*+(?:'|$)|[^<>\"'])*+)(?P<closed>>?)")
_ATTRIBUTE = re.compile(
    r"(?P<name>[\w:.\-]++)\s*+=\s*+"
    r"(?:\\*+\"(?P<double>(?:[^\"\\]|\\[^\"])*+)|\\*+'(?P<single>(?:[^'\\]|\\[^'])*+)|(?P<bare>[^\s\"'<>=`\\]++))"
)
_INNER = re.compile(rf"<!\[CDATA\[|<!--|<(?P<slash>/?)(?P<name>{_NAME})[^<>]*+>?")
_JSON = re.compile(r"\s*(?:\{\s*\"|\[\s*[\"{\[])")
_CLOSING_QUOTE = re.compile(r"(?<!\\)\"")
_SECTIONS = {"<![CDATA[": "]]>", "<!--": "-->"}

_LABELS = frozenset(("name", "key", "field", "property", "itemprop", "param", "header"))
"""Attributes that say what an element holds."""
_KINDS = frozenset(("id", "type"))
"""Attributes that may say so, of elements whose content may be a whole page."""
_VALUES = frozenset(("value", "content", "val", "data", "default"))
_VOID = frozenset(("add", "embed", "img", "input", "link", "meta", "param", "source"))
_LONGEST_LABEL = 128
_LABEL_ELEMENTS = frozenset(
    ("name", "key", "field", "property", "param", "header", "th", "dt", "id", "label", "attribute")
)
"""Elements whose text says what the next element holds: `<name>password</name><value>…</value>`."""
_CELLS = frozenset(("td", "string"))
"""Elements whose text may say so, when the next one holds what looks random: tables are about anything."""

_ESCAPED = re.compile(
    r"&lt;(?P<name>[A-Za-z_][\w:.\-]{0,127})(?:(?!&[lg]t;)[^<>]){0,256}?&gt;(?P<value>(?:(?!&lt;|\"\s*(?:[,}\]:]|$))[^<>])++)"
)


def mask_escaped_markup(text: str, rules: NameRules) -> str:
    """Return a text with the sensitive elements masked of XML that stands in it with `&lt;` and `&gt;`."""

    def mask(match: re.Match[str]) -> str:
        rule = rules.rule(match["name"])
        if rule is None or not match["value"].strip() or rule.shows(match["value"].strip()):
            return match[0]
        return with_masked(match, "value")

    return _ESCAPED.sub(mask, text)


def mask_markup(text: str, rules: NameRules) -> str:
    """Return XML or HTML, whole or cut off, with the values of sensitive elements masked."""
    return replaced(text, _elements(text, rules))


def _elements(text: str, rules: NameRules) -> Iterator[tuple[int, int, str]]:
    """Yield the attributes and contents that are masked, and what they read then."""
    labelled_by: Rule | None = None
    loosely = False
    position = text.find("<")
    while position >= 0 and (tag := _TAG.search(text, position)) is not None:
        if labelled_by is not None and text.count("</", position, tag.start()):
            labelled_by = None  # the element ended around the label
        position = tag.end()
        rule = rules.rule(tag["name"])
        if labelled_by is not None and (not loosely or is_value(tag["name"], Label(labelled_by, loose=True))):
            rule = rule or labelled_by
        labelled_by = None
        masked = tag["attributes"]
        if "=" in masked:
            masked, rule = _mask_attributes(tag, rules, rule)
        if masked != tag["attributes"]:
            yield *tag.span("attributes"), masked
        if masked.endswith("/") or not tag["closed"]:
            continue
        name = tag["name"].rpartition(":")[2].lower()
        if name in _LABEL_ELEMENTS or name in _CELLS or is_label(tag["name"]):
            end = text.find("<", position)
            said = text[position : end if end >= 0 else position].strip()
            if said and len(said) < _LONGEST_LABEL and rules.secret(said):
                labelled_by = rules.rule(said)
                if labelled_by is not None and name in _CELLS:
                    labelled_by = labelled_by._replace(stays=labelled_by.stays | {"plain"})
                loosely = name not in _LABEL_ELEMENTS and name not in _CELLS
                position = text.find(">", end) + 1 or len(text)
                continue
        if rule is None or name in _VOID:
            continue
        end = _content_end(text, position, tag["name"])
        content = text[position:end].strip()
        if content not in {"", MASK} and not rule.shows(content) and ("plain" not in rule.stays or "<" not in content):
            yield position, end, mask_of(content) if rule.fingerprint else MASK
            position = end


def _attributes(text: str) -> list[tuple[int, int, str, str]]:
    found: list[tuple[int, int, str, str]] = []
    for match in _ATTRIBUTE.finditer(text):
        kind = match.lastgroup or "bare"
        found.append((*match.span(kind), match["name"].lower(), match[kind]))
    return found


def _mask_attributes(tag: re.Match[str], rules: NameRules, rule: Rule | None) -> tuple[str, Rule | None]:
    """Return the attributes of a tag, masked, and the rule of its content."""
    text = tag["attributes"]
    labels = {name: value for _, _, name, value in _attributes(text) if name in _LABELS | _KINDS}
    labelled = {name: rules.rule(value) for name, value in labels.items() if rules.secret(value)}
    named = rule or next(iter(labelled.values()), None)
    if named is not None:
        text = _mask_values(text, named)
    content = not _LABELS.isdisjoint(labelled) and tag["name"].lower() not in _VOID
    return text, named if content else rule


def _mask_values(text: str, rule: Rule) -> str:
    for start, end, name, value in reversed(_attributes(text)):
        if name in _VALUES and value and not rule.shows(value):
            text = text[:start] + MASK + text[end:]
    return text


def _content_end(text: str, start: int, name: str) -> int:
    """Return where an element's content ends: at its end tag, with the JSON string around it, or with the text."""
    closing = _CLOSING_QUOTE.search(text, start) if _JSON.match(text) else None
    limit = len(text) if closing is None else closing.start()
    depth = 1
    position = start
    while (inner := _INNER.search(text, position, limit)) is not None:
        position = inner.end()
        section = _SECTIONS.get(inner[0])
        if section is not None:
            end = text.find(section, position)
            position = limit if end < 0 else end + len(section)
        elif inner["name"] == name and not inner[0].endswith("/>"):
            depth += -1 if inner["slash"] else 1
            if depth == 0:
                return inner.start()
    return limit
