"""Bytes become text: bodies by content coding, type and charset; headers as one object; event streams joined."""

from otas_middleware._event.render.body import EMPTY, Body, render_body
from otas_middleware._event.render.coding import undo_codings
from otas_middleware._event.render.content_type import parse_content_type
from otas_middleware._event.render.headers import HeaderMap, all_values, first_value, header_map
from otas_middleware._event.render.stream import EventStream, stream_events

__all__ = [
    "EMPTY",
    "Body",
    "EventStream",
    "HeaderMap",
    "all_values",
    "first_value",
    "header_map",
    "parse_content_type",
    "render_body",
    "stream_events",
    "undo_codings",
]
