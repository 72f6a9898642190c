"""Captures and finished events as frames, and frames as captures and finished events.

What MessagePack cannot carry unchanged does not cross: `encode_request` then returns None, and the event is delivered
by its own process.
"""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import msgspec

from otas_middleware._capture.carried import CarriedCapture, state_of
from otas_middleware._delivery.relay import packets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otas_middleware._capture.capture import Capture
    from otas_middleware._event.model import Envelope, EventSource

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
    head = packets.HEAD.pack(packets.REQUEST, len(token), len(meta), first_bytes, second_bytes, number)
    front = b"".join((head, token, meta))  # one piece, since it is kept until the event is settled
    return number, len(front) + first_bytes + second_bytes, (front, *first, *second), None


def decode_request(frame: packets.Frame, secret: bytes) -> Capture:
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


def encode_event(envelope: Envelope, number: int) -> Encoded:
    """Return a finished event as a frame with this number."""
    meta = encode((envelope.session_id, envelope.agent_id, envelope.source))
    body, token = envelope.event.to_json(), envelope.token.encode()
    head = packets.HEAD.pack(packets.EVENT, len(token), len(meta), len(body), 0, number)
    frame = b"".join((head, token, meta, body))
    return number, len(frame), (frame,), envelope


def decode_event(frame: packets.Frame) -> Envelope:
    """Return the finished event that a frame holds.

    Raises:
        ValueError: It holds none.
    """
    from otas_middleware._event.model import BackendEvent, Envelope  # noqa: PLC0415  # pydantic, where events are built

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


def source_of(frame: packets.Frame) -> EventSource:
    """Return which of Brain's log endpoints a frame's event is for."""
    return "agent" if frame.kind == packets.EVENT and decode(frame.meta)[2] == "agent" else "backend"


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
