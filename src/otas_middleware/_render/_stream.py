"""Event streams (server-sent events): how many events, and the text that a model streamed in them.

Understood are the chunks of OpenAI's Chat Completions, Completions and Responses, of the many servers that speak them,
and of Anthropic's Messages. A model's text comes in pieces, and a secret in it may be cut anywhere, so that no piece
looks like one: what is written in pieces is joined here, to be looked through as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HINTS = ('"delta"', '"choices"', '"completion"')


class Piece(NamedTuple):
    """One piece of what a model streams.

    Attributes:
        channel: What it continues: the same for all pieces of one text.
        is_text: The model's answer; not its reasoning, and not the arguments of a tool call.
        holder: The object of the chunk that holds it, under `key`.
        key: See `holder`.
    """

    channel: tuple[object, ...]
    is_text: bool
    holder: dict[str, Any]
    key: str


class EventStream:
    """What an event stream's text holds.

    Args:
        body: The stream, or its beginning.

    Attributes:
        events: How many events with data are complete in it.
        channels: Everything that was written in pieces, joined.
    """

    def __init__(self, body: str) -> None:
        self._body = body
        self.events = 0
        self.channels: dict[tuple[object, ...], list[str]] = {}
        self._texts: list[tuple[object, ...]] = []
        for _, data in _events(body):
            self.events += 1
            for piece in _pieces(_parse(data)):
                known = self.channels.setdefault(piece.channel, [])
                if piece.is_text and not known:
                    self._texts.append(piece.channel)
                known.append(piece.holder[piece.key])

    def text(self) -> str | None:
        """Return the model's answer, or None when this is not a model's stream."""
        if not self.channels:
            return None
        return "\n".join("".join(self.channels[channel]) for channel in self._texts)

    def masked(self, redact: Callable[[str], str], mask: str) -> str:
        """Return the stream with each piece masked that belongs to something in which, joined, a secret is found."""
        unsafe = {
            channel for channel, pieces in self.channels.items() if (text := "".join(pieces)) and redact(text) != text
        }
        if not unsafe:
            return self._body
        blocks: list[str] = []
        for block, data in _events(self._body):
            chunk = _parse(data)
            found = [piece for piece in _pieces(chunk) if piece.channel in unsafe]
            for piece in found:
                piece.holder[piece.key] = mask
            if found:
                names = [line for line in block.split("\n") if not line.startswith("data:")]
                block = "\n".join((*names, "data: " + to_json(chunk).decode()))  # noqa: PLW2901
            blocks.append(block + "\n\n")
        return "".join(blocks)


def _events(body: str) -> Iterator[tuple[str, str]]:
    """Yield each complete event that has data: as it stands, and its data."""
    blocks = body.replace("\r\n", "\n").replace("\r", "\n").split("\n\n")
    for block in blocks[:-1]:  # the last one is empty, or cut off
        lines = [line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")]
        if lines:
            yield block, "\n".join(lines)


def _parse(data: str) -> dict[str, Any]:
    if not any(hint in data for hint in _HINTS):
        return {}
    try:
        chunk = from_json(data)
    except ValueError:
        return {}
    return chunk if isinstance(chunk, dict) else {}


def _pieces(chunk: dict[str, Any]) -> list[Piece]:
    """Return what a chunk adds, and where in the chunk it stands."""
    kind = chunk.get("type")
    choices = chunk.get("choices")
    found: list[tuple[tuple[object, ...], bool, Any, str]] = []
    if isinstance(choices, list):  # Chat Completions, Completions
        for choice in filter(_is_object, choices):
            index = choice.get("index")
            found.append((("text", index), True, choice, "text"))
            delta = choice.get("delta")
            if _is_object(delta):
                found += [((key, index), key == "content", delta, key) for key in delta]
                calls = delta.get("tool_calls")
                for call in filter(_is_object, calls if isinstance(calls, list) else ()):
                    found.append((("arguments", index, call.get("index")), False, call.get("function"), "arguments"))
    elif kind == "content_block_delta":  # Messages
        delta = chunk.get("delta")
        if _is_object(delta):
            found += [((key, chunk.get("index")), key == "text", delta, key) for key in delta if key != "type"]
    elif isinstance(kind, str) and kind.endswith(".delta"):  # Responses
        channel = (kind, chunk.get("output_index"), chunk.get("content_index"))
        found.append((channel, kind == "response.output_text.delta", chunk, "delta"))
    elif kind == "completion":  # Text Completions
        found.append(((kind,), True, chunk, "completion"))
    return [
        Piece(*place)
        for place in found
        if _is_object(place[2]) and isinstance(place[2].get(place[3]), str) and place[3] != "role"
    ]


def _is_object(value: object) -> bool:
    return isinstance(value, dict)
