"""What passes between a host and its relay: packets of a `SOCK_SEQPACKET` socket, and the frames in them.

A packet of the host holds one frame or several, each a head, a session token, metadata in MessagePack, and two bodies
as they are. A packet of the relay holds one message. All sizes are checked before anything is decoded.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from otas_middleware._version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

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
