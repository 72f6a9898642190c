"""Masks the value of every sensitive name in a text of any format.

JSON (whole, cut off, one document a line, inside a string of another), event streams, JavaScript and Python literals,
GraphQL, YAML, INI and `.env`, log lines, headers, command lines and prose have this in common: a name, perhaps quoted,
a colon or an equals sign, a value. So one scanner serves them all, and there is no parser that could fail.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otas_middleware._event.patterns import compiled
from otas_middleware._event.redact.arguments import arguments
from otas_middleware._event.redact.named_value import CANDIDATE, COMMENT, NAME, NamedValue
from otas_middleware._event.redact.spans import ENTITIES, MARKS, MASK, behind, end_of_match, most, replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

    from otas_middleware._event.redact.name_rules import Rule, RuleOf


_ENDING = compiled(rf"(?:\\++[nrt]?|[\s\"'`)\]*]|{ENTITIES})*+(?:{COMMENT})?\s*+[-:=>\u2192\uff1a\uff1d]*+")
_COUNT = compiled(r"[ ]?\d{1,13}(?=[,}\s&]|[.;)]++(?:[\s\"\\]|$))")
_LOOK_BACK = 128
_LONGEST_LOOK = 4096
_FURTHEST_META = 1024
_QUOTED_LOOK_BACK = 512
_MAX_WORDS_BEFORE = 3
_WORD = rf"[\w'\-{MARKS}]"
_WORDS_BEFORE = re.compile(rf"(?<![\w'\-{MARKS}<])(?:{_WORD}++ ){{1,{_MAX_WORDS_BEFORE}}}$")
_TELLS_OF = re.compile(r" (?:has|have|needs?|contains?|consists?|includes?|requires?) ")
_IN_WORD = re.compile(rf"[\w{MARKS}]")
_BREAK = re.compile(rf"[^{NAME}]")
_WINDOWS = (2048, 256)
_EDGE = 48


_SOURCE_FILE = re.compile(r"\.(?:[cm]?[jt]sx?|py|go|rb|rs|java|kt|php|cs|cc|cpp|c|h|swift|vue|exs?|scala)$")
_NUMBER = re.compile(r"\d{1,6}(?!\w)")
_NO_NAME = re.compile(r"[\n={}<>;]|\(\(|\w\(")
"""Found in what stands between two quotes of source code that do not belong together."""


def mask_named(
    text: str,
    rule_of: RuleOf,
    suspicious: Callable[[str], bool] | None = None,
    valued: Callable[[str], bool] | None = None,
    harmless: Container[str] = (),
) -> str:
    """Return the text with the values of sensitive names masked.

    Args:
        text: Any text without lone surrogates.
        rule_of: Says which names are sensitive.
        suspicious: Tells, quickly, whether a text may hold a sensitive name at all.
        valued: Tells so of those names that are sensitive only when what follows looks random.
        harmless: Names that are known not to be sensitive; not all of them.
    """
    parts = [(0, len(text))] if suspicious is None else _suspicious_parts(text, suspicious, valued, 0, len(text))
    return replaced(text, _findings(text, rule_of, _joined(parts), harmless))


def _findings(
    text: str, rule_of: RuleOf, parts: Iterable[tuple[int, int]], harmless: Container[str]
) -> list[tuple[int, int, str]]:
    """Return start, end and mask of what is to be masked, in the order of the text."""
    found: list[tuple[int, int, str]] = []
    done = 0
    room = _LONGEST_LOOK + 2 * len(text)  # for containers in containers: what nobody writes is masked as a whole
    left = most(text)
    for begin, end in parts:
        limit = end_of_match(_ENDING, text, end)  # names end within the window, and what follows them may not
        for match in CANDIDATE.finditer(text, begin, limit):
            start = match.start()
            if match[1] in harmless and text[start - 1 : start] == match[3]:
                continue  # nearly all of the names of JSON
            # A name within what is masked matters only when its value lies beyond.
            if start >= done or match.end() >= done:
                rule = _rule_of(text, start, match, rule_of)
                if rule is None or ("count" in rule.stays and _COUNT.match(text, match.end())):
                    continue
                value = NamedValue(text, match, rule, min(room, _LONGEST_LOOK))
                span = _span(value, match)
                room -= value.looked
                if span is not None:
                    found.append(span)
                    done = span[1]
                    left -= 1
                    if left == 0:
                        return [*found, (done, len(text), MASK)]
        found += arguments(text, rule_of, begin, min(limit + 1, len(text)))
    found.sort()
    return found


def _joined(parts: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield parts, with those as one that touch each other."""
    begin = end = 0
    for part in parts:
        if part[0] != end:
            if end:
                yield begin, end
            begin = part[0]
        end = part[1]
    if end:
        yield begin, end


def _suspicious_parts(
    text: str,
    suspicious: Callable[[str], bool],
    valued: Callable[[str], bool] | None,
    begin: int,
    end: int,
    sizes: tuple[int, ...] = _WINDOWS,
) -> Iterator[tuple[int, int]]:
    """Yield the smallest parts of a text in which a name may be sensitive, between a beginning and an end.

    `sizes` are how many characters a part has at least, and those that it is then divided into.
    """
    if not sizes:
        yield begin, end
        return
    while begin < end:
        cut = _BREAK.search(text, begin + sizes[0], end)
        stop = end if cut is None else cut.start()
        if suspicious(text[behind(begin, _LOOK_BACK) : stop]) or (
            valued is not None and valued(text[behind(stop, _EDGE) : stop + _EDGE])  # its value stands beyond
        ):
            yield from _suspicious_parts(text, suspicious, valued, begin, stop, sizes[1:])
        begin = stop


def _rule_of(text: str, start: int, match: re.Match[str], rule_of: RuleOf) -> Rule | None:
    """Return the rule of a candidate's name, which may be more than the one word before the separator."""
    name = match["name"]
    if name.endswith("[") or ("." in name and _SOURCE_FILE.search(name) and _NUMBER.match(text, match.end())):
        return None  # `session[:id]`, `at /app/jsonwebtoken/verify.js:10:5`
    rule = rule_of(name)
    if rule is not None and "plain" not in rule.stays:
        return rule
    longer = _longer_rule(text, start, match, rule_of)
    return rule if longer is None else longer


def _longer_rule(text: str, start: int, match: re.Match[str], rule_of: RuleOf) -> Rule | None:
    name, _, quote, _ = match.groups()
    if text.startswith("\\", start - 1) and name[0] in "bfnrt":
        rule = rule_of(name[1:])  # `\npin: …` in a JSON string
        if rule is not None:
            return rule
    if quote is not None:  # `"credit card number": …`: look at the whole of what is quoted
        if text.startswith(quote, start - len(quote)):
            return None
        opening = text.rfind(quote, behind(start, _QUOTED_LOOK_BACK), start)
        whole = text[opening + len(quote) : match.end("name")]
        return rule_of(whole) if opening >= 0 and _NO_NAME.search(whole) is None else None
    before = text[start - 2 : start]
    if (
        (name.isdigit() and text[match.end() : match.end() + 1].isdigit())
        or before[-1:] != " "
        or not (before[0].isalnum() or _IN_WORD.match(before))
    ):
        return None
    least, first = behind(start, _LOOK_BACK), start - 1
    for _ in range(_MAX_WORDS_BEFORE):
        first = max(text.rfind(" ", least, first), least)
    words = _WORDS_BEFORE.search(text, first, start)
    if words is None or (match["separator"] == "=" and text.startswith("=", words.start() - 1)):
        return None  # `type=bearer x=1`: one parameter's value, and the next
    escaped = text.startswith("\\", words.start() - 1) and words[0][0] in "bfnrt"  # `\nif user == …`
    rule = rule_of(words[0][escaped:] + name)  # `API key: …`, `the password for bob: …`
    told_of = rule is not None and _TELLS_OF.search(words[0]) is not None  # `a token has three parts: …`
    return rule._replace(stays=rule.stays | {"plain"}) if rule is not None and told_of else rule


def _span(value: NamedValue, match: re.Match[str]) -> tuple[int, int, str] | None:
    """Return start, end and mask of the value that follows a name, or None when there is nothing to hide."""
    text, rule = value.text, value.rule
    start, end, mask = value.locate()
    if start >= end or text[start:end] == mask:
        return None
    if mask == MASK:
        in_meta = rule.session and match["quote"] is not None and _in_meta(text, match.start())
        mask = rule.mask(text[start:end], in_meta=in_meta)
    return start, end, mask


def _in_meta(text: str, position: int) -> bool:
    """Tell whether a member stands directly in MCP's `_meta`."""
    least = behind(position, _FURTHEST_META)
    meta = text.rfind('"_meta', least, position)
    return meta >= 0 and text.count("{", meta, position) > text.count("}", meta, position)
