"""What an event says beside its bodies: status, error, and the documented keys of `metadata`."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from functools import cache, lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from otas_middleware._capture.session import new_event_id
from otas_middleware._event.render import first_value
from otas_middleware._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otas_middleware._capture import Capture
    from otas_middleware._capture.values import CapturedException
    from otas_middleware._event.operation.exchange import Exchange
    from otas_middleware._event.operation.model import Operation
    from otas_middleware._event.redact import Masker
    from otas_middleware._event.render import Body, HeaderMap

SDK = {"name": "otas-middleware", "version": __version__}

# W3C Trace Context, section 3.2: version 00 has these fields and no others, later ones may have more, ff is none.
_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?"
)
_MAX_CLAIM = 2_048
_MAX_VERSION = 64
_PRODUCT = re.compile(r"([\w.!#$%&'*+^`|~-]{1,64})")
_COMPATIBLE = re.compile(r"compatible;\s*([\w.-]{1,64})")
_ADDRESS = re.compile(r"https?://[^\s\"?#;,]{1,256}")
_SIGNATURE = re.compile(r"(?:^|,)\s*[a-z*][\w.*-]*=(?=\()")
_PARAMETER = re.compile(r";\s*(keyid|tag)=\"([^\"]{0,128})\"")
_BOT_TAGS = frozenset(("web-bot-auth", "agent-browser-auth", "agent-payer-auth"))
_SCHEME = re.compile(r"[\w-]{1,32}")


def timestamp(seconds: float) -> str:
    """Return a Unix time in ISO 8601, with milliseconds."""
    thousandths = int(seconds * 1000)
    return f"{_second(thousandths // 1000)}.{thousandths % 1000:03d}+00:00"


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def status_of(capture: Capture) -> int:
    """Return the status; when no response was started, 500 after an exception and 499 when the client had gone."""
    if capture.status_code:
        return capture.status_code
    if capture.exception is not None:
        return 500
    return 499 if capture.aborted else 0


def failure_of(capture: Capture, status: int) -> tuple[str, str]:
    """Return what went wrong, as the name of a class of failure and a message; both empty when nothing did.

    The exception, or the status when it is 400 or above.
    """
    if capture.exception is not None:
        return capture.exception.type, capture.exception.message
    return ("", status_line(status, capture.reason)) if status >= 400 else ("", "")


def own_metadata(capture: Capture, exchange: Exchange, traceparent: str = "") -> dict[str, Any]:
    """Return the metadata that is made here and holds nothing that a client or an application wrote.

    Args:
        capture: The finished request.
        exchange: The same as text.
        traceparent: What names the trace where no header does.
    """
    ttfb = capture.ttfb
    metadata: dict[str, Any] = {
        "event_id": capture.event_id or new_event_id(),
        "captured_at": timestamp(capture.captured_at),
        "framework": capture.framework,
        "sdk": SDK,
        "session": {"fingerprint": capture.session.fingerprint, "verified": capture.session.verified},
        "ttfb_ms": None if ttfb is None else round(ttfb * 1000, 3),
    }
    if exchange.aborted:
        metadata["aborted"] = True
    if capture.parent_id:
        metadata["parent_id"] = capture.parent_id
    if traceparent or "traceparent" in exchange.request_headers:
        trace = _TRACEPARENT.fullmatch(exchange.header("traceparent") or traceparent)
        if trace is not None and not (trace["version"] == "00" and trace["more"]):
            metadata["trace_id"] = trace["trace"]
    return metadata


def is_long_lived(exchange: Exchange, operation: Operation | None) -> bool:
    """Say whether the response is open for as long as its caller wants it, so that its end says nothing of latency.

    An event stream that answers a GET, a subscription of a protocol, a long poll of Engine.IO. Every other stream has
    an end that somebody waits for.
    """
    if exchange.method == "GET" and exchange.response_media == "text/event-stream":
        return True
    if operation is not None and operation.long_lived:
        return True
    return "EIO=" in exchange.query and "transport=polling" in exchange.query


def agent_claims(headers: HeaderMap) -> dict[str, str]:
    """Return who the caller says it is, by its headers: claims, and none of them a secret."""
    claims = dict(_product(first_value(headers, "user-agent")[:_MAX_CLAIM])) if "user-agent" in headers else {}
    if not _CLAIMS.keys().isdisjoint(headers):
        for header, read in _CLAIMS.items():
            if header in headers:
                claims.update(read(first_value(headers, header)[:_MAX_CLAIM]))
    return claims


@lru_cache(maxsize=512)
def _product(user_agent: str) -> Mapping[str, str]:
    """Return the product that a User-Agent names: the compatible one of a browser's, else the first."""
    match = _COMPATIBLE.search(user_agent) or _PRODUCT.match(user_agent)
    return {"user_agent": match[1]} if match else {}


def _signature_agent(value: str) -> dict[str, str]:
    """Read the agent's address, a structured string (or a dictionary of these); its query is not kept."""
    match = _ADDRESS.search(value)
    return {"bot": match[0]} if match else {}


def _signature_input(value: str) -> dict[str, str]:
    """Read key id and tag of the agent's signature among several (RFC 9421, section 2.3), or of the first."""
    signatures = [dict(_PARAMETER.findall(text)) for text in _SIGNATURE.split(value)[1:]]
    found = next((one for one in signatures if one.get("tag") in _BOT_TAGS), signatures[0] if signatures else {})
    return {f"bot_{name}": found[name] for name in ("keyid", "tag") if found.get(name)}


def _ucp_agent(value: str) -> dict[str, str]:
    match = _ADDRESS.search(value)
    return {"ucp_profile": match[0]} if match else {}


def _payment(value: str) -> dict[str, str]:
    """Read the scheme of an x402 payment; of what pays, nothing is kept."""
    try:
        payment: Any = from_json(base64.b64decode(value + "=" * (-len(value) % 4)))
        scheme = payment.get("scheme") or payment["accepted"]["scheme"]
    except (ValueError, KeyError, AttributeError, TypeError):
        scheme = None
    return {"payment": scheme if isinstance(scheme, str) and _SCHEME.fullmatch(scheme) else "unknown"}


_CLAIMS: dict[str, Callable[[str], dict[str, str]]] = {
    "signature-agent": _signature_agent,
    "signature-input": _signature_input,
    "ucp-agent": _ucp_agent,
    "a2a-version": lambda value: {"a2a_version": value[:_MAX_VERSION]} if value else {},
    "payment-signature": _payment,
    "x-payment": _payment,
}


def _stream_of(capture: Capture) -> dict[str, Any]:
    """Return how a stream ended, and the milliseconds to its first event."""
    ended = "error" if capture.exception is not None else "aborted" if capture.aborted else "complete"
    about: dict[str, Any] = {"ended": ended}
    if capture.ttfb is not None:
        about["first_event_ms"] = round(capture.ttfb * 1000, 3)
    return about


def describe_bodies(capture: Capture, request: Body, response: Body, metadata: dict[str, Any]) -> None:
    """Say in the metadata what was cut off, and how a stream went.

    Args:
        capture: The finished request.
        request: Its body as text.
        response: The response's.
        metadata: The event's; changed.
    """
    if request.truncated is not None:
        metadata["truncated"] = {"request_body": request.truncated}
    if response.truncated is not None:
        metadata.setdefault("truncated", {})["response_body"] = response.truncated
    if response.kind == "events":
        metadata["stream"] = _stream_of(capture)


def describe_life(capture: Capture, metadata: dict[str, Any]) -> float:
    """Mark a response that is open for as long as its caller wants it; return the seconds until it began."""
    about = metadata.setdefault("stream", {"ended": "aborted" if capture.aborted else "complete"})
    about.update(long_lived=True, duration_ms=round(capture.latency * 1000, 3))
    began = capture.first_response
    return capture.latency if began is None else began


def foreign_metadata(capture: Capture) -> dict[str, Any]:
    """Return the metadata that others had a hand in: it is looked through before it leaves."""
    metadata: dict[str, Any] = {}
    if capture.exception is not None:
        metadata["exception"] = exception_record(capture.exception)
    if capture.checkpoints:
        metadata["checkpoints"] = [
            {"name": name, "ms": round(ms, 3), "attributes": attributes} for name, ms, attributes in capture.checkpoints
        ]
    return metadata


def exception_record(exception: CapturedException) -> dict[str, str]:
    """Return `metadata.exception`."""
    known = {"type": exception.type, "message": exception.message, "traceback": exception.traceback}
    return {name: text for name, text in known.items() if text is not None}


def route_of(capture: Capture) -> str | None:
    """Return the route's template, such as `/orders/{order_id}`, or None when no route matched."""
    if capture.route is None:
        return None
    mounts = capture.framework not in {"django", "flask"}
    return _template()(capture.path, capture.route, capture.path_params, mounts=mounts)


@cache
def _template() -> Callable[..., str | None]:
    """Return what makes templates: asked once, since an import costs more than a call, even of what is imported."""
    from otas_middleware._event.routes import template  # noqa: PLC0415  # for frameworks that have routes

    return template


def status_line(status: int, reason: str | None = None) -> str:
    """Return such as `404 Not Found`: spelt as the standard does, for Flask shouts; another reason is kept."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Client Closed Request" if status == 499 else "Error"
    return f"{status} {reason if reason and reason.lower() != phrase.lower() else phrase}"


def describe_stream(capture: Capture, body: Body, metadata: dict[str, Any], masker: Masker) -> Body:
    """Describe a stream of events or documents; return its body without the pieces of a secret that was cut up."""
    from otas_middleware._event.redact import MASK  # noqa: PLC0415  # for the few that are one
    from otas_middleware._event.render.stream import EventStream, in_lines  # noqa: PLC0415  # as above

    given = in_lines(body.text) if body.kind == "list" else body.text
    stream = EventStream(given, lines=body.kind != "events")
    text = stream.text()
    if text is not None or body.kind == "events":  # of lines, a model's alone, as Ollama's
        said = {"events": stream.events} if text is None else {"events": stream.events, "text": masker.text(text)}
        metadata["stream"] = {**_stream_of(capture), **metadata.get("stream", {}), **said}
    masked = stream.masked(masker.text, MASK)
    if body.kind == "list":
        masked = body.text if masked == given else "[" + masked.rstrip("\n").replace("\n", ",\n") + "]"
    return body._replace(text=masked)
