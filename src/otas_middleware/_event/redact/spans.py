"""Where a value ends that begins at some place of a text: strings, containers, bare words; and the mask in its place.

All of this works on the text as it is, so that complete, cut-off and broken documents are treated alike, and all that
is not masked stays exactly as it was sent. JSON inside a JSON string has escaped quotes, and inside that one again;
a quote's `level` is the number of backslashes that the document puts before it: 0, 1, 3, 7 and so on.
"""

from __future__ import annotations

import hashlib
import re
import sys
from typing import TYPE_CHECKING

from otas_middleware._event.patterns import compiled

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "[REDACTED]"

UNREADABLE = "[REDACTED: could not be looked through]"
"""Stands where redaction itself failed: the whole field is dropped, never the mask."""

_FINGERPRINT_DIGITS = 16


def mask_of(value: str) -> str:
    """Return the mask of an id that ties calls together: equal values have equal masks, and none tells its value."""
    if value.startswith(MASK[:-1]):
        return value
    return f"{MASK[:-1]} {hashlib.sha256(value.encode('utf-8', 'replace')).hexdigest()[:_FINGERPRINT_DIGITS]}]"


def most(text: str) -> int:
    """Return how many secrets of one kind are masked one by one in a text: one in 128 characters, and 512 more.

    Nobody writes more of them. A text that holds more was made to cost time, and is masked as a whole from there on.
    """
    return 512 + len(text) // 128


def replaced(text: str, found: Iterable[tuple[int, int, str]]) -> str:
    """Return a text with other words in some places.

    Args:
        text: The text.
        found: Beginning, end and the other words, in order; what overlaps belongs to the place before it.
    """
    pieces: list[str] = []
    done = 0
    for start, end, shown in found:
        if start >= done:
            pieces += text[done:start], shown
        done = max(done, end)
    return "".join((*pieces, text[done:])) if pieces else text


def with_masked(match: re.Match[str], group: str = "values", shown: str = MASK) -> str:
    """Return what a pattern found, with one of its groups masked, or written otherwise."""
    start, end = match.span(group)
    return match[0][: start - match.start()] + shown + match[0][end - match.start() :]


MARKS = r"\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u109f\u1780-\u17ff"
"""The marks of scripts that write vowels so, which are no `\\w`; for use within brackets, as `NAME`."""
ENTITIES = r"&(?:amp;){0,3}(?:quot|apos|#0{0,5}(?:34|39)|#x0{0,5}2[27]);"
"""Quotes as HTML and XML write them inside attributes, and inside of those again."""

QUOTE = rf"[\"'`]|{ENTITIES}"
OPENING = re.compile(
    rf"(?:[bBfFrRuU]{{0,2}}|[@$]{{1,2}})(?P<level>\\*+)(?P<quote>\"\"\"|'''|(?<=\\)\"(?P=level)\"(?P=level)\"|{QUOTE})"
)
"""The quote with which a value begins, also a literal of Python's, C#'s or Objective-C's."""

# The look-behind keeps a long run of backslashes from being tried at each of its characters.
_QUOTED: dict[str, re.Pattern[str]] = {quote: re.compile(rf"(?<!\\)(\\*+){quote}") for quote in "\"'`"}
_TOKENS: dict[str, re.Pattern[str]] = {
    '"': re.compile(r"(?<!\\)(\\*+)\"|[\[{(\])}]"),
    "": re.compile(r"(?<!\\)(\\*+)[\"'`]|[\[{(\])}]"),
}
_CLOSING = frozenset("]})")
_AFTER_STRING = re.compile(  # not more of a value that begins with such a character
    r"\s*(?:[;)\]}]++(?=[\s.:\"'`\\]|,[\s\"'`{\[\\]|,?$)|,(?=[\s\"'`{\[\\]|$)"
    r"|:(?=[\s\"'`{\[\\\d-]|true|false|null|$)|\+ |$)"
)
_END_OF_STRING = re.compile(r"(?<!\\)\"(?=\s*(?:[,}\]:]|$))")
_GOES_ON = re.compile(r"'|\\*\"'\\*\"'|\\+''|(?<=\\\\')(?=\w)")
"""Behind a single quote that ends no string: `'it''s'` of YAML and SQL, `'it'"'"'s'` of shells, Python's in JSON."""
_LOOK_BACK = 256

_NEXT_NAME = r"[\w.%\[\]-]{1,40}+[ \t]?+="
_CHARACTER = (
    rf"(?:(?:\\\\)+|\\[^\"'`\\nrt]|[^\s\"'`<\\&;,]++"  # an escaped blank belongs to the word
    rf"|&(?!{ENTITIES[1:]})(?!(?:amp;|#38;|#x26;)?{_NEXT_NAME})"  # `ab&cd` is a password, `&cd=` the next parameter
    rf"|[;,](?!\s|$|\\*[\"'`}})\]]|\\+[nrt]|[ ]?{_NEXT_NAME}|[\w.-]{{1,40}}+:)"
    r"|(?<=\w)[\"'`](?=\w)"  # an apostrophe
    r"|<(?!/|[!?a-zA-Z][^<>\n]{0,80}>))"
)
BARE = compiled(rf"{_CHARACTER}*+")
"""One word, as a shell, a query string or a log line has it."""
LINE = compiled(rf"(?:{_CHARACTER}|[ \t]++(?!{_NEXT_NAME}|[#]|[\"'`]|$))*+")
"""Words to the end of the line, or up to the next `name=`."""
STOPS = (
    "is|was|were|are|be|not|has|have|had|does|did|will|must|should|could|cannot|for|"
    "from|to|of|in|on|at|and|but|or|by|with"
)
PHRASE = compiled(
    rf"{_CHARACTER}*+(?:[ \t]++(?!(?:{STOPS})\b|{_NEXT_NAME}|[\w.-]{{1,40}}+:|[-(\[{{]){_CHARACTER}++){{0,24}}+"
)
"""A few words, up to one with which a sentence goes on."""
_PARAMETER_FIRST = r"(?:(?<==)(?P<first>\\*\")[^\"\r\n\\]{0,256}(?P=first))"
_PARAMETER = r"(?:(?<==)(?P<mark>\\*\")[^\"\r\n\\]{0,256}(?P=mark))"
HEADER = compiled(
    rf"{_CHARACTER}*+(?:[ \t]++{_CHARACTER}++{_PARAMETER_FIRST}?+(?=[;,]|[ \t]*+(?:[\"'`\r\n\\]|$)|\s))?+"
    rf"(?:[;,][ \t]*+{_CHARACTER}*+{_PARAMETER}?+)*+"
)
"""The credentials of a header: a scheme and a word, or parameters."""

BULK = r"(?:\r\n|\\+r\\+n)\$\d{1,9}(?:\r\n|\\+r\\+n)"
"""What stands between two words in Redis's protocol: how long the next is."""


def behind(position: int, distance: int) -> int:
    """Return the place so many characters before another, or where the text begins."""
    return max(0, position - distance)


def string_end(text: str, start: int, quote: str, level: int) -> tuple[int, bool]:
    """Find the end of a quoted string.

    Args:
        text: The text.
        start: Where the string's content begins, behind its opening quote.
        quote: The opening quote, without backslashes.
        level: How many backslashes stood before it.

    Returns:
        The index behind the content, and whether a closing quote stands there. A string that is not closed ends where
        the surrounding string does, or with the text.
    """
    pattern = _QUOTED.get(quote)
    if pattern is None:  # an entity, or three quotes
        end = text.find(quote, start)
        if end >= 0:
            return end - level, True
        surrounding = _END_OF_STRING.search(text, start)
        return (len(text) if surrounding is None else surrounding.start()), False
    done = start
    if level == 0 and quote != "'":
        end = text.find(quote, start)
        if end >= 0 and text[end - 1] != "\\":
            return end, True
    for match in pattern.finditer(text, start):
        backslashes = match.end(1) - match.start(1)
        if backslashes % (2 * level + 2) == level:
            more = _GOES_ON.match(text, match.end()) if quote == "'" and match.start() >= done else None
            if more is None and match.start() >= done:
                return match.end(1) - level, True
            done = done if more is None else more.end()
        elif backslashes < level:
            return match.start(), False
    return len(text), False


def ends_string(text: str, begin: int, opening: re.Match[str]) -> bool:
    """Tell whether a quote that seems to open a value ends the string in which the value's name stands.

    In `{"question": "Your password:", "answer": 1}` it is followed as the end of a string is, and the quotes before it
    in its line are odd in number.

    Args:
        text: The text.
        begin: Where the name stands.
        opening: The quote, with its backslashes.
    """
    pattern = _QUOTED.get(opening["quote"])
    if pattern is None or _AFTER_STRING.match(text, opening.end()) is None:
        return False
    least = behind(begin, _LOOK_BACK)
    line = text.rfind("\n", least, begin) + 1
    if not line and least:
        return True  # a long line: that of JSON
    level = len(opening["level"])
    return sum(quote.end(1) - quote.start(1) == level for quote in pattern.finditer(text, line, begin)) % 2 == 1


def container_end(text: str, start: int, quote: str, level: int) -> int:
    """Find the end of an object, list or tuple.

    Args:
        text: The text.
        start: Where its opening bracket stands.
        quote: `"` when only that quotes strings in this document (JSON), or empty when any quote may.
        level: How many backslashes stand before the quotes of this document.

    Returns:
        The index behind the closing bracket. A container that is not closed ends where the surrounding string does,
        or with the text.
    """
    depth = 0
    position = start
    tokens = _TOKENS[quote]
    while (match := tokens.search(text, position)) is not None:
        token = match[0]
        position = match.end()
        mark = token[-1]
        if mark in _CLOSING:
            depth -= 1
            if depth == 0:
                return position
        elif mark in "[{(":
            depth += 1
        else:
            backslashes = len(token) - 1
            if backslashes < level:
                return match.start()
            position, closed = string_end(text, position, mark, level)
            if not closed:
                return position
            position += level + 1
    return len(text)


def end_of_match(pattern: re.Pattern[str], text: str, start: int, most: int = sys.maxsize) -> int:
    """Return where a match at this place ends, looking at so many characters; the place itself when there is none."""
    match = pattern.match(text, start, min(len(text), start + most))
    return start if match is None else match.end()


def end_of_line(text: str, start: int) -> int:
    """Return where the line of this place ends."""
    end = text.find("\n", start)
    return len(text) if end < 0 else end - text.startswith("\r", end - 1)
