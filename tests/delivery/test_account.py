"""The account: captured = delivered + spooled + dropped by reason + queued, whatever happens, at any moment."""

from __future__ import annotations

import itertools
import random
import socket
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import otas_middleware
from otas_middleware._delivery import Pipeline, Request, Response, TransportError
from otas_middleware._delivery.log import INTERVAL, DeliveryLog
from otas_middleware._runtime import runtime
from otas_middleware.localbrain import LocalBrain, Mode
from support import delivery as kit
from support.delivery import Item, RawServer, balance, build, created, eventually, pipeline, settings

if TYPE_CHECKING:
    from pathlib import Path

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._event import Envelope
    from support.delivery import Received

JSON = {"content-type": "application/json"}


def says(description: str) -> bytes:
    return b'{"status_description":"%s"}' % description.encode()


ANSWERS: dict[str, Response | TransportError] = {
    "created": Response(201, {}),
    "resent": Response(201, {}, resent=True),
    "bad json": Response(400, JSON, says("invalid_json")),
    "bad token": Response(401, JSON, says("invalid_or_expired_token")),
    "bad key": Response(401, JSON, says("invalid_sdk_key")),
    "failed": Response(500, JSON, says("event_capture_failed")),
    "busy": Response(503, {"retry-after": "0"}),
    "page": Response(404, {"content-type": "text/html"}, b"<html>"),
    "refused": TransportError("connection refused", sent=False),
    "lost": TransportError("timeout", sent=True),
}


class Script:
    """A transport that answers from a list, and then takes everything."""

    answers: ClassVar[list[str]] = []

    def __call__(self, _request: Request, _timeout: float) -> Response:
        answer = ANSWERS[self.answers.pop() if self.answers else "created"]
        if isinstance(answer, TransportError):
            raise TransportError(answer.cause, sent=answer.sent)
        return answer


def sometimes(item: Any, given_settings: OtasSettings) -> Envelope | None:
    """Build as always, except what is to be left out and what cannot be built."""
    if item.body == "filtered":
        return None
    if item.body == "broken":
        raise ValueError("a body that nobody can read")
    return build(item, given_settings)


ACTIONS = st.lists(
    st.sampled_from(["put", "put", "put", "filtered", "broken", "envelope", "burst", "flush", "wait", "close"]),
    min_size=1,
    max_size=25,
)


@pytest.mark.parametrize("spooled", [False, True])
@hypothesis_settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(actions=ACTIONS, answers=st.lists(st.sampled_from(sorted(ANSWERS)), max_size=40))
def test_the_account_balances_after_every_step(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    spooled: bool,
    actions: list[str],
    answers: list[str],
) -> None:
    monkeypatch.setattr(kit, "Script", Script, raising=False)
    monkeypatch.setattr(runtime, "behaviour", replace(runtime.behaviour, reraise=False))
    monkeypatch.setattr("otas_middleware._delivery.exporter.PATIENCE", 0.0)
    monkeypatch.setattr(Script, "answers", answers)
    values: dict[str, Any] = {
        "transport": "support.delivery:Script",
        "max_retry_delay": 0.01,
        "max_retries": 1,
        "queue_max_events": 6,
        "spool_dir": tmp_path_factory.mktemp("spool") if spooled else None,
    }
    sender = Pipeline(settings("http://brain.invalid", **values), sometimes)
    for number, action in enumerate(actions):
        token = f"token-{number % 3}"
        if action == "burst":
            for _ in range(10):
                sender.put(Item(token=token))
        elif action == "envelope":
            sender.put_envelope(Item(token=token).envelope())
        elif action == "flush":
            sender.flush(0.05)
        elif action == "wait":
            time.sleep(0.005)
        elif action == "close":
            sender.close(0.05)
        else:
            sender.put(Item(token=token, body=action))
        assert balance(sender.stats()) == 0
    answers.clear()
    eventually(lambda: sender.flush(0.5))
    sender.close(1.0)
    stats = sender.stats()
    assert (balance(stats), stats["queued"], stats["in_flight"]) == (0, 0, 0)
    assert stats["queued_bytes"] == 0
    assert stats["captured"] == sum(10 if action == "burst" else action in KINDS for action in actions)


KINDS = {"put", "envelope", "filtered", "broken"}


@pytest.mark.parametrize("spooled", [False, True])
def test_the_account_balances_while_threads_put_brain_fails_and_somebody_looks(tmp_path: Path, spooled: bool) -> None:
    chance = random.Random(7)
    with LocalBrain() as brain:
        sender = Pipeline(
            settings(
                brain.url,
                sdk_key=brain.sdk_key,
                queue_max_events=200,
                max_retry_delay=0.05,
                spool_dir=tmp_path / "spool" if spooled else None,
            ),
            build,
        )
        token = brain.create_session()
        imbalances: list[int] = []
        done = threading.Event()

        def put() -> None:
            for _ in range(400):
                sender.put(Item(token=token))
                time.sleep(0.0005)

        def look() -> None:
            while not done.wait(0.0005):  # the others shall get on, too
                imbalances.append(balance(sender.stats()))

        def disturb() -> None:
            while not done.wait(0.05):
                brain.faults.inject(
                    chance.choice([Mode.RESET, Mode.CAPTURE_FAILED, Mode.BUSY, Mode.RESET_AFTER]), times=2
                )

        threads = [threading.Thread(target=work) for work in (put, put, put, look, disturb)]
        for thread in threads:
            thread.start()
        for thread in threads[:3]:
            thread.join()
        done.set()
        for thread in threads[3:]:
            thread.join()
        brain.faults.clear()
        eventually(lambda: sender.flush(1.0) and sender.stats()["spooled"] == 0)
        stats = sender.stats()
        sender.close()
        assert len(imbalances) > 10
        assert set(imbalances) == {0}
        assert (stats["captured"], balance(stats), stats["queued"]) == (1200, 0, 0)
        if spooled:
            assert stats["delivered"] == 1200
        stored = [event["metadata"]["event_id"] for event in brain.events()]
        assert len(stored) - len(set(stored)) <= stats["possible_duplicates"]


def test_a_probe_that_an_end_interrupted_does_not_hold_up_what_comes_later() -> None:
    well = threading.Event()
    asked: list[None] = []

    def script(connection: socket.socket, _request: Received) -> bool | None:
        asked.append(None)
        if well.is_set():
            connection.sendall(created())
        elif len(asked) == 1:
            return False
        return None

    with RawServer(script) as server, pipeline(server.url) as sender:
        sender.put(Item())
        eventually(lambda: len(asked) == 2)  # the probe, which nobody answers
        sender.close(0.05)
        assert sender.stats()["dropped"] == {"exit": 1}
        well.set()
        sender.put(Item())
        assert sender.flush(kit.PATIENCE)
        assert sender.stats()["delivered"] == 1


def test_what_an_end_took_over_while_it_was_being_built_is_not_sent_as_well() -> None:
    building, go_on = threading.Event(), threading.Event()

    def slowly(item: Any, given_settings: OtasSettings) -> Envelope | None:
        building.set()
        go_on.wait(kit.PATIENCE)
        return build(item, given_settings)

    with LocalBrain() as brain:
        sender = Pipeline(settings(brain.url, sdk_key=brain.sdk_key), slowly)
        sender.put(Item(token=brain.create_session()))
        assert building.wait(kit.PATIENCE)
        sender.close(0.05)
        assert sender.stats()["dropped"] == {"exit": 1}
        go_on.set()
        sender.put(Item(token=brain.create_session(), path="/next"))
        assert sender.flush(kit.PATIENCE)
        assert [event["path"] for event in brain.events()] == ["/next"]
        sender.close()


def test_losses_are_told_to_the_callback_and_to_the_log_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[dict[str, Any], str]] = []

    def tell(summary: dict[str, Any], reason: str) -> None:
        told.append((summary, reason))

    with LocalBrain() as brain:
        brain.faults.down()
        with pipeline(brain.url, queue_max_events=10, on_loss=tell) as sender:
            for _ in range(50):
                sender.put(Item())
            eventually(lambda: sum(summary["count"] for summary, _ in told) == 40)
            assert {reason for _, reason in told} == {"queue_full"}
            assert told[-1][0] == {"count": told[-1][0]["count"], "destination": "brain", "total": 40}
            for _ in range(50):
                sender.put(Item())
            eventually(lambda: sum(summary["count"] for summary, _ in told) == 90)
            lines = [record.message for record in caplog.records if "were lost" in record.message]
            assert len(lines) == 1
            assert "OTAS_SPOOL_DIR" in lines[0]
    assert INTERVAL == 60.0


def test_losses_that_several_threads_report_are_told_once() -> None:
    told: list[int] = []
    log = DeliveryLog("brain", lambda summary, _reason: told.append(summary["count"]), lambda: 0)
    number = itertools.count(1)

    def report() -> None:
        for _ in range(5000):
            log.losses({"exit": next(number)})

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=report) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    log.losses({"exit": 20_000})
    assert sum(told) == 20_000


def test_a_callback_that_fails_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "behaviour", replace(runtime.behaviour, reraise=False))

    def fail(_summary: object, _reason: str) -> None:
        raise RuntimeError("the user's own fault")

    with LocalBrain() as brain, pipeline(brain.url, sdk_key=brain.sdk_key, on_loss=fail) as sender:
        sender.put(Item(token="not.a.token"))
        assert sender.flush(10)
        sender.put(Item(token=brain.create_session()))
        assert sender.flush(10)
        assert sender.stats()["delivered"] == 1


def test_a_summary_is_logged_at_the_interval(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "otas_middleware")
    with LocalBrain() as brain, pipeline(brain.url, sdk_key=brain.sdk_key, stats_interval=0.1) as sender:
        sender.put(Item(token=brain.create_session()))
        assert sender.flush(10)
        eventually(lambda: "brain: captured 1, delivered 1, spooled 0, dropped 0, queued 0" in caplog.text)


def test_without_an_interval_nothing_is_logged_while_all_is_well(caplog: pytest.LogCaptureFixture) -> None:
    otas_middleware.flush(10.0)  # what other tests have recorded in this process has its lines before
    caplog.set_level("DEBUG")
    with LocalBrain() as brain, pipeline(brain.url, sdk_key=brain.sdk_key) as sender:
        for _ in range(10):
            sender.put(Item(token=brain.create_session()))
        assert sender.flush(10)
    assert [record.message for record in caplog.records if record.name.startswith(("otas", "httpx", "httpcore"))] == []


def test_the_log_names_the_address_that_does_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"127.0.0.1:{listener.getsockname()[1]}"
    with pipeline(f"http://{place}") as sender:
        sender.put(Item())
        eventually(lambda: f"No answer came from {place}; otas-middleware doctor says why." in caplog.text)
