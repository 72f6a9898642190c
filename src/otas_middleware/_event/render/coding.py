"""Content codings (RFC 9110, section 8.4.1) undone: gzip, deflate, br and zstd, to a bound.

`br` and `zstd` need the packages of the extra `compression` (`zstd` is part of Python from 3.14 on). A body in a coding
that cannot be undone is noted, not recorded.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_LAYERS = 4
_MAX_MEMBERS = 64
_STEP = 4096
_ZSTD_WINDOW_LOG = 22  # 4 MiB, what level 19 needs; a frame that asks for more is not worth the memory
_GZIP = 31  # zlib's `wbits` for a gzip header
_ZLIB = 15
_RAW = -15


class Decoded(NamedTuple):
    """A body without its content coding.

    Attributes:
        data: At most the limit's number of bytes.
        cut: There was more than the limit allows.
        undone: False when the coding is unknown, its package is missing, or nothing could be made of the data.
    """

    data: bytes
    cut: bool
    undone: bool


def undo_codings(data: bytes, header: str, limit: int) -> Decoded:
    """Return a body without its content codings.

    Args:
        data: The body, or its beginning: of a cut-off body, all that can be decoded is.
        header: The value of Content-Encoding: codings in the order in which they were applied.
        limit: The largest number of bytes to produce, after each coding.
    """
    codings = [name for name in (part.strip().lower() for part in header.split(",")) if name not in {"", "identity"}]
    if len(codings) > _MAX_LAYERS:
        return Decoded(data, cut=False, undone=False)
    cut = False
    for name in reversed(codings):
        decoder = _DECODERS.get(name)
        if decoder is None:
            return Decoded(data, cut=False, undone=False)
        decoded = decoder(data, limit)
        if decoded is None:
            return Decoded(data, cut=False, undone=False)
        data, more = decoded[:limit], len(decoded) > limit
        cut = cut or more
    return Decoded(data, cut, undone=True)


def _inflate(data: bytes, limit: int, wbits: int) -> bytes | None:
    """Return up to one byte more than the limit (so that the caller sees that there is more), or None for garbage."""
    out = bytearray()
    rest = data
    for _ in range(_MAX_MEMBERS):  # a gzip body may be several members, one behind the other
        start = 0
        stream = zlib.decompressobj(wbits)
        try:
            for start in range(0, len(rest), _STEP):  # in steps, so that what precedes a fault is not lost with it
                out += stream.decompress(rest[start : start + _STEP], limit + 1 - len(out))
                if len(out) > limit or stream.eof:
                    break
        except zlib.error:
            return bytes(out) or None
        if len(out) > limit or not stream.eof:
            break
        rest = stream.unused_data + rest[start + _STEP :]
        if wbits != _GZIP or not rest.startswith(b"\x1f\x8b"):
            break
    return bytes(out)


def _gzip(data: bytes, limit: int) -> bytes | None:
    return _inflate(data, limit, _GZIP)


def _deflate(data: bytes, limit: int) -> bytes | None:
    # The coding means zlib's format; some senders send the bare deflate stream (RFC 9110, section 8.4.1.2).
    zlib_header = len(data) > 1 and data[0] & 15 == 8 and (data[0] * 256 + data[1]) % 31 == 0
    return _inflate(data, limit, _ZLIB if zlib_header else _RAW)


def _brotli(data: bytes, limit: int) -> bytes | None:
    module = _module("brotli")
    if module is None:
        return None
    stream = module.Decompressor()
    out = bytearray()
    try:
        for start in range(0, len(data), _STEP):
            out += stream.process(data[start : start + _STEP], output_buffer_limit=limit + 1 - len(out))
            while len(out) <= limit and not stream.can_accept_more_data():
                out += stream.process(b"", output_buffer_limit=limit + 1 - len(out))
            if len(out) > limit or stream.is_finished():
                break
    except module.error:
        return bytes(out) or None
    except TypeError:  # a version before 1.2, which cannot be told to stop
        return None
    return bytes(out)


def _zstd(data: bytes, limit: int) -> bytes | None:
    module = _module("compression.zstd") or _module("backports.zstd")
    if module is None:
        return None
    options = {module.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
    stream = module.ZstdDecompressor(options=options)
    out = bytearray()
    try:
        for start in range(0, len(data), _STEP):
            out += stream.decompress(data[start : start + _STEP], limit + 1 - len(out))
            if len(out) > limit or stream.eof:
                break
    except module.ZstdError:
        return bytes(out) or None
    return bytes(out)


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


_DECODERS: dict[str, Callable[[bytes, int], bytes | None]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
