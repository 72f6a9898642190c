"""Bytes become text: bodies by content coding, type and charset; headers as one object; event streams joined.

Modules that few bodies need (`coding`, `multipart`, `stream`) are imported for the first of these.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from otas_middleware._event.render.content_type import ContentType, decode_text, parse_content_type, sniff_text
from otas_middleware._runtime import BoundedDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otas_middleware._capture import Headers

_DISPLAYED = 100
_FIRST_LINE = re.compile(rb"--([0-9A-Za-z'()+_,./:=?-]{1,70})\r\nContent-[A-Za-z-]{2,32}:", re.IGNORECASE)
_STREAMED = (b'{"', b"\x1e{", b"0:", b"f:", b"g:", b"2:")
"""How streams of lines begin: NDJSON, JSON text sequences (RFC 7464), and the protocol of Vercel's AI SDK."""
_LISTED = re.compile(rb"\[\s*\{\s*\"candidates\"")
"""How Gemini's answers begin in pieces, where nobody asked for events."""


class Body(NamedTuple):
    """A body as text.

    Attributes:
        text: What it says, or a note about what it is.
        kind: What the text is: an urlencoded `form`, an event stream (`events`), a document in each of the `lines`, a
            `list` of what a model says, a `table`, or any other text.
        parts: Of a multipart form; the text is then empty.
        truncated: How much of it was recorded, when not all of it was: `kept` and `size` are bytes as they passed;
            `decoded` is the number of bytes that the text shows of a body with a content coding.
    """

    text: str = ""
    kind: Literal["text", "form", "events", "lines", "list", "table"] = "text"
    parts: list[dict[str, Any]] | None = None
    truncated: dict[str, int] | None = None


EMPTY = Body()


def render_body(data: bytes, size: int, content_type: str, content_encoding: str, limit: int) -> Body:
    """Return a body as text.

    Args:
        data: What was kept of it.
        size: How many bytes it had.
        content_type: The header's value.
        content_encoding: The header's value.
        limit: The largest number of bytes to show of a body with a content coding.
    """
    if not data:
        return EMPTY if not size else Body(truncated={"kept": 0, "size": size})
    declared = parse_content_type(content_type)
    truncated = {"kept": len(data), "size": size} if len(data) < size else None
    content = data
    if content_encoding:
        from otas_middleware._event.render.coding import undo_codings  # noqa: PLC0415  # for the few that have one

        decoded = undo_codings(data, content_encoding, limit)
        if not decoded.undone:
            note = _note(f"{content_encoding[:_DISPLAYED]}-coded {declared.media[:_DISPLAYED]}".rstrip(), data, size)
            return Body(note, truncated=truncated)
        content = decoded.data
        if decoded.cut or truncated:
            truncated = {"kept": len(data), "size": size, "decoded": len(content)}
    return _show(content, declared, truncated, data, size)


def _show(content: bytes, declared: ContentType, truncated: dict[str, int] | None, data: bytes, size: int) -> Body:
    cut = truncated is not None
    kind = declared.kind
    sent = _boundary_in(content) if kind != "multipart" and content.startswith(b"--") else None
    if kind == "multipart" or sent is not None:
        from otas_middleware._event.render.multipart import read_parts  # noqa: PLC0415  # for the few that are one

        missing = size - len(data) if content is data else 0
        parts = read_parts(content, sent or declared.boundary, cut=cut, missing=missing)
        if parts is not None:
            return Body(parts=parts, truncated=truncated)
    elif kind == "unknown":
        text = sniff_text(content, cut=cut)
        if text is not None:
            return Body(text, truncated=truncated)
    elif kind != "binary":
        text = decode_text(content, declared.charset, cut=cut)
        if kind == "text" and content.startswith(_STREAMED) and "\n" in text:
            line = text[: text.index("\n")]
            if line.endswith(("}", '"', "]")):
                return Body(text, "lines", None, truncated)
        elif kind == "text" and _LISTED.match(content) is not None:
            return Body(text, "list", None, truncated)
        return Body(text, kind, None, truncated)
    return Body(_note(f"binary: {declared.media[:_DISPLAYED] or 'unknown type'}", data, size), truncated=truncated)


def _note(what: str, data: bytes, size: int) -> str:
    """Describe a body that is not shown; sizes are bytes, the hash is that of the bytes as they passed."""
    part = "" if len(data) == size else f" of the first {len(data)}"
    return f"[{what}, {size} bytes, sha256{part} {hashlib.sha256(data).hexdigest()}]"


def _boundary_in(data: bytes) -> str | None:
    """Return the boundary with which a body begins that is sent under another type, or another boundary."""
    first = _FIRST_LINE.match(data)
    return None if first is None else first[1].decode("ascii")


HeaderMap = dict[str, "str | list[str]"]


def header_map(pairs: Headers) -> HeaderMap:
    """Return headers with lower-case names, and a list of values where a name came more than once."""
    known = _names.get
    given: Any = pairs  # all bytes or all text, where the server is not strange
    try:
        if given and type(given[0][1]) is bytes:
            simple: dict[str, Any] = {known(name) or _name(name): value.decode("latin-1") for name, value in given}
        else:
            simple = {known(name) or _name(name): value for name, value in given}
        if len(simple) == len(pairs) and "".join(simple.values()).isascii():
            return simple
        return _merged(pairs)
    except (
        TypeError,
        ValueError,
        AttributeError,
        LookupError,
    ):  # an application or a test client put what is no text among them
        return _merged(_texts(pairs))


def _texts(pairs: Iterable[object]) -> Iterator[tuple[str, str]]:
    """Yield headers as texts, whatever they are; what is no pair is left out."""
    for pair in pairs:
        if isinstance(pair, tuple | list) and len(cast("tuple[object, ...]", pair)) == 2:
            name, value = cast("tuple[object, object]", pair)
            yield _text(name), "" if value is None else _text(value)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray):
        return value.decode("latin-1")
    try:
        return str(value)
    except Exception:  # a class of the application's own
        return f"({type(value).__name__})"


def _merged(pairs: Iterable[tuple[bytes | str, bytes | str]]) -> HeaderMap:
    result: HeaderMap = {}
    for raw_name, raw_value in pairs:
        name = _name(raw_name)
        value = raw_value.decode("latin-1") if isinstance(raw_value, bytes) else raw_value
        if not value.isascii():
            value = _reread(value)
        known = result.get(name)
        if known is None:
            result[name] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            result[name] = [known, value]
    return result


def first_value(headers: HeaderMap, name: str) -> str:
    """Return a header's first value, or the empty string."""
    value = headers.get(name, "")
    return value if isinstance(value, str) else value[0]


def all_values(headers: HeaderMap, name: str) -> str:
    """Return all of a header's values as one list, as RFC 9110, section 5.3, joins them."""
    value = headers.get(name, "")
    return value if isinstance(value, str) else ", ".join(value)


_LONGEST_NAME = 64
_names = BoundedDict[bytes | str, str](1024)
"""Names of headers as servers give them to names in lower case."""


def _name(raw: bytes | str) -> str:
    name = (raw.decode("latin-1") if isinstance(raw, bytes) else raw).lower()
    if not name.isascii():
        return _without_surrogates(name)
    if len(name) <= _LONGEST_NAME:
        _names[raw] = name
    return name


def _without_surrogates(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _reread(value: str) -> str:
    """Return a value that was read as Latin-1 (RFC 9110 and PEP 3333 demand it) as the UTF-8 that it mostly is."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return _without_surrogates(value)
