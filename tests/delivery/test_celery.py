"""Delivery by Celery, over a real Redis and a real RabbitMQ."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
from cryptography.fernet import Fernet

from otas_middleware.localbrain import LocalBrain, Mode
from support.brokers import RabbitMQ, Redis
from support.delivery import Item, balance, eventually
from support.farm import Farm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.brokers import Broker

pytest.importorskip("celery")

LONG = 60.0
"""Seconds that a worker may take to start and to do its work on a busy machine."""

OTHER_MODES = (Mode.CAPTURE_FAILED, Mode.RESET, Mode.BUSY)


@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=pytest.mark.slow)], scope="session")
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("broker")
    with Redis(folder) if request.param == "redis" else RabbitMQ(folder) as running:
        yield running


@pytest.fixture
def farm(tmp_path: Path, broker: Broker) -> Iterator[Farm]:
    with LocalBrain() as brain:
        made = Farm(tmp_path, broker, brain)
        try:
            yield made
        finally:
            made.close()


def sent(farm: Farm, count: int, **values: object) -> list[str]:
    """Hand events to the broker and return their ids."""
    sender = farm.pipeline(**values)
    token = farm.brain.create_session()
    items = [Item(token=token) for _ in range(count)]
    for item in items:
        sender.put(item)
    assert sender.flush(LONG), sender.stats()
    stats = sender.stats()
    assert (stats["delivered"], stats["failures"], balance(stats)) == (count, {}, 0)
    return [item.event_id for item in items]


def stored(farm: Farm) -> list[str]:
    return [event["metadata"]["event_id"] for event in farm.brain.events()]


def test_events_arrive_by_workers_once(farm: Farm) -> None:
    expected = sent(farm, 30)
    assert farm.waiting() == 30
    assert farm.brain.events() == []
    farm.worker()
    eventually(lambda: len(stored(farm)) >= 30, LONG)
    time.sleep(0.5)
    assert sorted(stored(farm)) == sorted(expected)


def test_a_message_holds_no_key_and_with_a_spool_key_no_token(farm: Farm) -> None:
    token = farm.brain.create_session()
    key = Fernet.generate_key().decode()
    sender = farm.pipeline(spool_key=key)
    sender.put(Item(token=token))
    assert sender.flush(LONG)
    with farm.app.connection_for_read() as connection:
        message = connection.SimpleQueue(farm.queue).get(timeout=10)
        text = json.dumps([message.payload, message.headers])
        message.reject(requeue=True)
    assert farm.brain.sdk_key not in text
    assert token not in text
    farm.worker(OTAS_SPOOL_KEY=key)
    eventually(lambda: len(stored(farm)) == 1, LONG)


def test_while_brain_is_away_the_broker_keeps_the_events(farm: Farm) -> None:
    farm.brain.faults.down()
    expected = sent(farm, 20)
    farm.worker()
    eventually(lambda: "takes no events now" in farm.log(), LONG)
    time.sleep(1.0)
    farm.brain.faults.up()
    eventually(lambda: len(set(stored(farm))) == 20, LONG)
    assert sorted(stored(farm)) == sorted(expected)


@pytest.mark.parametrize(
    "mode", [Mode.OUTAGE, *(pytest.param(mode, marks=pytest.mark.slow) for mode in OTHER_MODES)], ids=str
)
def test_each_misbehaviour_is_survived(farm: Farm, mode: Mode) -> None:
    farm.brain.faults.inject(mode, times=4)
    expected = sent(farm, 6)
    farm.worker()
    eventually(lambda: len(set(stored(farm))) == 6, LONG)
    assert sorted(stored(farm)) == sorted(expected)


def test_a_worker_that_is_killed_in_mid_delivery_loses_nothing(farm: Farm) -> None:
    farm.brain.faults.slow_ms = 1500
    expected = sent(farm, 6)
    worker = farm.worker()
    eventually(lambda: farm.log().count("received") >= 2, LONG)
    time.sleep(0.3)
    farm.kill(worker)
    farm.brain.faults.slow_ms = 0
    farm.worker()
    eventually(lambda: set(stored(farm)) == set(expected), LONG)


def test_a_pool_process_that_is_killed_in_mid_delivery_loses_nothing(farm: Farm) -> None:
    farm.brain.faults.slow_ms = 1500
    expected = sent(farm, 4)
    worker = farm.worker()
    eventually(lambda: farm.log().count("received") >= 2, LONG)
    time.sleep(0.3)
    for child in _children(worker.pid):
        os.kill(child, signal.SIGKILL)
    farm.brain.faults.slow_ms = 0
    eventually(lambda: set(stored(farm)) == set(expected), LONG)


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123
        return [int(child) for child in file.read().split()]


def test_what_is_rejected_goes_to_the_dead_and_comes_back_from_there(farm: Farm) -> None:
    sender = farm.pipeline()
    item = Item(token="")  # Brain: missing_agent_session_token
    sender.put(item)
    assert sender.flush(LONG)
    farm.worker()
    eventually(lambda: "missing_agent_session_token" in farm.log(), LONG)
    eventually(lambda: farm.waiting(f"{farm.queue}.dead") == 1, LONG)
    with farm.app.connection_for_read() as connection:
        message = connection.SimpleQueue(f"{farm.queue}.dead").get(timeout=10)
        (payload,), *_ = message.payload
        assert payload["reason"] == "missing_agent_session_token"
        message.ack()
    # Somebody repairs it and puts it back into the dead-letter queue, where a worker tries it again.
    farm.app.send_task(
        "otas_middleware.deliver",
        args=({**payload, "token": farm.brain.create_session()},),
        queue=f"{farm.queue}.dead",
        ignore_result=True,
    )
    farm.worker(f"{farm.queue}.dead")
    eventually(lambda: stored(farm) == [item.event_id], LONG)


def test_a_bad_token_fills_no_queue(farm: Farm) -> None:
    sender = farm.pipeline()
    for _ in range(5):
        sender.put(Item(token="not.a.token"))
    assert sender.flush(LONG)
    farm.worker()
    eventually(lambda: farm.log().count("session token was refused") == 5, LONG)
    assert farm.waiting() == 0


def test_a_broker_outage_falls_back_to_the_spool(farm: Farm, tmp_path: Path) -> None:
    sender = farm.pipeline(spool_dir=tmp_path / "spool", connect_timeout=1.0, request_timeout=3.0)
    token = farm.brain.create_session()
    first = Item(token=token)
    sender.put(first)
    assert sender.flush(LONG)
    farm.broker.stop()
    try:
        items = [Item(token=token) for _ in range(20)]
        for item in items:
            sender.put(item)
        eventually(lambda: sender.stats()["spooled"] == 20, LONG)
        assert (sender.stats()["queued"], sender.stats()["dropped"]) == (0, {})
    finally:
        farm.broker.start()
    eventually(lambda: sender.stats()["delivered"] == 21, LONG)
    farm.worker()
    eventually(lambda: set(stored(farm)) == {item.event_id for item in (first, *items)}, LONG)


def test_what_a_task_captures_is_delivered_when_its_process_ends(farm: Farm) -> None:
    worker = farm.worker()
    farm.app.send_task(
        "capture",
        args=(farm.brain.url, farm.brain.sdk_key, farm.brain.create_session()),
        queue=farm.queue,
        ignore_result=True,
    )
    eventually(lambda: "succeeded" in farm.log(), LONG)
    worker.terminate()
    worker.wait(30)
    assert [event["path"] for event in farm.brain.events()] == ["/task"]


QUORUM: dict[str, object] = {
    "task_default_queue_type": "quorum",
    "task_create_missing_queue_type": "quorum",
    "task_create_missing_queue_exchange_type": "topic",
    "broker_transport_options": {"confirm_publish": True},
}
"""Quorum queues, as Celery's documentation has them; the delays of retries are then the broker's."""


@pytest.fixture
def quorum_farm(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with RabbitMQ(tmp_path_factory.mktemp("quorum")) as broker, LocalBrain() as brain:
        made = Farm(tmp_path, broker, brain, QUORUM)
        try:
            yield made
        finally:
            made.close()


@pytest.mark.slow
def test_over_quorum_queues_retries_hold_up_no_other_event_and_the_dead_are_buried_once(quorum_farm: Farm) -> None:
    farm = quorum_farm
    farm.brain.faults.inject(Mode.CAPTURE_FAILED, times=6)
    rejected = Item(token="")
    sender = farm.pipeline()
    sender.put(rejected)
    expected = sent(farm, 12)
    assert sender.flush(LONG)
    farm.worker(OTAS_MAX_RETRY_DELAY="20")
    eventually(lambda: len(set(stored(farm))) >= 6, LONG)
    eventually(lambda: set(stored(farm)) == set(expected), 2 * LONG)
    assert sorted(stored(farm)) == sorted(expected)
    dead = f"{farm.queue}.dead"
    eventually(lambda: farm.waiting(dead) == 1, LONG)
    farm.worker(dead, OTAS_MAX_RETRY_DELAY="1")
    eventually(lambda: farm.log().count("missing_agent_session_token") >= 3, LONG)
    assert farm.waiting(dead) <= 1
