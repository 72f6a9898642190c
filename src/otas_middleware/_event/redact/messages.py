"""Secrets in prose: what libraries quote in the texts of their exceptions, what logs say, and what people are sent.

Each pattern begins with a literal that the libraries write, and ends within a bound.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from otas_middleware._event.patterns import compiled, probe
from otas_middleware._event.redact.forms import is_odd, is_told, looks_random, may_be_message
from otas_middleware._event.redact.mask import MASK, with_masked
from otas_middleware._event.redact.name_rules import literal
from otas_middleware._event.redact.spans import MARKS, STOPS, behind

if TYPE_CHECKING:
    from otas_middleware._event.redact.name_rules import NameRules, Rule

_COLUMN = re.compile(r"[\w.]+")
_LINE_END = re.compile(r"[\n\\]")
_LONGEST_PLACE = 200
_GROUP = 12


Replace = Callable[[re.Match[str], "NameRules"], str]


class Message(NamedTuple):
    """One form of message: what it looks like, and which of its values are secrets."""

    hints: tuple[str, ...]
    """Texts without one of which the pattern cannot match; none of its characters means anything to the probe."""
    pattern: str
    """Compiled when a text first has one of the hints: most processes never see most of them."""
    replace: Replace

    def masked(self, text: str, rules: NameRules) -> str:
        """Return the text with the secrets masked of all messages of this form."""
        return compiled(self.pattern).sub(lambda match: self.replace(match, rules), text)


def _line_before(match: re.Match[str]) -> str:
    """Return what stands before a match in its line, or at the end of the line before it."""
    before = match.string[behind(match.start(), _LONGEST_PLACE) : match.start()]
    return _LINE_END.split(before)[-1]


def _any_sensitive(names: str, rules: NameRules) -> bool:
    return any(rules.secret(name) for name in _COLUMN.findall(names))


def _where(told: Callable[[re.Match[str], NameRules], bool]) -> Replace:
    """Return what masks the values of a message where that is told of it."""
    return lambda match, rules: with_masked(match) if told(match, rules) else match[0]


def _by_place(match: re.Match[str], rules: NameRules) -> str:
    """Mask pydantic's `input_value`; of a long one the middle was cut out, maybe with the name of what follows."""
    if _any_sensitive(_line_before(match), rules):
        return with_masked(match)
    values = match["values"]
    if "..." not in values or (values[:1] not in "{[(" and "(" not in values[:64]):
        return match[0]
    kept = values[: values.index("...") + 3]
    return match[0].replace(values, kept + MASK)


KINDS: dict[str, Replace] = {
    "always": lambda match, _: with_masked(match),
    "random": _where(lambda match, _: looks_random(match["values"])),
    "odd": _where(lambda match, _: is_odd(match["values"])),  # any other word may be one of the sentence's
    "unless_prose": _where(lambda match, _: not may_be_message(match["values"])),
    "column": _where(lambda match, rules: _any_sensitive(match["columns"], rules)),
    "name": _where(
        lambda match, rules: (
            (rules.secret(match["columns"]) and is_told(match["values"]))
            or (match["values"].isdigit() and (rules.secret(match["columns"]) or match["columns"] == "code"))
        )
    ),
    "variable": _where(lambda match, rules: _any_sensitive(f"{match['columns']} {match['place'] or ''}", rules)),
    "line": _where(lambda match, rules: _any_sensitive(_line_before(match), rules)),
    "place": _by_place,
}
"""By what it is told that the values of a message are secrets, and what becomes of it then."""


SAID = compiled(  # my password is x, the API key x, set my PIN to x
    rf"(?<![\w.<-])(?P<said>[^\W\d_][\w{MARKS}-]{{1,40}}+)"
    r"(?P<copula>(?:[ ]for(?:[ ][\w@.'-]{1,64}+){1,3}?(?=[ ](?:is|was)))?(?:['\u2019]s|[ ](?:is|was|to|with[ ]value"
    r"|will[ ]be|ist|lautet|est|es|\u00e9)(?:[ ](?:now|set[ ]to))?:?))?+"
    r"(?:[ ]{1,2}|[ ]?(?:[\t|\u2013\u2014\u2192-]|\\+u(?:201[34]|2192))[ ]?)"
    r"(?:<\w{1,10}(?:[ ][^<>]{0,128})?>){0,2}+"
    r"(?=\\*[\"'`]\S|[(*`]{0,3}(?:[^\s\"'`\\<>]{0,64}?\d|[A-Za-z]{16}))"
)
"""A word in prose, and what stands between it and its value, if it is a name."""
may_be_said = probe(
    r"[^\x{00}-\x{40}\[\]{}\\](?:\\u201[34]|[ \t|\x{2013}\x{2014}\x{2192}-])+(?:<[^<>]{1,128}>)*"
    r"(?:\\*[\"'`]\S|[^\s\"'\\<>]*[0-9]|[(*`]{0,3}[A-Za-z]{16})"
)
"""Tell quickly whether `SAID` may find one: behind a letter, and before a digit or a quote."""
_CODE = re.compile(r"(?i:pin|otp|cv[vc]2?|passcode|code)")
_SHORTEST_CODE = 3
_SHORTEST_QUOTED = 4
_SHORTEST_TOLD = _SHORTEST_TOKEN = 6
_LONGEST_WORD = 40
_LAST_WORD = re.compile(r"(?<![\w-])(mot[ ]de|[\w-]{2,32})[ ]$")
_STOPS = frozenset((*STOPS.split("|"), "reset", "changed", "expired", "as", "the", "a"))


def rule_of_said(match: re.Match[str], rule_of: Callable[[str], Rule | None]) -> Rule | None:
    """Return the rule of a word that `SAID` found, or of the two that end with it: `API key`, not `password with`."""
    name = match["said"]
    rule = rule_of(name)
    if name in _STOPS or (rule is not None and "plain" not in rule.stays):
        return rule
    before = _LAST_WORD.search(match.string, behind(match.start(), _LONGEST_WORD), match.start())
    return (before and rule_of(f"{before[1]} {name}")) or rule


def is_said(match: re.Match[str], rule: Rule, value: str) -> bool:
    """Tell whether what follows is the name's value, and not the next word of the sentence."""
    value = value.strip("()[]*.,;!?")
    if "plain" in rule.stays or looks_random(value):
        return looks_random(value)
    told = match["copula"] is not None
    if value.isdigit():
        least = _SHORTEST_TOKEN if rule.stays else _SHORTEST_CODE
        return "count" not in rule.stays and len(value) >= least and (told or bool(_CODE.fullmatch(match["said"])))
    shortest = _SHORTEST_QUOTED if match.string[match.end()] in "\\\"'`" else _SHORTEST_TOLD
    return is_told(value, shortest) and (told or rule.extent == "phrase")


class Messages:
    """Forms of messages, which are looked for in groups: far sooner told of many hints together than of one by one.

    Args:
        messages: The forms.
    """

    def __init__(self, *messages: Message) -> None:
        groups = [messages[first : first + _GROUP] for first in range(0, len(messages), _GROUP)]
        self._groups = [("|".join(literal(hint) for form in group for hint in form.hints), group) for group in groups]
        self.probe = "|".join(hints for hints, _ in self._groups)
        """Pattern for `probe`, found in every text with one of these messages."""

    def masked(self, text: str, rules: NameRules) -> str:
        """Return a text with the secrets masked that stand in messages of these forms."""
        for hints, group in self._groups:
            if _probe(hints)(text):
                for message in group:
                    if any(hint in text for hint in message.hints):
                        text = message.masked(text, rules)
        return text


_probe = cache(probe)
