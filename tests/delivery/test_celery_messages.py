"""Whatever lies in the queue, the task ends well: it is delivered, tried again, or buried with its reason."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from otas_middleware._delivery.codec import UnreadableError, message_of, read_message, record_of
from otas_middleware._delivery.queue_item import built
from otas_middleware._delivery.transports import HttpAttempt
from support.delivery import SDK_KEY, Item, RawServer, answer, created, settings

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from types import ModuleType

    from support.delivery import Received

celery = pytest.importorskip("celery")


def good(token: str = "header.payload.signature") -> dict[str, Any]:
    envelope = Item(token=token).envelope()
    return message_of(record_of(built(envelope), envelope), "brain", None)


class Queues:
    """A worker's task over a broker in memory, and what it puts into the queues."""

    def __init__(self, worker: ModuleType, app: Any) -> None:
        self._worker = worker
        self._app = app

    def deliver(self, message: object, routing_key: str = "otas") -> None:
        """Run the task as a worker does for one message."""
        self._worker.deliver.push_request(
            args=(message,),
            kwargs={},
            delivery_info={"routing_key": routing_key},
            called_directly=False,
            retries=0,
            id="1",
        )
        try:
            self._worker.deliver.run(message)
        finally:
            self._worker.deliver.pop_request()

    def lies_in(self, queue: str) -> list[Any]:
        """Take everything out of a queue."""
        found: list[Any] = []
        with self._app.connection_for_read() as connection, connection.SimpleQueue(queue) as simple:
            while simple.qsize():
                message = simple.get(timeout=1)
                found.append(message.payload[0][0])
                message.ack()
        return found


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer(lambda connection, _: connection.sendall(created())) as running:
        yield running


@pytest.fixture
def queues(server: RawServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queues]:
    import otas_middleware.celery as worker

    app = celery.Celery("proj", broker="memory://", set_as_current=True)
    monkeypatch.setattr(worker, "HOLD", 0.0)
    worker.use(settings(server.url))
    found = Queues(worker, app)
    for queue in ("celery", "otas.dead"):
        found.lies_in(queue)  # the broker in memory is the process's
    yield found
    worker.use(None)
    app.close()


ABSENT = object()
BROKEN: dict[str, object] = {
    "None": None,
    "a list": [],
    "a number": 7,
    "a text": "event",
    "nothing": {},
    "a later version": {"version": 2},
    "no token": {"token": ABSENT},
    "a token that is none": {"token": 5},
    "a token with a line break": {"token": "a.b.c\r\nX-Evil: 1"},
    "a token beyond ASCII": {"token": "é€"},
    "a token that no text can hold": {"token": "\ud800"},
    "failures that are a text": {"failures": "abc"},
    "more failures than can be": {"failures": 10**9},
    "less failures than none": {"failures": -1},
    "failures that are true": {"failures": True},
    "a time of failure that is a text": {"failed_at": "abc", "failures": 99},
    "no destination": {"destination": ABSENT},
    "a destination that writes its own log": {"destination": "x\r\nFAKE LOG"},
    "a destination that is an object": {"destination": {"a": 1}},
    "a destination of others": {"destination": "elsewhere"},
    "an event that is a number": {"event": 5},
    "an event that is none": {"event": "{}"},
    "an event that is no JSON": {"event": "{"},
    "an event whose latency is endless": {"event": good()["event"].replace('"latency_ms":1.5', '"latency_ms":1e999')},
    "an event whose status is a text": {"event": good()["event"].replace('"status_code":200', '"status_code":"x"')},
    "a token that is encrypted with a key that is not here": {"sealed": True},
    "a session that is a list": {"session_id": []},
}


def broken(change: object) -> object:
    if change == {} or not isinstance(change, dict):
        return change
    fields = {**good(), **cast("dict[str, object]", change)}
    return {name: value for name, value in fields.items() if value is not ABSENT}


@pytest.mark.parametrize("name", BROKEN)
def test_a_malformed_message_is_buried_with_its_reason(
    queues: Queues, server: RawServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    queues.deliver(broken(BROKEN[name]))
    (buried,) = queues.lies_in("otas.dead")
    assert buried["reason"].startswith("unreadable: ")
    assert server.requests == []
    assert "\r\nFAKE LOG" not in caplog.text
    assert "payload.signature" not in caplog.text


ANY_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)


@hypothesis_settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(changes=st.dictionaries(st.sampled_from(sorted(good())), ANY_JSON, max_size=3))
def test_any_message_is_read_or_named(changes: dict[str, Any]) -> None:
    try:
        read = read_message({**good(), **changes}, None)
    except UnreadableError:
        return
    assert read.item.envelope is not None
    assert isinstance(read.destination, str)
    assert read.failures >= 0


def test_a_good_message_is_delivered(queues: Queues, server: RawServer) -> None:
    queues.deliver(good())
    (request,) = server.requests
    assert request.header("X-OTAS-SDK-KEY") == SDK_KEY
    assert json.loads(request.body)["path"] == "/orders/42"
    assert queues.lies_in("otas.dead") == []


@pytest.mark.parametrize(
    "routing_key", ["otas.dead", "0.0.0.1.0.1.otas.dead", "celery_delayed_27.otas.dead", "anything"]
)
def test_what_fails_again_from_the_dead_is_not_buried_twice(queues: Queues, routing_key: str) -> None:
    message = {**good(), "version": 9, "buried": True}
    with pytest.raises(celery.exceptions.Retry):
        queues.deliver(message, routing_key)
    assert [lying["version"] for lying in queues.lies_in("celery")] == [9]
    assert queues.lies_in("otas.dead") == []


def test_what_somebody_puts_back_from_the_dead_into_the_queue_is_buried_anew(queues: Queues) -> None:
    queues.deliver({**good(), "version": 9, "buried": True, "reason": "old"}, "0.0.1.otas")
    (buried,) = queues.lies_in("otas.dead")
    assert buried["reason"] == "unreadable: it has another version"


def test_a_fault_of_an_extension_is_the_events_own(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from otas_middleware._runtime import runtime

    def fail(*_: object) -> None:
        raise ValueError("oh")

    monkeypatch.setattr(runtime, "behaviour", replace(runtime.behaviour, reraise=False))
    monkeypatch.setattr(HttpAttempt, "prepare", fail)
    with pytest.raises(celery.exceptions.Retry):
        queues.deliver(good())
    queues.deliver({**good(), "failures": 99, "failed_at": 1.0})
    (buried,) = queues.lies_in("otas.dead")
    assert buried["reason"] == "internal_error"


def test_a_rejected_event_is_buried_under_brains_own_word(queues: Queues, server: RawServer) -> None:
    refusal = answer("400 Bad Request", b'{"status_description":"invalid_json"}')

    def refuse(connection: socket.socket, _request: Received) -> None:
        connection.sendall(refusal)

    server._script = refuse
    queues.deliver(good())
    (buried,) = queues.lies_in("otas.dead")
    assert (buried["reason"], buried["failures"], buried["failed_at"]) == ("invalid_json", 0, None)
