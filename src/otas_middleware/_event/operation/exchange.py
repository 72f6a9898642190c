"""One HTTP exchange as a protocol sees it: headers, and bodies that are parsed when somebody asks."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from json import JSONDecoder
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast
from urllib.parse import parse_qsl

from pydantic_core import from_json

from otas_middleware._event.render import all_values, first_value
from otas_middleware._event.render.content_type import decode_text, parse_content_type

if TYPE_CHECKING:
    from otas_middleware._event.render import Body, HeaderMap
    from otas_middleware._event.render.coding import Decoded

_MAX_FIELDS = 256
_MAX_TRIES = 16
_MAX_DECODED = 1_048_576
"""Bytes of a compressed response that are looked at, where all of it is kept; its text in the event is shorter."""
_REFUSAL = 4_096
"""Characters of an answer within which an error of JSON-RPC says that it is one."""
_decoder = JSONDecoder()


class ServerSentEvent(NamedTuple):
    """One event of an event stream: its name (empty when it has none) and its data."""

    name: str
    data: str


@dataclass(eq=False, repr=False)
class Exchange:
    """One finished request with its response.

    Attributes:
        method: The HTTP method.
        path: The path, decoded.
        query: The query string.
        route: The route's template, or the empty string.
        status: The HTTP status.
        request_headers: Lower-case names.
        response_headers: Lower-case names.
        request: The request body as text; empty when it is not recorded.
        response: The response body as text, likewise.
        request_type: The request's `Content-Type`.
        response_type: The response's.
        request_bytes: What was kept of the request body.
        response_bytes: The kept beginning of the response body.
        response_end: The kept end of a longer response body.
        gap: Bytes are missing between beginning and end.
        failed: The request ended with an exception, or with a status of 400 or above.
        aborted: The response was cut off before its end.
        request_media: The request's media type, without parameters.
        response_media: The response's.
        calls: The calls of JSON-RPC 2.0 that the request body holds: one, those of a batch, or none.
    """

    method: str
    path: str
    query: str
    route: str
    status: int
    request_headers: HeaderMap
    response_headers: HeaderMap
    request: Body
    response: Body
    request_type: str
    response_type: str
    request_bytes: bytes
    response_bytes: bytes
    response_end: bytes = b""
    _: KW_ONLY
    gap: bool = False
    failed: bool = False
    aborted: bool = False

    def __post_init__(self) -> None:
        self.request_media = parse_content_type(self.request_type).media
        self.response_media = parse_content_type(self.response_type).media
        self.calls: list[dict[str, Any]] = (
            self._read_calls() if _names_json_rpc(self.request.text) or self._cut_call() else []
        )

    def _cut_call(self) -> bool:
        """Say whether the request may be a call that was cut before `jsonrpc`, which some clients write at its end."""
        return not self.request_whole and '"method"' in self.request.text and _names_json_rpc(self.response.text)

    def _read_calls(self) -> list[dict[str, Any]]:
        value = self.request_json
        messages = [as_object(item) for item in (as_list(value) or [value])]
        return [message for message in messages if _is_call(message, cut=not self.request_whole)]

    @property
    def may_be_refused(self) -> bool:
        """Whether the answer may be an error of JSON-RPC, of which the request holds no call that could be read."""
        return self.method == "POST" and _names_json_rpc(self.response.text[:_REFUSAL])

    def header(self, name: str) -> str:
        """Return the first value of a request header, or the empty string.

        Args:
            name: Its name, in small letters.
        """
        return first_value(self.request_headers, name)

    @cached_property
    def query_fields(self) -> dict[str, str]:
        """The fields of the query string, decoded; of a repeated one the last."""
        return _fields(self.query)

    @cached_property
    def form_fields(self) -> dict[str, str]:
        """The fields of an urlencoded form, likewise."""
        return _fields(self.request.text) if self.request.kind == "form" else {}

    @property
    def request_whole(self) -> bool:
        """Whether all of the request body was recorded."""
        return self.request.truncated is None

    @property
    def request_text(self) -> str:
        """The request body as text, of a multipart body too."""
        if self.request_media.startswith("multipart/"):  # whose text says of its parts what they are
            return _undone(self.request_bytes, self.request_headers).data.decode("utf-8", "replace")
        return self.request.text

    @cached_property
    def request_json(self) -> Any:
        """The request body as JSON: of one that was cut, what is complete in it; None when it is none."""
        return parse_json(self.request.text, partial=not self.request_whole)

    @property
    def response_whole(self) -> bool:
        """Whether the response was recorded from its first byte to its last, in full or by beginning and end."""
        if self.aborted:
            return False
        return self.response.truncated is None or (self._kept_whole and not self._decoded.cut)

    @property
    def _kept_whole(self) -> bool:
        """Whether every byte of the response is kept, though its text shows less."""
        truncated = self.response.truncated or {}
        return (
            bool(self.response_end) and not self.gap
            if truncated["kept"] < truncated["size"]
            else "decoded" in truncated
        )

    @cached_property
    def _decoded(self) -> Decoded:
        """The response body from its beginning on, as far as it is recorded without a gap, codings undone."""
        kept = self.response_bytes if self.gap else self.response_bytes + self.response_end
        return _undone(kept, self.response_headers)

    def octets(self) -> bytes:
        """Return the response body from its beginning on, as far as it is recorded without a gap, codings undone."""
        return self._decoded.data

    def ending(self) -> bytes:
        """Return the last bytes of the response body, those of its beginning when it is not longer."""
        if self.response_end and self.gap:
            return b"" if "content-encoding" in self.response_headers else self.response_end
        return self.octets()

    @property
    def response_text(self) -> str:
        """The response body as text, from its beginning on, as far as it is recorded without a gap."""
        if (self.response.truncated is not None and self._kept_whole) or self.response_media.startswith("multipart/"):
            charset = parse_content_type(self.response_type).charset
            return decode_text(self.octets(), charset, cut=not self.response_whole)
        return self.response.text

    @cached_property
    def events(self) -> list[ServerSentEvent]:
        """The events of an event stream that were recorded whole, in their order; empty for any other response."""
        if self.response_media != "text/event-stream":
            return []
        close = "" if self.aborted else "\n\n"  # some servers leave out the blank line behind their last event
        if not (self.response_end and self.gap):
            return server_sent_events(self.response_text + (close if self.response_whole else ""))
        # The end begins in the middle of an event, of which nothing is known.
        ending = self.ending().decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
        return server_sent_events(self.response_text) + server_sent_events(ending.partition("\n\n")[2] + close)

    @cached_property
    def documents(self) -> list[str]:
        """The complete JSON texts of the response: its body, or the data of each event."""
        if self.response_media == "text/event-stream":
            return [event.data for event in self.events]
        whole = self.response_whole and not self.response_media.startswith("multipart/")
        return [self.response_text] if whole else []

    def beginning(self) -> Any:
        """Return what is complete in JSON that was cut, a response or an event of one; None when it is no JSON."""
        if self.response_whole:
            return None
        text = self.response_text
        if self.response_media == "text/event-stream":
            from otas_middleware._event.render.stream import unfinished_data  # noqa: PLC0415  # for the few that are one

            text = unfinished_data(text)
        return parse_json(text, partial=True)

    def member_at_end(self, name: str, depth: int) -> Any:
        """Return a member of a JSON response that was cut, when it stands in the recorded end; else None.

        Args:
            name: The member's name.
            depth: How many objects are around its own.
        """
        if not self.gap or self.response_whole:
            return None
        ending = self.ending().decode("utf-8", "replace")
        place = len(ending)
        for _ in range(_MAX_TRIES):
            place = ending.rfind(f'"{name}"', 0, place)
            if place < 0:
                return None
            try:
                members, end = _decoder.raw_decode("{" + ending[place:])
            except (ValueError, RecursionError):
                continue
            # From its place on, the text holds its object to the end, and then the ends of those around it.
            if parse_json('{"":' * depth + "0" + ending[place + end - 1 :]) is not None:
                return members[name]
        return None


def _fields(text: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(text, max_num_fields=_MAX_FIELDS))
    except ValueError:
        return {}


def parse_json(text: str, *, partial: bool | Literal["trailing-strings"] = False) -> Any:
    """Return what a JSON text says, or None when it is no JSON.

    Args:
        text: The text.
        partial: It may end anywhere; what is complete in it counts, and if asked for the beginning of a last string.
    """
    try:
        return from_json(text, allow_partial=partial, cache_strings="keys")
    except ValueError:
        return None


def as_object(value: object) -> dict[str, Any]:
    """Return a JSON object as it is, and anything else as an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[object]:
    """Return a JSON array as it is, and anything else as an empty one."""
    return cast("list[object]", value) if isinstance(value, list) else []


def as_text(value: object) -> str:
    """Return a JSON string as it is, and anything else as an empty one."""
    return value if isinstance(value, str) else ""


def _names_json_rpc(text: str) -> bool:
    return "j" in text and '"jsonrpc"' in text  # that the letter is missing, as it often is, is found out at once


def _is_call(message: dict[str, Any], *, cut: bool) -> bool:
    return message.get("jsonrpc", "2.0" if cut else None) == "2.0" and isinstance(message.get("method"), str)


def _undone(data: bytes, headers: HeaderMap) -> Decoded:
    """Return a body without its content codings, up to a bound; nothing where they cannot be undone."""
    from otas_middleware._event.render.coding import Decoded, undo_codings  # noqa: PLC0415  # for the few that have one

    coding = all_values(headers, "content-encoding")
    decoded = undo_codings(data, coding, _MAX_DECODED) if coding else Decoded(data, cut=False, undone=True)
    return decoded if decoded.undone else Decoded(b"", cut=False, undone=False)


def server_sent_events(text: str) -> list[ServerSentEvent]:
    """Return the events of a stream that have data and are complete."""
    from otas_middleware._event.render.stream import stream_events  # noqa: PLC0415  # for the few that are one

    return [ServerSentEvent(event_name(block), data) for block, data in stream_events(text)]


def event_name(block: str) -> str:
    """Return the name of an event as it stands in a stream; empty when it has none."""
    if block.startswith("data:") and "\n" not in block:
        return ""
    names = [line[6:].removeprefix(" ") for line in block.split("\n") if line.startswith("event:")]
    return names[-1] if names else ""
