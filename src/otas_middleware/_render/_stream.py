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
        return _object(from_json(data))
    except ValueError:
        return {}


def _pieces(chunk: dict[str, Any]) -> list[Piece]:
    """Return what a chunk adds, and where in the chunk it stands."""
    kind = chunk.get("type")
    found: list[Piece] = []
    if "choices" in chunk:  # Chat Completions, Completions
        for choice in _objects(chunk["choices"]):
            index = choice.get("index")
            delta = _object(choice.get("delta"))
            found.append(Piece(("text", index), is_text=True, holder=choice, key="text"))
            found += (Piece((key, index), key == "content", delta, key) for key in delta if key != "role")
            found += (
                Piece(
                    ("arguments", index, call.get("index")),
                    is_text=False,
                    holder=_object(call.get("function")),
                    key="arguments",
                )
                for call in _objects(delta.get("tool_calls"))
            )
    elif kind == "content_block_delta":  # Messages
        delta = _object(chunk.get("delta"))
        found += (Piece((key, chunk.get("index")), key == "text", delta, key) for key in delta if key != "type")
    elif isinstance(kind, str) and kind.endswith(".delta"):  # Responses
        channel = (kind, chunk.get("output_index"), chunk.get("content_index"))
        found.append(Piece(channel, kind == "response.output_text.delta", chunk, "delta"))
    elif kind == "completion":  # Text Completions
        found.append(Piece((kind,), is_text=True, holder=chunk, key="completion"))
    return [piece for piece in found if isinstance(piece.holder.get(piece.key), str)]


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    return [_object(item) for item in cast("list[object]", value)] if isinstance(value, list) else []
