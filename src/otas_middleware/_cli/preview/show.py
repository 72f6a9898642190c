"""An event as a person reads it: indented, JSON inside of texts unfolded, what was redacted set off."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otas_middleware._cli.preview.replay import Preview
    from otas_middleware._event.model import BackendEvent

MASKED = re.compile(r"\[REDACTED(?:: [^\]]*)?\]")

_BOLD, _MASK, _DIM, _PLAIN = "\033[1m", "\033[1;97;41m", "\033[2m", "\033[0m"
_INDENT = "  "
_MOST_PLACES = 40


def show(preview: Preview, *, title: str, url: str, colour: bool) -> str:
    """Return what is printed for one exchange.

    Args:
        preview: What became of it.
        title: Which one it is; empty for an only one.
        url: Where the event would be posted.
        colour: Whether to use ANSI escape sequences; without them redactions are put between `>>` and `<<`.
    """
    exchange = preview.exchange
    status = f" → {exchange.reply.status}" if exchange.reply is not None else ""
    lines = [_styled(printable(f"{title}{exchange.method} {exchange.path}{status}"), _BOLD, colour=colour)]
    lines += [_styled(printable(f"  note: {remark}"), _DIM, colour=colour) for remark in preview.remarks]
    event = preview.event
    if event is None:
        return "\n".join([*lines, f"Nothing would be sent: {printable(preview.withheld)}."])
    lines += [f"POST {url}, {len(event.to_json()):,} bytes", highlight(unfold(event), colour=colour)]
    places = list(masked_places(event))
    shown = "; ".join(places[:_MOST_PLACES]) + ("; …" if len(places) > _MOST_PLACES else "")
    lines.append(f"Redacted: {printable(shown) or 'nothing'}.")
    return "\n".join(lines)


def unfold(event: BackendEvent) -> str:
    """Return the event as indented JSON, in which texts that hold JSON are laid out too, and marked as texts."""
    fields = _fields(event)
    lines = [f"{_INDENT}{json.dumps(name)}: {_value(value)}" for name, value in fields.items()]
    return "{\n" + ",\n".join(lines) + "\n}"


def highlight(text: str, *, colour: bool) -> str:
    """Set redactions off."""
    if colour:
        return MASKED.sub(lambda match: f"{_MASK}{match[0]}{_PLAIN}", text)
    return MASKED.sub(lambda match: f">>{match[0]}<<", text)


def masked_places(event: BackendEvent) -> Iterator[str]:
    """Say where something was redacted: fields, and inside of JSON the path of members."""
    for name, value in _fields(event).items():
        inner = _parsed(value)
        if inner is not None:
            inside = list(_inside(inner, ""))
            if inside:
                yield f"{name} ({', '.join(inside)})"
        elif isinstance(value, str) and (count := len(MASKED.findall(value))):
            yield name if count == 1 else f"{name} ({count} times)"


def printable(text: str) -> str:
    """Return a text whose control characters, which a client may have sent, cannot reach the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else f"\\u{ord(char):04x}" for char in text)


def _fields(event: BackendEvent) -> Mapping[str, Any]:
    fields: dict[str, Any] = json.loads(event.to_json())
    return fields


def _value(value: Any) -> str:
    inner = _parsed(value) if isinstance(value, str) else None
    if inner is None:
        return _indented(value)
    return f"(a text that holds JSON) {_indented(inner)}"


def _indented(value: Any) -> str:
    return printable(json.dumps(value, indent=len(_INDENT), ensure_ascii=False)).replace("\n", "\n" + _INDENT)


def _parsed(value: Any) -> Any:
    """Return an object or list, also one that stands in a text; else None."""
    if isinstance(value, dict | list):
        return cast("Any", value)
    if not isinstance(value, str) or value[:1] not in {"{", "["} or MASKED.match(value):
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _inside(value: object, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, member in cast("dict[str, object]", value).items():
            yield from _inside(member, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[object]", value)):
            yield from _inside(item, f"{path}[{index}]")
    elif isinstance(value, str) and MASKED.search(value):
        yield path


def _styled(text: str, style: str, *, colour: bool) -> str:
    return f"{style}{text}{_PLAIN}" if colour else text
