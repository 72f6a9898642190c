"""What passes between a host and its relay: packets of a `SOCK_SEQPACKET` socket, and the frames in them.

A packet of the host holds one frame or several, each a head, a session token, metadata in MessagePack, and two bodies
as they are: a finished capture or a finished event. A packet of the relay holds one message. All sizes are checked
before anything is decoded. What MessagePack cannot carry unchanged does not cross: `encode_request` then returns None,
and the event is delivered by its own process.
"""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from uuid import UUID

import msgspec

from otas_middleware._capture.carried import CarriedCapture, state_of
from otas_middleware._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otas_middleware._capture import Capture
    from otas_middleware._event import Envelope, EventSource

PROTOCOL = f"otas-relay/3 {__version__}"
"""Host and relay understand each other when these are equal."""

MAX_PACKET = 524_288
"""Bytes of the largest packet; an event beyond it is delivered by its own process."""

SEND_BUFFER = 1_048_576
"""What a socket's buffer is asked to hold; the system grants `net.core.wmem_max` at most."""

HEAD = Struct("<BxHIIIQ")
"""A frame's head: kind, bytes of the token, the metadata, the first and the second body, and the host's number."""

# Frames of a host.
HELLO = 1
"""Who is there, with which settings, and random bytes of which the ids of its events are made. The first frame of each
connection, except for `STATUS`."""
REQUEST = 2
"""A finished capture: its state, its request body, its response body."""
EVENT = 3
"""A finished event: whom it is for, and the event as JSON."""
FLUSH = 4
"""Deliver now. The metadata say for how many seconds somebody waits, and whether the process then ends."""
STATUS = 5
"""Send the relay's counters and close."""

# Messages of a relay: one byte that says which, seven that pad, and the rest.
SETTLED = b"\x11"
"""Events that are delivered or on disk: their numbers."""
LOST = b"\x12"
"""Events that were dropped: `[reason, numbers]`."""
STORED = b"\x13"
"""What the destination calls a delivered event: `[number, its id there]`."""
TOKEN = b"\x14"
"""What was found out about a session token: `[rejected | bad_signature | confirmed, token]`."""
REFUSED = b"\x15"
"""This host is not served: `reason`."""
LEAVING = b"\x16"
"""The relay takes no new connections and is about to end; what it has, it still settles."""
STATE = b"\x17"
"""The answer to `STATUS`."""
PARTLY = b"\x18"
"""Events that one of several destinations is done with, before others: `[its name, their disposition there or "" if it
is not the first one, numbers]`."""

REFUSED_PAUSE = 30.0
"""Seconds after which a host that was refused asks again."""

MESSAGE_HEAD = 8
_PAD = b"\0" * (MESSAGE_HEAD - 1)


class Frame(NamedTuple):
    """One frame of a packet; its parts are views of it."""

    kind: int
    number: int
    token: memoryview
    meta: memoryview
    first: memoryview
    second: memoryview


class PacketError(ValueError):
    """A packet is not what it should be; the connection it came over is of no use."""


def order(kind: int, meta: bytes, first: bytes = b"") -> bytes:
    """Return a frame that is no event."""
    return HEAD.pack(kind, 0, len(meta), len(first), 0, 0) + meta + first


def frames(packet: memoryview) -> Iterator[memoryview]:
    """Yield each frame of a packet as it stands there.

    Raises:
        PacketError: The lengths do not add up.
    """
    start, end = 0, len(packet)
    while start < end:
        if end - start < HEAD.size:
            raise PacketError("a frame's head is cut short")
        _, token, meta, first, second, _ = HEAD.unpack_from(packet, start)
        stop = start + HEAD.size + token + meta + first + second
        if stop > end:
            raise PacketError("a frame is longer than its packet")
        yield packet[start:stop]
        start = stop


def read(frame: bytes | memoryview) -> Frame:
    """Return the parts of a frame that `frames` has measured."""
    view = memoryview(frame)
    kind, token, meta, first, _, number = HEAD.unpack_from(view)
    start = HEAD.size + token
    body = start + meta
    end = body + first
    return Frame(kind, number, view[HEAD.size : start], view[start:body], view[body:end], view[end:])


def message(kind: bytes, content: bytes) -> bytes:
    """Return a message of the relay."""
    return kind + _PAD + content


_MAX_DEPTH = 16
_SCALARS = frozenset({str, int, float, bool, type(None)})
_DATES = frozenset({datetime, date, time})
_AS_TEXT = frozenset({UUID, Decimal})


class _NotPlainError(TypeError):
    """A value would arrive as another one."""


Encoded = tuple[int, int, tuple[bytes, ...], object]
"""An event to hand over: its number, the bytes of its frame, that frame in pieces, and the event if it is finished.

A plain tuple, which nothing else need be made of: it is what the host keeps until the relay has settled the event, and
for one that holds only bytes and numbers the garbage collector has no work.
"""


def _text_of(value: Any) -> str:
    """Let subclasses of `str`, such as Django's `SafeString`, cross as what they hold."""
    if isinstance(value, str):
        return str.__str__(value)
    raise _NotPlainError


_encode = msgspec.msgpack.Encoder(enc_hook=_text_of).encode
decode = msgspec.msgpack.Decoder().decode
encode = msgspec.msgpack.Encoder().encode


def encode_request(capture: Capture, number: int) -> Encoded | None:
    """Return a finished capture as a frame with this number, or None when it holds something that cannot cross."""
    first, first_bytes = capture.request.pieces()
    second, second_bytes = capture.response.pieces()
    try:
        properties, checkpoints, params = capture.custom_properties, capture.checkpoints, capture.path_params
        meta = _encode(
            (
                state_of(capture),
                None if not params else _params(params),
                None if not properties else _plain(properties),
                None if not checkpoints else [(name, ms, _plain(found)) for name, ms, found in checkpoints],
            )
        )
        token = capture.session.token.encode()
    except (TypeError, ValueError, OverflowError, RecursionError, AttributeError):
        return None  # a lone surrogate, an integer of more than 64 bits, an object of the application's
    head = HEAD.pack(REQUEST, len(token), len(meta), first_bytes, second_bytes, number)
    front = b"".join((head, token, meta))  # one piece, since it is kept until the event is settled
    return number, len(front) + first_bytes + second_bytes, (front, *first, *second), None


def decode_request(frame: Frame, secret: bytes) -> Capture:
    """Return the capture that a frame holds, with the id of its event.

    Args:
        frame: The frame.
        secret: Random bytes of the connection that it was sent over.

    Raises:
        msgspec.DecodeError: The metadata are not MessagePack.
        ValueError: They are not those of a capture.
        TypeError: As above.
    """
    state, params, properties, checkpoints = decode(frame.meta)
    capture = CarriedCapture(text(frame.token), state, bytes(frame.first), bytes(frame.second))
    capture.path_params = params
    capture.custom_properties = properties
    capture.checkpoints = None if checkpoints is None else [(name, ms, found) for name, ms, found in checkpoints]
    if not capture.event_id:
        capture.event_id = event_id(secret, frame.number)
    return capture


class Returned(NamedTuple):
    """An event that a relay took and did not settle before it ended.

    Attributes:
        done: The names of the destinations that are done with it, as far as is known.
    """

    finished: object
    frame: tuple[bytes, ...]
    secret: bytes
    done: frozenset[str]

    def __repr__(self) -> str:
        return "<Returned>"  # the frame holds the session's token

    def item(self) -> object:
        """Return it as it was recorded, with the id that it has at the relay, which may have delivered it."""
        return self.finished or decode_request(read(b"".join(self.frame)), self.secret)


def encode_event(envelope: Envelope, number: int) -> Encoded:
    """Return a finished event as a frame with this number."""
    meta = encode((envelope.session_id, envelope.agent_id, envelope.source))
    body, token = envelope.event.to_json(), envelope.token.encode()
    head = HEAD.pack(EVENT, len(token), len(meta), len(body), 0, number)
    frame = b"".join((head, token, meta, body))
    return number, len(frame), (frame,), envelope


def decode_event(frame: Frame) -> Envelope:
    """Return the finished event that a frame holds.

    Raises:
        ValueError: It holds none.
    """
    from otas_middleware._event import BackendEvent, Envelope  # noqa: PLC0415  # pydantic, where events are built

    session_id, agent_id, source = decode(frame.meta)
    event = BackendEvent.model_validate_json(bytes(frame.first))
    return Envelope(event, text(frame.token), session_id, agent_id, "agent" if source == "agent" else "backend")


def event_id(secret: bytes, number: int) -> str:
    """Return the id of an event that nobody has given one yet: on both sides the same UUID, in the form of version 4.

    Args:
        secret: Random bytes of the connection that it goes over.
        number: Its number there.
    """
    digits = blake2b(number.to_bytes(8, "big"), key=secret, digest_size=16).hexdigest()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def source_of(frame: Frame) -> EventSource:
    """Return which of Brain's log endpoints a frame's event is for."""
    return "agent" if frame.kind == EVENT and decode(frame.meta)[2] == "agent" else "backend"


def text(octets: memoryview) -> str:
    """Return what was sent as UTF-8."""
    return str(octets, "utf-8")


def _params(params: Mapping[str, object]) -> Mapping[str, object]:
    """Return a route's values: of what is neither text nor a number its text, which is all that a route needs."""
    plain = _SCALARS.issuperset(map(type, params.values()))
    if plain and isinstance(params, dict):
        return params
    return {name: value if type(value) in _SCALARS else _parameter(value) for name, value in params.items()}


def _parameter(value: object) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    if type(value) in _AS_TEXT or type(value) in _DATES:
        return str(value)
    raise _NotPlainError


def _plain(value: Any, depth: int = 0) -> Any:
    """Return a value as it arrives: plain JSON, and what `redact` would turn into text anyway, as that text.

    Raises:
        TypeError: It would arrive as something else.
    """
    kind = cast("Callable[[Any], type[object]]", type)(value)
    if kind in _SCALARS:
        return value
    if depth < _MAX_DEPTH:
        if kind is dict:
            return {_name(name): _plain(found, depth + 1) for name, found in value.items()}
        if kind is list or kind is tuple:
            return [_plain(found, depth + 1) for found in value]
    if kind in _DATES:
        return value.isoformat()
    if kind in _AS_TEXT:
        return str(value)
    raise _NotPlainError


def _name(name: object) -> str:
    if type(name) is not str:
        raise _NotPlainError
    return name
