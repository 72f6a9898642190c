"""The files that the browser loads."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response

from otas_middleware.localbrain.page.http import HEADERS, Reading

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otas_middleware.localbrain.incoming import Incoming

_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


@cache
def assets() -> Mapping[str, Reading]:
    """Return an endpoint for each file: the document at `/`, all others below `/_page/`, by exact path."""
    found: dict[str, Reading] = {}
    for file in sorted(_FOLDER.rglob("*")):
        if file.suffix in _TYPES:
            name = file.relative_to(_FOLDER).as_posix()
            is_document = name == "index.html"
            path = "/" if is_document else f"/_page/{name}"
            found[path] = Reading(_File(file.read_bytes(), _TYPES[file.suffix]), public=is_document)
    return found


class _File:
    """One file, read when the first server of the process starts."""

    def __init__(self, content: bytes, media_type: str) -> None:
        self._content = content
        self._media_type = media_type

    def __call__(self, _: Incoming) -> Response:
        return Response(self._content, media_type=self._media_type, headers=HEADERS)
