"""Query strings, urlencoded forms, and URLs inside other texts: `name=value` with percent-encoding."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from otas_middleware._event.model import storable
from otas_middleware._event.redact.mask import MASK

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._event.redact.name_rules import NameRules

_PLAIN_NAME = re.compile(r"[^\x00-\x1f\"'`{}<>\\:=]*")
_TOKEN = re.compile(r"[^\s\"'<>\\`{}]++")
_SPLIT = re.compile(r"([?&#;])")


def mask_pairs(text: str, rules: NameRules, redact: Callable[[str], str]) -> str:
    """Return a query string or urlencoded form with its secrets masked, and all else as it was.

    Args:
        text: Without a leading `?`.
        rules: Which names are sensitive.
        redact: Masks a decoded value.
    """
    return "&".join([_mask_pair(piece, rules, redact, plus=True) for piece in text.split("&")])


def mask_encoded(text: str, rules: NameRules, redact: Callable[[str], str]) -> str:
    """Return a text with the secrets masked that stand in it percent-encoded, such as in the query of a URL."""

    def mask_token(match: re.Match[str]) -> str:
        token = match[0]
        if "%" not in token:
            return token
        return "".join([_mask_pair(piece, rules, redact, plus=False) for piece in _SPLIT.split(token)])

    return _TOKEN.sub(mask_token, text)


def _mask_pair(piece: str, rules: NameRules, redact: Callable[[str], str], *, plus: bool) -> str:
    decode, encode = (unquote_plus, quote_plus) if plus and "+" in piece else (unquote, quote)
    name, equals, value = piece.partition("=")
    if not equals or _PLAIN_NAME.fullmatch(decode(name)) is None:
        name, equals, value = "", "", piece
    plain = decode(value)
    rule = rules.rule(name) if equals and name else None
    if rule is not None:
        return name + equals + MASK if value and not rule.shows(plain) else piece
    if plain == value and not plus:
        return piece  # nothing was encoded: the text around it is looked through with it
    plain = storable(plain)
    masked = redact(plain)
    # What is not masked stays as it was sent; what is, is encoded again as a whole.
    return piece if masked == plain else name + equals + encode(masked, safe="[]")
