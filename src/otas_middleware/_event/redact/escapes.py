r"""Escapes that could hide a name: `\u0070assword` in JSON, `pass%77ord` in URLs."""

from __future__ import annotations

import re
from urllib.parse import unquote

ESCAPES_PROBE = r"\\u00[2-7]|\\x[4-7]|&#(?:[0-9]|x[4-7])"
"""Found in every text with an ASCII character that JSON, JavaScript or XML would not have needed to escape."""

ENCODED_PROBE = r"%[0-9A-Fa-f]{2}"
"""Found in every text with percent-encoding."""

_DECODINGS = 3
_UNICODE = re.compile(r"(?<!\\)(\\++)u00([2-7][0-9A-Fa-f])")


_LETTER = re.compile(r"(?<!\\)\\x([4-7][0-9A-Fa-f])|&#(?:x0{0,4}([4-7][0-9A-Fa-f])|0{0,4}(\d{2,3}));")
_ANY_UNICODE = re.compile(r"\\+u([0-9A-Fa-f]{4})")


def unescape_all(name: str) -> str:
    r"""Return a name with every `\uXXXX` of it written as itself, and without other backslashes."""
    plain = _ANY_UNICODE.sub(lambda match: chr(int(match[1], 16)), name).replace("\\", "")
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def undo_percent(text: str) -> str:
    """Return a text without percent-encoding, also when it was applied up to three times."""
    for _ in range(_DECODINGS):
        if "%" not in text:
            break
        plain = unquote(text)
        if plain == text:
            break
        text = plain
    return text


def unescape_ascii(text: str) -> str:
    r"""Return the same JSON with ASCII characters written as themselves, at any level of JSON inside JSON.

    `{"\u0070in": 1}` becomes `{"pin": 1}`. A quote and a backslash get their own, shorter escape.
    """
    if "\\" in text and "\\u00" in text:
        text = _UNICODE.sub(_unescape, text)
    return _LETTER.sub(_letter, text) if ("\\" in text and "\\x" in text) or ("&" in text and "&#" in text) else text


def _letter(match: re.Match[str]) -> str:
    char = chr(int(match[1] or match[2], 16) if match[3] is None else int(match[3]))
    return char if char.isascii() and char.isalnum() else match[0]


def _unescape(match: re.Match[str]) -> str:
    # Of n backslashes before the `u`, the largest power of two that divides n is the escape's own: each level of JSON
    # inside JSON doubles them. What stands before those is literal backslashes.
    count = len(match[1])
    own = count & -count
    char = chr(int(match[2], 16))
    if char == "\\":
        return "\\" * (count + own)
    if char == '"':
        return "\\" * (count + own - 1) + char
    return "\\" * (count - own) + char
