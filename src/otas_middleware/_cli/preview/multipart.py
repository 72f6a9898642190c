"""Writing a multipart form, as a client does (RFC 7578)."""

from __future__ import annotations

from typing import NamedTuple

_BOUNDARY = "otas-preview-boundary-7MA4YWxkTrZu0gW"


class Part(NamedTuple):
    """One part of a form; with a file's name it is a file."""

    name: str
    content: bytes
    filename: str | None = None
    content_type: str | None = None


def encode(parts: list[Part]) -> tuple[str, bytes]:
    """Return the Content-Type and the body of a form."""
    pieces: list[bytes] = []
    for part in parts:
        head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{_quoted(part.name)}"'
        if part.filename is not None:
            head += f'; filename="{_quoted(part.filename)}"'
        if part.content_type is not None:
            head += f"\r\nContent-Type: {part.content_type}"
        pieces += [head.encode(), b"\r\n\r\n", part.content, b"\r\n"]
    pieces.append(f"--{_BOUNDARY}--\r\n".encode())
    return f"multipart/form-data; boundary={_BOUNDARY}", b"".join(pieces)


def _quoted(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
