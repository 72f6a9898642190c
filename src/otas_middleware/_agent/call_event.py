"""From a finished call to its event: what `_event.build` makes of any capture, and what only the agent's side knows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from otas_middleware._agent.llm import describe, ended_well
from otas_middleware._event.build import build
from otas_middleware._event.limits import fit
from otas_middleware._event.render import all_values, header_map
from otas_middleware._event.render.coding import undo_codings

if TYPE_CHECKING:
    from otas_middleware._agent.call import Call
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._event.model import Envelope

_MAX_DECODED = 1_048_576
_DEFAULT_PORTS = {"http": 80, "https": 443}


def call_parcel(call: Call, settings: OtasSettings) -> Envelope | None:
    """Return the envelope of a call; None when `before_send` withheld it.

    The path is the path part of the URL. `custom_properties` hold the host, and the model and usage of a language
    model's answer; `metadata` the origin and, within a tool, `parent_id`. A call without an answer has the status 0.
    """
    outgoing = call.outgoing
    path, _, query = outgoing.target.partition(b"?")
    call.path = unquote(path.decode("latin-1"))
    call.query_string = query
    tail = call.tail.decode("utf-8", "replace")
    answer = _answer(call)
    if call.aborted and ended_well(tail or answer):
        call.complete = True
    host = _host(outgoing.scheme, outgoing.host, outgoing.port)
    request = call.request_body().decode("utf-8", "replace")
    call.annotate({"host": host, **describe(request, answer, tail)})
    envelope = build(call, settings)
    if envelope is None:
        return None
    fields = dict(envelope.event.__dict__)
    fields["metadata"] = metadata = {**fields["metadata"], "origin": f"{outgoing.scheme}://{host}"}
    if call.parent_id is not None:
        metadata["parent_id"] = call.parent_id
    if not call.status_code:
        fields["status_code"] = 0  # nobody answered
        if call.exception is None:
            fields["error"] = "Cancelled before the answer came"
    return replace(envelope, event=fit(fields), source="agent")


def _host(scheme: str, host: str, port: int | None) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port is None or port == _DEFAULT_PORTS.get(scheme) else f"{name}:{port}"


def _answer(call: Call) -> str:
    """Return the kept part of the answer as text, without its content coding where that is known."""
    coding = all_values(header_map(call.response_headers), "content-encoding")
    decoded = undo_codings(call.response_body(), coding, _MAX_DECODED)
    return decoded.data.decode("utf-8", "replace") if decoded.undone else ""
