"""What a Content-Type header says about a body: how to show it, and by which charset its bytes become text."""

from __future__ import annotations

import codecs
import encodings
import pkgutil
import re
from encodings.aliases import aliases
from functools import lru_cache
from typing import Literal, NamedTuple

from otas_middleware._event.patterns import compiled

Kind = Literal["text", "form", "multipart", "events", "table", "binary", "unknown"]

_PARAMETER = compiled(r";\s*([\w!#$%&'*+.^`|~-]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*+)\"|([^;\s]*+))")
_TEXT_NAMES = (
    "json ndjson x-ndjson jsonl x-jsonl jsonlines json-lines x-jsonlines json-seq json5 stream+json xml graphql "
    "javascript x-javascript ecmascript typescript yaml x-yaml toml sql x-sh jose jwt rtf "
    "x-amz-json-1.0 x-amz-json-1.1"
)
_BINARY_NAMES = (
    "octet-stream pdf zip gzip x-gzip zstd x-tar x-7z-compressed x-bzip2 x-xz x-rar-compressed vnd.rar protobuf "
    "x-protobuf vnd.google.protobuf msgpack x-msgpack vnd.msgpack cbor avro parquet vnd.apache.parquet "
    "vnd.apache.arrow.stream wasm java-archive x-sqlite3 grpc grpc-web grpc-web+proto grpc-web-text msword "
    "vnd.ms-excel vnd.ms-powerpoint pkcs7-mime pkcs12 x-pkcs12 pgp-encrypted x-python-pickle"
)
_TEXT_TYPES = frozenset("application/" + name for name in _TEXT_NAMES.split())
_TEXT_SUFFIXES = ("+json", "+xml", "+yaml", "+text", "+json-seq", "+jwt")
_BINARY_TYPES = frozenset("application/" + name for name in _BINARY_NAMES.split())
_SPECIAL: dict[str, Kind] = {
    "application/x-www-form-urlencoded": "form",
    "text/event-stream": "events",
    "text/csv": "table",
    "application/csv": "table",
    "text/tab-separated-values": "table",
}
_MAX_CHARACTERS = 2_048
_BINARY_TOPS = frozenset(("image", "audio", "video", "font", "model"))


class ContentType(NamedTuple):
    """A parsed Content-Type.

    Attributes:
        media: Such as `application/json`; lower case, empty when the header was absent.
        charset: As declared, or empty.
        boundary: Of a multipart body, or empty.
        kind: How the body is shown.
    """

    media: str
    charset: str
    boundary: str
    kind: Kind


def parse_content_type(header: str) -> ContentType:
    """Return what a Content-Type header says; a malformed one says little, and is no error."""
    return _parse(header[:_MAX_CHARACTERS])  # before the cache, which strangers fill


@lru_cache(maxsize=512)
def _parse(header: str) -> ContentType:
    media = header.partition(";")[0].strip().lower()
    parameters = {
        name.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else bare
        for name, quoted, bare in _PARAMETER.findall(header)
    }
    return ContentType(media, parameters.get("charset", ""), parameters.get("boundary", ""), _kind(media))


def _kind(media: str) -> Kind:
    known = _SPECIAL.get(media)
    if known is not None:
        return known
    top = media.partition("/")[0]
    if top == "multipart":
        return "multipart"
    if top == "text" or media in _TEXT_TYPES or media.endswith(_TEXT_SUFFIXES):
        return "text"
    if top in _BINARY_TOPS or media in _BINARY_TYPES or media.startswith("application/vnd.openxmlformats"):
        return "binary"
    return "unknown"


# Python knows codecs that are no charsets (`unicode_escape`, `idna`) or cost quadratic time (`punycode`).
_CHARSETS = re.compile(
    r"ascii|utf-?(?:8|16|32)(?:-?[bl]e)?(?:-sig)?|iso-?8859-\d{1,2}|latin-?\d{1,2}|cp\d{3,4}|koi8-[rut]|mac-\w{1,12}|"
    r"shift-jis\w{0,5}|euc-\w{2,10}|gb2312|gbk|gb18030|big5(?:hkscs)?|iso2022-\w{2,6}|tis-620|hz|johab|ptcp154"
)
_XML_DECLARATION = re.compile(rb"<\?xml\s[^>]{0,100}?encoding\s{0,8}=\s{0,8}[\"']([A-Za-z][A-Za-z0-9._-]{0,40})[\"']")
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BEGINNINGS = frozenset(mark[:1] for mark, _ in _MARKS)
_FIRST_MARK = min(mark[:1] for mark, _ in _MARKS if mark[0])
"""No mark begins with a smaller byte, but for those that hold a zero."""
_LETTERS = b'{"a": "Zz09"}'
_LONGEST_CHARACTER = 4
_SURE = 8
_MARKUP = frozenset(b'":=<')
_WIDE = {b"\1\0\0\0": "utf-32-le", b"\0\0\0\1": "utf-32-be", b"\1\0\1\0": "utf-16-le", b"\0\1\0\1": "utf-16-be"}
"""Encodings by which of the first four bytes are zero, when the first two characters are of ASCII."""
_CONTROLS = bytes(set(range(32)) - {7, 8, 9, 10, 12, 13, 27})


def decode_text(data: bytes, charset: str, *, cut: bool) -> str:
    """Return bytes as text; what the charset cannot read becomes `�`.

    Args:
        data: The bytes.
        charset: As declared, or empty: then XML's own declaration counts, or else UTF-8. A byte order mark has the last
            word.
        cut: More followed, so that an incomplete character at the end is left out.
    """
    begins = data[:2]
    if not charset and begins == b"<?":
        charset = _charset_of_xml(data)
    declared = encoding = _codec(charset)
    if begins >= _FIRST_MARK or 0 in begins or declared != "utf-8":
        encoding = _marked(data) or _plausible(data, declared)
    if encoding == "utf-32" and declared.startswith("utf-16"):
        encoding = "utf-16"  # the mark of UTF-16 and a U+0000
    if encoding == "utf-8":
        try:
            return data.decode()
        except UnicodeDecodeError:
            pass
    return codecs.getincrementaldecoder(encoding)("replace").decode(data, final=not cut)


def _charset_of_xml(data: bytes) -> str:
    """Return the charset that an XML document declares itself; empty when it declares none (RFC 7303, section 3)."""
    match = _XML_DECLARATION.match(data)
    return "" if match is None else match[1].decode("ascii")


def _plausible(data: bytes, declared: str) -> str:
    """Return the declared charset, or the one that the bytes show: applications may not read what is declared.

    JSON may be UTF-16 or UTF-32 without a mark, told by where its zero bytes stand (RFC 4627, section 3); and UTF-8 is
    sent under the name of charsets in which ASCII would be something else.
    """
    if _reads_ascii(declared):
        return _WIDE.get(bytes(map(bool, data[:4])), declared) if 0 in data[:4] else declared
    return "utf-8" if _is_plain(data) else declared


def _is_plain(data: bytes) -> bool:
    """Tell whether bytes are surely UTF-8: characters of other charsets rarely spell a document of ASCII by chance."""
    if len(data) < _SURE or data.translate(None, _CONTROLS) != data or _MARKUP.isdisjoint(data):
        return False
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return bool(error.start) and len(data) - error.start < _LONGEST_CHARACTER  # cut off within a character
    return True


@lru_cache(maxsize=128)
def _reads_ascii(encoding: str) -> bool:
    try:
        return _LETTERS.decode(encoding) == _LETTERS.decode()
    except UnicodeDecodeError:
        return False


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
    asked = encodings.normalize_encoding(charset.strip()).lower().replace(".", "_")
    if asked not in _known():  # else Python would remember for good that it does not know it
        return "utf-8"
    try:
        name = codecs.lookup(asked).name.replace("_", "-")
    except (LookupError, ValueError):
        return "utf-8"
    if name in {"utf-16", "utf-32"}:
        return f"{name}-le"  # without a mark (WHATWG Encoding, 4.2); Python's own codec refuses such bytes
    return name if _CHARSETS.fullmatch(name) else "utf-8"


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    """Return the names of Python's codecs, as `normalize_encoding` spells them."""
    modules = {module.name for module in pkgutil.iter_modules(encodings.__path__)}
    return frozenset(modules.union(aliases, aliases.values()))
