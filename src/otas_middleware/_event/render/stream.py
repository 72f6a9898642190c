"""Event streams (server-sent events): how many events, and the text that a model streamed in them.

Understood are the chunks of OpenAI's Chat Completions, Completions and Responses, of the many servers that speak them,
and of Anthropic's Messages. A model's text comes in pieces, and a secret in it may be cut anywhere, so that no piece
looks like one: what is written in pieces is joined here, to be looked through as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pydantic_core import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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
        if not _hinted(body):
            self.events = sum(block.startswith("data:") or "\ndata:" in block for block in _blocks(body))
            return
        for _, data in stream_events(body):
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
        for block, data in stream_events(self._body):
            chunk = _parse(data)
            found = [piece for piece in _pieces(chunk) if piece.channel in unsafe]
            for piece in found:
                piece.holder[piece.key] = mask
            if found:
                names = [line for line in block.split("\n") if not line.startswith("data:")]
                block = "\n".join((*names, "data: " + to_json(chunk).decode()))  # noqa: PLW2901
            blocks.append(block + "\n\n")
        return "".join(blocks)


def stream_events(body: str) -> Iterator[tuple[str, str]]:
    """Yield each complete event that has data: as it stands, and its data."""
    for block in _blocks(body):
        if block.startswith("data: ") and "\n" not in block:
            yield block, block[6:]
            continue
        lines = [line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")]
        if lines:
            yield block, "\n".join(lines)


def _blocks(body: str) -> list[str]:
    """Return the complete events: what follows the last blank line is nothing, or cut off."""
    if "\r" in body:
        body = body.replace("\r\n", "\n").replace("\r", "\n")
    return body.split("\n\n")[:-1]


def _hinted(text: str) -> bool:
    """Say whether a model's pieces may be in it."""
    return '"delta"' in text or '"choices"' in text or '"completion"' in text


def _parse(data: str) -> dict[str, Any]:
    if not _hinted(data):
        return {}
    try:
        return _object(from_json(data))
    except ValueError:
        return {}


def _pieces(chunk: dict[str, Any]) -> list[Piece]:
    """Return what a chunk adds, and where in the chunk it stands."""
    return [piece for piece in _places(chunk) if isinstance(piece.holder.get(piece.key), str)]


def _places(chunk: dict[str, Any]) -> Iterator[Piece]:
    """Yield where a chunk may hold a piece."""
    kind = chunk.get("type")
    if "choices" in chunk:  # Chat Completions, Completions
        for choice in _objects(chunk["choices"]):
            yield from _places_in_choice(choice)
    elif kind == "content_block_delta":  # Messages
        delta = _object(chunk.get("delta"))
        for key in delta:
            if key != "type":
                yield Piece((key, chunk.get("index")), key == "text", delta, key)
    elif isinstance(kind, str) and kind.endswith(".delta"):  # Responses
        channel = kind, chunk.get("output_index"), chunk.get("content_index")
        yield Piece(channel, kind == "response.output_text.delta", chunk, "delta")
    elif kind == "completion":  # Text Completions
        yield Piece((kind,), True, chunk, "completion")  # noqa: FBT003  # its fields, in their order


def _places_in_choice(choice: dict[str, Any]) -> Iterator[Piece]:
    index = choice.get("index")
    delta = _object(choice.get("delta"))
    if "text" in choice:
        yield Piece(("text", index), True, choice, "text")  # noqa: FBT003  # as above
    for key in delta:
        if key != "role":
            yield Piece((key, index), key == "content", delta, key)
    if "tool_calls" in delta:
        for call in _objects(delta["tool_calls"]):
            channel = "arguments", index, call.get("index")
            yield Piece(channel, False, _object(call.get("function")), "arguments")  # noqa: FBT003  # as above


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    return [_object(item) for item in cast("list[object]", value)] if isinstance(value, list) else []
