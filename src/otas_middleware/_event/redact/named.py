"""Masks the value of every sensitive name in a text of any format.

JSON (whole, cut off, one document a line, inside a string of another), event streams, JavaScript and Python literals,
GraphQL, YAML, INI and `.env`, log lines, headers, command lines and prose have this in common: a name, perhaps quoted,
a colon or an equals sign, a value. So one scanner serves them all, and there is no parser that could fail.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from otas_middleware._event.redact.mask import MASK
from otas_middleware._event.redact.names import counter
from otas_middleware._event.redact.spans import ENTITIES, QUOTE, container_end, string_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Rules(Protocol):
    """Says which names are sensitive."""

    def sensitive(self, name: str) -> bool:
        """Tell whether what stands under this name is masked."""
        ...


_NAME = r"\w.%$@/+\-\[\]"
_CANDIDATE = re.compile(
    rf"(?<![{_NAME}])(?P<name>[{_NAME}]++)"
    rf"(?:(?P<level>\\*+)(?P<quote>{QUOTE})[)\]]*+(?:\s|\\++[nrt])*+|[ \t]*+)"
    r"(?P<separator>=>|:=|={1,3}|:)"
)
_ENDING = re.compile(rf"(?:\\++[nrt]?|[\s\"'`)\]]|{ENTITIES})*+[:=>]*+")
_OPTION = re.compile(r"(?<![\w-])--(?P<name>\w[\w.-]*+)[ \t]++(?=[^-\s\"'])")
_ARGUMENT = re.compile(r"[^\s\"']*+")
_BLANK = re.compile(r"(?:\s|\\++[nrt])*+(?:data:[ ]?(?=\S))?")  # the value may stand in an event stream's next line
_OPENING = re.compile(rf"[bBfFrRuU]{{0,2}}(?P<level>\\*+)(?P<quote>{QUOTE})")
_SCALAR = re.compile(r"[^\s,}\])\"'`\\&<]*+")
_SCHEMES = "basic|bearer|token|digest|apikey|negotiate|hmac|bot"
_BARE = re.compile(rf"(?:(?i:{_SCHEMES})[ \t]++)?(?:(?:\\\\)+|\\[^\"'`\\nrt]|(?!{ENTITIES})[^\s&\"'`<>\\])*+")
_LINE = re.compile(rf"(?:(?:\\\\)+|\\[^\"'`\\nr]|(?!{ENTITIES})[^\r\n\"'`<>\\])*+")
_BLOCK = re.compile(r"[|>][-+0-9]*+[ \t]*+(?=\n)|(?=\n)")
_LOOK_BACK = 128
_WORDS = re.compile(r"[\w \t'-]*")
_WORDS_BEFORE = re.compile(r"(?<![\w'-])(?:[\w'-]++ ){1,3}$")

_WINDOWS = (2048, 256)
_BREAK = re.compile(rf"[^{_NAME}]")


def mask_named(text: str, rules: Rules, suspicious: Callable[[str], bool]) -> str:
    """Return the text with the values of sensitive names masked.

    Args:
        text: Any text without lone surrogates.
        rules: Which names are sensitive.
        suspicious: Tells, quickly, whether a text may hold a sensitive name at all.
    """
    pieces: list[str] = []
    done = 0
    for start, end, mask in _findings(text, rules, suspicious):
        if start >= done:
            pieces += (text[done:start], mask)
        done = max(done, end)  # what overlaps belongs to a value that is masked already
    if not pieces:
        return text
    pieces.append(text[done:])
    return "".join(pieces)


def _findings(text: str, rules: Rules, suspicious: Callable[[str], bool]) -> list[tuple[int, int, str]]:
    """Return start, end and mask of what is to be masked, in the order of the text."""
    found: list[tuple[int, int, str]] = []
    done = 0
    for begin, end in _windows(text, suspicious, 0, len(text), _WINDOWS):
        limit = _end(_ENDING, text, end)  # names end within the window, and what follows them may not
        for match in _CANDIDATE.finditer(text, begin, limit):
            start = match.start()
            # A name within what is masked matters only when its value lies beyond.
            if (start >= done or match.end() >= done) and _names_a_secret(text, start, match, rules):
                span = _Value(text, match).span()
                if span is not None:
                    found.append(span)
                    done = span[1]
        found += (
            (option.end(), _end(_ARGUMENT, text, option.end()), MASK)
            for option in _OPTION.finditer(text, begin, min(limit + 1, len(text)))
            if rules.sensitive(option["name"])
        )
    found.sort()
    return found


def _windows(
    text: str, suspicious: Callable[[str], bool], begin: int, end: int, sizes: tuple[int, ...]
) -> Iterator[tuple[int, int]]:
    """Yield the parts of a text in which a name may be sensitive; no name is cut by their borders."""
    if not sizes:
        yield begin, end
        return
    size, *smaller = sizes
    while begin < end:
        cut = _BREAK.search(text, begin + size, end)
        border = end if cut is None else cut.start()
        if suspicious(text[max(0, begin - _LOOK_BACK) : border]):
            yield from _windows(text, suspicious, begin, border, tuple(smaller))
        begin = border


def _names_a_secret(text: str, start: int, match: re.Match[str], rules: Rules) -> bool:
    name, _, quote, _ = match.groups()
    if rules.sensitive(name):
        return True
    if text.startswith("\\", start - 1) and name[0] in "bfnrt" and rules.sensitive(name[1:]):
        return True  # `\npin: …` in a JSON string
    if quote is not None:  # `"credit card number": …`: look at the whole of what is quoted
        if text.startswith(quote, start - len(quote)):
            return False
        opening = text.rfind(quote, max(0, start - _LOOK_BACK), start)
        return opening >= 0 and rules.sensitive(text[opening + len(quote) : match.end("name")])
    if text[start - 1 : start] != " ":
        return False
    words = _WORDS_BEFORE.search(text, max(0, start - _LOOK_BACK), start)
    return words is not None and rules.sensitive(words[0] + name)  # `API key: …`, `the password for bob: …`


class _Value:
    """The value that follows a name: where it is, and what it becomes."""

    def __init__(self, text: str, match: re.Match[str]) -> None:
        self.text = text
        self.name = match["name"]
        self.begin = match.start()
        self.after = match.end()
        self.separator = match["separator"]
        self.quote: str = match["quote"] or ""
        self.backslashes: str = match["level"] or ""

    def span(self) -> tuple[int, int, str] | None:
        """Return start, end and mask of the value, or None when there is nothing to hide."""
        start, end, mask = self._locate()
        return (start, end, mask) if start < end and self.text[start:end] != mask else None

    def _locate(self) -> tuple[int, int, str]:
        text = self.text
        indent = self._indent()
        if indent is not None and self.separator == ":":
            block = _BLOCK.match(text, _skip_blanks(text, self.after))
            if block is not None:
                return self._block(block, indent)
        start = self._value_start()
        opening = _OPENING.match(text, start)
        if opening is not None:
            start = opening.end()
            end, _ = string_end(text, start, opening["quote"], len(opening["level"]))
            return start, end, MASK if end > start else ""
        if text[start : start + 1] in {"{", "[", "("}:
            json = self.quote == '"'
            end = container_end(text, start, '"' if json else "", len(self.backslashes))
            return start, end, self._quoted()
        if self.quote:
            return self._unquoted_json(start)
        if indent is not None and self.separator == ":":
            return start, _end_of_line(text, start), MASK
        return start, _end(_BARE, text, start), MASK

    def _value_start(self) -> int:
        if self.separator == "=" and not self.quote:
            return _skip_blanks(self.text, self.after)
        return _end(_BLANK, self.text, self.after)

    def _quoted(self) -> str:
        """Return the mask as a string of the document that the name stands in."""
        quote = self.backslashes + self.quote
        return quote + MASK + quote

    def _unquoted_json(self, start: int) -> tuple[int, int, str]:
        end = _end(_SCALAR, self.text, start)
        word = self.text[start:end]
        if word == "null" or (word.isdecimal() and len(word) < 13 and counter(self.name)):
            return start, start, ""
        if word and (word[0] in "-0123456789" or word in {"true", "false"}):
            return start, end, self._quoted()
        return start, _end(_BARE, self.text, start), self._quoted()

    def _indent(self) -> int | None:
        """Return the indentation of a name that is the first of its line, else None."""
        if self.quote:
            return None
        line = self.text.rfind("\n", max(0, self.begin - _LOOK_BACK), self.begin) + 1
        if line == 0 and self.begin > _LOOK_BACK:
            return None
        before = self.text[line : self.begin]
        if _WORDS.fullmatch(before) is None:
            return None
        return len(before) - len(before.lstrip(" \t-"))

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
            return block.start(), end, MASK
        after = _end(_BLANK, text, end)
        if _CANDIDATE.match(text, after):
            return after, after, ""
        return after, _end(_BARE, text, after), MASK


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return start if match is None else match.end()


def _skip_blanks(text: str, start: int) -> int:
    while text.startswith((" ", "\t"), start):
        start += 1
    return start


def _end_of_line(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end - text.startswith("\r", end - 1)
