"""JSON in texts: whole documents, lines of them, what was cut off, and JSON Web Keys."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TypeGuard

from pydantic_core import from_json

from otas_middleware._event.redact.spans import MASK, behind, replaced

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE = re.compile(r"(?m:^)(?:data:)?[ \t]*+[{\[][^\n]*+")
"""A line of NDJSON, or a `data:` line of an event stream."""
_QUOTE = re.compile("[\"']")
_ANY_MASK = re.compile(rf"{re.escape(MASK[:-1])}(?: [0-9a-f]{{16}})?\]")
_NOT_WITHIN = re.compile(r"[\"\\\n\r]")
_ONLY_WITHIN = re.compile(r"[^\s\d+\-.,:{}\[\]aEeflnrstu]")  # numbers, punctuation, `true`, `false`, `null`
_DECODER = json.JSONDecoder()


def parse(text: str, *, cut: bool) -> Any:
    """Return what JSON says, also when it was cut off.

    Raises:
        ValueError: It is no JSON, or something follows it.
    """
    try:
        return from_json(text)
    except ValueError:
        if not cut or _begins_with_a_document(text):
            raise
    return from_json(text, allow_partial="trailing-strings")


def document_of(line: str) -> str:
    """Return the JSON of a line of NDJSON, or of a `data:` line of an event stream."""
    return line.removeprefix("data:").lstrip()


def lines_of(text: str) -> list[tuple[int, int]]:
    """Return where the lines of NDJSON or of an event stream are in which JSON stands."""
    return [line.span() for line in LINE.finditer(text) if is_json(document_of(line[0]))]


def is_json(text: str) -> bool:
    try:
        from_json(text)
    except ValueError:
        return False
    return True


def is_object(value: Any) -> TypeGuard[dict[Any, Any]]:
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list | tuple)


def documents_in(text: str) -> int:
    """Return how many strings of a JSON document hold JSON themselves, as a tool's answer in MCP may."""
    found = 0
    if '"{' not in text and '"[' not in text:
        return 0
    try:
        left: list[Any] = [from_json(text)]
    except ValueError:
        return 0
    while left:
        value = left.pop()
        if isinstance(value, str):
            found += value.lstrip()[:1] in {"{", "["} and is_json(value)
        elif is_object(value):
            left += value.values()
        elif is_list(value):
            left += value
    return found


def masked_within_strings(plain: str, masked: str) -> bool:
    """Tell quickly whether masks took the place of parts of single strings only, if the text is JSON; most do.

    Such a part has no quote and no end of a line in it, and a character that stands in strings alone.
    """
    first, *others = _ANY_MASK.split(masked)
    if not plain.startswith(first):
        return False
    end = len(first)
    for number, piece in enumerate(others, 1):
        last = number == len(others)
        start = len(plain) - len(piece) if last else plain.find(piece, end + 1)
        if start <= end or (last and not plain.endswith(piece)):
            return False
        hidden = plain[end:start]
        if _NOT_WITHIN.search(hidden) is not None or _ONLY_WITHIN.search(hidden) is None:
            return False
        end = start + len(piece)
    return True


def quotes_like_json(text: str) -> bool:
    """Tell whether strings stand in double quotes: in others, such as Python's, one of those may be a character."""
    first = _QUOTE.search(text)
    return first is not None and first[0] == '"'


def _begins_with_a_document(text: str) -> bool:
    """Tell whether a whole document stands at the beginning: then what was cut off is one of those after it."""
    try:
        _DECODER.raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return False
    return True


_KEY_TYPE = re.compile(r"\\*\"kty\\*\"\s*:")
_JWK_MEMBER = re.compile(r"(?P<name>\"(?:d|p|q|dp|dq|qi|k)\\*\"\s*:\s*\\*\")[A-Za-z0-9_-]{16,4096}+")
_LONGEST_JWK = 4_096


def mask_jwk(text: str) -> str:
    """Mask the private members of JSON Web Keys, which are flat objects."""
    return replaced(text, _json_web_keys(text))


def _json_web_keys(text: str) -> Iterator[tuple[int, int, str]]:
    done = 0
    for match in _KEY_TYPE.finditer(text):
        if match.start() < done:
            continue
        start = max(done, text.rfind("{", behind(match.start(), _LONGEST_JWK), match.start()))
        end = text.find("}", match.end(), match.end() + _LONGEST_JWK)
        done = min(len(text), match.end() + _LONGEST_JWK) if end < 0 else end
        yield start, done, _JWK_MEMBER.sub(rf"\g<name>{MASK}", text[start:done])
