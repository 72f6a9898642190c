"""`multipart/form-data` becomes a list of its parts: fields with their values, files without their content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otas_middleware._event.render.charset import decode_text
from otas_middleware._event.render.content_type import parse_content_type

if TYPE_CHECKING:
    from werkzeug.sansio.multipart import Field, File

MAX_PARTS = 10_000
_MAX_BOUNDARY_CHARACTERS = 200  # RFC 2046 allows 70


def read_parts(data: bytes, boundary: str, *, cut: bool) -> list[dict[str, Any]] | None:
    """Return the parts of a multipart body.

    Args:
        data: The body, or its beginning.
        boundary: From the Content-Type.
        cut: More followed.

    Returns:
        A field is `{"name", "value"}`; a file is `{"name", "filename", "content_type", "size"}`. The last part has
        `"truncated": True` when its end is missing, and its size is then that of the recorded piece. None when the body
        is not what its Content-Type says.
    """
    from werkzeug.exceptions import RequestEntityTooLarge  # noqa: PLC0415  # 20 ms of import, for those who upload
    from werkzeug.sansio.multipart import Data, Field, File, MultipartDecoder, NeedData, State  # noqa: PLC0415

    if not boundary or len(boundary) > _MAX_BOUNDARY_CHARACTERS:
        return None
    decoder = MultipartDecoder(boundary.encode("latin-1", "replace"), max_parts=MAX_PARTS)
    decoder.receive_data(data)
    parts: list[dict[str, Any]] = []
    content = bytearray()
    field: Field | None = None
    try:
        while not isinstance(event := decoder.next_event(), NeedData):
            if isinstance(event, Field | File):
                parts.append(_part(event))
                field = event if isinstance(event, Field) else None
                content.clear()
            elif isinstance(event, Data) and field is None:
                parts[-1]["size"] += len(event.data)
            elif isinstance(event, Data):
                content += event.data
                if not event.more_data:
                    parts[-1]["value"] = _value(field, content, cut=False)
                    field = None
    except (RequestEntityTooLarge, ValueError):
        cut = True  # too many parts, or broken headers: what came before them stands
    if decoder.state is State.EPILOGUE:
        return parts
    if field is not None:
        parts[-1]["value"] = _value(field, content, cut=True)
    if parts:
        parts[-1]["truncated"] = True
    return parts if parts or cut else None


def _part(event: Field | File) -> dict[str, Any]:
    part: dict[str, Any] = {"name": event.name or ""}
    filename = getattr(event, "filename", None)
    if filename is None:
        part["value"] = ""
    else:
        part.update(filename=filename, content_type=event.headers.get("content-type", ""), size=0)
    return part


def _value(field: Field | None, content: bytearray, *, cut: bool) -> str:
    declared = field.headers.get("content-type", "") if field is not None else ""
    return decode_text(bytes(content), parse_content_type(declared).charset, cut=cut)
