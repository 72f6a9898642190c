"""Content codings applied, as a server would."""

from __future__ import annotations

import gzip
import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

brotli: Any = import_module("brotli")  # has no types
zstd: Any = import_module("backports.zstd")


def raw_deflate(data: bytes) -> bytes:
    """Compress as some senders do that call it `deflate`: without zlib's header."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def _brotli(data: bytes) -> bytes:
    """Compress as servers do while somebody waits; the default takes a hundred times as long."""
    return bytes(brotli.compress(data, quality=4))


def _twice(data: bytes) -> bytes:
    return _brotli(gzip.compress(data))


def _as_is(data: bytes) -> bytes:
    return data


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "identity": _as_is,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": _brotli,
    "zstd": zstd.compress,
    "gzip, br": _twice,
}
