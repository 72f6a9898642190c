"""What an answer of a language model says about itself: the model's name and how many tokens it took.

Understands the wire formats of OpenAI (chat completions, responses, embeddings) and Anthropic (messages), and of the
many services that copy them, by the shape of what was sent and answered, not by host. Runs in the worker. The result's
keys do not hold the word `token`, because values under such names are taken for secrets and masked.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_COUNTS = {
    "prompt_tokens": "input",
    "input_tokens": "input",
    "completion_tokens": "output",
    "output_tokens": "output",
    "total_tokens": "total",
    "cache_read_input_tokens": "cached_input",
    "cache_creation_input_tokens": "cache_write",
}
_DETAILS = {"cached_tokens": "cached_input", "reasoning_tokens": "reasoning"}
_PROMPTS = frozenset({"messages", "input", "prompt"})
_MAX_NAME = 200
_MODEL = re.compile(r'"model"\s*:\s*"((?:[^"\\]|\\.){1,200})"')
_USAGE = re.compile(r'"usage"\s*:\s*(?=\{)')
_PROMPT = re.compile(r'"(?:messages|input|prompt)"\s*:')


def describe(request: str, response: str, tail: str = "") -> dict[str, Any]:
    """Return `model` and `usage` where the call was one to a language model, else nothing.

    Args:
        request: The request body, or its beginning.
        response: The response body, or its beginning: a JSON document, or server-sent events.
        tail: The end of a response that is longer than that.

    Returns:
        `{"model": "…", "usage": {"input": 12, "output": 34, "total": 46}}`; in `usage` also `cached_input`,
        `cache_write` and `reasoning`, where the service says them. Either part may be missing.
    """
    usage: dict[str, int] = {}
    model = ""
    for document in _documents(response):
        model = _model_of(document) or model
        for found in _usages(document):
            usage.update(_counts(found))
    if not usage or tail:
        for found in _usages_in_text(response + "\n" + tail):
            usage.update(_counts(found))
    asked = _asked_model(request)
    if not usage and not asked:
        return {}
    result: dict[str, Any] = {}
    name = model or asked or _first_model(response)
    if name:
        result["model"] = name
    if usage:
        if "total" not in usage and {"input", "output"} <= usage.keys():
            usage["total"] = usage["input"] + usage["output"]
        result["usage"] = usage
    return result


def ended_well(tail: str) -> bool:
    """Say whether a stream's end shows that the model had finished: clients close there without reading on."""
    return tail.rstrip().endswith("data: [DONE]") or "event: message_stop" in tail[-400:]


def _documents(text: str) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON objects of a body: itself, or the data of each server-sent event."""
    stripped = text.lstrip()
    if stripped.startswith("{"):
        parsed = _parse(stripped)
        if parsed is not None:
            yield parsed
        return
    for line in stripped.splitlines():
        # Most events of a stream are pieces of text; only those that can say something are parsed.
        if line.startswith("data:") and ('"usage"' in line or '"model"' in line):
            parsed = _parse(line[5:])
            if parsed is not None:
                yield parsed


def _parse(text: str) -> Mapping[str, Any] | None:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else None


def _inner(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the document and what streams wrap it in: OpenAI's `response`, Anthropic's `message`."""
    yield document
    for name in ("response", "message"):
        value = document.get(name)
        if isinstance(value, dict):
            yield cast("Mapping[str, Any]", value)


def _model_of(document: Mapping[str, Any]) -> str:
    for part in _inner(document):
        value = part.get("model")
        if isinstance(value, str):
            return value[:_MAX_NAME]
    return ""


def _usages(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for part in _inner(document):
        value = part.get("usage")
        if isinstance(value, dict):
            yield cast("Mapping[str, Any]", value)


def _usages_in_text(text: str) -> Iterator[Mapping[str, Any]]:
    """Yield the usage objects of a document that cannot be parsed, because its middle is missing."""
    decoder = json.JSONDecoder()
    for match in _USAGE.finditer(text):
        try:
            value: object = decoder.raw_decode(text, match.end())[0]
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield cast("Mapping[str, Any]", value)


def _counts(usage: Mapping[str, Any]) -> dict[str, int]:
    found = {name: usage[key] for key, name in _COUNTS.items() if _is_count(usage.get(key))}
    for key, details in usage.items():
        if key.endswith("_tokens_details") and isinstance(details, dict):
            values = cast("Mapping[str, Any]", details)
            found.update({name: values[kind] for kind, name in _DETAILS.items() if _is_count(values.get(kind))})
    return found


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _asked_model(request: str) -> str:
    """Return the model that a request asks for, if it looks like one to a language model."""
    body = _parse(request) if request.lstrip().startswith("{") else None
    if body is not None:
        value = body.get("model")
        return value[:_MAX_NAME] if isinstance(value, str) and not _PROMPTS.isdisjoint(body) else ""
    match = _MODEL.search(request)
    return match[1] if match is not None and _PROMPT.search(request) else ""


def _first_model(text: str) -> str:
    match = _MODEL.search(text)
    return match[1] if match is not None else ""
