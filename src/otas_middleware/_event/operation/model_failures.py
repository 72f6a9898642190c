"""How the documents and the events of language models' services tell of a failure."""

from __future__ import annotations

from typing import Any

from otas_middleware._event.operation.exchange import as_list, as_object, as_text

_TEXTS = ("message", "detail", "errorText", "error")
_ENDED = "the answer ended with an error"


def failure_in(data: dict[str, Any]) -> tuple[str | int | None, str] | None:
    """Return code and text of the failure that a document or an event tells of; None when it tells of none."""
    error = _error_in(data)
    if error is None:
        return None
    details = as_object(error)
    code = details.get("code") or details.get("type")
    texts = [as_text(details.get(name)) for name in _TEXTS]
    message = next(filter(None, texts), as_text(error)) or "error"
    return code if isinstance(code, str | int) and not isinstance(code, bool) else None, message


def _error_in(data: dict[str, Any]) -> object | None:
    """Return what tells of a failure: a top-level `error`, or what a known protocol has instead."""
    error = data.get("error")
    if error and not isinstance(error, float):  # a measure
        return data if error is True else error
    kind = data.get("type")
    if kind == "error":  # the Vercel AI SDK's; the Responses API's
        known = isinstance(data.get("errorText"), str) or isinstance(data.get("sequence_number"), int)
        return data if known else None
    if kind == "response.failed":
        return as_object(data.get("response")).get("error") or data
    if kind == "RUN_ERROR":  # AG-UI's
        return data
    if isinstance(data.get("message"), str) and (
        data.get("object") == "error" or (data.get("event") == "error" and isinstance(data.get("status"), int))
    ):  # vLLM's of before; Dify's
        return data
    return _end_in(data)


def _end_in(data: dict[str, Any]) -> object | None:
    """Return the end of an answer that is a failure: Cohere's `ERROR`, Mistral's and OpenRouter's `error`."""
    delta = as_object(data.get("delta"))
    if delta.get("finish_reason") == "ERROR" or data.get("finish_reason") == "ERROR":
        return {"code": "ERROR", "message": as_text(delta.get("error")) or _ENDED}
    for choice in as_list(data.get("choices")):
        if as_object(choice).get("finish_reason") == "error":
            return as_object(choice).get("error") or {"code": "error", "message": _ENDED}
    return None
