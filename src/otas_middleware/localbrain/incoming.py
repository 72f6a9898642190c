"""A request as Django reads it: its headers, its query, and a body of the declared length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect

from otas_middleware.localbrain.checks import InvalidJsonError, UnreadableBodyError, read_json
from otas_middleware.localbrain.pages import RefusedError, page, refused, wrong_method

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

MAX_BODY_BYTES = 2_621_440
"""The largest body that Django takes into memory (`DATA_UPLOAD_MAX_MEMORY_SIZE`)."""

_SHOWN = {
    "sdk_key": b"x-otas-sdk-key",
    "agent_key": b"x-otas-agent-key",
    "token": b"x-otas-agent-session-token",
}


class Incoming:
    """A request that was read to its end.

    Attributes:
        method: In capitals, as it came.
        body: What Django would read: nothing when no length was declared (a chunked body, for one).
        is_too_large: Whether the body has more bytes than Django takes; `body` is empty then.
        outage: Whether UASAM is to be taken for down.
    """

    __slots__ = ("_headers", "_query_string", "body", "is_too_large", "method", "outage")

    def __init__(self, scope: Scope, body: bytes, *, is_too_large: bool = False) -> None:
        pairs: list[tuple[bytes, bytes]] = scope["headers"]
        self.method: str = scope["method"]
        self._headers = dict(pairs)
        if len(self._headers) != len(pairs):  # WSGI servers join headers of one name
            self._headers = {name: b",".join(v for n, v in pairs if n == name) for name in self._headers}
        self._query_string: bytes = scope["query_string"]
        self.body = body if b"content-length" in self._headers else b""
        self.is_too_large = is_too_large
        self.outage = False

    def header(self, name: bytes) -> str | None:
        """Return the value of a header, named in lower case, without blanks around it; None when there is none."""
        value = self._headers.get(name, b"").strip(b" \t")
        return value.decode("latin-1") if value else None

    def parameter(self, name: str) -> str | None:
        """Return the last value of a query parameter; None when it is absent or empty."""
        return self.raw_parameter(name) or None

    def raw_parameter(self, name: str) -> str | None:
        """Return the last value of a query parameter, also an empty one; None when it is absent."""
        return dict(parse_qsl(self._query_string.decode("latin-1"), keep_blank_values=True)).get(name)

    def json(self) -> Any:
        """Parse the body.

        Raises:
            RefusedError: It is too large, not JSON, or cannot even be read.
        """
        if self.is_too_large:
            raise RefusedError(page(400, f"RequestDataTooBig: Request body exceeded {MAX_BODY_BYTES} bytes."))
        try:
            return read_json(self.body)
        except InvalidJsonError:
            raise refused(400, "invalid_json") from None
        except UnreadableBodyError as error:
            raise self.failure(str(error)) from None

    def require_post(self) -> None:
        """Refuse every other method, for endpoints that look at the key before the method.

        Raises:
            RefusedError: 405.
        """
        if self.method != "POST":
            raise RefusedError(wrong_method(("POST", "OPTIONS")))

    def failure(self, title: str) -> RefusedError:
        """Make the error of a failure that Brain does not catch: a debug page, with the request's key and token."""
        return RefusedError(page(500, title, self._shown))

    @property
    def is_chunked(self) -> bool:
        """Whether the body came in chunks."""
        return b"transfer-encoding" in self._headers

    @property
    def _shown(self) -> dict[str, str]:
        """What a debug page about this request displays: its keys and its token."""
        values = {name: self.header(header) for name, header in _SHOWN.items()}
        return {name: value for name, value in values.items() if value}


async def until_disconnected(receive: Receive) -> None:
    """Wait until the connection of a request has ended."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def read_request(scope: Scope, receive: Receive) -> Incoming:
    """Read a request to its end, keeping no more of the body than Brain takes.

    Raises:
        ClientDisconnect: The client went away before its end.
    """
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
        if not message.get("more_body"):
            break
    if size > MAX_BODY_BYTES:
        return Incoming(scope, b"", is_too_large=True)
    return Incoming(scope, b"".join(chunks))
