"""XML and HTML: `<password>…</password>`, `<add key="ApiKey" value="…"/>`, `<meta name="csrf-token" content="…">`.

Attributes that are sensitive by their own name are `name="value"` like elsewhere and are left to `named`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otas_middleware._event.patterns import compiled
from otas_middleware._event.redact.labels import Label, is_label, is_value
from otas_middleware._event.redact.spans import MASK, behind, end_of_match, replaced, with_masked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware._event.redact.name_rules import NameRules, Rule

_NAME = r"[^\W\d][\w:.\-]*+"
_TAG = compiled(rf"<(?P<name>{_NAME})(?P<attributes>(?:\"[^\"<]*+(?:\"|$)|'[^'<]*+(?:'|$)|[^<>\"'])*+)(?P<closed>>?)")
_ATTRIBUTE = compiled(
    r"(?P<name>[\w:.\-]++)\s*+=\s*+"
    r"(?:\\*+\"(?P<double>(?:[^\"\\]|\\[^\"])*+)|\\*+'(?P<single>(?:[^'\\]|\\[^'])*+)|(?P<bare>[^\s\"'<>=`\\]++))"
)
_INNER = re.compile(rf"<!\[CDATA\[|<!--|<(?P<slash>/?)(?P<name>{_NAME})[^<>]*+>?")
_JSON = re.compile(r"\s*(?:\{\s*\"|\[\s*[\"{\[])")
_ROOT = compiled(rf"(?:\s|<[?!][^>]*+>)*+<(?P<name>{_NAME})")
_CUT_OFF = re.compile(r"(?s:.*)")
_BEHIND_PLACEHOLDER = re.compile(
    r"[\w!$#@%^*+~][^<\n\"`]*|\s{0,64}\w[^<\"`]{0,256}\Z"
    r"|:?[ ](?=[^\s<\"`\\]*\d)[^\s<\"`\\]{6,64}+(?=[ ]?(?:[<\n\"\\]|\Z))"
)
_CLOSING_QUOTE = re.compile(r"(?<!\\)\"")
_SECTIONS = {"<![CDATA[": "]]>", "<!--": "-->"}

_LABELS = frozenset(("name", "key", "field", "property", "itemprop", "param", "header"))
"""Attributes that say what an element holds."""
_KINDS = frozenset(("id", "type"))
"""Attributes that may say so, of elements whose content may be a whole page."""
_VALUES = frozenset(("value", "content", "val", "data", "default"))
_VOID = frozenset(("add", "embed", "img", "input", "link", "meta", "param", "source"))
_SAID = compiled(
    r"(?:<(?:b|i|u|em|p|code|strong|span|div|font|label|a)(?:\s[^<>]{0,256})?>|\s++){0,8}+([^<]{1,127}+)(?=<)"
)
"""What an element says first, whatever its letters look like."""
_PLACEHOLDER = re.compile(r"[\w:=] <[A-Za-z_-]++>(?=[\s\"\\])(?!\s*[^\n<]{1,256}</)")
"""No element: `Authorization: Bearer <token>`."""
_ALONE = re.compile(r"(?:\s*<!\[CDATA\[)?[^<]*+")
_LONGEST_ROW = 4_096
_LONGEST_LABEL = 128
_LABEL_ELEMENTS = frozenset(
    ("name", "key", "field", "property", "param", "header", "th", "dt", "id", "label", "attribute")
)
"""Elements whose text says what the next element holds: `<name>password</name><value>…</value>`."""
_PARTS = frozenset(("table", "tbody", "thead", "th", "tr"))
"""Elements of tables that are no value, whatever stands before them."""
_CELLS = frozenset(("td", "string"))
"""Elements whose text may say so, when the next one holds what looks random: tables are about anything."""

_ESCAPED = compiled(
    r"&lt;(?P<name>[^\W\d][\w:.\-]{0,127})(?:(?!&[lg]t;)[^<>]){0,256}?&gt;(?P<value>(?:(?!&lt;|\"\s*(?:[,}\]:]|$))[^<>])++)"
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
    loosely = in_cell = False
    columns = _Columns(rules)
    unclosed: set[str] = set()
    position = text.find("<")
    while position >= 0 and (tag := _TAG.search(text, position)) is not None:
        if labelled_by is not None and text.count("</", position, tag.start()):
            labelled_by = None  # the element ended around the label
        position = tag.end()
        rule = rules.rule(tag["name"])
        name = tag["name"].rpartition(":")[2].lower()
        if (
            labelled_by is not None
            and (name in _CELLS if in_cell else name not in _PARTS)
            and (not loosely or is_value(tag["name"], Label(labelled_by, loose=True)))
        ):
            rule = rule or labelled_by
        labelled_by = None
        masked = tag["attributes"]
        if "=" in masked:
            masked, rule = _mask_attributes(tag, rules, rule)
        if masked != tag["attributes"]:
            yield *tag.span("attributes"), masked
        if masked.endswith("/") or not tag["closed"]:
            continue
        said = _SAID.match(text, position)
        label = said[1].strip(" \t\r\n:") if said is not None else ""
        column = columns.enter(name, label)
        if said is not None and column is None and (name in _LABEL_ELEMENTS or name in _CELLS or is_label(tag["name"])):
            labelled_by = rules.rule(label) if label and rules.secret(label) else None
            if labelled_by is not None:
                in_cell = name in _CELLS
                if in_cell:
                    pair = columns.first and _is_pair(text, position)
                    labelled_by = labelled_by._replace(stays=labelled_by.stays | {"words" if pair else "plain"})
                loosely = name not in _LABEL_ELEMENTS and name not in _CELLS
                end = text.find(f"</{tag['name']}", said.end(), said.end() + _LONGEST_LABEL)
                position = text.find(">", max(end, said.end())) + 1 or len(text)
                continue
        rule = rule or column
        if rule is None or name in _VOID or _PLACEHOLDER.match(text, behind(tag.start(), 2)):
            continue
        end = _hidden_end(text, position, tag["name"], rule, unclosed)
        if end > position:
            yield position, end, rule.mask(text[position:end].strip())
            position = end


def _hidden_end(text: str, start: int, name: str, rule: Rule, unclosed: set[str]) -> int:
    """Return where a sensitive element's content ends; where it starts when there is nothing to hide.

    An element that is not closed is a placeholder, `npm get <key>`, unless the whole document was cut off.
    """
    if "plain" in rule.stays:  # asked before the content is read to its end, which may be the text's
        first = end_of_match(_ALONE, text, start)
        if first < len(text) and not text.startswith(f"</{name}", first):
            return start  # other elements stand in it
    end = -1 if name in unclosed else _content_end(text, start, name)
    if end < 0:
        unclosed.add(name)
        end = end_of_match(_CUT_OFF if _is_cut_off(text) else _BEHIND_PLACEHOLDER, text, start)
    content = text[start:end].strip().removeprefix("<![CDATA[").removesuffix("]]>")
    return start if content in {"", MASK} or rule.shows(content) else end


class _Columns:
    """The cells of HTML's tables, and which of them stand below the heading of a secret."""

    def __init__(self, rules: NameRules) -> None:
        self._rules = rules
        self._heading: list[Rule | None] = []
        self._row: list[Rule | None] = []
        self._cells = 0

    @property
    def first(self) -> bool:
        """Whether the cell is the first of its row."""
        return self._cells == 1

    def enter(self, name: str, said: str) -> Rule | None:
        """Note an element, and what its text says; return the rule of the column that it stands in."""
        if name == "table":
            self._heading = []
        elif name == "tr":
            self._heading = self._row or self._heading
            self._row, self._cells = [], 0
        elif name == "th":
            self._row.append(self._rules.rule(said) if self._rules.secret(said) else None)
        elif name == "td":
            self._row = []
            self._cells += 1
            return self._heading[self._cells - 1] if self._cells <= len(self._heading) else None
        return None


def _is_pair(text: str, position: int) -> bool:
    """Tell whether one more cell stands in the row of an HTML table, behind this place."""
    end = text.find("</tr", position, position + _LONGEST_ROW)
    return text.count("<td", position, end if end >= 0 else position + _LONGEST_ROW) == 1


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
    if named is None or tag["name"].lower() in _VOID or not _LABELS.isdisjoint(labelled):
        return text, rule if tag["name"].lower() in _VOID else named
    return text, rule or named._replace(stays=named.stays | {"plain"})


def _mask_values(text: str, rule: Rule) -> str:
    for start, end, name, value in reversed(_attributes(text)):
        if name in _VALUES and value and not rule.shows(value):
            text = text[:start] + MASK + text[end:]
    return text


def _is_cut_off(text: str) -> bool:
    """Tell whether a text is XML of which the end is missing."""
    root = _ROOT.match(text)
    return root is not None and text.rfind(f"</{root['name']}") < 0


def _content_end(text: str, start: int, name: str) -> int:
    """Return where an element's content ends: at its end tag, or with the JSON string around it; -1 for neither."""
    depth = 1
    end, position = -1, start
    if text.find(f"</{name}", start) < 0:
        return end
    while (inner := _INNER.search(text, position)) is not None:
        position = inner.end()
        section = _SECTIONS.get(inner[0])
        if section is not None:
            position = text.find(section, position)
            if position < 0:
                break
        elif inner["name"] == name and not inner[0].endswith("/>"):
            depth += -1 if inner["slash"] else 1
            if depth == 0:
                end = inner.start()
                break
    closing = _CLOSING_QUOTE.search(text, start, end) if end >= 0 and _JSON.match(text) else None
    return end if closing is None else closing.start()
