"""What `otas-middleware preview` does: take a recorded exchange, and show the event that would be sent for it.

Here is what the readers of all formats make: one request and, where it is known, its response.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from otas_middleware._errors import OtasError

Pairs = tuple[tuple[str, str], ...]


class UnreadableError(OtasError):
    """The input is not understood. The message says what it was taken for, where it goes wrong, and what would do."""


@dataclass(frozen=True)
class Reply:
    """A response.

    Attributes:
        status: The status code.
        reason: The reason phrase; empty where the protocol has none.
        headers: Names and values.
        body: The body, as it was sent, but for a chunked transfer.
    """

    status: int
    reason: str = ""
    headers: Pairs = ()
    body: bytes = b""


@dataclass(frozen=True)
class Exchange:
    """A request and its response.

    Attributes:
        method: The method.
        target: Path and query string, percent-encoded as they were sent.
        headers: Names and values, as they were sent.
        body: The request's body.
        reply: The response; None when it is not known.
        began: When it began, in Unix seconds, or None.
        seconds: How long it took to the last byte, or None.
        first_byte: Seconds to the first byte of the response, or None.
        remarks: What the reader had to add or leave out.
    """

    method: str
    target: str
    headers: Pairs = ()
    body: bytes = b""
    reply: Reply | None = None
    began: float | None = None
    seconds: float | None = None
    first_byte: float | None = None
    remarks: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The path, decoded as servers decode it."""
        return unquote(urlsplit(self.target).path, errors="replace") or "/"

    @property
    def query(self) -> str:
        """The query string as it was sent."""
        return urlsplit(self.target).query

    def header(self, name: str) -> str | None:
        """Return the value of the first header of this name, or None."""
        return value_of(self.headers, name)


def value_of(headers: Pairs, name: str) -> str | None:
    """Return the value of the first header of this name, or None."""
    return next((value for each, value in headers if each.lower() == name.lower()), None)


def target_of(url: str) -> str:
    """Return path and query string of a URL; one without a scheme is taken as curl takes it.

    Raises:
        UnreadableError: It is not the URL of an HTTP request.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
    except ValueError as error:
        raise UnreadableError(f"the URL {url!r} cannot be read: {error}") from None
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise UnreadableError(
            f"{url!r} is not the URL of an HTTP request; write it like https://shop.example/orders/42"
        )
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
