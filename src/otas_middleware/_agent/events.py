"""What an agent did becomes events: what `_event.build` makes of any capture, and what only the agent knows.

An answer that its client left early may have been complete all the same, as its protocol tells: at `[DONE]`, at an
event that says so, at the JSON-RPC response that was waited for. All of this runs in the worker.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from otas_middleware._agent.calls import Call
from otas_middleware._agent.llm import describe
from otas_middleware._capture.body import TAIL_BYTES
from otas_middleware._config.origins import DEFAULT_PORTS, in_url
from otas_middleware._event import BackendEvent
from otas_middleware._event.build import build, enveloped, finish_event
from otas_middleware._event.metadata import status_line, timestamp
from otas_middleware._event.operation.a2a import states_in
from otas_middleware._event.operation.exchange import (
    as_list,
    as_object,
    as_text,
    event_name,
    parse_json,
    server_sent_events,
)
from otas_middleware._event.operation.streams import LAST_EVENTS, failure_in, is_end
from otas_middleware._event.render import first_value, header_map
from otas_middleware._event.render.coding import DecodedEnd, undo_codings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otas_middleware._agent.calls import Item, Note
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._event import Envelope
    from otas_middleware._event.operation.exchange import ServerSentEvent

_HEAD_BYTES = 262_144
_BEGINS = re.compile(rb"event: ?endpoint[\r\n]")
_MAX_CODING = 100


def envelope_of(item: Item, settings: OtasSettings) -> Envelope | None:
    """Return the envelope of what the agent did; None when `before_send` withheld it."""
    return _call_envelope(item, settings) if isinstance(item, Call) else _note_envelope(item, settings)


def _note_envelope(note: Note, settings: OtasSettings) -> Envelope | None:
    """Return the envelope of what was described; None when `before_send` withheld it."""
    session = note.session
    metadata: dict[str, Any] = {
        **note.event.metadata,
        "event_id": note.event_id,
        "captured_at": timestamp(note.captured_at),
        "framework": "agent",
        "session": {"fingerprint": session.fingerprint, "verified": session.verified},
    }
    if note.parent_id is not None:
        metadata["parent_id"] = note.parent_id
    event = finish_event(note.event.model_copy(update={"metadata": metadata}), settings, session.token)
    return enveloped(event, settings, session, "agent")


def _call_envelope(call: Call, settings: OtasSettings) -> Envelope | None:
    """Return the envelope of a call; None when `before_send` withheld it.

    The path is the path part of the URL. `custom_properties` hold the host, and the model and usage of a language
    model's answer; `metadata` the origin and, within a tool, `parent_id`. A call without an answer has the status 0.
    """
    scheme, host_name, port, target = call.outgoing.location
    path, _, query = target.partition(b"?")
    call.path = unquote(path.decode("latin-1"))
    call.query_string = query
    answer, tail = _answer(call)
    request = call.request_body().decode("utf-8", "replace")
    if call.aborted and call.status_code and call.exception is None and _is_complete(call, request, tail or answer):
        call.complete = True
    host = _host(scheme, host_name.decode("ascii"), port)
    call.annotate({"host": host, **describe(request, answer, tail, call.path)})

    def complete(fields: dict[str, Any]) -> None:
        fields["metadata"]["origin"] = f"{scheme}://{host}"
        if not call.status_code:
            fields["status_code"] = 0  # nobody answered
            if call.exception is None:
                fields["error"] = "Cancelled before the answer came"

    envelope = build(call, settings, complete=complete)
    return None if envelope is None else replace(envelope, source="agent")


def _host(scheme: str, host: str, port: int | None) -> str:
    name = in_url(host)
    return name if port is None or port == DEFAULT_PORTS.get(scheme) else f"{name}:{port}"


def _answer(call: Call) -> tuple[str, str]:
    """Return an answer as text without its content coding: its beginning, and, of a longer one, its end."""
    body = call.response_body()
    coding = call.coding
    if not coding:
        end, gap = call.response.end()
        if gap:
            return body.decode("utf-8", "replace"), end.decode("utf-8", "replace")
        return (body + end).decode("utf-8", "replace"), ""
    decoded = undo_codings(body, coding, _HEAD_BYTES)
    ending = call.coded_end
    if ending is None:
        ending = DecodedEnd(coding, TAIL_BYTES)
        if decoded.cut or coding == "zstd":
            ending.add(body)
    if call.complete:
        refused = coding == "zstd" and bool(body) and ending.is_cut and _reads_zstd(call.outgoing.library)
    else:
        refused = decoded.broken or ending.broken
    if refused and call.exception is None:
        call.disconnected = False
        call.failed(DecodingError(coding))
    if not decoded.undone:
        return "", ""
    return decoded.data.decode("utf-8", "replace"), ending.bytes().decode("utf-8", "replace")


def _reads_zstd(library: str) -> bool:
    """Say whether a library decodes zstd, of which it wants the end too."""
    return library == "httpx2" or (library == "httpx" and find_spec("zstandard") is not None)


class DecodingError(Exception):
    """An answer is not in its content coding, or not to its end: httpx cannot decode it and raises.

    That happens above the transport, where nothing is seen but that the answer is read no further, if that.
    """

    def __init__(self, coding: str) -> None:
        super().__init__(f"The answer is not in the content coding that it names: {coding[:_MAX_CODING]}")


def _is_complete(call: Call, request: str, answer: str) -> bool:
    """Return whether an answer that the client left is complete by its protocol."""
    headers = header_map(call.response_headers)
    media = first_value(headers, "content-type").partition(";")[0].strip().lower()
    if call.method == "GET" and media == "text/event-stream":
        sent = header_map(call.request_headers)
        if "mcp-session-id" in sent or "mcp-protocol-version" in sent or _BEGINS.match(call.response_body()):
            return True  # MCP's stream of notifications, or of 2024-11-05, which ends when its client leaves
    return is_complete(media, request, answer)


def described(method: str, url: str, headers: Mapping[str, Mapping[str, str] | None], **fields: Any) -> BackendEvent:
    """Return the event, with what can be told from the rest filled in: path, query, host, sizes, error.

    Args:
        method: The HTTP method, or another word for what was done.
        url: The URL, or a path.
        headers: `request_headers` and `response_headers`, as far as they are known.
        **fields: The event's other fields.
    """
    parts = urlsplit(url)
    if parts.netloc:
        fields["custom_properties"] = {"host": parts.netloc.rpartition("@")[2], **fields.get("custom_properties", {})}
    for side in ("request", "response"):
        body = fields.get(f"{side}_body")
        if isinstance(body, str):
            fields.setdefault(f"{side}_size_bytes", len(body.encode("utf-8", "replace")))
    fields.setdefault("query_params", parts.query)
    status: int = fields["status_code"]
    fields["error"] = fields.get("error") or (status_line(status) if status >= 400 else "")
    fields.update({name: json.dumps(dict(values)) for name, values in headers.items() if values})
    return BackendEvent(path=unquote(parts.path) or "/", method=method, **fields)


_LAST_EVENTS = LAST_EVENTS | {"error", "complete", "end"}  # of all of them; GraphQL's; LangServe's
_STREAMING_CALLS = frozenset({"message/stream", "tasks/resubscribe", "SendStreamingMessage", "SubscribeToTask"})
"""Of A2A: each of their events is a response to the one request, and one that says so is the last."""
_LAST_STATES = frozenset({"completed", "failed", "canceled", "rejected", "input-required", "auth-required"})


def is_complete(media: str, request: str, answer: str) -> bool:
    """Return whether an answer is complete.

    Args:
        media: Its content type, without parameters, in lower case.
        request: The request body.
        answer: The answer, or the end of a long one.
    """
    if media == "text/event-stream":
        last = event_name(answer.replace("\r\n", "\n").rstrip("\n").rpartition("\n\n")[2])
        events = server_sent_events(answer + "\n\n")
        return last in _LAST_EVENTS or _ends_a_stream(events) or _answers_calls(request, events)
    if media in {"application/x-ndjson", "application/jsonl", "application/json-lines"}:
        return as_object(parse_json(answer.rstrip().rpartition("\n")[2])).get("done") is True
    if media == "application/vnd.amazon.eventstream":  # Bedrock; the last of its events has the usage
        return '"metrics"' in answer[-4096:] and '"usage"' in answer[-4096:]
    return media.endswith("json") and answer.lstrip()[:1] in {"{", "["} and parse_json(answer) is not None


def _ends_a_stream(events: list[ServerSentEvent]) -> bool:
    """Say whether the last event is one that ends a model's answer."""
    if not events:
        return False
    document = as_object(parse_json(events[-1].data))
    if as_text(document.get("type")) in _LAST_EVENTS:
        return True
    if "jsonrpc" not in document and failure_in(document) is not None:
        return True
    if "candidates" in document:  # Gemini
        return all(candidate.get("finishReason") for candidate in _objects(document["candidates"]))
    if "choices" not in document:
        return is_end(events[-1])
    begun: set[str] = set()
    finished: set[str] = set()
    for event in events:
        for choice in _objects(as_object(parse_json(event.data)).get("choices")):
            (finished if choice.get("finish_reason") else begun).add(str(choice.get("index")))
    return bool(finished) and begun <= finished


def _answers_calls(request: str, events: list[ServerSentEvent]) -> bool:
    """Say whether each JSON-RPC call of a request has its response among the events: MCP, A2A."""
    sent = parse_json(request)
    if sent is None and '"method"' in request:  # a call that was too long to be kept whole
        return _answers_any_call(request, events)
    calls = [call for call in (_objects(sent) or _objects([sent])) if "id" in call and "method" in call]
    answers = _answers(events)
    if not calls:
        return False
    for call in calls:
        mine = [message for message in answers if _is_to(message, call["id"])]
        if not mine or (call["method"] in _STREAMING_CALLS and not _is_last(mine[-1])):
            return False
    return True


def _is_to(message: Mapping[str, Any], number: object) -> bool:
    """Say whether a response is to a call; some servers give an id back as text, or none with an error."""
    return str(message.get("id")) == str(number) or (message.get("id") is None and "error" in message)


def _answers_any_call(request: str, events: list[ServerSentEvent]) -> bool:
    answers = _answers(events)
    goes_on = any(f'"{name}"' in request for name in _STREAMING_CALLS)
    return bool(answers) and (not goes_on or _is_last(answers[-1]))


def _answers(events: list[ServerSentEvent]) -> list[Mapping[str, Any]]:
    messages = [as_object(parse_json(event.data)) for event in events]
    return [message for message in messages if "jsonrpc" in message and message.keys() & {"result", "error"}]


def _is_last(message: Mapping[str, Any]) -> bool:
    """Say whether an event of A2A is the last: an error, a message, a final update, or a task in a last state."""
    if "error" in message:
        return True
    result = as_object(message.get("result"))
    if result.get("final") is True or result.get("kind") == "message" or "message" in result:
        return True
    return any(state in _LAST_STATES for state, _ in states_in(result))


def _objects(value: object) -> list[Mapping[str, Any]]:
    return list(filter(None, map(as_object, as_list(value))))
