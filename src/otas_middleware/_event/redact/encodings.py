r"""Texts inside of texts: escaped (`\u0070assword`), percent-encoded (`pass%77ord`), or in base64.

What is encoded is decoded and looked through; what is masked in it is encoded again, and in base64 it is masked as a
whole, as are JSON Web Tokens, which are base64 of JSON.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote, unquote_plus, unquote_to_bytes

from otas_middleware._event import storable
from otas_middleware._event.patterns import compiled
from otas_middleware._event.redact.forms import looks_random
from otas_middleware._event.redact.spans import MASK

if TYPE_CHECKING:
    from collections.abc import Callable

ESCAPES_PROBE = r"\\u(?:00|\{0*)[2-7]|\\x[2-7]|\\0?1[0-7][0-7]|&#(?:[0-9]|x0*[2-7])"
"""Found in every text with an ASCII character that JSON, JavaScript or XML would not have needed to escape."""

ENCODED_PROBE = r"%[0-9A-Fa-f]{2}"
"""Found in every text with percent-encoding."""

_ENCODED = re.compile(ENCODED_PROBE)
_DECODINGS = 3
_UNICODE = re.compile(r"(?<!\\)(\\++)u00([2-7][0-9A-Fa-f])")


_FOREIGN = re.compile(r"(?<!\\)(\\++)u((?!00)[0-9A-Fa-f]{4}|00[c-fC-F][0-9A-Fa-f])")
_NOT_ASCII = re.compile(r"[\x80-\uffff]")
_LETTER = re.compile(
    r"(?<!\\)\\(?:x(?P<javascript>[2-7][0-9A-Fa-f])|u\{0{0,4}(?P<newer>[2-7][0-9A-Fa-f])\}|0?(?P<octal>1[0-7]{2}))"
    r"|&#(?:x0{0,4}(?P<hexadecimal>[2-7][0-9A-Fa-f])|0{0,4}(?P<decimal>\d{2,3}));"
)
_LETTER_SIGNS = ("\\x", "\\u{", "\\1", "\\01")
_UNSEEN = r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064]+"
_INVISIBLE = re.compile(rf"(?<=[!-~]){_UNSEEN}|{_UNSEEN}(?=[!-~])")
_BASES = {"decimal": 10, "octal": 8}
_OF_NAMES = frozenset(":=_-. ")
"""Characters that names are made of and end with, besides letters and digits."""


_LAYERS = re.compile(r"%(?:25)+(?=25)")


def undo_percent(text: str) -> str:
    """Return a text without percent-encoding, applied up to three times, or to its own `%` as often as may be."""
    if "%2525" in text:
        text = _LAYERS.sub("%", text)
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
    # One character is found far sooner than two.
    if ("&" in text and "&#" in text) or ("\\" in text and any(sign in text for sign in _LETTER_SIGNS)):
        text = _LETTER.sub(_letter, text)
    return text


def without_invisible(text: str) -> str:
    """Return a text without what nobody sees of it, beside characters of ASCII: it may cut a name in two."""
    return text if text.isascii() else _INVISIBLE.sub("", text)


def plain_form(text: str) -> str:
    """Return the same text with its ASCII characters as themselves, and nothing unseen between them."""
    return without_invisible(unescape_ascii(text))


def foreign_escape(text: str) -> str | None:
    r"""Return how letters of other scripts are escaped in a text, `\u{:04x}`; None where not in one way only."""
    found = list(_FOREIGN.finditer(text))
    levels = {len(match[1]) for match in found}
    if not text.isascii() or len(levels) != 1:
        return None
    digits = "".join(match[2] for match in found)
    return "\\" * levels.pop() + ("u{:04x}" if digits == digits.lower() else "u{:04X}")


def unescape_letters(text: str) -> str:
    r"""Return the same JSON with letters of other scripts written as themselves: `\u043f\u0430\u0440…`."""
    return _FOREIGN.sub(_unescape, text)


def escape_letters(text: str, escape: str) -> str:
    """Return the same JSON with all of them escaped again."""
    return _NOT_ASCII.sub(lambda match: escape.format(ord(match[0])), text)


def _letter(match: re.Match[str]) -> str:
    kind = match.lastgroup or ""
    char = chr(int(match[kind], _BASES.get(kind, 16)))
    return char if char in _OF_NAMES or (char.isascii() and char.isalnum()) else match[0]


def _unescape(match: re.Match[str]) -> str:
    # Of n backslashes before the `u`, the largest power of two that divides n is the escape's own: each level of JSON
    # inside JSON doubles them. What stands before those is literal backslashes.
    count = len(match[1])
    own = count & -count
    char = chr(int(match[2], 16))
    if not char.isprintable():
        return match[0]  # half of a character beyond them, say
    if char == "\\":
        return "\\" * (count + own)
    if char == '"':
        return "\\" * (count + own - 1) + char
    return "\\" * (count - own) + char


_PLAIN_NAME = re.compile(r"[^\x00-\x1f\"'`{}<>\\:=]*")
_TOKEN = re.compile(r"[^\s\"'<>\\`{}]++")
_SPLIT = re.compile(r"([?&#;])")
_SHORTEST_KEY = 12
"""No key that is known by its form has fewer characters."""


def mask_pairs(text: str, named: Callable[[str, str], str | None], redact: Callable[[str], str]) -> str:
    """Return a query string or urlencoded form with its secrets masked, and all else as it was.

    Args:
        text: Without a leading `?`.
        named: Returns what is shown of a decoded value under a sensitive name, and None under any other name.
        redact: Masks a decoded value.
    """
    return "&".join([_mask_pair(piece, named, redact, plus=True) for piece in text.split("&")])


def mask_encoded(text: str, named: Callable[[str, str], str | None], redact: Callable[[str], str]) -> str:
    """Return a text with the secrets masked that stand in it percent-encoded, such as in the query of a URL."""

    def mask_token(match: re.Match[str]) -> str:
        token = match[0]
        if "%" not in token or _ENCODED.search(token) is None:
            return token
        return "".join([_mask_pair(piece, named, redact, plus=False) for piece in _SPLIT.split(token)])

    return _TOKEN.sub(mask_token, text)


def _mask_pair(piece: str, named: Callable[[str, str], str | None], redact: Callable[[str], str], *, plus: bool) -> str:
    name, equals, value = piece.partition("=")
    decode, encode = (unquote_plus, quote_plus) if "+" in piece and (plus or equals) else (unquote, quote)
    if not equals or _PLAIN_NAME.fullmatch(decode(name)) is None:
        name, equals, value = "", "", piece
    plain = decode(value)
    shown = named(name, plain) if name else None
    if plus and len(name) >= _SHORTEST_KEY:  # a key may stand where a name does: `?sk_live_…=`
        plain_name = decode(name)
        masked_name = redact(plain_name)
        if masked_name != plain_name:
            name = encode(masked_name, safe="[]")
            piece = name + equals + value
    if shown is not None:
        return piece if shown == plain else name + equals + shown
    if plain == value and not plus:
        return piece  # nothing was encoded: the text around it is looked through with it
    plain = storable(plain)
    masked = redact(plain)
    # What is not masked stays as it was sent; what is, is encoded again as a whole.
    return piece if masked == plain else name + equals + encode(masked, safe="[]")


_UNQUOTED = re.compile(r"[^\"\n]+")
_LONE_BACKSLASH = re.compile(r"\\(?!x[0-9A-F]{2})")


def mask_hex_quoted(text: str, redact: Callable[[str], str]) -> str:
    r"""Return a text with the secrets masked that stand between quotes that are written `\x22`, as nginx logs bodies.

    Args:
        text: The text; nginx's default escape writes a backslash as `\x5C`.
        redact: Masks the secrets of a text with its quotes.
    """

    def mask(match: re.Match[str]) -> str:
        if "\\x22" not in match[0]:
            return match[0]
        plain = match[0].replace("\\x22", '"').replace("\\x5C", "\\")
        masked = redact(plain)
        return match[0] if masked == plain else _LONE_BACKSLASH.sub(r"\\x5C", masked).replace('"', "\\x22")

    return _UNQUOTED.sub(mask, text)


_TELLING = (
    "password Password passwd secret Secret token Token api_key apiKey api-key Authorization private_key privateKey "
    "Bearer eyJhbGci eyJ0eXAi -----BEGIN PASSWORD SECRET_ TOKEN= API_KEY"
)
"""Words that a text with a secret has; base64 shows them in three forms, by where they stand."""
_SKIPPED = (0, 2, 3)
_HINTS = tuple(
    base64.b64encode(b"\0" * offset + word.encode()).decode()[skipped : (offset + len(word)) * 8 // 6]
    for word in _TELLING.split()
    for offset, skipped in enumerate(_SKIPPED)
)
BASE64_PROBE = "|".join(re.escape(form).replace("/", r"\x{2f}") for form in _HINTS)
"""Found in every text with base64 of one of these words."""
WORDS_PROBE = r"=\?[A-Za-z0-9_\-]*\?"
"""Found in every text with an encoded word: of mail (RFC 2047), or of MCP's headers (`=?base64?…?=`)."""

_BASE64 = compiled(r"(?<![A-Za-z0-9+/_-])(?:[A-Za-z0-9+/_-]|\\+/){20,65536}+=*+")
_HINT = re.compile("|".join(map(re.escape, _HINTS)))
_WORD = re.compile(r"=\?(?P<charset>[\w-]{1,40})\?(?:(?P<coding>[bBqQ])\?)?(?P<text>[^?\s\"]{1,8192})\?=")


def mask_base64(text: str, redact: Callable[[str], str]) -> str:
    """Return a text with what is base64 of a text with a secret masked as a whole.

    Args:
        text: The text.
        redact: Masks the secrets of a decoded text.
    """

    def mask(match: re.Match[str]) -> str:
        if _HINT.search(match[0]) is None:
            return match[0]
        plain = decode_base64(match[0]).decode("utf-8", "replace")
        return match[0] if redact(plain) == plain else MASK

    return _BASE64.sub(mask, text)


def mask_encoded_words(text: str, redact: Callable[[str], str]) -> str:
    """Return a text with those encoded words masked in which there is a secret."""

    def mask(match: re.Match[str]) -> str:
        if (match["coding"] or "b").lower() == "q":
            content = unquote_to_bytes(match["text"].replace("_", " ").replace("=", "%"))
        else:
            content = decode_base64(match["text"])
        plain = content.decode("utf-8", "replace")
        return match[0] if redact(plain) == plain else MASK

    return _WORD.sub(mask, text)


_STANDARD = str.maketrans("-_", "+/")


def decode_base64(text: str) -> bytes:
    """Return what base64 says, of either alphabet, also when it was escaped or cut off; nothing when it is none."""
    text = text.replace("\\", "").rstrip("=").translate(_STANDARD)
    try:
        return base64.b64decode((text[:-1] if len(text) % 4 == 1 else text) + "==")
    except binascii.Error:
        return b""


# What base64 is wrapped with, when the line before was long and the next is more of it.
_WRAP = r"(?<=[A-Za-z0-9+/_.\-]{32})\s{1,2}(?=[A-Za-z0-9+/_.\-]*[0-9][A-Za-z0-9+/_.=\-]*(?:[\s\"'\\]|$))"
_RUN = rf"(?:[A-Za-z0-9_\-+]|\\*/|%2[BFbf]|{_WRAP})"
_URL_SAFE_RUN = rf"(?:[A-Za-z0-9_\-+]|{_WRAP})"
BASE64_JSON = (
    rf"(?P<json>eyJ|eyA|ew[ok0]|W3s|Ww[ok0]|WyJ|WyA)"
    rf"(?P<rest>{_URL_SAFE_RUN}{{8,}}+(?:=*\.{_URL_SAFE_RUN}*+){{1,4}}|{_RUN}{{5,}}+)=*+"
)
_LONGEST_CURSOR = 256
_JSON_BEGINS = re.compile(
    rb"\s*(?:\[\s*)*(?:\{\s*(?:[\"}]|$)|\"[^\x00-\x1f]*$|\[?\s*$)"
)  # Where a list goes on: the names and values of which cursors are made.
_CURSOR = compiled(
    r"\{(?:[\s,]*\"(?:(?:last|next|prev|start|end|min|max)_?)?(?:id|page|offset|limit|size|sort|order|direction|cursor|date"
    r"|time|timestamp|ts|created_?at|updated_?at|position|index|skip|version|v|n|count|first|last|after|before|since)\""
    r"\s*:\s*(?:\d{1,19}|true|false|null|\"[\w:.+ -]{0,40}\"))++\s*\}",
    re.IGNORECASE,
)


def _is_cursor(text: str) -> bool:
    plain = decode_base64(text).decode("ascii", "replace")
    return _CURSOR.fullmatch(plain) is not None and not any(map(looks_random, plain.split('"')))


def mask_base64_json(match: re.Match[str]) -> str:
    """Mask what `BASE64_JSON` found, unless it is none, or only says where a list goes on."""
    if match["json"] == "eyJ":
        return match[0] if len(match[0]) < _LONGEST_CURSOR and _is_cursor(match[0]) else MASK
    before = match.string[match.start() - 1 : match.start()]
    begins = decode_base64(match[0].partition(".")[0])
    return MASK if not before.isalnum() and _JSON_BEGINS.match(begins) else match[0]
