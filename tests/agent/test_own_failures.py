"""When the recording of an agent's call itself fails, wherever that is, the agent gets what it would have got."""

from __future__ import annotations

import gc
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from agent.callers import Caller, How, Result, bare
from agent.host import Host, drops, redirects, streams
from otas_middleware import _errors
from otas_middleware._agent import Core, calls
from otas_middleware._capture import Capture
from otas_middleware._capture.body import BoundedBody
from otas_middleware._runtime import runtime

if TYPE_CHECKING:
    from collections import Counter

    from otas_middleware.agent import AgentSession

PLACES: dict[str, tuple[Any, str]] = {
    "beginning": (calls.Call, "__init__"),
    "body": (BoundedBody, "add"),
    "start of the response": (Capture, "started"),
    "chunk": (Capture, "sent"),
    "end": (Capture, "ended"),
    "exception": (Capture, "failed"),
    "finish": (Capture, "finish"),
    "queue": (Core, "_submit"),
}
HOWS = {"whole": How(), "followed": How(follow=True), "streamed": How(stream=True), "left": How(stream=True, pieces=1)}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Swallow failures as production does, and return their counts; what other tests left is gone by then."""
    gc.collect()
    monkeypatch.setattr(runtime, "behaviour", replace(runtime.behaviour, reraise=False))
    monkeypatch.setattr(_errors, "counts", type(_errors.counts)())
    return _errors.counts


def outcome(result: Result, how: How) -> Result:
    """Return what has to be equal: how much is at hand when an answer is left is the network's affair."""
    return replace(result, body=b"") if how.pieces else result


@pytest.mark.filterwarnings("ignore:Async generator")  # httpx, trio
@pytest.mark.parametrize("place", PLACES)
def test_a_failure_of_ours_is_counted_and_the_agent_gets_what_it_would_have_got(
    caller: Caller,
    place: str,
    session: AgentSession,
    outside: Host,
    counted: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a mistake of ours")

    unraisable: list[str] = []  # what a finalizer raises; httpx's own on trio say something too

    def note(seen: sys.UnraisableHookArgs) -> None:
        unraisable.append(repr(seen.exc_value))

    monkeypatch.setattr(sys, "unraisablehook", note)
    urls = [
        outside.on("/", streams([b"one", b"two", b"three"])),
        outside.on("/away", redirects("/")),
        outside.on("/gone", drops),
    ]
    monkeypatch.setattr(*PLACES[place], fail)
    for url in urls:
        for how in HOWS.values():
            for body in ({}, {"content": b"asked"}, {"content": [b"asked ", b"in pieces"]}):
                expected = outcome(caller.call(bare, "POST", url, how, **body), how)
                got = outcome(caller.call(session.instrument, "POST", url, how, **body), how)
                assert got == expected, (url, how, body)
    gc.collect()
    assert not [seen for seen in unraisable if "ZeroDivisionError" in seen]
    assert counted
    session._core.exporter.under_way.clear()  # what could not be finished
