"""Members of an object that say what its other members are: `{"name": "password", "value": "…"}`.

In JSON that can be read whole, `values.Walk` asks here member by member. In all other texts (JSON that is cut off,
broken or inside of a log line, JavaScript, YAML, TOML, HCL) the object around the label is looked for in the text.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from otas_middleware._event.redact import sensitive_names as table
from otas_middleware._event.redact.json_text import is_list, is_object
from otas_middleware._event.redact.name_rules import Rule, split_words
from otas_middleware._event.redact.named import mask_named
from otas_middleware._event.redact.spans import replaced

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otas_middleware._event.redact.name_rules import NameRules

_LABELS = frozenset(table.LABELS)
_WEAK = frozenset(table.WEAK_LABELS)
_VALUES = frozenset(table.VALUES)
_LOOSE = frozenset(table.LOOSE_VALUES)
_ACTIONS = frozenset(table.ACTIONS)
_FLAGS = frozenset(table.SECRET_FLAGS)
_TYPES = frozenset(table.SECRET_TYPES)
_LONGEST_LABEL = 256
_LONGEST_NAME = 3
_REFERENCE = ["value", "from"]
"""Kubernetes' `valueFrom`, which says where a value is kept."""
_SENTENCE = 4
"""Words from which on a label is a question rather than a name."""


class Label(NamedTuple):
    """What the label of an object says.

    Attributes:
        rule: That of the name which the label gives to the object's value.
        loose: Whether it is surely a name, so that less telling members (`content`, `input`) are its value as well.
    """

    rule: Rule
    loose: bool


_SECRET = Label(Rule(), loose=False)


def last_word(name: str) -> str:
    """Return the last word of a member's name in lower case; nothing of a long one."""
    return _last_of(name) if len(name) <= _LONGEST_LABEL else ""  # before the cache, which strangers fill


@lru_cache(maxsize=4096)
def _last_of(name: str) -> str:
    words = split_words(name)
    if not words or len(words) > _LONGEST_NAME or [word.lower() for word in words] == _REFERENCE:
        return ""
    return words[-1].lower()


def is_label(name: str) -> bool:
    """Tell whether a member may be a label."""
    return last_word(name) in _LABELS


def is_value(name: str, label: Label) -> bool:
    """Tell whether a member is what the label describes."""
    word = last_word(name)
    return word in _VALUES or (label.loose and word in _LOOSE)


def label_of(members: Iterable[tuple[Any, Any]], rules: NameRules, *, deep: bool = True) -> Label | None:
    """Return what the members of an object say of its value, or None when none of them labels a secret.

    Args:
        members: Their names and values.
        rules: Which names are sensitive.
        deep: Whether a label may be an object that has the name: `"field": {"id": 7, "name": "password"}`.
    """
    found: Label | None = None
    for name, value in members:
        if not isinstance(name, str):
            continue
        if value is True and last_word(name) in _FLAGS:
            found = found or _SECRET
        if not is_label(name):
            continue
        if deep and is_object(value):
            found = found or label_of(value.items(), rules, deep=False)
        listed = is_list(value)  # `"loc": ["body", "password"]`
        parts = value if listed else (value,)
        for part in parts:
            if isinstance(part, str) and len(part) <= _LONGEST_LABEL:
                label = _label(name, part, rules, listed=listed)
                if label is not None and (found is None or label.loose):
                    found = label
    return found


def _label(name: str, value: str, rules: NameRules, *, listed: bool) -> Label | None:
    weak = last_word(name) in _WEAK and not listed and value != "Secret"
    if weak and value.lower() in _TYPES:
        return _SECRET
    rule = rules.rule(value)
    if rule is None or "plain" in rule.stays:
        return None
    if weak and len(parts := split_words(name)) > 1 and parts[-2].lower() in _LABELS:
        weak = False  # `field_id`
    words = split_words(value)
    if len(words) >= _SENTENCE:
        rule = rule._replace(stays=rule.stays | {"words"})  # an answer may be one, too
    return Label(rule, loose=not weak and not (len(words) > 1 and words[0].lower() in _ACTIONS))


# A label is a whole word, of which the last letters are asked for first: trying all labels at each word costs far more.
_LABEL_ENDS = "|".join(sorted({label[-2:] for label in table.LABELS if len(label) > 1}))
_LABEL = re.compile(
    rf"(?<![\w.-])(?P<label>[\w.-]{{1,64}}+)(?:(?<=(?i:{_LABEL_ENDS}))|(?<=[kK]))\\*[\"'`]?\s*[:=]\s*(?:\\*[\"'`])?"
    r"(?=(?P<value>[^\"'`\r\n{}\[\]():;=\\<>]{2,128}))"
    r"|\"(?:loc|path)\\*\"\s*:\s*\[(?P<place>[^\[\]]{2,256})\]"
    r"|(?<![\w.-])(?:variable|secret|output|parameter|local|resource[ ]+\"[\w-]+\")"
    r"[ ]+\"(?P<block>[\w-]{2,64})\"[ ]*(?=\{)"
    r"|(?m:^)\[+(?P<section>[\w.\- ]{2,64})\]+[ \t]*(?=\r?\n)"
)
_BRACE = re.compile(r"[{}]")
_ITEM = re.compile(r"\n(?=[ \t]*(?:-[ ]|\r?\n|\[|\}))")
_DOCUMENT = re.compile(r"\n(?=---)")
_OPEN_TAG = re.compile(r"<[A-Za-z][^<>{}]*\Z")
_FURTHEST = 2048
_MOST_OBJECTS = 256
"""So many labels are looked at one by one; what follows is looked through as one object."""


def mask_labelled(text: str, rules: NameRules) -> str:
    """Return a text that is no whole JSON with the values masked that labels in it describe.

    Args:
        text: The text.
        rules: Which names are sensitive.
    """
    return replaced(text, _objects(text, rules))


def _objects(text: str, rules: NameRules) -> Iterator[tuple[int, int, str]]:
    """Yield where the labelled objects are, and what they read then."""
    done = 0
    left = _MOST_OBJECTS
    for match in _LABEL.finditer(text):
        if match.start() < done:
            continue
        label = _label_in(match, rules)
        if label is None:
            continue
        left -= 1
        # What was looked through once, in whose name ever, need not be again; else the work would grow with the square.
        start, done = _object_around(text, match, done) if left else (match.start(), len(text))
        everything = match["section"] is not None
        yield start, done, mask_named(text[start:done], partial(_rule_of, label, everything))
        if not left:
            break


def _rule_of(label: Label, everything: bool, name: str) -> Rule | None:  # noqa: FBT001  # bound by position
    return label.rule if everything or is_value(name, label) else None


def _label_in(match: re.Match[str], rules: NameRules) -> Label | None:
    name = match["label"]
    if name is not None:
        return _label(name, match["value"].strip(), rules, listed=False) if is_label(name) else None
    if match["place"] is not None:
        return label_of([("loc", re.findall(r"[\w.-]+", match["place"]))], rules)
    return _label("name", match["block"] or match["section"], rules, listed=False)


def _object_around(text: str, match: re.Match[str], least: int) -> tuple[int, int]:
    """Return where the object around a label begins and ends, as far as that can be told within some distance."""
    furthest = min(len(text), match.end() + _FURTHEST)
    if match["section"]:
        end = text.find("\n[", match.end(), furthest)
        return match.end(), furthest if end < 0 else end
    least = max(least, match.start() - _FURTHEST)
    if match["block"]:
        return match.end(), _closing(text, match.end(), furthest, depth=0)
    tag = _OPEN_TAG.search(text, least, match.start())
    if tag is not None:  # a label among attributes
        end = text.find(">", match.end(), furthest)
        return tag.start(), furthest if end < 0 else end
    start = _opening(text, match.start(), least)
    if start >= 0:
        return start, _closing(text, match.end(), furthest, depth=1)
    start = least
    for item in _ITEM.finditer(text, least, match.start()):
        start = item.end()
    is_manifest = (match["value"] or "").strip() == "Secret"  # of Kubernetes, in which lines may be blank
    after = (_DOCUMENT if is_manifest else _ITEM).search(text, match.end(), furthest)
    return start, furthest if after is None else after.start()


def _opening(text: str, position: int, least: int) -> int:
    depth = 1
    for brace in reversed(list(_BRACE.finditer(text, least, position))):
        depth += 1 if brace[0] == "}" else -1
        if depth == 0:
            return brace.end()
    return -1


def _closing(text: str, position: int, furthest: int, depth: int) -> int:
    for brace in _BRACE.finditer(text, position, furthest):
        depth += 1 if brace[0] == "{" else -1
        if depth <= 0:
            return brace.start()
    return furthest
