"""Reading a curl command: the request that curl would send.

Understood are the options that shape a request (`SHAPING`, `FLAGS`) and those that leave it as it is (`IGNORED`); any
other is an error, since the event shown would not be the one that is sent.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from otas_middleware._cli.preview.curl_request import Draft
from otas_middleware._cli.preview.exchange import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otas_middleware._cli.preview.exchange import Exchange


def read(words: Sequence[str]) -> Exchange:
    """Return the request that curl sends for these words, the first of which is `curl`.

    Raises:
        UnreadableError: An option is not understood, a file cannot be read, or there is not exactly one URL.
    """
    draft = Draft()
    rest = list(words[1:])
    while rest:
        word = rest.pop(0)
        if word == "--":
            draft.urls += rest
            break
        if not word.startswith("-") or word == "-":
            draft.urls.append(word)
        elif word.startswith("--"):
            _long(draft, word, rest)
        else:
            _short(draft, word, rest)
    return draft.exchange()


SHAPING: dict[str, Callable[[Draft, str], None]] = {
    "--request": Draft.set_method,
    "--header": Draft.add_header,
    "--data": Draft.add_data,
    "--data-ascii": Draft.add_data,
    "--data-raw": Draft.add_raw,
    "--data-binary": Draft.add_binary,
    "--data-urlencode": Draft.add_encoded,
    "--json": Draft.add_json,
    "--form": Draft.add_part,
    "--form-string": Draft.add_text_part,
    "--user": Draft.set_user,
    "--oauth2-bearer": Draft.set_bearer,
    "--user-agent": Draft.set_agent,
    "--referer": Draft.set_referer,
    "--cookie": Draft.add_cookie,
    "--range": Draft.set_range,
    "--upload-file": Draft.set_upload,
    "--url": Draft.add_url,
}
"""Options with a value that say something about the request."""

FLAGS: dict[str, Callable[[Draft], None]] = {
    "--get": Draft.set_get,
    "--head": Draft.set_head,
    "--compressed": Draft.set_compressed,
}

IGNORED = frozenset(
    (
        "--silent", "--show-error", "--verbose", "--insecure", "--location", "--location-trusted", "--include",
        "--fail", "--fail-with-body", "--globoff", "--no-buffer", "--no-progress-meter", "--progress-bar",
        "--http1.0", "--http1.1", "--http2", "--http2-prior-knowledge", "--http3", "--ipv4", "--ipv6",
        "--tlsv1.2", "--tlsv1.3", "--remote-name", "--remote-header-name", "--no-keepalive", "--path-as-is",
        "--basic", "--anyauth",
    )
)  # fmt: skip
"""Options without a value that leave the request as it is."""

_IGNORED_WITH_VALUE = frozenset(
    (
        "--output", "--write-out", "--max-time", "--connect-timeout", "--retry", "--retry-delay",
        "--max-redirs", "--cacert", "--cert", "--key", "--proxy", "--resolve", "--interface", "--dump-header",
        "--cookie-jar", "--limit-rate", "--connect-to", "--unix-socket", "--stderr", "--trace",
    )
)  # fmt: skip

_SHORT = {
    "X": "--request", "H": "--header", "d": "--data", "F": "--form", "u": "--user", "A": "--user-agent",
    "e": "--referer", "b": "--cookie", "r": "--range", "T": "--upload-file", "G": "--get", "I": "--head",
    "s": "--silent", "S": "--show-error", "v": "--verbose", "k": "--insecure", "L": "--location", "i": "--include",
    "f": "--fail", "g": "--globoff", "N": "--no-buffer", "#": "--progress-bar", "0": "--http1.0", "4": "--ipv4",
    "6": "--ipv6", "O": "--remote-name", "J": "--remote-header-name", "o": "--output", "w": "--write-out",
    "m": "--max-time", "E": "--cert", "x": "--proxy", "D": "--dump-header", "c": "--cookie-jar",
}  # fmt: skip


def _long(draft: Draft, word: str, rest: list[str]) -> None:
    if word in SHAPING:
        SHAPING[word](draft, _value(word, rest))
    elif word in FLAGS:
        FLAGS[word](draft)
    elif word in _IGNORED_WITH_VALUE:
        _value(word, rest)
    elif word not in IGNORED:
        known = ", ".join(sorted([*SHAPING, *FLAGS]))
        raise UnreadableError(
            f"curl's option {word} is not understood; leave it out if it does not change the request. "
            f"Understood are {known}, and the usual ones that have no part in it, such as --silent"
        )


def _short(draft: Draft, word: str, rest: list[str]) -> None:
    """Read a cluster such as `-sXPOST`: options without a value, and at most one with, whose value may be in it."""
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        option = _SHORT.get(letter, f"-{letter}")
        if option in SHAPING or option in _IGNORED_WITH_VALUE:
            _long(draft, option, [letters] if letters else rest)
            return
        _long(draft, option, rest)


def _value(option: str, rest: list[str]) -> str:
    if not rest:
        raise UnreadableError(f"curl's option {option} lacks its value at the end of the command")
    return rest.pop(0)


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
