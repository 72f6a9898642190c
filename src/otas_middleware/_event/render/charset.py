"""Bytes become text by the charset that was declared, and never fail."""

from __future__ import annotations

import codecs
import re
from functools import lru_cache

# Python knows codecs that are no charsets (`unicode_escape`, `idna`) or cost quadratic time (`punycode`).
_CHARSETS = re.compile(
    r"ascii|utf-?(?:8|16|32)(?:-?[bl]e)?(?:-sig)?|iso-?8859-\d{1,2}|latin-?\d{1,2}|cp\d{3,4}|koi8-[rut]|mac-\w{1,12}|"
    r"shift-jis\w{0,5}|euc-\w{2,10}|gb2312|gbk|gb18030|big5(?:hkscs)?|iso2022-\w{2,6}|tis-620|hz|johab|ptcp154"
)
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BEGINNINGS = frozenset(mark[:1] for mark, _ in _MARKS)
_CONTROLS = bytes(set(range(32)) - {7, 8, 9, 10, 12, 13, 27})


def decode_text(data: bytes, charset: str, *, cut: bool) -> str:
    """Return bytes as text; what the charset cannot read becomes `�`.

    Args:
        data: The bytes.
        charset: As declared, or empty for UTF-8. A byte order mark has the last word.
        cut: More followed, so that an incomplete character at the end is left out.
    """
    declared = _codec(charset)
    encoding = (_marked(data) if data[:1] in _BEGINNINGS else None) or declared
    if encoding == "utf-32" and declared.startswith("utf-16"):
        encoding = "utf-16"  # the mark of UTF-16 and a U+0000
    if encoding == "utf-8":
        try:
            return data.decode()
        except UnicodeDecodeError:
            pass
    return codecs.getincrementaldecoder(encoding)("replace").decode(data, final=not cut)


def sniff_text(data: bytes, *, cut: bool) -> str | None:
    """Return bytes of an undeclared type as text when they are text, else None."""
    encoding = (_marked(data) if data[:1] in _BEGINNINGS else None) or "utf-8"
    try:
        text = codecs.getincrementaldecoder(encoding)("strict").decode(data, final=not cut)
    except UnicodeDecodeError:
        return None
    return None if encoding == "utf-8" and len(data) != len(data.translate(None, _CONTROLS)) else text


def _marked(data: bytes) -> str | None:
    return next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)


@lru_cache(maxsize=128)
def _codec(charset: str) -> str:
    """Return the name of the codec for a declared charset; UTF-8 for one that is unknown or no charset."""
    try:
        name = codecs.lookup(charset.strip()).name.replace("_", "-")
    except (LookupError, ValueError):
        return "utf-8"
    if name in {"utf-16", "utf-32"}:
        return f"{name}-le"  # without a mark (WHATWG Encoding, 4.2); Python's own codec refuses such bytes
    return name if _CHARSETS.fullmatch(name) else "utf-8"
