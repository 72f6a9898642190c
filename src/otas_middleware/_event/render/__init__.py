"""Bytes become text: bodies by content coding, type and charset; headers as one object; event streams joined.

Modules that few bodies need (`coding`, `multipart`, `stream`) are imported for the first of these.
"""

from otas_middleware._event.render.body import EMPTY, Body, render_body
from otas_middleware._event.render.content_type import parse_content_type
from otas_middleware._event.render.headers import HeaderMap, all_values, first_value, header_map

__all__ = [
    "EMPTY",
    "Body",
    "HeaderMap",
    "all_values",
    "first_value",
    "header_map",
    "parse_content_type",
    "render_body",
]
