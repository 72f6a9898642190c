"""What an answer of a language model says about itself: the model's name and how many tokens it took.

Understands the wire forms of OpenAI (chat completions, responses, embeddings), Anthropic (messages), Gemini, Mistral,
Cohere, Ollama and Bedrock (converse), and of the many services that copy them, by the shape of what was sent and
answered, not by host. Runs in the worker. The result's keys do not hold the word `token`, because values under such
names are taken for secrets and masked.

The counts mean the same whoever gave them: `input` is all that the model read, what came from a cache and what was
written to one included; `output` all that it wrote, its reasoning included; `total` is their sum where the service
says none.
"""

from __future__ import annotations

import json
import re
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from otas_middleware._event.operation.exchange import as_list, as_object, parse_json
from otas_middleware._event.operation.streams import PROMPTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MAX_NAME = 200
_MAX_DEPTH = 4
_WRAPPERS = ("response", "message", "delta", "metadata", "meta", "interaction")
"""Where streams, and Cohere, keep the object that holds a usage."""


class _Form(NamedTuple):
    """How one family of services names its counts.

    Attributes:
        counts: Their names, and ours.
        beside: Counts of ours that the service does not include in its `input`, and not in its `output`.
        marks: The names by any of which it is told; left out, all of them.
    """

    counts: Mapping[str, str]
    beside: Mapping[str, tuple[str, ...]]
    marks: tuple[str, ...] = ()


_OPENAI = _Form(
    {
        "prompt_tokens": "input",
        "input_tokens": "input",
        "completion_tokens": "output",
        "output_tokens": "output",
        "total_tokens": "total",
        "cached_tokens": "cached_input",
        "prompt_cache_hit_tokens": "cached_input",
        "cache_write_tokens": "cache_write",
        "reasoning_tokens": "reasoning",
    },
    {},
)
_ANTHROPIC = _Form(
    {
        "input_tokens": "input",
        "output_tokens": "output",
        "cache_read_input_tokens": "cached_input",
        "cache_creation_input_tokens": "cache_write",
        "thinking_tokens": "reasoning",
    },
    {"input": ("cached_input", "cache_write")},
    ("cache_read_input_tokens", "cache_creation_input_tokens"),
)
_GEMINI = _Form(
    {
        "promptTokenCount": "input",
        "toolUsePromptTokenCount": "tool_input",
        "candidatesTokenCount": "output",
        "totalTokenCount": "total",
        "cachedContentTokenCount": "cached_input",
        "thoughtsTokenCount": "reasoning",
        "total_input_tokens": "input",  # of the Interactions API
        "total_tool_use_tokens": "tool_input",
        "total_output_tokens": "output",
        "total_tokens": "total",
        "total_cached_tokens": "cached_input",
        "total_thought_tokens": "reasoning",
    },
    {"input": ("tool_input",), "output": ("reasoning",)},
    ("promptTokenCount", "totalTokenCount", "total_input_tokens"),
)
_BEDROCK = _Form(
    {
        "inputTokens": "input",
        "outputTokens": "output",
        "totalTokens": "total",
        "cacheReadInputTokens": "cached_input",
        "cacheWriteInputTokens": "cache_write",
    },
    {"input": ("cached_input", "cache_write")},
    ("inputTokens", "outputTokens"),
)
_OLLAMA = _Form({"prompt_eval_count": "input", "eval_count": "output"}, {})
_FORMS = (_ANTHROPIC, _GEMINI, _BEDROCK, _OLLAMA, _OPENAI)
_DETAILS = frozenset({"cached_tokens", "cache_write_tokens", "reasoning_tokens", "thinking_tokens"})
_ORDER = ("input", "output", "total", "cached_input", "cache_write", "reasoning")

_MODEL = re.compile(r'"model(?:Version)?"\s*:\s*"((?:[^"\\]|\\.){1,200})"')
_USAGE = re.compile(r'"(?:usage|usageMetadata)"\s*:\s*(?=\{)')
_PROMPT = re.compile(rf'"(?:{"|".join(PROMPTS)})"\s*:')
_PART = re.compile(r'name="?model"?\r\n(?:[^\r\n]+\r\n)*+\r\n([^\r\n]{1,200})\r')
_CONTENTS = re.compile(r'"(?:contents|messages|content|prompt)"\s*:')
_HINTS = ('"usage', '"model', "eval_count", '"tokens"', '"billed_units"')
_IN_PATH = re.compile(r"/models/([^/:]+):\w+$|/model/([^/]+)/(?:converse|invoke)[\w-]*$")
"""Gemini's and Bedrock's ways to say which model is asked."""


def describe(request: str, response: str, tail: str = "", path: str = "") -> dict[str, Any]:
    """Return `model` and `usage` where the call was one to a language model, else nothing.

    Args:
        request: The request body, or its beginning.
        response: The response body, or its beginning: a JSON document, lines of JSON, or server-sent events.
        tail: The end of a response that is longer than that.
        path: The path of the URL.

    Returns:
        `{"model": "…", "usage": {"input": 12, "output": 34, "total": 46}}`; in `usage` also `cached_input`,
        `cache_write` and `reasoning`, where the service says them. Either part may be missing.
    """
    given: dict[str, int] = {}
    form: _Form | None = None
    documents = [*_documents(response), *_documents(tail)]
    told = [usages for document in documents if (usages := list(_usages(document)))]
    in_text = [] if told and not tail else [[usage] for usage in _usages_in_text(response + "\n" + tail)]
    if response.lstrip().startswith("{") and max(len(told), len(in_text)) > 1:
        documents, told, in_text = [], [], []  # a list of answers, or the results of a batch: the usage of no one call
    for found in chain(*told, *in_text):
        form = _take(found, given, form)
    model = next((name for name in map(_model_of, reversed(documents)) if name), "")
    usage = {} if form is None else _normalised_counts(given, form)
    asked = _asked_model(request, path, certain=bool(usage))
    if not usage and not asked:
        return {}
    result: dict[str, Any] = {}
    if name := model or asked or _first_model(response):
        result["model"] = name
    if usage:
        result["usage"] = usage
    return result


def _documents(text: str) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON objects of a body: itself, its lines, or the data of each server-sent event."""
    stripped = text.lstrip()
    if stripped.startswith(("{", "[")):
        parsed = _parse(stripped)
        if parsed is not None:
            yield from parsed
            return
    for line in stripped.split("\n"):
        # Most events of a stream are pieces of text; only those that can say something are parsed.
        if any(hint in line for hint in _HINTS):
            yield from _parse(line.removeprefix("data:")) or ()


def _parse(text: str) -> list[Mapping[str, Any]] | None:
    """Return the objects of a JSON document: itself, or those of a list."""
    value = parse_json(text)
    if value is None:
        return None
    return list(filter(None, map(as_object, as_list(value) or [value])))


def _inner(document: Mapping[str, Any], depth: int = _MAX_DEPTH) -> Iterator[Mapping[str, Any]]:
    """Yield the document and what it is wrapped in."""
    yield document
    for name in _WRAPPERS if depth else ():
        if inner := as_object(document.get(name)):
            yield from _inner(inner, depth - 1)


def _model_of(document: Mapping[str, Any]) -> str:
    for part in _inner(document):
        value = part.get("model") or part.get("modelVersion")
        if isinstance(value, str):
            return value[:_MAX_NAME]
    return ""


def _usages(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for part in _inner(document):
        for name in ("usage", "usageMetadata"):
            if _form_of(usage := _all_counts(as_object(part.get(name)))) is not None:
                yield usage
        if "eval_count" in part or "prompt_eval_count" in part or "billed_units" in part:
            yield _all_counts(part)


def _all_counts(usage: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return all counts of a usage.

    Cohere keeps those that it billed, and all of them, in objects of their own; Anthropic lists what it took to shorten
    a conversation apart, and leaves it out elsewhere.
    """
    counts = {**usage, **(as_object(usage.get("tokens")) or as_object(usage.get("billed_units")))}
    for part in map(as_object, as_list(usage.get("iterations"))):
        for name in _ANTHROPIC.counts if part.get("type") == "compaction" else ():
            if _is_count(counts.get(name)) and _is_count(part.get(name)):
                counts[name] += part[name]
    return counts


def _usages_in_text(text: str) -> Iterator[Mapping[str, Any]]:
    """Yield the usage objects of a document that cannot be parsed, because its middle is missing, or it is binary."""
    decoder = json.JSONDecoder()
    for match in _USAGE.finditer(text):
        try:
            yield from _usages({"usage": decoder.raw_decode(text, match.end())[0]})
        except (ValueError, RecursionError):
            continue


def _take(usage: Mapping[str, Any], given: dict[str, int], before: _Form | None) -> _Form | None:
    """Add the counts of a usage to those that came before it in a stream; return whose form they are in."""
    form = _form_of(usage)
    if form is None or (form is _OPENAI and before is not None):  # whose names Anthropic's later counts have too
        form = before
    if form is None:
        return None
    for name, value in _named(usage):
        ours = form.counts.get(name)
        if ours is not None and _is_count(value):
            given[ours] = int(value)
    return form


def _named(usage: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from usage.items()
    for key, details in usage.items():
        if key.endswith("_tokens_details"):
            yield from ((name, value) for name, value in as_object(details).items() if name in _DETAILS)


def _form_of(usage: Mapping[str, Any]) -> _Form | None:
    return next((form for form in _FORMS if not usage.keys().isdisjoint(form.marks or form.counts)), None)


def _normalised_counts(given: dict[str, int], form: _Form) -> dict[str, int]:
    usage = dict(given)
    for name, beside in form.beside.items():
        if name in usage:
            usage[name] += sum(given.get(other, 0) for other in beside)
    if "output" in usage and sum(usage.get(name, 0) for name in ("input", "output", "reasoning")) == usage.get("total"):
        usage["output"] = usage["total"] - usage.get("input", 0)  # xAI's, which counts the reasoning beside it
    if {"input", "output"} <= usage.keys() and ("total" not in usage or form is _BEDROCK):
        usage["total"] = usage["input"] + usage["output"]
    return {name: usage[name] for name in _ORDER if name in usage}


def _is_count(value: object) -> bool:
    """Say whether this is a count; Cohere's interface has them as numbers of any kind: `9.0`."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53 and value == int(value)


def _asked_model(request: str, path: str, *, certain: bool) -> str:
    """Return the model that a request asks for.

    Args:
        request: The request body, or its beginning.
        path: The path of the URL.
        certain: It is a request to a model; else it has to look like one.
    """
    parsed = _parse(request) if request.lstrip().startswith("{") else None
    if parsed:
        value = parsed[0].get("model")
        if isinstance(value, str) and (certain or not PROMPTS.isdisjoint(parsed[0])):
            return value[:_MAX_NAME]
    elif certain or _PROMPT.search(request) is not None:
        match = _MODEL.search(request) or _PART.search(request)
        if match is not None:
            return match[1]
    in_path = _IN_PATH.search(path)
    if in_path is None or not (certain or _CONTENTS.search(request)):
        return ""
    return (in_path[1] or in_path[2])[:_MAX_NAME]


def _first_model(text: str) -> str:
    match = _MODEL.search(text)
    return match[1] if match is not None else ""
