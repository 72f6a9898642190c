"""What a Content-Type header says about a body, and what that means for showing it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

Kind = Literal["text", "form", "multipart", "events", "table", "binary", "unknown"]

_PARAMETER = re.compile(r";\s*([\w!#$%&'*+.^`|~-]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*+)\"|([^;\s]*+))")
_TEXT_NAMES = (
    "json ndjson x-ndjson jsonl x-jsonl jsonlines json-lines x-jsonlines json-seq json5 stream+json xml graphql "
    "javascript x-javascript ecmascript typescript yaml x-yaml toml sql x-sh jose jwt rtf "
    "x-amz-json-1.0 x-amz-json-1.1"
)
_BINARY_NAMES = (
    "octet-stream pdf zip gzip x-gzip zstd x-tar x-7z-compressed x-bzip2 x-xz x-rar-compressed vnd.rar protobuf "
    "x-protobuf vnd.google.protobuf msgpack x-msgpack vnd.msgpack cbor avro parquet vnd.apache.parquet "
    "vnd.apache.arrow.stream wasm java-archive x-sqlite3 grpc grpc-web grpc-web+proto msword vnd.ms-excel "
    "vnd.ms-powerpoint pkcs7-mime pkcs12 x-pkcs12 pgp-encrypted x-python-pickle"
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
