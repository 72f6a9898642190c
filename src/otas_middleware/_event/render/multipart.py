"""Multipart bodies become a list of their parts: fields with their values, files without their content."""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from importlib import metadata, util
from typing import Any
from urllib.parse import unquote

from otas_middleware._event.render.content_type import decode_text, parse_content_type
from otas_middleware._runtime import runtime

MAX_PARTS = 10_000
_MAX_DIGITS = 16
_MAX_HEADERS = 32
_CLOSING_BYTES = 8  # "\r\n--", the boundary, "--\r\n"
_MAX_BOUNDARY_CHARACTERS = 200  # RFC 2046 allows 70
_SHOWN_HEADERS = ("Content-Range", "Content-ID")
_MISSING = (
    "otas: multipart bodies are recorded without their parts, since the package `multipart` is not installed. Run: "
    "pip install 'multipart>=2'. It may stand beside `python-multipart`, which FastAPI needs, whatever FastAPI says."
)
_EXTENDED_NAME = re.compile(r"(?i:;\s*name\*=)[\w-]*'[^']*'(?P<name>[^;\s]{1,512})")


def read_parts(data: bytes, boundary: str, *, cut: bool, missing: int = 0) -> list[dict[str, Any]] | None:
    """Return the parts of a multipart body.

    Args:
        data: The body, or its beginning.
        boundary: From the Content-Type.
        cut: More followed.
        missing: How many bytes, when that is known.

    Returns:
        A field, or any part of text, is `{"name", "value"}`; a file, or a part of another kind, is
        `{"name", "filename", "content_type", "size"}`. What a part does not say is left out. The last part has
        `"truncated": True` when its end is missing: its size is then what its own Content-Length says, or else that of
        the recorded piece, with `"at_most"` beside it. None when the body is not what its Content-Type says, or when
        there is no parser.
    """
    library = _library()
    if library is None or not boundary or len(boundary) > _MAX_BOUNDARY_CHARACTERS:
        return None
    parts: list[dict[str, Any]] = []
    content = bytearray()
    segment: Any = None
    complete = False
    try:
        parser = _parser()(
            boundary.encode("latin-1", "replace"), max_segment_count=MAX_PARTS, max_header_count=_MAX_HEADERS
        )
        for event in parser.parse(data):
            if isinstance(event, library.MultipartSegment):
                segment = event
                parts.append(_part(segment))
                content.clear()
            elif segment is not None and event is not None:
                if "value" in parts[-1]:
                    content += event
                else:
                    parts[-1]["size"] += len(event)
            elif segment is not None:
                _finish(parts[-1], segment, content, cut=False)
                segment = None
        parser.close()
        complete = True
    except (library.MultipartError, ValueError):
        pass  # too many parts, broken headers, or no end: what came before it stands
    if segment is not None:
        _finish(parts[-1], segment, content, cut=True)
    if parts and not complete:
        parts[-1]["truncated"] = True
        if segment is not None and "size" in parts[-1]:
            _estimate(parts[-1], segment, missing and missing - len(boundary) - _CLOSING_BYTES)
    if parts or cut or (complete and data.lstrip().startswith(b"--" + boundary.encode("latin-1", "replace"))):
        return parts
    return None


@lru_cache(maxsize=1)
def _library() -> Any:
    """Return defnull's `multipart`, imported for those who upload; None, with a warning, where somebody removed it.

    FastAPI proposes that to those who lack `python-multipart`. Old releases of this one install a package of the same
    name over it; its one file is then loaded from where its distribution says it is.
    """
    try:
        # By a statement, since packers of programs (PyInstaller, Nuitka) take along what these name.
        import multipart  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]  # noqa: PLC0415

        module: Any = multipart
        return module if hasattr(module, "PushMultipartParser") else _under_another()
    except (ImportError, OSError):
        runtime.log_once(logging.WARNING, _MISSING)
        return None


def _under_another() -> Any:
    path = metadata.distribution("multipart").locate_file("multipart.py")
    spec = util.spec_from_file_location("_otas_multipart", str(path))
    if spec is None or spec.loader is None:
        raise ImportError(str(path))
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@lru_cache(maxsize=1)
def _parser() -> Any:
    """Return a parser of every kind of multipart body: how, its documentation says where it refuses all but forms."""
    library = _library()

    class Parser(library.PushMultipartParser):  # type: ignore[name-defined, misc]  # a class of a library that is found late
        def _create_segment(self, headerlist: list[tuple[str, str]]) -> Any:
            return library.MultipartSegment(headerlist)

    return Parser


def _part(segment: Any) -> dict[str, Any]:
    form = segment.disposition == "form-data"
    name = segment.name or _extended_name(segment)
    part: dict[str, Any] = {"name": name} if form or name else {}
    declared = segment.header("Content-Type") or ""
    if segment.filename is not None:
        part["filename"] = segment.filename
    elif form:
        part["value"] = ""
        return part
    part["content_type"] = declared
    part.update((name.lower(), segment[name]) for name in _SHOWN_HEADERS if segment.header(name))
    if segment.filename is None and parse_content_type(declared or "text/plain").kind in {"text", "form"}:
        part["value"] = ""
    else:
        part["size"] = 0
    return part


def _extended_name(segment: Any) -> str:
    """Return a name in the form of RFC 8187, `name*=utf-8''…`, which applications read although no browser sends it."""
    found = _EXTENDED_NAME.search(segment.header("Content-Disposition") or "")
    return unquote(found["name"]) if found is not None else ""


def _estimate(part: dict[str, Any], segment: Any, missing: int) -> None:
    """Say how large a file is of which the end is missing, as far as that is known."""
    declared = segment.header("Content-Length") or ""
    if declared.isdecimal() and len(declared) < _MAX_DIGITS:
        part["size"] = int(declared)
    elif missing > 0:
        part["at_most"] = part["size"] + missing


def _finish(part: dict[str, Any], segment: Any, content: bytearray, *, cut: bool) -> None:
    if "value" in part:
        part["value"] = decode_text(bytes(content), segment.charset or "", cut=cut)
