"""What is streamed in pieces: server-sent events and lines of JSON, and the text that a model writes in them.

A model's text comes in pieces, and a secret in it may be cut anywhere, so that no piece looks like one. Whatever the
model's provider calls them: texts that stand at the same place of one document after the other continue one another,
and are looked through as one.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pydantic_core import from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Channel = tuple[object, ...]

_TEXTS = frozenset(
    (
        ("choices", "delta", "content"),  # OpenAI's Chat Completions, and the many servers that speak them
        ("choices", "delta", "content", "text"),  # Mistral
        ("choices", "text"),  # Completions
        ("completion",),  # Anthropic's Text Completions
        ("candidates", "content", "parts", "text"),  # Gemini
        ("delta", "message", "content", "text"),  # Cohere
        ("message", "content"),  # Ollama
        ("response",),
        ("contentBlockDelta", "delta", "text"),  # Bedrock
        ("token", "text"),  # Text Generation Inference
    )
)
"""Where models' answers stand: not their reasoning, and not the arguments of tool calls."""
_TYPED_TEXTS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("delta", "text"): ("content_block_delta", "step.delta"),  # Anthropic's Messages, Gemini's Interactions
    ("delta",): ("response.output_text.delta", "text-delta", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_CHUNK"),
    ("",): ("0",),  # Vercel's AI SDK: `0:"…"`
}
_INDEXES = ("index", "output_index", "content_index")
_LABELS = frozenset(("role", "type", "object", "model", "finish_reason", "id", "event", "created_at", "done_reason"))
_MAX_DEPTH = 10
_MAX_LEAVES = 200
_HINT = re.compile(
    r"\"\w{0,32}(?:delta|choices|completion|content|text|message|response|parts|token|output|chunk|arguments|answer|data"
    r"|value)(?:Delta)?\"|\"v\"|^\d:\"|^data:[ ]?[^\s{\[]",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBERED = re.compile(r"([0-9a-z]):(?=[\"{\[])")


class _Piece(NamedTuple):
    """One piece of what is streamed: `holder[key]` of a document, and what it continues."""

    channel: Channel
    holder: Any
    key: Any


class EventStream:
    """What a stream's text holds.

    Args:
        body: The stream, or its beginning.
        lines: Its documents are its lines, as in NDJSON; else they are the data of server-sent events.

    Attributes:
        events: How many events with data, or lines, are complete in it.
        channels: Everything that was written in pieces, joined.
    """

    def __init__(self, body: str, *, lines: bool = False) -> None:
        self._separator = "\n" if lines else "\n\n"
        if "\r" in body:
            body = body.replace("\r\n", "\n").replace("\r", "\n")
        self._blocks = body.split(self._separator)
        self._lines = lines
        self.events = sum(map(self._has_data, self._blocks[:-1]))
        self.channels: dict[Channel, list[str]] = {}
        self._texts: list[Channel] = []
        if _HINT.search(body) is None:
            return
        for document in self._documents():
            for piece in _pieces(document):
                known = self.channels.setdefault(piece.channel, [])
                if not known and _is_text(piece, document):
                    self._texts.append(piece.channel)
                known.append(piece.holder[piece.key])

    def text(self) -> str | None:
        """Return the model's answer, or None when this is not a model's stream."""
        joined = ["".join(self.channels[channel]) for channel in self._texts]
        return "\n".join([text for text in joined if text]) or None  # one that began empty stands elsewhere

    def masked(self, redact: Callable[[str], str], mask: str) -> str:
        """Return the stream with the pieces masked of those texts in which, joined, a secret is found."""
        spans = {
            channel: _secret_pieces(pieces, redact, mask)
            for channel, pieces in self.channels.items()
            if len(pieces) > 1 and len(set(pieces)) > 1
        }
        unsafe = {channel: iter(secret) for channel, secret in spans.items() if any(secret)}
        if not unsafe:
            return self._separator.join(self._blocks)
        blocks: list[str] = []
        for block, document in zip(self._blocks, self._documents(), strict=True):
            found = [piece for piece in _pieces(document) if piece.channel in unsafe and next(unsafe[piece.channel])]
            for piece in found:
                piece.holder[piece.key] = mask
            blocks.append(self._written(block, document) if found else block)
        return self._separator.join(blocks)

    def _has_data(self, block: str) -> bool:
        return bool(block.strip()) if self._lines else _has_data(block)

    def _data(self, block: str) -> str:
        """Return the JSON or other text of an event or a line; empty when it has none."""
        return block.lstrip("\x1e") if self._lines else _data_of(block)

    def _documents(self) -> Iterator[dict[str, Any] | list[Any] | None]:
        """Yield what each block holds, or None for what is no JSON; the last block may have been cut off."""
        last = len(self._blocks) - 1
        for number, block in enumerate(self._blocks):
            data = self._data(block)
            numbered = _NUMBERED.match(data)
            text = data[2:] if numbered is not None else data
            parsed = _parsed(text, cut=number == last) if text[:1] in {"{", "[", '"'} else None
            if numbered is not None:
                yield {"type": numbered[1], "": parsed}
            elif self._lines or text[:1] in {"{", "["}:
                yield parsed
            else:  # the words themselves
                yield {"": text if parsed is None else parsed}

    def _written(self, block: str, document: Any) -> str:
        data = self._data(block)
        bare = "" in document and data[:1] not in {"{", "["}
        shown = json.dumps(document[""] if bare else document, ensure_ascii=block.isascii(), separators=(",", ":"))
        if self._lines:
            return block[: 2 if bare else block.find(data)] + shown
        names = [line for line in block.split("\n") if not line.startswith("data:")]
        return "\n".join((*names, "data: " + (document[""] if bare and data[:1] != '"' else shown)))


def in_lines(body: str) -> str:
    """Return a list of documents in lines; empty when it cannot be read."""
    documents = _parsed(body, cut=True) or ()
    return "".join(f"{json.dumps(document, ensure_ascii=body.isascii())}\n" for document in documents)


def stream_events(body: str) -> Iterator[tuple[str, str]]:
    """Yield each complete event of server-sent events that has data: as it stands, and its data."""
    if "\r" in body:
        body = body.replace("\r\n", "\n").replace("\r", "\n")
    for block in body.split("\n\n")[:-1]:
        if _has_data(block):
            yield block, _data_of(block)


def unfinished_data(body: str) -> str:
    """Return the data of the event in which the text of a stream ends, as far as it goes."""
    return _data_of(body.replace("\r\n", "\n").replace("\r", "\n").rpartition("\n\n")[2])


def _has_data(block: str) -> bool:
    return block.startswith("data:") or "\ndata:" in block


def _data_of(block: str) -> str:
    if block.startswith("data: ") and "\n" not in block:
        return block[6:]
    return "\n".join([line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")])


def _parsed(data: str, *, cut: bool) -> Any:
    try:
        return from_json(data, allow_partial="trailing-strings" if cut else False)
    except ValueError:
        pass
    try:
        return json.loads(data)  # which knows halves of surrogate pairs
    except (ValueError, RecursionError):
        return None


def _secret_pieces(pieces: list[str], redact: Callable[[str], str], mask: str) -> list[bool]:
    """Tell which of the pieces hold some of a secret that is found in the text that they make together."""
    text = "".join(pieces)
    masked = redact(text)
    if masked == text:
        return []
    spans = _masked_spans(text, masked, mask)
    secret: list[bool] = []
    start = 0
    for piece in pieces:
        end = start + len(piece)
        secret.append(bool(piece) and any(first < end and start < last for first, last in spans))
        start = end
    return secret


def _masked_spans(text: str, masked: str, mask: str) -> list[tuple[int, int]]:
    """Return spans of a text that hold at least what was masked in it.

    What stands between the masks is looked for from the text's beginning and from its end; where both do not agree, the
    larger span is meant.
    """
    kept = masked.split(mask)
    if not text.startswith(kept[0]) or not text.endswith(kept[-1]):
        return [(0, len(text))]
    ends = [len(kept[0])]
    for part in kept[1:-1]:
        at = text.find(part, ends[-1])
        if at < 0:
            return [(0, len(text))]
        ends.append(at + len(part))
    starts = [len(text) - len(kept[-1])]
    for part in reversed(kept[1:-1]):
        at = text.rfind(part, 0, starts[-1])
        if at < 0:
            return [(0, len(text))]
        starts.append(at)
    return list(zip(ends, reversed(starts), strict=True))


def _is_text(piece: _Piece, document: Any) -> bool:
    path = tuple(part for part in piece.channel[1:] if isinstance(part, str))
    if path in _TEXTS:
        return not piece.holder.get("thought")
    kind = _kind(document)
    return path in _TYPED_TEXTS and kind in _TYPED_TEXTS[path]


def _kind(document: Any) -> object:
    members = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    return members.get("type") or members.get("event_type")


def _pieces(document: Any) -> Iterator[_Piece]:
    """Yield the texts of a document that may continue those of the documents before it."""
    kind = _kind(document)
    channel = (kind if isinstance(kind, str) else None,)
    yield from _leaves(document, channel, _MAX_DEPTH)


def _leaves(value: Any, channel: Channel, depth: int) -> Iterator[_Piece]:
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        counts = _INDEXES if "token" not in members else ()  # of Text Generation Inference's tokens
        index = tuple(members[name] for name in counts if type(members.get(name)) is int)
        for key, item in members.items():
            if isinstance(item, str):
                if key not in _LABELS:
                    yield _Piece((*channel, *index, key), members, key)
            elif depth and isinstance(item, dict | list):
                yield from _leaves(item, (*channel, *index, key), depth - 1)
    elif isinstance(value, list):
        items = cast("list[object]", value)
        for at, item in enumerate(items[:_MAX_LEAVES]):
            if isinstance(item, str):
                yield _Piece((*channel, at), items, at)
            elif depth:
                yield from _leaves(item, (*channel, at), depth - 1)
