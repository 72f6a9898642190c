"""Secrets that are known by their shape, whatever name they stand under.

Every pattern runs in linear time: it begins with a literal or a short choice, repeats possessively or with a bound, and
never nests repetitions. None of them matches a quote, so that a mask inside a JSON string leaves the JSON whole.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import TYPE_CHECKING, NamedTuple

from otas_middleware._event.redact.mask import MASK

if TYPE_CHECKING:
    from collections.abc import Callable


class Shape(NamedTuple):
    """One kind of secret."""

    what: str
    example: str
    """Begins like the real thing; the table of the documentation shows it."""
    probe: str
    """Pattern for `probe`, found wherever `pattern` matches (and elsewhere too, at the price of a closer look)."""
    pattern: re.Pattern[str]
    replace: Callable[[re.Match[str]], str] = lambda _: MASK
    """What a match becomes."""


_START = r"(?<![A-Za-z0-9])"

# Prefix → fewest characters that follow it. The characters are those of the base64url alphabet and the dot.
_PREFIXES = {
    8: "AKIA ASIA sk_live_ sk_test_ rk_live_ rk_test_ whsec_ ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- xapp- ya29. "
    "GOCSPX-",
    12: "sk- gsk_ xai- pplx- hf_ r8_ SG. npm_ pypi- dop_v1_ doo_v1_ dor_v1_ shpat_ shpca_ shppa_ shpss_ sq0csp- "
    "sq0atp- hvs. hvb. lin_api_ ntn_ sbp_ PMAK- figd_ ATATT3 sntrys_ NRAK- glsa_ glc_ pscale_tkn_ AGE-SECRET-KEY- "
    "AIza EAAC",
}
_KEY_PREFIXES = tuple((least, prefix) for least, prefixes in _PREFIXES.items() for prefix in prefixes.split())
_KEYS = "|".join(rf"{re.escape(prefix)}[A-Za-z0-9_.\-]{{{least}}}" for least, prefix in _KEY_PREFIXES)
_ANY_KEY = "|".join(re.escape(prefix) for _, prefix in _KEY_PREFIXES)

# Lengths and leading digits of the card networks (ISO/IEC 7812; Visa, Mastercard, American Express, Diners Club,
# JCB, Discover, UnionPay, Maestro). A check digit alone would mask one in ten order numbers.
_NETWORK = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3[0689]\d{12}|35\d{14}|6\d{15,18}|5[0678]\d{14,17}"
)
_CARD = re.compile(
    # a run of digits, and neither the fraction of a number nor a piece of a hexadecimal hash ...
    r"(?<!\d)(?<!\d\.)(?<![0-9a-f]{2})[2-6]\d{12,18}(?![0-9])(?![0-9a-f]{2})"
    # ... or groups of digits as they are embossed, and not a piece of a UUID
    r"|(?<!\w)(?<![0-9a-fA-F]-)[2-6]\d{3}([ -])(?:\d{4}\1\d{4}\1\d{1,7}|\d{6}\1\d{4,5})(?!\w)(?!-[0-9a-fA-F])"
)
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}+(?:@|%40)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
_PHONE = re.compile(
    r"(?<![\w+])(?:\+|%2B)[1-9](?:[ ().\-/]{0,2}\d){7,14}(?!\d)"
    r"|(?<![\w.-])\(?[2-9]\d{2}\)?[ .\-]\d{3}[ .\-]\d{4}(?![\w-])"
)
_IP = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}(?![\w.])|[0-9A-Fa-f:]{0,4}:[0-9A-Fa-f:.]{1,45}(?![\w:]))")


def luhn(digits: str) -> bool:
    """Tell whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for index, char in enumerate(reversed(digits)):
        digit = ord(char) - 48
        total += digit if index % 2 == 0 else digit * 2 - 9 * (digit > 4)
    return total % 10 == 0


def card_number(digits: str) -> bool:
    """Tell whether digits (no separators) are the number of a payment card."""
    return _NETWORK.fullmatch(digits) is not None and luhn(digits)


def _mask_card(match: re.Match[str]) -> str:
    text = match[0]
    if not card_number(text.replace(" ", "").replace("-", "")):
        return text
    before = match.string[max(0, match.start() - 16) : match.start()].rstrip()[-1:]
    after = match.string[match.end() : match.end() + 16].lstrip()[:1]
    number = text.isdigit() and before and before in ":[," and (not after or after in ",]}")
    return f'"{MASK}"' if number else MASK  # a number of a JSON document becomes a string


_NOT_CREDENTIALS = frozenset(
    (
        "auth",
        "authentication",
        "authorization",
        "credentials",
        "error",
        "realm",
        "scheme",
        "token",
        "tokens",
    )
)


def _mask_bearer(match: re.Match[str]) -> str:
    if match["credentials"].lower() in _NOT_CREDENTIALS:
        return match[0]
    return match["scheme"] + MASK


def _mask_basic(match: re.Match[str]) -> str:
    text = match["credentials"].replace("-", "+").replace("_", "/").rstrip("=")
    try:
        pair = base64.b64decode(text[: len(text) // 4 * 4])
    except binascii.Error:
        return match[0]
    return match["scheme"] + MASK if b":" in pair or len(text) > 24 else match[0]


_WORDS = re.compile(r"[a-z0-9]{1,3}[-_.][a-z]+(?:[-_.][a-z]+)*+")


def _mask_key(match: re.Match[str]) -> str:
    return match[0] if _WORDS.fullmatch(match[0]) else MASK  # `sk-fading-circle` is a style sheet's


def _mask_otas_key(match: re.Match[str]) -> str:
    # `agent_session_id` and its like are names, not keys: a key's secret is random and has digits or capitals.
    key = match[0]
    return MASK if key.startswith("otas") or any(char.isdigit() or char.isupper() for char in key) else key


def _mask_userinfo(match: re.Match[str]) -> str:
    return match["slashes"] + MASK + match["at"]


def _mask_ip(match: re.Match[str]) -> str:
    try:
        ipaddress.ip_address(match[0].rstrip("."))
    except ValueError:
        return match[0]
    return MASK


_BLANK = r"(?:[ \t]|%20|\+)"

SURE: tuple[Shape, ...] = (
    Shape(
        "JSON Web Tokens, and other base64 of a JSON object",
        "eyJhbGciOiJIUzI1NiIs…",
        r"eyJ[A-Za-z0-9_\-]{4}",
        re.compile(r"eyJ[A-Za-z0-9_\-]{8,}+(?:\.[A-Za-z0-9_\-]*+){0,4}"),
    ),
    Shape(
        "bearer tokens",
        "Bearer …",
        rf"(?i-u:bearer){_BLANK}",
        re.compile(
            rf"(?P<scheme>{_START}bearer{_BLANK}++)(?P<credentials>[A-Za-z0-9](?:[A-Za-z0-9._~+/\-]|%2[BF])*+=*+)(?![=\w])",
            re.IGNORECASE,
        ),
        _mask_bearer,
    ),
    Shape(
        "basic credentials",
        "Basic …",
        rf"(?i-u:basic){_BLANK}",
        re.compile(rf"(?P<scheme>{_START}basic{_BLANK}++)(?P<credentials>[A-Za-z0-9+/_\-]{{4,}}+=*+)", re.IGNORECASE),
        _mask_basic,
    ),
    Shape(
        "OTAS keys",
        "otas_<prefix>_<secret>, agent_<prefix>_<secret>",
        r"(?:otas|agent)_[A-Za-z0-9\-]*_",
        re.compile(
            rf"{_START}(?:otas_[A-Za-z0-9\-]++_[A-Za-z0-9_\-]{{4,}}+|agent_[A-Za-z0-9\-]++_[A-Za-z0-9_\-]{{8,}}+)"
        ),
        _mask_otas_key,
    ),
    Shape(
        "private keys (PEM, also cut off)",
        "-----BEGIN PRIVATE KEY-----",
        r"-----BEGIN",
        re.compile(
            r"-----BEGIN[ +%][A-Z0-9 +%]{0,40}PRIVATE[ +%0-9]{1,3}KEY[A-Z0-9 +%]{0,16}-----"
            r"(?:[A-Za-z0-9+/=\s:,.%]|\\+[nrt]|-(?!----END))*+(?:-----END[A-Z0-9 +%]{0,60}-----)?"
        ),
    ),
    Shape(
        "keys of well-known services",
        "AKIA…, ghp_…, github_pat_…, glpat-…, sk_live_…, xoxb-…, AIza…, sk-…, sk-ant-…, hf_…, SG.… and others",
        rf"(?:{_ANY_KEY}|xox[a-z]-)[A-Za-z0-9_.\-]{{4}}",
        re.compile(rf"{_START}(?:{_KEYS}|xox[a-z]-[A-Za-z0-9\-]{{8}})[A-Za-z0-9_.\-]*+"),
        _mask_key,
    ),
    Shape(
        "Slack webhooks",
        "hooks.slack.com/services/…",
        r"hooks\.slack\.com",
        re.compile(r"(?<=hooks\.slack\.com/services/)[A-Za-z0-9_/\-]++"),
    ),
    Shape(
        "credentials in URLs",
        "https://user:password@host",
        r":\\*/\\*/(?:[^ \t\r\n\"'<>@]*@|[^ \t\r\n\"'<>@/:]*:[^ \t\r\n\"'<>@]*$)",
        re.compile(
            r"(?P<slashes>:\\*/\\*/)(?:[^\s\"'<>/?#\\]{1,512}(?=@)"
            # an unescaped slash in the password; digits before it are a port, and the @ belongs to the path
            r"|[^\s\"'<>/?#@:\\]{0,256}:(?!\d{1,5}(?:[/?#]|\b))[^\s\"'<>@]{1,256}(?=@|$))(?P<at>@?)"
        ),
        _mask_userinfo,
    ),
    Shape(
        "card numbers (a network's digits, valid check digit)",
        "4111 1111 1111 1111",
        r"[2-6](?:[ \-]?[0-9]){12}",
        _CARD,
        _mask_card,
    ),
)
"""On by default."""

OPTIONAL: dict[str, Shape] = {
    "redact_emails": Shape("e-mail addresses", "ann@example.com", r"@|%40", _EMAIL),
    "redact_phones": Shape("telephone numbers", "+49 30 1234567", r"(?:\+|%2B)[1-9]|[0-9]{3}[ .\-][0-9]{4}", _PHONE),
    "redact_ips": Shape(
        "IP addresses",
        "203.0.113.9, 2001:db8::1",
        r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:",
        _IP,
        _mask_ip,
    ),
}
"""By the setting that switches it on."""


def shapes_table() -> str:
    """Return the table of the shapes as Markdown, for the documentation."""
    lines = ["| what | looks like | on |", "|---|---|---|"]
    lines += [f"| {shape.what} | `{shape.example}` | by default |" for shape in SURE]
    lines += [f"| {shape.what} | `{shape.example}` | with `{name}` |" for name, shape in OPTIONAL.items()]
    return "\n".join(lines)
