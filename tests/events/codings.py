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


def _twice(data: bytes) -> bytes:
    return bytes(brotli.compress(gzip.compress(data)))


def _as_is(data: bytes) -> bytes:
    return data


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "identity": _as_is,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
    "gzip, br": _twice,
}
