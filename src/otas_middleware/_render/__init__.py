"""Bytes become text: bodies by content type, headers as one object."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Rendered:
    """A body as text."""

    text: str = ""
    form: str = ""
    truncated: dict[str, int] | None = None


def header_map(pairs: Iterable[tuple[bytes | str, bytes | str]]) -> dict[str, str | list[str]]:
    """Return headers with lower-case names; a list of values where a name came more than once."""
    result: dict[str, str | list[str]] = {}
    for raw_name, raw_value in pairs:
        name = (raw_name.decode("latin-1") if isinstance(raw_name, bytes) else raw_name).lower()
        value = raw_value.decode("latin-1") if isinstance(raw_value, bytes) else raw_value
        known = result.get(name)
        if known is None:
            result[name] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            result[name] = [known, value]
    return result


def render_body(data: bytes, size: int, headers: dict[str, str | list[str]]) -> Rendered:
    """Return a kept body as text."""
    if not data:
        return Rendered()
    kind = str(headers.get("content-type", "")).partition(";")[0].strip().lower()
    truncated = {"kept": len(data), "size": size} if len(data) < size else None
    if kind.startswith("multipart/"):
        return Rendered(form="[]", truncated=truncated)
    try:
        text = data.decode("utf-8") if truncated is None else data.decode("utf-8", "ignore")
    except UnicodeDecodeError:
        note = f"[binary {kind or 'data'}, {size} bytes, sha256 {hashlib.sha256(data).hexdigest()}]"
        return Rendered(text=note, truncated=truncated)
    form = text if kind == "application/x-www-form-urlencoded" else ""
    return Rendered(text=text, form=form, truncated=truncated)
