"""Masks the value of every sensitive name in a text of any format.

JSON (whole, cut off, one document a line, inside a string of another), event streams, JavaScript and Python literals,
GraphQL, YAML, INI and `.env`, log lines, headers, command lines and prose have this in common: a name, perhaps quoted,
a colon or an equals sign, a value. So one scanner serves them all, and there is no parser that could fail.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from otas_middleware._event.redact.arguments import OPENING, arguments
from otas_middleware._event.redact.forms import (
    LONGEST_MESSAGE,
    is_action,
    is_message,
    is_placeholder,
    is_source,
    readable_container,
)
from otas_middleware._event.redact.mask import MASK, mask_of, most
from otas_middleware._event.redact.probe import suspicious_parts
from otas_middleware._event.redact.spans import (
    BARE,
    ENTITIES,
    HEADER,
    LINE,
    PHRASE,
    QUOTE,
    container_end,
    end_of_line,
    end_of_match,
    ends_string,
    string_end,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._event.redact.name_rules import Rule


class Rules(Protocol):
    """Says which names are sensitive, and what of their values is masked."""

    @property
    def harmless(self) -> set[str]:
        """Names that are known not to be sensitive; not all of them."""
        ...

    def rule(self, name: str) -> Rule | None:
        """Return what is masked under a name, or None when nothing is."""
        ...


_NAME = r"\w.%$@/+\-\[\]\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u109f\u1780-\u17ff"  # with marks
_COMMENT = r"/\*[^*]{0,256}\*/"
_CANDIDATE = re.compile(
    rf"(?<![{_NAME}])(?P<name>[{_NAME}]++)"
    rf"(?:(?P<level>\\*+)(?P<quote>{QUOTE})[)\]]*+(?:\s|\\++[nrt]|{_COMMENT})*+"
    rf"|\)?[*~]{{0,3}}[ \t]*+(?:{_COMMENT})?[ \t]*+)"
    r"(?P<separator>=>|:=|={1,3}|:|->|\u2192|\\+u2192|<>|!=)"
)
_ENDING = re.compile(rf"(?:\\++[nrt]?|[\s\"'`)\]*]|{ENTITIES})*+(?:{_COMMENT})?\s*+[-:=>\u2192]*+")
_BLANK = re.compile(
    r"(?:\s|\\++[nrt]|</\w{1,10}>|(?<!\*)\*\*(?!\*)|/\*[^*]{0,256}\*/|//[^\n\"]{0,128}\n)*+(?:data:[ ]?(?=\S))?"
)  # the value may stand in an event stream's next line
_SCALAR = re.compile(r"[^\s,}\])\"'`\\&<]*+")
_COUNT = re.compile(r"[ ]?\d{1,13}(?=[,}\s&])")
_BLOCK = re.compile(r"[|>][-+0-9]*+[ \t]*+(?=\n)|(?=\n)")
_LOOK_BACK = 128
_EDGE = 48
_LONGEST_LOOK = 4096
_FURTHEST_META = 1024
_MAX_FOLDED = 8
_FOLDED = re.compile(r"\r?\n(?P<indent>[ \t]++)(?!at |File |[-^|#] ?)[^\s:=\"'{}]++(?:[ ][^\s:=\"'{}]++)*+(?=\r?\n|$)")
_QUOTED_LOOK_BACK = 512
_FIRST_WORDS = re.compile(r"[\w \t'*>#-]*")
_NOTHING_BEFORE = re.compile(r"(?:[-*>#$ \t]|export\b|set\b|setx\b|env\b|\$env:)*")
_MAX_WORDS_BEFORE = 3
_WORDS_BEFORE = re.compile(rf"(?<![\w'-])(?:[\w'-]++ ){{1,{_MAX_WORDS_BEFORE}}}$")

_ARN = re.compile(r":\w{1,32}:[\w-]{0,24}:\d{0,12}:$")  # of Amazon's resources: service, region, account
_BREAK = re.compile(rf"[^{_NAME}]")


def mask_named(
    text: str, rules: Rules, suspicious: Callable[[str], bool], valued: Callable[[str], bool] | None = None
) -> str:
    """Return the text with the values of sensitive names masked.

    Args:
        text: Any text without lone surrogates.
        rules: Which names are sensitive.
        suspicious: Tells, quickly, whether a text may hold a sensitive name at all.
        valued: Tells so of those names that are sensitive only when what follows looks random.
    """
    pieces: list[str] = []
    done = 0
    for start, end, mask in _findings(text, rules, suspicious, valued):
        if start >= done:
            pieces += (text[done:start], mask)
        done = max(done, end)  # what overlaps belongs to a value that is masked already
    if not pieces:
        return text
    pieces.append(text[done:])
    return "".join(pieces)


def _findings(
    text: str, rules: Rules, suspicious: Callable[[str], bool], valued: Callable[[str], bool] | None
) -> list[tuple[int, int, str]]:
    """Return start, end and mask of what is to be masked, in the order of the text."""
    found: list[tuple[int, int, str]] = []
    done = 0
    harmless = rules.harmless
    left = most(text)
    for begin, end in suspicious_parts(text, suspicious, valued, _BREAK):
        limit = end_of_match(_ENDING, text, end)  # names end within the window, and what follows them may not
        for match in _CANDIDATE.finditer(text, begin, limit):
            start = match.start()
            if match[1] in harmless and text[start - 1 : start] == match[3]:
                continue  # nearly all of the names of JSON
            # A name within what is masked matters only when its value lies beyond.
            if start >= done or match.end() >= done:
                rule = _rule_of(text, start, match, rules)
                if rule is None or (rule.stays and _COUNT.match(text, match.end()) and "count" in rule.stays):
                    continue
                span = _value(text, match, rule)
                if span is not None:
                    found.append(span)
                    done = span[1]
                    left -= 1
                    if left == 0:
                        return [*found, (done, len(text), MASK)]
        found += arguments(text, rules.rule, begin, min(limit + 1, len(text)))
    found.sort()
    return found


def _rule_of(text: str, start: int, match: re.Match[str], rules: Rules) -> Rule | None:
    """Return the rule of a candidate's name, which may be more than the one word before the separator."""
    name = match["name"]
    rule = rules.rule(name)
    if rule is not None and "plain" not in rule.stays:
        return rule
    longer = _longer_rule(text, start, match, rules)
    return rule if longer is None else longer


def _longer_rule(text: str, start: int, match: re.Match[str], rules: Rules) -> Rule | None:
    name, _, quote, _ = match.groups()
    if text.startswith("\\", start - 1) and name[0] in "bfnrt":
        rule = rules.rule(name[1:])  # `\npin: …` in a JSON string
        if rule is not None:
            return rule
    if quote is not None:  # `"credit card number": …`: look at the whole of what is quoted
        if text.startswith(quote, start - len(quote)):
            return None
        opening = text.rfind(quote, max(0, start - _QUOTED_LOOK_BACK), start)
        return rules.rule(text[opening + len(quote) : match.end("name")]) if opening >= 0 else None
    before = text[start - 2 : start]
    if before[-1:] != " " or not (before[0].isalnum() or before[0] in "_'-"):
        return None
    least, first = max(0, start - _LOOK_BACK), start - 1
    for _ in range(_MAX_WORDS_BEFORE):
        first = max(text.rfind(" ", least, first), least)
    words = _WORDS_BEFORE.search(text, first, start)
    return None if words is None else rules.rule(words[0] + name)  # `API key: …`, `the password for bob: …`


def _value(text: str, match: re.Match[str], rule: Rule) -> tuple[int, int, str] | None:
    """Return start, end and mask of the value that follows a name, or None when there is nothing to hide."""
    start, end, mask = _Value(text, match, rule).locate()
    if start >= end or text[start:end] == mask:
        return None
    if mask == MASK and (rule.fingerprint or (rule.session and match["quote"] and _in_meta(text, match.start()))):
        mask = mask_of(text[start:end])
    return start, end, mask


def _in_meta(text: str, position: int) -> bool:
    """Tell whether a member stands directly in MCP's `_meta`."""
    least = max(0, position - _FURTHEST_META)
    meta = text.rfind('"_meta', least, position)
    return meta >= 0 and text.count("{", meta, position) > text.count("}", meta, position)


class _Value:
    """The value that follows a name: where it is, and what it becomes."""

    def __init__(self, text: str, match: re.Match[str], rule: Rule) -> None:
        self.text = text
        self.rule = rule
        self.name = match["name"]
        self.begin = match.start()
        self.after = match.end()
        self.separator = match["separator"]
        self.quote: str = match["quote"] or ""
        self.backslashes: str = match["level"] or ""

    def locate(self) -> tuple[int, int, str]:
        """Return start, end and mask; an empty span when there is nothing to hide."""
        text = self.text
        before = None if self.quote else self._before()
        if before is not None and self.separator == ":":
            block = _BLOCK.match(text, _skip_blanks(text, self.after))
            if block is not None:
                return self._block(block, len(before) - len(before.lstrip(" \t-")))
        start = self._value_start()
        opening = OPENING.match(text, start)
        if opening is not None:
            start = opening.end()
            end, _ = string_end(text, start, opening["quote"], len(opening["level"]))
            none = self.quote != opening["quote"] and ends_string(text, self.begin, opening)
            return (start, start, "") if none or self._is_a_models(end) else self._unless_shown(start, end)
        code = not self.quote and not self.rule.strict and self._is_code(start)
        if not code and text[start : start + 1] in {"{", "[", "("} and not text.startswith(MASK, start):
            return self._container(start)
        if self.quote:
            return self._unquoted_json(start)
        return (start, start, "") if code or self._is_of_an_id(start) else self._unquoted(start, before)

    def _container(self, start: int) -> tuple[int, int, str]:
        end = container_end(self.text, start, '"' if self.quote == '"' else "", len(self.backslashes))
        container = self.text[start : min(end, start + _LONGEST_LOOK)]
        if not self.rule.strict and readable_container(container, self.rule.stays):
            return start, start, ""
        return start, end, self._quoted()

    def _is_code(self, start: int) -> bool:
        value = self.text[start : start + 256]
        spaced = self.text[start - 1 : start] == " " and (self.separator != ":" or value[:1].isalpha())
        return is_placeholder(value) or value.startswith("$" + self.name.lstrip("$")) or (spaced and is_source(value))

    def _is_of_an_id(self, start: int) -> bool:
        """Tell whether name and value are words of a scope, an event or a resource: `token:read`, `arn:…:secret:db`."""
        if self.separator != ":" or start != self.after:
            return False
        if self.text.startswith(":", self.begin - 1) and _ARN.search(self.text, max(0, self.begin - _EDGE), self.begin):
            return True
        return is_action(self.text[start : end_of_match(BARE, self.text, start, _EDGE)])

    def _is_a_models(self, end: int) -> bool:
        """Tell whether this is a word that a model chose: beside it stands its logarithmic probability."""
        if not self.quote or self.name != "token":
            return False
        around = self.text[end : end + 24], self.text[max(0, self.begin - 40) : self.begin]
        return any("logprob" in part for part in around)

    def _value_start(self) -> int:
        if self.separator == "=" and not self.quote:
            start = _skip_blanks(self.text, self.after)
            # `password=` and the value in the next line, set in
            return end_of_match(_BLANK, self.text, start) if self.text.startswith(("\n ", "\n\t"), start) else start
        return end_of_match(_BLANK, self.text, self.after)

    def _unless_shown(self, start: int, end: int) -> tuple[int, int, str]:
        if start == end or self._shown(start, end):
            return start, start, ""
        return start, end, MASK

    def _shown(self, start: int, end: int) -> bool:
        if end - start > 256:
            return False
        value = self.text[start:end]
        return self.rule.shows(value) or (not self.rule.strict and is_message(value, sentence=True))

    def _quoted(self) -> str:
        """Return the mask as a string of the document that the name stands in."""
        quote = self.backslashes + self.quote
        return quote + MASK + quote

    def _unquoted_json(self, start: int) -> tuple[int, int, str]:
        end = end_of_match(_SCALAR, self.text, start)
        word = self.text[start:end]
        if word == "null" or self.rule.shows(word):
            return start, start, ""
        if word and (word[0] in "-0123456789" or word in {"true", "false"}):
            return start, end, self._quoted()
        return start, end_of_match(BARE, self.text, start), self._quoted()

    def _unquoted(self, start: int, before: str | None) -> tuple[int, int, str]:
        text, rule = self.text, self.rule
        if self.separator == ":" and (before is not None or text[start - 1 : start] == " "):
            line = end_of_match(LINE, text, start, LONGEST_MESSAGE + 1)  # the whole line, of every name, is too much
            if rule.extent != "words" and is_message(text[start:line], sentence=False):
                return start, start, ""
            if before is not None:
                return self._unless_shown(start, self._folded(end_of_line(text, start), before))
        if rule.extent == "header" and self.separator == ":":
            return self._unless_shown(start, end_of_match(HEADER, text, start))
        if rule.extent == "words" or (rule.extent == "phrase" and self.separator == ":"):
            return self._unless_shown(start, end_of_match(PHRASE, text, start))
        if self.separator == "=" and (self._is_first() or text[self.begin - 1 : self.begin] == ";"):
            return self._unless_shown(start, end_of_match(LINE, text, start))
        return self._unless_shown(start, end_of_match(BARE, text, start))

    def _folded(self, end: int, before: str) -> int:
        """Return where a value ends that goes on in the next lines, set in further than its name, as in YAML."""
        indent = len(before) - len(before.lstrip(" \t-"))
        for _ in range(_MAX_FOLDED):
            line = _FOLDED.match(self.text, end)
            if line is None or len(line["indent"]) <= indent:
                break
            end = line.end()
        return end

    def _is_first(self) -> bool:
        """Tell whether nothing stands before the name in its line, as in `.env` and INI files."""
        line = self._line()
        return line is not None and _NOTHING_BEFORE.fullmatch(line) is not None

    def _before(self) -> str | None:
        """Return what stands before a name that is the first of its line, but for a few words; else None."""
        line = self._line()
        return line if line is not None and _FIRST_WORDS.fullmatch(line) is not None else None

    def _line(self) -> str | None:
        line = self.text.rfind("\n", max(0, self.begin - _LOOK_BACK), self.begin) + 1
        return None if line == 0 and self.begin > _LOOK_BACK else self.text[line : self.begin]

    def _block(self, block: re.Match[str], indent: int) -> tuple[int, int, str]:
        """Locate what stands below a name, as in YAML: the lines that are indented further, or the next word."""
        text = self.text
        end = block.end()
        while end < len(text):
            line_end = text.find("\n", end + 1)
            line_end = len(text) if line_end < 0 else line_end
            line = text[end + 1 : line_end]
            content = line.lstrip(" \t")
            depth = len(line) - len(content)
            if content and depth <= indent and not (depth == indent and content.startswith("- ")):
                break
            end = line_end
        if text[block.end() : end].strip():
            if "members" in self.rule.stays or "plain" in self.rule.stays:
                return block.start(), block.start(), ""
            return block.start(), end, MASK
        after = end_of_match(_BLANK, text, end)
        if _CANDIDATE.match(text, after):
            return after, after, ""
        return self._unless_shown(after, end_of_match(BARE, text, after))


def _skip_blanks(text: str, start: int) -> int:
    while text.startswith((" ", "\t"), start):
        start += 1
    return start
