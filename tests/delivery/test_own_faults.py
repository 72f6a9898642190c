"""Whatever goes wrong with one event is that event's own fault: it is counted, and nothing else notices."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import otas_middleware._errors as internal_errors
from otas_middleware._capture import Capture
from otas_middleware._capture.session import TokenGate
from otas_middleware._delivery import Pipeline, Request, Response
from otas_middleware._event.build import build as build_event
from otas_middleware.localbrain import LocalBrain
from support.delivery import Item, balance, build, eventually, pipeline, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._event import Envelope

pytestmark = pytest.mark.usefixtures("as_in_production")


class Odd:
    """An object of the application's own, as unhelpful as can be."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__

    def __len__(self) -> int:
        raise RuntimeError("no length")

    def __sizeof__(self) -> int:
        raise RuntimeError("no size")

    def __iter__(self) -> Iterator[object]:
        raise RuntimeError("no parts")

    def __bool__(self) -> bool:
        raise RuntimeError("neither")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not equal")

    __hash__ = None  # type: ignore[assignment]


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.sampled_from(["\ud800", "\0", "x" * 5000, math.inf, 1j]),
    st.builds(lambda: 10**5000),  # longer than Python turns into text
    st.builds(object),
    st.builds(Odd),
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.lists(st.tuples(inner, inner), max_size=3),
        st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ),
    max_leaves=8,
)
NAMES = sorted(name for name in Capture.__slots__ if not name.startswith("_"))


@pytest.fixture(scope="module")
def at() -> Iterator[LocalBrain]:
    with LocalBrain() as brain:
        yield brain


@pytest.mark.no_cover  # tracing doubles its time, and other tests run the same lines under coverage
@pytest.mark.parametrize("spooled", [False, True])
@hypothesis_settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(values=st.dictionaries(st.sampled_from(NAMES), ANYTHING, min_size=1, max_size=4), raw=st.binary(max_size=40))
def test_whatever_lies_in_a_capture_or_a_token_the_account_balances_and_good_events_leave(
    at: LocalBrain,
    tmp_path_factory: pytest.TempPathFactory,
    spooled: bool,
    values: dict[str, Any],
    raw: bytes,
) -> None:
    arrived: set[object] = set()
    folder = tmp_path_factory.mktemp("spool")
    sender = Pipeline(
        settings(
            at.url,
            sdk_key=at.sdk_key,
            max_retry_delay=0.05,
            max_retries=1,
            spool_dir=folder / "s" if spooled else None,
            durability="spool" if spooled else "memory",
        ),
        build_event,
        on_delivered=lambda envelope, _: arrived.add(envelope.event.path),
    )
    token = at.create_session()
    good = f"/{uuid4()}"
    try:
        sender.put(capture(token, "/odd", values))
        sender.put(capture(token, "/token", {}, raw=raw))
        sender.put(capture(token, good, {}))
        assert balance(sender.stats()) == 0
        eventually(lambda: good in arrived)
        stats = sender.stats()
        assert balance(stats) == 0
        assert stats["captured"] == 3
        assert stats["state"] == "ok"
    finally:
        sender.close(0.0)


def capture(token: str, path: str, values: dict[str, Any], raw: bytes | None = None) -> Capture:
    """Return a finished capture with some attributes that are not what they should be."""
    session = TokenGate().admit(token, time.time())
    assert session is not None
    if raw is not None:
        session = dataclasses.replace(session, token=raw.decode("latin-1"))
    made = Capture(lambda _capture: None, session, 1000, False)
    made.framework, made.method, made.path = "wsgi", "GET", path
    made.request_headers = [("Accept", "text/html")]
    made.started(200, [("Content-Type", "text/plain")])
    made.sent(b"ok")
    made.ended()
    made.finish()
    for name, value in values.items():
        setattr(made, name, value)
    return made


class Unweighable:
    """What a request left that cannot be weighed."""

    session_id = "session-1"
    token = "header.payload.signature"

    @property
    def weight(self) -> int:
        raise TypeError("object of type 'int' has no len()")


@pytest.mark.parametrize("destinations", [(), ("support.delivery:Archive",)])
def test_an_event_that_cannot_be_weighed_is_counted_with_its_place(destinations: tuple[str, ...]) -> None:
    before = internal_errors.counts["delivery.weigh"]
    with LocalBrain() as brain, pipeline(brain.url, sdk_key=brain.sdk_key, destinations=destinations) as sender:
        sender.put(Unweighable())
        sender.put(Item(token=brain.create_session()))
        assert sender.flush(10)
        for stats in sender.stats_by_destination().values():
            assert (stats["delivered"], stats["dropped"], balance(stats)) == (1, {"internal_error": 1}, 0)
    assert internal_errors.counts["delivery.weigh"] > before


def test_an_event_that_cannot_be_stored_leaves_the_others_of_its_batch_on_disk(tmp_path: Path) -> None:
    def build_odd(item: Any, given_settings: OtasSettings) -> Envelope | None:
        made = build(item, given_settings)
        if made is not None and item.path == "/odd":
            made.event.custom_properties["x"] = object()  # as no `before_send` could leave it: it is fitted afterwards
        return made

    with LocalBrain() as brain:
        brain.faults.down()
        sender = Pipeline(settings(brain.url, sdk_key=brain.sdk_key, spool_dir=tmp_path / "spool"), build_odd)
        token = brain.create_session()
        for path in ("/a", "/odd", "/b"):
            sender.put(Item(path=path, token=token))
        eventually(lambda: sender.stats()["spooled"] == 2)
        assert sender.stats()["dropped"] == {"internal_error": 1}
        assert balance(sender.stats()) == 0
        brain.faults.up()
        eventually(lambda: sorted(event["path"] for event in brain.events()) == ["/a", "/b"])
        sender.close()


class Fragile:
    """A transport of the user's own that fails with certain events."""

    def __call__(self, request: Request, _timeout: float) -> Response:
        if b"/odd" in request.body:
            raise ValueError("oh")
        return Response(201, {})


def test_a_transport_that_raises_for_one_event_never_blames_the_destination(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("support.delivery.Fragile", Fragile, raising=False)
    with pipeline(
        "http://x.invalid", transport="support.delivery:Fragile", max_retries=1, max_retry_delay=0.01
    ) as sender:
        for number in range(50):
            sender.put(Item(path="/odd" if number % 2 else "/good"))
        assert sender.flush(10)
        stats = sender.stats()
        assert (stats["delivered"], stats["dropped"], stats["state"]) == (25, {"internal_error": 25}, "ok")
        assert stats["connections"] >= 1
        assert balance(stats) == 0


class Unplugged:
    """A transport that lets the network's failures through, as an outage makes them."""

    def __call__(self, _request: Request, _timeout: float) -> Response:
        raise ConnectionResetError


def test_a_transport_that_lets_the_networks_failures_through_tells_that_the_destination_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("support.delivery.Unplugged", Unplugged, raising=False)
    with pipeline("http://x.invalid", transport="support.delivery:Unplugged", max_retries=1) as sender:
        sender.put(Item())
        eventually(lambda: sender.stats()["state"] == "connection_failed")
        assert (sender.stats()["queued"], sender.stats()["dropped"]) == (1, {})


def test_a_transport_that_cannot_be_made_ends_no_thread_and_loses_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[None] = []

    class Late:
        def __init__(self) -> None:
            made.append(None)
            if len(made) < 3:
                raise RuntimeError("not yet")

        def __call__(self, _request: Request, _timeout: float) -> Response:
            return Response(201, {})

    monkeypatch.setattr("support.delivery.Late", Late, raising=False)
    with pipeline("http://x.invalid", transport="support.delivery:Late") as sender:
        sender.put(Item())
        eventually(lambda: sender.stats()["delivered"] == 1)
        assert len(made) == 3


def test_a_transport_that_cannot_be_closed_ends_its_thread_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Sticky:
        def __call__(self, _request: Request, _timeout: float) -> Response:
            return Response(201, {})

        def close(self) -> None:
            raise SystemExit

    monkeypatch.setattr("support.delivery.Sticky", Sticky, raising=False)
    failures = internal_errors.counts["delivery.close"]
    with pipeline("http://x.invalid", transport="support.delivery:Sticky") as sender:
        sender.put(Item())
        assert sender.flush(10)
    eventually(lambda: internal_errors.counts["delivery.close"] == failures + 1)
