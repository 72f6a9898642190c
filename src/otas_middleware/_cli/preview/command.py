"""What `otas-middleware preview` runs: which format the input is, and how the event is shown."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from otas_middleware._cli import has_colours
from otas_middleware._cli.application import read as read_application
from otas_middleware._cli.preview import UnreadableError, curl, replay
from otas_middleware._cli.preview.recorded import looks_like, read_har, read_reply, read_wire
from otas_middleware._delivery.destinations import BACKEND_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otas_middleware._cli.application import Source, Subject
    from otas_middleware._cli.preview import Exchange, Preview
    from otas_middleware._event import BackendEvent


def run(
    words: Sequence[str],
    *,
    source: Source,
    response: Path | None,
    form: Format | None,
    entry: int | None,
    route: str | None,
    as_json: bool,
) -> None:
    """Print the event of each exchange.

    Args:
        words: See `read`.
        source: Where the settings come from.
        response: A file with the response.
        form: The format of the input.
        entry: Which exchange of several, counted from 1; all of them when None.
        route: The route template.
        as_json: Print the bytes that would be posted, an event a line, and nothing else on standard output.

    Raises:
        OtasError: The input or the settings cannot be used.
    """
    exchanges = read(words, form)
    if entry is not None:
        if not 1 <= entry <= len(exchanges):
            raise UnreadableError(f"--entry {entry} is not there; the input holds {len(exchanges)}")
        exchanges = [exchanges[entry - 1]]
    if response is not None:
        if len(exchanges) > 1:
            raise UnreadableError("--response belongs to a single request; choose one of these with --entry")
        exchanges = [with_response(exchanges[0], response)]
    subject = read_application(source)
    if subject.error is not None or subject.settings is None:
        raise subject.error or UnreadableError("the settings cannot be read")
    if subject.placements == ():
        sys.stderr.write(f"note: otas_middleware is not installed in {source.target}; see otas-middleware doctor.\n")
    for number, exchange in enumerate(exchanges, 1):
        preview = replay(exchange, subject.settings, _framework(subject), route)
        if as_json:
            for remark in preview.remarks:
                sys.stderr.write(printable(f"note: {remark}\n"))
            if preview.event is not None:
                sys.stdout.write(preview.event.to_json().decode() + "\n")
            continue
        title = f"[{number} of {len(exchanges)}] " if len(exchanges) > 1 else ""
        url = f"{subject.settings.brain_url}{BACKEND_PATH}" if subject.settings.enabled else ""
        sys.stdout.write(show(preview, title=title, url=url, colour=has_colours()) + "\n" * (2 if title else 1))


def _framework(subject: Subject) -> str:
    if subject.framework is not None:
        return subject.framework.partition(" ")[0].lower()
    return subject.source.kind if subject.source.target else "asgi"


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


Format = Literal["curl", "har", "http"]

_WHAT = "a curl command, a HAR file, or HTTP as it stands on the wire (POST /orders/42 HTTP/1.1, headers, body)"


def read(words: Sequence[str], form: Format | None = None) -> list[Exchange]:
    """Return the exchanges that the arguments hold or name.

    Args:
        words: A curl command word by word; or one file's name; `-` or nothing for standard input.
        form: The format, where it is not to be guessed.

    Raises:
        UnreadableError: It cannot be read or is not understood.
    """
    words = [_as_utf8(word) for word in words]
    if len(words) > 1 and words[0] != "curl":
        raise UnreadableError(
            f"{words[0]!r} and what follows it ({len(words) - 1}) are not understood; give {_WHAT}. "
            "Options of preview come before the curl command"
        )
    if len(words) == 1 and words[0].lstrip().startswith("curl "):  # all of it within quotes
        return _read_text(words[0].encode(), form)
    return [curl.read(words)] if words and words[0] == "curl" else _read_text(_input(words[0] if words else "-"), form)


def _as_utf8(word: str) -> str:
    """Return an argument as UTF-8, which Python could not read in a locale without it."""
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def with_response(exchange: Exchange, file: Path) -> Exchange:
    """Return an exchange with the response that a file holds.

    Raises:
        UnreadableError: It cannot be read.
    """
    return dataclasses.replace(exchange, reply=read_reply(_input(str(file))))


def _read_text(data: bytes, form: Format | None) -> list[Exchange]:
    form = form or _guess(data)
    if form == "http":
        return [read_wire(data)]
    text = data.decode("utf-8-sig", "replace")
    if form == "har":
        return read_har(text)
    words = curl.split(text.lstrip().removeprefix("$ "))
    if not words or words[0] != "curl":
        raise UnreadableError("the curl command should begin with curl")
    return [curl.read(words)]


def _guess(data: bytes) -> Format:
    start = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"{"):
        return "har"
    if start.removeprefix(b"$ ").startswith(b"curl"):
        return "curl"
    if looks_like(start):
        return "http"
    raise UnreadableError(f"this is not understood{' (it is empty)' if not start else ''}; give {_WHAT}")


def _input(name: str) -> bytes:
    if name == "-":
        if sys.stdin.isatty():
            sys.stderr.write(f"Paste {_WHAT}, then press Ctrl-D:\n")
        return sys.stdin.buffer.read()
    try:
        return Path(name).expanduser().read_bytes()
    except OSError as error:
        hint = "; a URL needs curl before it" if "://" in name else f"; give {_WHAT}"
        raise UnreadableError(f"the file {name} cannot be read: {error.strerror}{hint}") from None
