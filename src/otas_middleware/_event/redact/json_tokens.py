"""JSON Web Tokens and Keys, and other JSON in base64."""

from __future__ import annotations

import base64
import binascii
import re

from otas_middleware._event.redact.forms import looks_random
from otas_middleware._event.redact.mask import MASK

# What base64 is wrapped with, when the line before was long and the next is more of it.
_WRAP = r"(?<=[A-Za-z0-9+/_.\-]{32})\s{1,2}(?=[A-Za-z0-9+/_.\-]*[0-9][A-Za-z0-9+/_.=\-]*(?:[\s\"'\\]|$))"
_RUN = rf"(?:[A-Za-z0-9_\-+]|\\*/|%2[BFbf]|{_WRAP})"
_URL_SAFE_RUN = rf"(?:[A-Za-z0-9_\-+]|{_WRAP})"
BASE64_JSON = re.compile(
    rf"(?P<json>eyJ|eyA|ew[ok0]|W3s|Ww[ok0]|WyJ|WyA)"
    rf"(?P<rest>{_URL_SAFE_RUN}{{8,}}+(?:=*\.{_URL_SAFE_RUN}*+){{1,4}}|{_RUN}{{5,}}+)=*+"
)
_LONGEST_CURSOR = 256
_JSON_BEGINS = re.compile(rb"\s*(?:\[\s*)*(?:\{\s*(?:[\"}]|$)|\"[^\x00-\x1f]*$|\[?\s*$)")


# Where a list goes on: the names and values of which cursors are made.
_CURSOR = re.compile(
    r"\{(?:[\s,]*\"(?:(?:last|next|prev|start|end|min|max)_?)?(?:id|page|offset|limit|size|sort|order|direction|cursor|date"
    r"|time|timestamp|ts|created_?at|updated_?at|position|index|skip|version|v|n|count|first|last|after|before|since)\""
    r"\s*:\s*(?:\d{1,19}|true|false|null|\"[\w:.+ -]{0,40}\"))++\s*\}",
    re.IGNORECASE,
)


def _is_cursor(text: str) -> bool:
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except ValueError:
        return False
    return _CURSOR.fullmatch(plain) is not None and not any(map(looks_random, plain.split('"')))


def mask_base64_json(match: re.Match[str]) -> str:
    """Mask what `BASE64_JSON` found, unless it is none, or only says where a list goes on."""
    if match["json"] == "eyJ":
        return match[0] if len(match[0]) < _LONGEST_CURSOR and _is_cursor(match[0].rstrip("=")) else MASK
    before = match.string[match.start() - 1 : match.start()]
    text = (match["json"] + match["rest"]).replace("-", "+").replace("_", "/").replace("\\", "").partition(".")[0][:32]
    try:
        begins = base64.b64decode(text[: len(text) // 4 * 4])
    except binascii.Error:
        return match[0]
    return MASK if not before.isalnum() and len(text) > 11 and _JSON_BEGINS.match(begins) else match[0]


_KEY_TYPE = re.compile(r"\\*\"kty\\*\"\s*:")
_JWK_MEMBER = re.compile(r"(?P<name>\"(?:d|p|q|dp|dq|qi|k)\\*\"\s*:\s*\\*\")[A-Za-z0-9_-]{16,4096}+")
_LONGEST_JWK = 4_096


def mask_jwk(text: str) -> str:
    """Mask the private members of JSON Web Keys, which are flat objects."""
    pieces: list[str] = []
    done = 0
    for match in _KEY_TYPE.finditer(text):
        if match.start() < done:
            continue
        start = max(done, text.rfind("{", max(0, match.start() - _LONGEST_JWK), match.start()))
        end = text.find("}", match.end(), match.end() + _LONGEST_JWK)
        end = min(len(text), match.end() + _LONGEST_JWK) if end < 0 else end
        pieces += text[done:start], _JWK_MEMBER.sub(rf"\g<name>{MASK}", text[start:end])
        done = end
    return "".join((*pieces, text[done:]))
