"""Secrets that are known by their shape, whatever name they stand under.

Every pattern runs in linear time: it begins with a literal or a short choice, repeats possessively or with a bound, and
never nests repetitions. None of them matches a quote, so that a mask inside a JSON string leaves the JSON whole.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from otas_middleware._event.patterns import compiled
from otas_middleware._event.redact.encodings import BASE64_JSON, decode_base64, mask_base64_json
from otas_middleware._event.redact.forms import is_placeholder, looks_random
from otas_middleware._event.redact.json_text import mask_jwk
from otas_middleware._event.redact.sensitive_names import words
from otas_middleware._event.redact.service_keys import PREFIXES, SPECIAL, WEBHOOKS, WEBHOOKS_PROBE, WORDY
from otas_middleware._event.redact.spans import MASK, behind, end_of_match, most, replaced, with_masked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Shape(NamedTuple):
    """One kind of secret."""

    what: str
    example: str
    """Begins like the real thing; the table of the documentation shows it."""
    probe: str
    """Pattern for `probe`, found wherever `mask` changes something (elsewhere too, at the price of a closer look)."""
    mask: Callable[[str], str]
    """Returns a text with the secrets of this kind masked."""


@dataclass(frozen=True)
class _Each:
    """Masks each match of a pattern, or writes what `replace` makes of it."""

    pattern: str
    replace: Callable[[re.Match[str]], str] | None = None

    def __call__(self, text: str) -> str:
        return replaced(text, self._found(text))

    def _found(self, text: str) -> Iterator[tuple[int, int, str]]:
        left = most(text)
        for match in compiled(self.pattern).finditer(text):
            shown = MASK if self.replace is None else self.replace(match)
            if shown == match[0]:
                continue
            left -= 1
            if left == 0:
                yield match.start(), len(text), MASK
                return
            yield *match.span(), shown


_START = r"(?<![A-Za-z0-9])"
_KEY_CHARACTER = r"[A-Za-z0-9_.\-]"


_LEAST = {prefix: least for least, prefixes in PREFIXES.values() for prefix in prefixes.split()}
_ANY_KEY = "|".join(re.escape(prefix) for prefix in _LEAST)
_BY_LETTER = groupby(sorted(_LEAST, key=lambda prefix: (prefix[0], -len(prefix))), key=itemgetter(0))
_BRANCHES = "|".join(  # one for each first letter: `re` tries them one by one
    f"{letter}(?:{'|'.join(re.escape(prefix[1:]) for prefix in prefixes)})" for letter, prefixes in _BY_LETTER
)
_KEY = rf"{_START}(?P<prefix>{_BRANCHES})(?P<body>{_KEY_CHARACTER}{{8,}}+)"
_WORDS = compiled(
    r"(?:[a-z]{2,}|[A-Z]{2,}|\d{1,4}|[A-Z]?[a-z]+|[a-z])(?:[-_.]+(?:[a-z]+\d?|[A-Z]+|\d{1,4}|[A-Z][a-z]+))*+[-_.]*"
)


def _mask_key(match: re.Match[str]) -> str:
    prefix, body = match["prefix"], match["body"].rstrip(".")
    if len(body) < _LEAST[prefix] or _WORDS.fullmatch(body):  # `sk-fading-circle` is a style sheet's
        return match[0]
    if prefix in WORDY and not (looks_random(body) or (len(body) >= 24 and any(map(str.isdigit, body)))):
        return match[0]
    return MASK + match["body"][len(body) :]


def _mask_webhooks(text: str) -> str:
    for pattern in WEBHOOKS.values():
        text = compiled(pattern).sub(lambda match: with_masked(match, "secret"), text)
    return text


_PEM = re.compile(
    r"-----(?P<what>BEGIN|END)[ +%][A-Za-z0-9 +%]{0,40}"
    r"(?:PRIVATE[ +%0-9]{1,3}KEY|Static[ +%0-9]{1,3}key)[A-Za-z0-9 +%]{0,16}-----"
)
_PEM_BODY = compiled(
    # of a key that was cut off: base64 in lines, as JSON, XML, HTML, mail and lists of lines write them
    r"(?:[A-Za-z0-9+/=\s:,.%()]|\\+[nrt/]|-(?!----)|&#x?[0-9A-Fa-f]{1,4};|&gt;|<br ?/?>"
    r"|>(?=[ A-Za-z0-9+/])|[|#]|\\*[\"'][,+ ]*+\s*+\\*[\"'])*+"
)
_LONGEST_PEM = 32_768


def _mask_pem(text: str) -> str:
    return replaced(text, _private_keys(text))


def _private_keys(text: str) -> Iterator[tuple[int, int, str]]:
    begin: re.Match[str] | None = None
    for mark in _PEM.finditer(text):
        if mark["what"] == "BEGIN":
            if begin is not None:
                yield begin.start(), _pem_end(text, begin), MASK
            begin = mark
        elif begin is not None and mark.end() - begin.start() <= _LONGEST_PEM:
            yield begin.start(), mark.end(), MASK
            begin = None
    if begin is not None:
        yield begin.start(), _pem_end(text, begin), MASK


def _pem_end(text: str, begin: re.Match[str]) -> int:
    """Return where the key ends whose end is not marked."""
    return end_of_match(_PEM_BODY, text, begin.end(), _LONGEST_PEM)


_EMAIL = r"(?<![\w.%+-])[\w.%+-]{1,64}+(?:@|%40)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}"
_PHONE = (
    r"(?<![\w+])(?:\+|%2B)[1-9](?:[ ().\-/]{0,2}\d){7,14}(?!\d)"
    r"|(?<![\w.-])\(?[2-9]\d{2}\)?[ .\-]\d{3}[ .\-]\d{4}(?![\w-])"
)
_PHONE_HINT = r"(?:\+|%2B)[1-9]|[0-9]{3}[ .\-][0-9]{4}"
_IP_HINT = r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:"
_IP = r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}(?![\w.])|[0-9A-Fa-f:]{0,4}:[0-9A-Fa-f:.]{1,45}(?![\w:]))"


_NOT_CREDENTIALS = words("auth authentication authorization credentials error realm scheme token tokens")
_CHALLENGE = words(
    "authorization_uri client_id error error_description error_uri realm resource resource_id resource_metadata scope "
    "trusted_issuers"
)
"""What `WWW-Authenticate: Bearer realm="…"` says of the credentials that it asks for (RFC 6750, RFC 9728)."""
_SHORT = 12


def _mask_bearer(match: re.Match[str]) -> str:
    credentials = match["credentials"].lower()
    if credentials.removesuffix("=") in _CHALLENGE and match.string[match.end() : match.end() + 1] in {'"', "\\", "'"}:
        return match[0]
    if "," in match["scheme"] and not looks_random(match["credentials"]):
        return match[0]  # a sentence's, and not a subprotocol of WebSocket's
    if (
        credentials in _NOT_CREDENTIALS
        or (match["credentials"].isupper() and is_placeholder(match["credentials"]))
        or (credentials.startswith("of") and len(credentials) < _SHORT)
    ):
        return match[0]
    return match["scheme"] + MASK


def _mask_basic(match: re.Match[str]) -> str:
    pair = decode_base64(match["credentials"])
    return match["scheme"] + MASK if b":" in pair or len(pair) > 18 else match[0]


_OTAS = r"(?:otas|agent)_[A-Za-z0-9_\-]+"
_ANY_OTAS_KEY = rf"{_START}(?:otas|agent)_[A-Za-z0-9_\-]{{8,}}+"
_OTAS_KEY = re.compile(r"(?:otas|agent)_(?P<prefix>[A-Za-z0-9_\-]{11}|[A-Za-z0-9\-]+)_(?P<secret>[A-Za-z0-9_\-]{4,})")


def _mask_otas_key(match: re.Match[str]) -> str:
    # The prefix is `token_urlsafe(8)`, and may itself begin with `_`. `agent_session_id` and its like are names, not
    # keys: a key's secret is random and has digits or capitals.
    key = match[0]
    parts = _OTAS_KEY.fullmatch(key)
    if parts is None:
        return key
    random = any(char.isdigit() or char.isupper() for char in key)
    return MASK if random or (key.startswith("otas_") and "_" not in parts["prefix"]) else key


def _mask_ip(match: re.Match[str]) -> str:
    try:
        ipaddress.ip_address(match[0].rstrip("."))
    except ValueError:
        return match[0]
    return MASK


_BLANK = r"(?:[ \t]|\\+t|%20|\+)"
_BEARER = (
    rf"(?i)(?P<scheme>{_START}bearer,?{_BLANK}++)"
    r"(?P<credentials>[A-Za-z0-9](?:[A-Za-z0-9._~+/\-]|\\+/|%2[BF])*+=*+)(?![=\w])"
)
_BASIC = rf"(?i)(?P<scheme>{_START}basic{_BLANK}++)(?P<credentials>(?:[A-Za-z0-9+/_\-]|\\+/){{4,}}+=*+)"

_ORACLE = r"(?P<before>jdbc:oracle:\w{1,8}:)[^\s\"'/@]{1,64}/[^\s\"'@]{1,128}(?=@)"
_LONGEST_TAIL = 512
_URL_CREDENTIALS = (
    r"(?P<slashes>:\\*/\\*/)(?!git@|\[[0-9A-Fa-f:.]{2,45}\])(?:(?=[^@])(?:[^\s\"'<>/?#\\@]{0,512}+@)++"
    # an unescaped slash in the password; digits before it are a port, and the @ belongs to the path
    r"|[^\s\"'<>/?#@:\\]{0,64}+:(?!\d{1,5}(?:[/?#]|\b))[^\s\"'<>@]{1,128}+@)"
)
_CUT_CREDENTIALS = re.compile(
    r"(?P<slashes>:\\*/\\*/)[^\s\"'<>/?#@:\\]{0,64}+:(?!\d{1,5}(?:[/?#]|\b))[^\s\"'<>@]{1,256}+$"
)


_mask_userinfo = _Each(_URL_CREDENTIALS, lambda match: f"{match['slashes']}{MASK}@")
_mask_oracle = _Each(_ORACLE, lambda match: match["before"] + MASK)


def mask_credentials(text: str) -> str:
    """Return a text with the passwords masked that stand in its URLs."""
    if "@" in text:
        text = _mask_oracle(_mask_userinfo(text))
    tail = text[-_LONGEST_TAIL:]  # a URL that was cut off before its @
    return text[: len(text) - len(tail)] + _CUT_CREDENTIALS.sub(rf"\g<slashes>{MASK}", tail)


# Lengths and leading digits of the card networks (ISO/IEC 7812; Visa, Mastercard, American Express, Diners Club,
# JCB, Discover, UnionPay, Maestro), in the lengths that they issue today. A check digit alone would mask one in ten
# order numbers, and Visa's numbers of 13 digits, which are gone, one in ten of the codes of articles.
_NETWORK = re.compile(
    r"4\d{15}|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|35\d{14}"
    r"|(?:6011|64[4-9]\d|65\d\d|62\d\d)\d{12}|(?:5018|5020|5038|5893|6304|67\d\d)\d{12}"
)
_GAP = (
    r"(?:[ +\-\u00a0\u2007\u2009\u202f\u2010-\u2013]|%20|%C2%A0|\\+u(?:00a0|2009|202f|201[0-3])|&nbsp;|&#160;|&#xA0;)"
)
_CARD = (
    # a run of digits, and neither the fraction of a number nor a piece of a hexadecimal hash ...
    r"(?<!\d)(?<!\d\.)(?<![0-9a-f]{2})[2-6]\d{13,15}(?P<point>\.0{1,2}(?![0-9]))?+(?![0-9])(?![0-9a-f]{2})"
    # ... or groups of digits as they are embossed, and not a piece of a UUID
    rf"|(?<!\w)(?<![0-9a-fA-F]-)[2-6]\d{{3}}(?P<gap>{_GAP})(?:\d{{4}}(?P=gap)\d{{4}}(?P=gap)\d{{4}}|\d{{6}}(?P=gap)\d{{4,5}})(?!\w)(?!-[0-9a-fA-F])"
)
_DIGITS = rf"[2-6](?:{_GAP}?[0-9]){{12}}"
_LONGEST_ID_NAME = 64
_IDS = (
    "id|ids|ean|ean13|gtin|upc|isbn|asin|imei|imsi|iccid|msisdn|phone|phones|tel|telephone|mobile|fax|timestamp|ts|order"
    "|order_?number|tracking|tracking_?number|sku|snowflake|invoice|invoice_?number|serial|serial_?number|barcode|vin|lot"
)
_ID = re.compile(rf"(?i:.*(?<![A-Za-z])(?:{_IDS})|.*[a-z](?:Id|Ids|Phone))")
_ID_BEFORE = re.compile(rf"(?:(?i:(?<![A-Za-z])(?:{_IDS}))|[a-z](?:Id|Ids|Phone))\\*[\"']?\s*[:=]\s*\[?\s*\\*[\"']?$")


def names_an_id(name: str) -> bool:
    """Tell whether digits under this name are an id: in one of ten of those a card's check digit happens to hold."""
    return len(name) < _LONGEST_ID_NAME and _ID.fullmatch(name) is not None


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
    text = match[0].removesuffix(match["point"] or "")
    gap = match["gap"]
    if not card_number(text.replace(gap, "") if gap else text):
        return match[0]
    context = match.string[behind(match.start(), 40) : match.start()]
    if gap is None and _ID_BEFORE.search(context):
        return match[0]
    before = context.rstrip()[-1:]
    after = match.string[match.end() : match.end() + 16].lstrip()[:1]
    number = text.isdigit() and before and before in ":[," and (not after or after in ",]}")
    return f'"{MASK}"' if number else MASK  # a number of a JSON document becomes a string


SURE: tuple[Shape, ...] = (
    Shape("private keys (PEM, also cut off)", "-----BEGIN PRIVATE KEY-----", r"-----BEGIN", _mask_pem),
    Shape(
        "JSON Web Tokens, and other base64 of a JSON object or list",
        "eyJhbGciOiJIUzI1NiIs…",
        r"(?:eyJ|eyA|ew[ok0]|W3s|Ww[ok0]|WyJ|WyA)(?:[A-Za-z0-9_\-+]|\\*/){4}",
        _Each(BASE64_JSON, mask_base64_json),
    ),
    Shape("bearer tokens", "Bearer …", rf"(?i-u:bearer),?{_BLANK}", _Each(_BEARER, _mask_bearer)),
    Shape("basic credentials", "Basic …", rf"(?i-u:basic){_BLANK}", _Each(_BASIC, _mask_basic)),
    Shape("OTAS keys", "otas_<prefix>_<secret>, agent_<prefix>_<secret>", _OTAS, _Each(_ANY_OTAS_KEY, _mask_otas_key)),
    Shape(
        "keys of well-known services",
        "AKIA…, ghp_…, github_pat_…, glpat-…, sk_live_…, xoxb-…, AIza…, sk-…, sk-ant-…, hf_…, SG.… and others",
        rf"(?:{_ANY_KEY}){_KEY_CHARACTER}{{4}}",
        _Each(_KEY, _mask_key),
    ),
    *(Shape(what, "", hint, _Each(pattern)) for what, (hint, pattern) in SPECIAL.items()),
    Shape("JSON Web Keys", '{"kty": "RSA", "d": …}', r"\\*\"kty", mask_jwk),
    Shape("webhooks", "hooks.slack.com/services/…, /api/webhooks/…", WEBHOOKS_PROBE, _mask_webhooks),
    Shape(
        "credentials in URLs",
        "https://user:password@host",
        r":\\*/\\*/(?:[^ \t\r\n\"'<>@]*@|[^ \t\r\n\"'<>@/:]*:[^ \t\r\n\"'<>@]*(?m:$))|jdbc:oracle",
        mask_credentials,
    ),
    Shape(
        "card numbers (a network's digits, valid check digit)", "4111 1111 1111 1111", _DIGITS, _Each(_CARD, _mask_card)
    ),
)
"""On by default."""

OPTIONAL: dict[str, Shape] = {
    "redact_emails": Shape("e-mail addresses", "ann@example.com", r"@|%40", _Each(_EMAIL)),
    "redact_phones": Shape("telephone numbers", "+49 30 1234567", _PHONE_HINT, _Each(_PHONE)),
    "redact_ips": Shape("IP addresses", "203.0.113.9, 2001:db8::1", _IP_HINT, _Each(_IP, _mask_ip)),
}
"""By the setting that switches it on."""
