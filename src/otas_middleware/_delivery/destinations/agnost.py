"""Agnost: the same events in its terms, each behind the session that it belongs to.

One body satisfies both published forms of `capture-event`. A session is announced once, before its first event: the
process remembers those it has announced, and with a spool directory the processes of a host and their successors share
that memory.

| Agnost | here |
|---|---|
| `session_id` | the token's session |
| `primitive_type` | of MCP: `tool`, `resource` or `prompt`; else `tool` |
| `primitive_name` | its name; of other operations theirs; else method and route: `POST /orders/{order_id}` |
| `args` | of MCP: the arguments; else query and request body, as one JSON text |
| `result` | of MCP: the result; else the response body, as a JSON text |
| `success` | no `error` |
| `latency` | `latency_ms`, rounded |
| `timestamp` | `metadata.captured_at` |
| `checkpoints` | `metadata.checkpoints` |
| `event_id`, `parent_id` | ours |
| `metadata` | what else is known, as texts |
| of a session: `user_data` | the agent's id, as `user_id` and as `userId` |
| `client_config` | the name of the caller's software: of its MCP client, else of its User-Agent |
| `tools` | the names that the server's last `tools/list` told |
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from otas_middleware._delivery.protocols import DELIVERED, Outcome, Request, Response, Verdict, json_headers
from otas_middleware._delivery.retry import by_status
from otas_middleware._event.operation.exchange import as_list, as_object, as_text, parse_json
from otas_middleware._event.render.stream import stream_events
from otas_middleware._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from otas_middleware._delivery.destinations.announced_sessions import AnnouncedSessions
    from otas_middleware._event import BackendEvent, Envelope

_MOST_SESSIONS = 10_000
_MOST_SERVERS = 256

_ORGANISATION = "Check OTAS_AGNOST_ORG_ID: Agnost does not know this organisation."
_ADDRESS = "Check OTAS_AGNOST_URL: what answers there is not Agnost."


class AgnostDestination:
    """Agnost, for one organisation.

    Args:
        url: Agnost's base URL, without a trailing slash.
        organisation: The organisation's id.
        directory: Where to remember the announced sessions beyond this process; None remembers them here only.
    """

    name = "agnost"

    def __init__(self, url: str, organisation: str, directory: Path | None = None) -> None:
        self._session_url = f"{url}/api/v1/capture-session"
        self._event_url = f"{url}/api/v1/capture-event"
        self._headers = json_headers(("X-Org-Id", organisation))
        self._announced: OrderedDict[str, None] = OrderedDict()
        self._tools: OrderedDict[str, list[str]] = OrderedDict()  # by the path of the server that named them
        self._lock = threading.Lock()
        self._book: AnnouncedSessions | None = None
        if directory is not None:
            from otas_middleware._delivery.destinations.announced_sessions import AnnouncedSessions  # noqa: PLC0415  # sqlite3

            self._book = AnnouncedSessions(directory, f"{url} {organisation}")

    def prologue(self, envelope: Envelope, send: Callable[[Request], Outcome]) -> Outcome | None:
        """Announce the event's session, unless that has been done; return the outcome if it could not be."""
        self._note_tools(envelope.event)
        session = session_uuid(envelope.session_id)
        if session in self._announced:
            return None
        with self._lock:  # threads that send further events of this session wait for the announcement
            if session in self._announced:
                return None
            if self._book is None or self._book.claim(session):
                tools = self._tools.get(envelope.event.path, ())
                settle = None if self._book is None else self._book.release
                try:
                    outcome = send(self._request(self._session_url, session_body(envelope, tools)))
                    if outcome.verdict != Verdict.DELIVERED:
                        return outcome
                    settle = None if self._book is None else self._book.confirm
                finally:
                    if settle is not None:
                        settle(session)
            self._announced[session] = None
            while len(self._announced) > _MOST_SESSIONS:
                self._announced.popitem(last=False)
        return None

    def _note_tools(self, event: BackendEvent) -> None:
        tools = tools_told(event)
        if tools is not None:
            with self._lock:
                self._tools[event.path] = tools
                self._tools.move_to_end(event.path)
                while len(self._tools) > _MOST_SERVERS:
                    self._tools.popitem(last=False)

    def request(self, envelope: Envelope) -> Request:
        """Return the POST of one event. The session token stays here: it is Brain's business."""
        return self._request(self._event_url, event_body(envelope))

    def outcome(self, response: Response) -> Outcome:
        """Judge an answer: Agnost says an id for whatever it took."""
        if 200 <= response.status < 300:
            if b'"event_id"' in response.body or b'"session_id"' in response.body:
                return DELIVERED
            return Outcome(Verdict.MISCONFIGURED, f"http_{response.status}", _ADDRESS)
        outcome = by_status(response)
        if response.status == 401:
            return Outcome(Verdict.MISCONFIGURED, "unknown_organisation", _ORGANISATION, outcome.retry_after)
        return outcome

    def _request(self, url: str, body: dict[str, object]) -> Request:
        return Request(url, self._headers, json.dumps(body, ensure_ascii=False, allow_nan=False).encode())


_OWN_FIELDS = frozenset({"event_id", "parent_id", "captured_at", "checkpoints", "route"})
_PRIMITIVES = {"tools/call": "tool", "resources/read": "resource", "prompts/get": "prompt"}
_LARGEST = 2**53
"""Beyond this, JSON numbers lose precision in most readers."""


def session_uuid(session_id: str) -> str:
    """Return the session's id as the UUID that the second form demands; the same for the same session everywhere."""
    return _uuid(session_id) or str(uuid5(NAMESPACE_URL, f"otas:session:{session_id}"))


def session_body(envelope: Envelope, tools: Sequence[str] = ()) -> dict[str, object]:
    """Return the body of `capture-session` for the session that an envelope's event belongs to.

    Args:
        envelope: The session's first event.
        tools: The names of the tools that the called server is known to have.
    """
    agent = as_object(envelope.event.metadata.get("agent"))
    body: dict[str, object] = {
        "session_id": session_uuid(envelope.session_id),
        "user_data": {"user_id": envelope.agent_id, "userId": envelope.agent_id},
        "client_config": as_text(agent.get("name"))
        or as_text(agent.get("user_agent"))
        or f"otas-middleware/{__version__}",
        "connection_type": "http",
        "ip": "",
        "tools": list(tools),
        "metadata": {"source": envelope.source, "agent_id": envelope.agent_id},
    }
    moment = _milliseconds(envelope.event)
    if moment is not None:
        body["timestamp"] = moment
    return body


def event_body(envelope: Envelope) -> dict[str, object]:
    """Return the body of `capture-event`."""
    event = envelope.event
    about = event.metadata
    kind, name, args, result = _primitive(event)
    body: dict[str, object] = {
        "event_id": _uuid(about.get("event_id")) or str(uuid4()),
        "session_id": session_uuid(envelope.session_id),
        "primitive_type": kind,
        "primitive_name": name,
        "success": not event.error,
        "latency": min(_LARGEST, max(0, round(event.latency_ms))),
        "args": args,
        "result": result,
        "checkpoints": _checkpoints(about.get("checkpoints")),
        "metadata": _metadata(envelope),
    }
    moment = _milliseconds(event)
    if moment is not None:
        body["timestamp"] = moment
    parent = _uuid(about.get("parent_id"))
    if parent is not None:
        body["parent_id"] = parent
    return body


def tools_told(event: BackendEvent) -> list[str] | None:
    """Return the names of the tools that an event's `tools/list` told; None when it is none."""
    operation = as_object(event.metadata.get("operation"))
    if operation.get("protocol") != "mcp" or operation.get("method") != "tools/list" or event.error:
        return None
    tools = as_list(as_object(_last_message(event.response_body).get("result")).get("tools"))
    return [name for tool in tools if (name := as_text(as_object(tool).get("name")))]


def _primitive(event: BackendEvent) -> tuple[str, str, str, str]:
    """Return type, name, arguments and result of what was called."""
    about = event.metadata
    operation = as_object(about.get("operation"))
    protocol, target = operation.get("protocol"), as_text(operation.get("target"))
    kind = _PRIMITIVES.get(as_text(operation.get("method"))) if protocol == "mcp" else None
    if kind is not None and target:
        params = as_object(as_object(parse_json(event.request_body, partial=True)).get("params"))
        args: object = {"uri": params["uri"]} if "uri" in params else as_object(params.get("arguments"))
        answer = _last_message(event.response_body)
        result: object = answer.get("result", answer.get("error"))
        return kind, target, json.dumps(args, ensure_ascii=False), json.dumps(result, ensure_ascii=False)
    name = as_text(operation.get("name")) if protocol != "sse" else ""
    name = name or f"{event.method} {about.get('route') or event.path}"
    return "tool", name, _args(event), _as_json(event.response_body)


def _last_message(body: str) -> dict[str, Any]:
    """Return the last response in a body of JSON, or of an event stream."""
    texts = [data for _, data in stream_events(body)] or [body]
    for text in reversed(texts):
        message = as_object(parse_json(text, partial=True))
        if "result" in message or "error" in message:
            return message
    return {}


def _args(event: BackendEvent) -> str:
    parts: list[str] = []
    if event.query_params:
        parts.append(f'"query": {json.dumps(event.query_params, ensure_ascii=False)}')
    body = event.request_body or event.post_data
    if body:
        parts.append(f'"body": {_as_json(body)}')
    return "{" + ", ".join(parts) + "}"


def _as_json(text: str) -> str:
    """Return a text that is JSON as it is, and any other as a JSON string."""
    if not text:
        return "null"
    if text[0] in '{["-0123456789tfn':
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            return text
    return json.dumps(text, ensure_ascii=False)


def _checkpoints(found: object) -> list[dict[str, object]]:
    if not isinstance(found, list):
        return []
    points: list[dict[str, object]] = []
    for item in cast("list[object]", found):
        if not isinstance(item, dict):
            continue
        point = cast("dict[str, object]", item)
        moment, attributes = point.get("ms"), point.get("attributes")
        points.append(
            {
                "name": str(point.get("name", "")),
                "timestamp": round(moment) if isinstance(moment, int | float) else 0,
                "metadata": _texts(cast("dict[str, object]", attributes)) if isinstance(attributes, dict) else {},
            }
        )
    return points


def _metadata(envelope: Envelope) -> dict[str, str]:
    event = envelope.event
    known: dict[str, object] = {
        **event.custom_properties,
        **{name: value for name, value in event.metadata.items() if name not in _OWN_FIELDS},
        "path": event.path,
        "status_code": event.status_code,
        "agent_id": envelope.agent_id,
        "source": envelope.source,
    }
    if event.error:
        known["error"] = event.error
    return _texts(known)


def _texts(values: dict[str, object]) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        for name, value in values.items()
    }


def _milliseconds(event: BackendEvent) -> int | None:
    """Return the time of capture as Unix milliseconds, or None when the event does not say it."""
    try:
        return round(datetime.fromisoformat(str(event.metadata["captured_at"])).timestamp() * 1000)
    except (KeyError, ValueError, OverflowError):
        return None


def _uuid(value: object) -> str | None:
    try:
        return str(UUID(value)) if isinstance(value, str) else None
    except ValueError:
        return None
