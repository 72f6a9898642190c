"""Content codings (RFC 9110, section 8.4.1) undone: gzip, deflate, br and zstd, to a bound.

`br` and `zstd` need the packages of the extra `compression` (`zstd` is part of Python from 3.14 on). A body in a coding
that cannot be undone is noted, not recorded.
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAX_LAYERS = 4
_MAX_MEMBERS = 64
_STEP = 4096
_PIECE = 65_536
_MAX_DECODED = 134_217_728
_ZSTD_WINDOW_LOG = 22  # 4 MiB, what level 19 needs; a frame that asks for more is not worth the memory
_ZSTD_FRAMES = (b"\xb5\x2f\xfd", b"\x2a\x4d\x18")  # what a frame begins with, and one to be skipped, but for a byte
_GZIP = 31  # zlib's `wbits` for a gzip header
_ZLIB = 15
_RAW = -15


class Decoded(NamedTuple):
    """A body without its content coding.

    Attributes:
        data: At most the limit's number of bytes.
        cut: There was more than the limit allows.
        undone: False when the coding is unknown, its package is missing, or nothing could be made of the data.
        broken: The data are none of this coding, or not all of them are.
    """

    data: bytes
    cut: bool
    undone: bool
    broken: bool = False


def undo_codings(data: bytes, header: str, limit: int) -> Decoded:
    """Return a body without its content codings.

    Args:
        data: The body, or its beginning: of a cut-off body, all that can be decoded is.
        header: The value of Content-Encoding: codings in the order in which they were applied.
        limit: The largest number of bytes to produce, after each coding.
    """
    codings = _codings(header)
    if codings is None:
        return Decoded(data, cut=False, undone=False)
    cut = broken = False
    for kind in codings:
        out = bytearray()
        try:
            for piece in kind().decode(data):
                out += piece
                if len(out) > limit:
                    break
        except _FAULTS as fault:
            broken = broken or not isinstance(fault, _UnknownCodingError)
            if not out:
                return Decoded(data, cut=False, undone=False, broken=broken)
        data, more = bytes(out[:limit]), len(out) > limit
        cut = cut or more
    return Decoded(data, cut, undone=True, broken=broken)


class DecodedEnd:
    """The end of a body without its content coding, decoded as it comes, in bounded memory and at bounded expense.

    Args:
        header: The value of Content-Encoding; a body in several codings has no end here.
        keep: How many bytes to keep.
    """

    def __init__(self, header: str, keep: int) -> None:
        codings = _codings(header)
        self._decoder: _Decoder | None = None
        if codings is not None and len(codings) == 1:
            with suppress(_UnknownCodingError):
                self._decoder = codings[0]()
        self._keep = keep
        self._end = bytearray()
        self._room = _MAX_DECODED
        self.broken = False
        """What came is none of the coding, or not all of it is."""

    def add(self, data: bytes) -> None:
        """Decode what follows."""
        if self._decoder is None:
            return
        try:
            for piece in self._decoder.decode(data):
                self._end += piece
                if len(self._end) > 4 * self._keep:
                    del self._end[: -self._keep]
                self._room -= len(piece)
                if self._room < 0:  # more than anybody writes: a bomb
                    self._give_up()
                    return
        except _FAULTS as fault:
            self.broken = not isinstance(fault, _UnknownCodingError)
            self._give_up()

    def _give_up(self) -> None:
        self._decoder = None
        self._end.clear()

    @property
    def is_cut(self) -> bool:
        """Whether it is broken, or ends in the middle of a frame of zstd."""
        return self.broken or (isinstance(self._decoder, _Zstd) and not self._decoder.stream.eof)

    def bytes(self) -> bytes:
        """Return the last bytes of what was decoded; none where the coding is unknown or the data were no such."""
        return bytes(self._end[-self._keep :])


class _Decoder(Protocol):
    """Undoes one coding of one body."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield what more of the body comes to, in pieces of bounded size; raise one of `_GARBAGE` for what is none."""
        ...


class _Inflate:
    """gzip and deflate."""

    gzip = True

    def __init__(self) -> None:
        self._stream: Any = None
        self._members = 0

    def decode(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _STEP):  # in steps, so that what precedes a fault is not lost with it
            yield from self._decode(data[start : start + _STEP])

    def _decode(self, data: bytes) -> Iterator[bytes]:
        more = True
        while data or more:
            if self._stream is None:  # a gzip body may be several members, one behind the other
                if self._members and not (self.gzip and data[:1] == b"\x1f" and self._members < _MAX_MEMBERS):
                    return
                self._members += 1
                self._stream = zlib.decompressobj(_GZIP if self.gzip else _wbits(data))
            piece = self._stream.decompress(data, _PIECE)
            if piece:
                yield piece
            if self._stream.eof:
                data, self._stream = self._stream.unused_data, None
                more = False
            else:
                data = self._stream.unconsumed_tail
                more = len(piece) == _PIECE  # there may be more of it inside


def _wbits(data: bytes) -> int:
    # The coding means zlib's format; some senders send the bare deflate stream (RFC 9110, section 8.4.1.2).
    zlib_header = len(data) > 1 and data[0] & 15 == 8 and (data[0] * 256 + data[1]) % 31 == 0
    return _ZLIB if zlib_header else _RAW


class _Deflate(_Inflate):
    gzip = False


class _Brotli:
    def __init__(self) -> None:
        module = _module("brotli")
        if module is None:
            raise _UnknownCodingError
        self._stream = module.Decompressor()
        self._error: type[Exception] = module.error

    def decode(self, data: bytes) -> Iterator[bytes]:
        try:
            for start in range(0, len(data), _STEP):
                if self._stream.is_finished():
                    return
                piece: bytes = self._stream.process(data[start : start + _STEP], output_buffer_limit=_PIECE)
                yield piece
                while not self._stream.can_accept_more_data() or len(piece) >= _PIECE:
                    piece = self._stream.process(b"", output_buffer_limit=_PIECE)
                    yield piece
        except self._error:
            raise _BrokenError from None
        except TypeError:  # a version before 1.2, which cannot be told to stop
            raise _UnknownCodingError from None


class _Zstd:
    """Frames, one behind the other; those that can be skipped come to nothing."""

    def __init__(self) -> None:
        module = _module("compression.zstd") or _module("backports.zstd")
        if module is None:
            raise _UnknownCodingError
        options = {module.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        self._make: Callable[[], Any] = lambda: module.ZstdDecompressor(options=options)
        self._error: type[Exception] = module.ZstdError
        self.stream: Any = self._make()

    def decode(self, data: bytes) -> Iterator[bytes]:
        rest = data
        try:
            for start in range(0, len(data), _STEP):
                rest = data[start : start + _STEP]
                while rest:
                    if self.stream.eof:
                        self.stream = self._make()
                    piece = self.stream.decompress(rest, _PIECE)
                    yield piece
                    while not self.stream.eof and not self.stream.needs_input:
                        yield self.stream.decompress(b"", _PIECE)
                    rest = self.stream.unused_data if self.stream.eof else b""
        except self._error:  # a frame may also ask for more memory than it gets here
            raise (_UnknownCodingError if rest[1:4] in _ZSTD_FRAMES else _BrokenError) from None


class _UnknownCodingError(Exception):
    """The package is missing, or the data ask for what it cannot do."""


class _BrokenError(Exception):
    """The data are none of this coding."""


_FAULTS = (zlib.error, _UnknownCodingError, _BrokenError)


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


_DECODERS: dict[str, Callable[[], _Decoder]] = {
    "gzip": _Inflate,
    "x-gzip": _Inflate,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}


def _codings(header: str) -> list[Callable[[], _Decoder]] | None:
    """Return what undoes the codings of a header, the last first; None when one of them is unknown."""
    names = [name for name in (part.strip().lower() for part in header.split(",")) if name not in {"", "identity"}]
    if len(names) > _MAX_LAYERS or not all(name in _DECODERS for name in names):
        return None
    return [_DECODERS[name] for name in reversed(names)]
