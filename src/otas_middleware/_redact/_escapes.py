r"""Escapes that could hide a name: `\u0070assword` in JSON, `pass%77ord` in URLs."""

from __future__ import annotations

import re

ESCAPES_PROBE = r"\\u00[2-7]|%(?:25)*(?:3[0-9]|2[Dd]|5[Ff]|[46][1-9A-Fa-f]|[57][0-9Aa])"
"""Found in every text with an escaped ASCII letter, digit, quote, colon, hyphen or underscore."""

ENCODED_PROBE = r"%[0-9A-Fa-f]{2}"
"""Found in every text with percent-encoding."""

_UNICODE = re.compile(r"(?<!\\)(\\++)u00([2-7][0-9A-Fa-f])")


def unescape_ascii(text: str) -> str:
    r"""Return the same JSON with ASCII characters written as themselves, at any level of JSON inside JSON.

    `{"\u0070in": 1}` becomes `{"pin": 1}`. A quote and a backslash get their own, shorter escape.
    """
    return _UNICODE.sub(_unescape, text) if "\\u00" in text else text


def _unescape(match: re.Match[str]) -> str:
    slashes = match[1]
    char = chr(int(match[2], 16))
    if char == "\\":
        return slashes * 2
    if char == '"':
        # As JSON has it, and one level further in: `\u0022` is `\"`, and `\\u0022` is `\\\"`.
        return (slashes if len(slashes) % 2 else slashes * 2)[: 2 * len(slashes) - 1] + char
    return char
