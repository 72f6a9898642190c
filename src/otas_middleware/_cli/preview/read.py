"""From what the user gave to exchanges: which format it is, and its reader."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from otas_middleware._cli.preview import curl, har, raw
from otas_middleware._cli.preview.exchange import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otas_middleware._cli.preview.exchange import Exchange

Format = Literal["curl", "har", "http"]

_WHAT = "a curl command, a HAR file, or HTTP as it stands on the wire (POST /orders/42 HTTP/1.1, headers, body)"


def read(words: Sequence[str], form: Format | None = None) -> list[Exchange]:
    """Return the exchanges that the arguments hold or name.

    Args:
        words: A curl command word by word; or one file's name; `-` or nothing for standard input.
        form: The format, where it is not to be guessed.

    Raises:
        UnreadableError: It cannot be read or is not understood.
    """
    if len(words) > 1 and words[0] != "curl":
        raise UnreadableError(
            f"{words[0]!r} and {len(words) - 1} more arguments are not understood; give {_WHAT}. "
            "Options of preview come before the curl command"
        )
    if len(words) == 1 and words[0].lstrip().startswith("curl "):  # all of it within quotes
        return _read_text(words[0].encode(), form)
    return [curl.read(words)] if len(words) > 1 else _read_text(_input(words[0] if words else "-"), form)


def with_response(exchange: Exchange, file: Path) -> Exchange:
    """Return an exchange with the response that a file holds.

    Raises:
        UnreadableError: It cannot be read.
    """
    return dataclasses.replace(exchange, reply=raw.read_reply(_input(str(file))))


def _read_text(data: bytes, form: Format | None) -> list[Exchange]:
    form = form or _guess(data)
    if form == "http":
        return [raw.read(data)]
    text = data.decode("utf-8-sig", "replace")
    if form == "har":
        return har.read(text)
    words = curl.split(text.lstrip().removeprefix("$ "))
    if not words or words[0] != "curl":
        raise UnreadableError("the curl command should begin with curl")
    return [curl.read(words)]


def _guess(data: bytes) -> Format:
    start = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"{"):
        return "har"
    if start.removeprefix(b"$ ").startswith(b"curl"):
        return "curl"
    if raw.looks_like(start):
        return "http"
    raise UnreadableError(f"this is not understood{' (it is empty)' if not start else ''}; give {_WHAT}")


def _input(name: str) -> bytes:
    if name == "-":
        if sys.stdin.isatty():
            sys.stderr.write(f"Paste {_WHAT}, then press Ctrl-D:\n")
        return sys.stdin.buffer.read()
    try:
        return Path(name).expanduser().read_bytes()
    except OSError as error:
        hint = "; a URL needs curl before it" if "://" in name else ""
        raise UnreadableError(f"the file {name} cannot be read: {error.strerror}{hint}") from None
