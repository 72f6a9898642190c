"""Splitting a pasted command into words, as a shell does."""

from __future__ import annotations

import re
import shlex

from otas_middleware._cli.preview.exchange import UnreadableError

_QUOTED = re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"|\$'(?P<ansi>(?:[^'\\]|\\.)*)'|(?P<fold>\\\r?\n)", re.DOTALL)
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|U[0-9A-Fa-f]{1,8}|[0-7]{1,3}|.)", re.DOTALL)
_LETTERS = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b", "E": "\x1b"}


def split(text: str) -> list[str]:
    """Split a command as a shell does: quotes, `$'…'`, and lines that end in a backslash.

    Raises:
        UnreadableError: A quote is not closed, or the command goes on after a `|`, `;`, `&` or `>`.
    """
    if '^"' in text or "^\n" in text:
        raise UnreadableError("the curl command is quoted for Windows' cmd; copy it again as cURL for bash")
    text = _QUOTED.sub(_plain, text.strip())
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|;<>")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:
        raise UnreadableError("the curl command cannot be read: a quote is not closed") from None
    for position, word in enumerate(words):
        if word and set(word) <= set("|;<>"):
            raise UnreadableError(
                f"the curl command goes on with {word!r} after {position} words; leave that out, or quote it"
            )
    return words


def _plain(match: re.Match[str]) -> str:
    """Turn what shlex does not know into what it does: `$'…'` into plain quotes, a folded line into a blank."""
    if match["fold"] is not None:
        return " "
    if match["ansi"] is not None:
        return shlex.quote(_ESCAPE.sub(_unescape, match["ansi"]))
    return match[0]


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] in "xuU" and len(code) > 1:
        return chr(int(code[1:], 16))
    if code[0] in "01234567":
        return chr(int(code, 8))
    return _LETTERS.get(code, code)
