"""One exchange as the request path leaves it, and the event that the worker makes of it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, cast

from otas_middleware._capture import Capture
from otas_middleware._capture.session import SessionInfo, fingerprint
from otas_middleware._capture.values import describe_exception
from otas_middleware._config.settings import OtasSettings
from otas_middleware._event.build import build
from otas_middleware._event.redact import redactor_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otas_middleware._event import BackendEvent
    from otas_middleware._event.redact import Redactor

DEFAULTS = OtasSettings()


class _OfTheDefaults:
    """The redactor of the default settings, as the worker gets it: what a test makes of it is not made beforehand."""

    def __getattr__(self, name: str) -> Any:
        return getattr(redactor_for(DEFAULTS), name)


REDACTOR = cast("Redactor", _OfTheDefaults())


def _segment(claims: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()


TOKEN = ".".join(
    (
        _segment({"alg": "HS256", "typ": "JWT"}),
        _segment(
            {"agent_session_id": "0f8c5f7e-1111-4222-8333-944445555666", "agent_id": "agent-1", "exp": 4102444800}
        ),
        "c2lnbmF0dXJlLW9mLXRoZS1zZXNzaW9uLXRva2VuLTEy",
    )
)
SESSION = SessionInfo(
    agent_id="agent-1",
    session_id="0f8c5f7e-1111-4222-8333-944445555666",
    verified=False,
    fingerprint=fingerprint(TOKEN),
    issued_at=None,
    expires_at=None,
    token=TOKEN,
)


def exchange(
    *,
    method: str = "POST",
    path: str = "/orders/42",
    query: bytes | str = b"",
    route: str | None = None,
    status: int = 200,
    request_headers: Sequence[tuple[str, str]] = (),
    request_body: bytes = b"",
    request_type: str | None = None,
    request_coding: str | None = None,
    response_headers: Sequence[tuple[str, str]] = (),
    response_body: bytes = b"",
    response_type: str | None = None,
    response_coding: str | None = None,
    limit: int = 65_536,
    error: Exception | None = None,
    with_traceback: bool = False,
    properties: Mapping[str, object] | None = None,
    framework: str = "starlette",
    session: SessionInfo = SESSION,
) -> Capture:
    """Return a finished capture; bodies pass in one piece, and `limit` bytes of each are kept."""
    capture = Capture(lambda _: None, session, limit=limit, with_traceback=with_traceback)
    capture.framework = framework
    capture.method = method
    capture.path = path
    capture.query_string = query
    capture.route = route
    capture.request_headers = _headers(request_headers, request_type, request_coding)
    capture.request.add(request_body)
    if properties is not None:
        capture.annotate(properties)
    if status:
        capture.started(status, _headers(response_headers, response_type, response_coding))
        capture.sent(response_body)
    if error is None and status:
        capture.ended()
    elif error is None:
        capture.disconnected = True  # the client went before there was an answer
    else:
        capture.exception = describe_exception(error, with_traceback=with_traceback)
    capture.finish()
    return capture


def event_of(capture: Capture, settings: OtasSettings = DEFAULTS) -> BackendEvent:
    """Return the event that is made of a capture."""
    envelope = build(capture, settings)
    assert envelope is not None
    return envelope.event


def posted(capture: Capture, settings: OtasSettings = DEFAULTS) -> bytes:
    """Return the bytes that would be posted to Brain."""
    return event_of(capture, settings).to_json()


def metadata(capture: Capture, settings: OtasSettings = DEFAULTS) -> dict[str, Any]:
    """Return the metadata of the event that is made of a capture."""
    return event_of(capture, settings).metadata


def _headers(
    headers: Sequence[tuple[str, str]], content_type: str | None, coding: str | None
) -> list[tuple[bytes, bytes]]:
    pairs = [(name.lower().encode("latin-1"), value.encode()) for name, value in headers]
    if content_type is not None:
        pairs.append((b"content-type", content_type.encode()))
    if coding is not None:
        pairs.append((b"content-encoding", coding.encode()))
    return pairs
