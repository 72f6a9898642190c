"""The numbers of payment cards: a network's digits, a valid check digit, and no name that says it is another id."""

from __future__ import annotations

import re

from otas_middleware._event.patterns import compiled
from otas_middleware._event.redact.mask import MASK
from otas_middleware._event.redact.spans import behind

# Lengths and leading digits of the card networks (ISO/IEC 7812; Visa, Mastercard, American Express, Diners Club,
# JCB, Discover, UnionPay, Maestro), in the lengths that they issue today. A check digit alone would mask one in ten
# order numbers, and Visa's numbers of 13 digits, which are gone, one in ten of the codes of articles.
_NETWORK = re.compile(
    r"4\d{15}|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|35\d{14}"
    r"|(?:6011|64[4-9]\d|65\d\d|62\d\d)\d{12}|(?:5018|5020|5038|5893|6304|67\d\d)\d{12}"
)
GAP = r"(?:[ +\-\u00a0\u2007\u2009\u202f\u2010-\u2013]|%20|%C2%A0|\\+u(?:00a0|2009|202f|201[0-3])|&nbsp;|&#160;|&#xA0;)"
CARD = compiled(
    # a run of digits, and neither the fraction of a number nor a piece of a hexadecimal hash ...
    r"(?<!\d)(?<!\d\.)(?<![0-9a-f]{2})[2-6]\d{13,15}(?P<point>\.0{1,2}(?![0-9]))?+(?![0-9])(?![0-9a-f]{2})"
    # ... or groups of digits as they are embossed, and not a piece of a UUID
    rf"|(?<!\w)(?<![0-9a-fA-F]-)[2-6]\d{{3}}(?P<gap>{GAP})(?:\d{{4}}(?P=gap)\d{{4}}(?P=gap)\d{{4}}|\d{{6}}(?P=gap)\d{{4,5}})(?!\w)(?!-[0-9a-fA-F])"
)
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


def mask_card(match: re.Match[str]) -> str:
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
