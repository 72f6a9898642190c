"""What the documents list is what there is: keys of events, counters, reasons of losses, statuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient

import otas_middleware as otas
from docs.documents import ROOT
from otas_middleware import OtasSettings
from otas_middleware._delivery import Pipeline
from otas_middleware.asgi import OtasMiddleware
from otas_middleware.localbrain.faults import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otas_middleware.testing import RecordedEvents

AGENTS_OWN = {"origin", "parent_id"}


def listed(document: str, heading: str) -> set[str]:
    """Return the code words in the first column of the table under a heading."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    section = text.split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]
    first_cells = re.findall(r"^\| (`[^|]*)\|", section, re.MULTILINE)
    return {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}


def chunks() -> Iterator[bytes]:
    yield b'data: {"choices": [{"index": 0, "delta": {"content": "hi"}}]}\n\n'
    raise RuntimeError("mid-stream")


def test_the_metadata_keys_are_those_that_events_have(otas_events: RecordedEvents) -> None:
    app = FastAPI()

    def stream(rest: str) -> StreamingResponse:
        otas.checkpoint("begun")
        return StreamingResponse(chunks(), media_type="text/event-stream")

    app.add_api_route("/stream/{rest:path}", stream, methods=["POST"])
    app.add_middleware(OtasMiddleware, max_body_bytes=10)
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    with TestClient(app, raise_server_exceptions=False) as client:
        client.post(f"/stream/{'x' * 3000}", content=b"{}" * 10, headers={**trace, **otas_events.headers})
    leave_early(otas_events.token)
    assert {key for event in otas_events for key in event.metadata} == listed("events.md", "## Metadata") - AGENTS_OWN


def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
    return len


def leave_early(token: str) -> None:
    """Have a client go away from a WSGI application's stream after its first chunk."""
    from otas_middleware.wsgi import OtasMiddleware as Wrapped

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        return iter([b"a", b"b"])

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_X_OTAS_AGENT_SESSION_TOKEN": token}
    response: Any = Wrapped(app)(environ, start_response)
    next(iter(response))
    response.close()


def test_the_counters_are_those_of_stats() -> None:
    pipeline = Pipeline(OtasSettings(sdk_key="otas_abcd_secret"), lambda _item, _settings: None)
    own = set(pipeline.stats()) | (otas.stats().keys() & {"refused", "skipped", "internal_errors"}) | {"destinations"}
    assert listed("delivery.md", "## Counters") == own


def test_the_reasons_are_those_for_which_events_are_lost() -> None:
    delivery = ROOT / "src" / "otas_middleware" / "_delivery"
    code = "".join(path.read_text(encoding="utf-8") for path in delivery.rglob("*.py"))
    ways = (
        r'(?:lost|drop|evict|refuse)\((?:\w+, )?"(\w+)"',
        r'dropped\["(\w+)"\]',
        r'Decision\(Disposition\.LOST, [^)]*"(\w+)"\)',
    )
    reasons = {reason for way in ways for reason in re.findall(way, code)}
    assert listed("delivery.md", "## Losses") == reasons


_GATES = ("_capture/session.py", "_capture/selection.py", "_recorder.py")


def test_the_reasons_for_not_recording_are_those_in_the_code() -> None:
    package = ROOT / "src" / "otas_middleware"
    code = "".join((package / name).read_text(encoding="utf-8") for name in _GATES)
    refused = set(re.findall(r'_RefusedError\("(\w+)"\)|_refuse\("(\w+)"\)', code))
    skipped = set(re.findall(r'_skip\("(\w+)"\)', code))
    reasons = {name for pair in refused for name in pair if name} | skipped
    assert listed("troubleshooting.md", "## Recorded or not") == reasons


def test_the_local_brains_ways_to_misbehave_are_those_that_it_has() -> None:
    text = (ROOT / "docs" / "local-brain.md").read_text(encoding="utf-8")
    sentence = text.split("The modes are ", 1)[1].split(".", 1)[0]
    assert set(re.findall(r"`([a-z-]+)`", sentence)) == set(Mode)
