"""Texts inside of texts, in base64: MIME parts, header values, tokens within tokens."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from otas_middleware._event.redact.mask import MASK

if TYPE_CHECKING:
    from collections.abc import Callable

_TELLING = (
    "password Password passwd secret Secret token Token api_key apiKey api-key Authorization private_key privateKey "
    "Bearer eyJhbGci eyJ0eXAi -----BEGIN"
)
"""Words that a text with a secret has; base64 shows them in three forms, by where they stand."""
_SKIPPED = (0, 2, 3)


def _forms(word: str) -> list[str]:
    forms: list[str] = []
    for offset, skipped in enumerate(_SKIPPED):
        encoded = base64.b64encode(b"\0" * offset + word.encode()).decode()
        forms.append(encoded[skipped : (offset + len(word)) * 8 // 6])
    return forms


_HINTS = tuple(form for word in _TELLING.split() for form in _forms(word))
BASE64_PROBE = "|".join(re.escape(form).replace("/", r"\x{2f}") for form in _HINTS)
"""Found in every text with base64 of one of these words."""
WORDS_PROBE = r"=\?[A-Za-z0-9_\-]*\?"
"""Found in every text with an encoded word: of mail (RFC 2047), or of MCP's headers (`=?base64?…?=`)."""

_RUN = re.compile(r"(?<![A-Za-z0-9+/_=-])(?:[A-Za-z0-9+/_-]|\\+/){20,65536}+=*+")
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
        plain = _decoded(match[0])
        return match[0] if plain is None or redact(plain) == plain else MASK

    return _RUN.sub(mask, text)


def mask_encoded_words(text: str, redact: Callable[[str], str]) -> str:
    """Return a text with those encoded words masked in which there is a secret."""

    def mask(match: re.Match[str]) -> str:
        if (match["coding"] or "b").lower() == "q":
            plain = unquote_to_bytes(match["text"].replace("_", " ").replace("=", "%")).decode("utf-8", "replace")
        else:
            plain = _decoded(match["text"]) or ""
        return match[0] if redact(plain) == plain else MASK

    return _WORD.sub(mask, text)


def _decoded(text: str) -> str | None:
    text = text.replace("\\", "").rstrip("=").replace("-", "+").replace("_", "/")
    text = text[: len(text) - 1] if len(text) % 4 == 1 else text
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4)).decode("utf-8", "replace")
    except binascii.Error:
        return None
