"""Transports and destinations of one's own, metrics, and the examples in the documentation."""

from __future__ import annotations

import re
import sys
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from flask import Flask

import otas_middleware.delivery
from otas_middleware import _errors
from otas_middleware._delivery import Destination, Response, Verdict
from otas_middleware._errors import ConfigurationError
from otas_middleware._runtime import runtime
from otas_middleware.delivery import by_status
from otas_middleware.flask import Otas
from otas_middleware.localbrain import LocalBrain
from otas_middleware.testing import record_events, session_headers
from support.delivery import Item, RawServer, answer, created, eventually, pipeline

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from support.delivery import Received


def example(number: int) -> str:
    assert otas_middleware.delivery.__doc__ is not None
    found: list[str] = re.findall(r"```python\n(.*?)```", otas_middleware.delivery.__doc__, re.DOTALL)
    return found[number]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the user's that can be imported."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    package = tmp_path / f"shop_{tmp_path.name}"
    package.mkdir()
    (package / "__init__.py").touch()
    return package / "telemetry.py"


def test_the_documented_transport_sends_through_a_proxy(shop: Path) -> None:
    def proxy(connection: socket.socket, request: Received) -> None:
        assert request.data.startswith(b"POST http://brain.internal/api/v1/backend/log/sdk/ ")
        connection.sendall(created())

    with RawServer(proxy) as server:
        shop.write_text(example(0).replace("http://proxy.internal:3128", server.url))
        with pipeline("http://brain.internal", transport=f"{shop.parent.name}.telemetry:through_proxy") as sender:
            sender.put(Item())
            assert sender.flush(10)
            assert sender.stats()["delivered"] == 1
        sys.modules[f"{shop.parent.name}.telemetry"].client.close()


def test_the_documented_transport_survives_a_proxy_that_is_away(shop: Path) -> None:
    shop.write_text(example(0).replace("http://proxy.internal:3128", "http://127.0.0.1:9"))
    with pipeline("http://brain.internal", transport=f"{shop.parent.name}.telemetry:through_proxy") as sender:
        sender.put(Item())
        eventually(lambda: sender.stats()["failures"].get("ConnectError", 0) >= 2)
        assert sender.stats()["queued"] == 1
    sys.modules[f"{shop.parent.name}.telemetry"].client.close()


def test_the_documented_destination_gets_every_event_beside_brain(shop: Path) -> None:
    archived: list[bytes] = []

    def archive(connection: socket.socket, request: Received) -> None:
        archived.append(request.body)
        connection.sendall(answer("204 No Content"))

    with RawServer(archive) as server, LocalBrain() as brain:
        shop.write_text(example(1).replace("https://archive.example.com", server.url))
        own = f"{shop.parent.name}.telemetry:archive"
        with pipeline(brain.url, sdk_key=brain.sdk_key, destinations=own) as sender:
            token = brain.create_session()
            sender.put(Item(token=token))
            assert sender.flush(10)
            assert len(archived) == len(brain.events()) == 1
            assert token.encode() not in server.requests[0].data
            assert sender.stats()["destinations"]["archive"]["delivered"] == 1


def test_a_destination_may_be_made_by_a_function_of_the_settings(shop: Path) -> None:
    with RawServer(lambda connection, _: connection.sendall(answer("200 OK"))) as server:
        shop.write_text(
            example(1).replace("https://archive.example.com", server.url) + "\ndef make(settings): return Archive()\n"
        )
        own = f"{shop.parent.name}.telemetry:make"
        with pipeline("http://x.invalid", sdk_key=None, destinations=own) as sender:
            sender.put(Item())
            assert sender.flush(10)
            assert sender.stats()["delivered"] == 1


@pytest.mark.parametrize("name", ["nothing", "number", "partly"])
def test_what_is_no_destination_is_an_error_at_start(shop: Path, name: str) -> None:
    shop.write_text("number = 7\nclass partly:\n    name = 'x'\n    def __init__(self, settings): ...\n")
    with (
        pytest.raises(ConfigurationError, match=f"telemetry:{name}"),
        pipeline("http://x.invalid", destinations=f"{shop.parent.name}.telemetry:{name}"),
    ):
        pass


def test_two_destinations_of_one_name_are_an_error_at_start(shop: Path) -> None:
    shop.write_text(example(1))
    own = f"{shop.parent.name}.telemetry:archive"
    with pytest.raises(ConfigurationError, match="same name"), pipeline("http://x.invalid", destinations=(own, own)):
        pass


def test_a_destination_that_fails_is_no_worse_than_one_that_is_away(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "behaviour", replace(runtime.behaviour, reraise=False))
    shop.write_text(example(1).replace("return by_status(response)", "raise ValueError('oh')"))
    with RawServer(lambda connection, _: connection.sendall(answer("200 OK"))) as server, LocalBrain() as brain:
        shop.write_text(shop.read_text().replace("https://archive.example.com", server.url))
        own = f"{shop.parent.name}.telemetry:archive"
        with pipeline(brain.url, sdk_key=brain.sdk_key, destinations=own) as sender:
            sender.put(Item(token=brain.create_session()))
            eventually(lambda: sender.stats_by_destination()["brain"]["delivered"] == 1)
            eventually(lambda: sender.stats_by_destination()["archive"]["failures"].get("internal_error", 0) > 1)


@pytest.mark.parametrize("said", ["'delivered'", "StrEnum('Verdict', {'DELIVERED': 'delivered'}).DELIVERED"])
def test_a_verdict_by_its_value_or_of_a_class_that_was_reloaded_is_understood(shop: Path, said: str) -> None:
    judging = f"return Outcome({said}, 'delivered')"
    shop.write_text("from enum import StrEnum\n" + example(1).replace("return by_status(response)", judging))
    with RawServer(lambda connection, _: connection.sendall(answer("200 OK"))) as server, LocalBrain() as brain:
        shop.write_text(shop.read_text().replace("https://archive.example.com", server.url))
        own = f"{shop.parent.name}.telemetry:archive"
        with pipeline(brain.url, sdk_key=brain.sdk_key, destinations=own) as sender:
            sender.put(Item(token=brain.create_session()))
            assert sender.flush(10)
            assert sender.stats_by_destination()["archive"]["delivered"] == len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.DELIVERED),
        (204, Verdict.DELIVERED),
        (301, Verdict.MISCONFIGURED),
        (400, Verdict.REJECTED),
        (401, Verdict.MISCONFIGURED),
        (404, Verdict.MISCONFIGURED),
        (413, Verdict.REJECTED),
        (429, Verdict.UNAVAILABLE),
        (500, Verdict.RETRYABLE),
        (503, Verdict.UNAVAILABLE),
        (599, Verdict.RETRYABLE),
    ],
)
def test_a_status_alone_has_a_meaning(status: int, verdict: Verdict) -> None:
    outcome = by_status(Response(status, {"retry-after": "3"}))
    assert outcome.verdict is verdict
    if verdict in {Verdict.UNAVAILABLE, Verdict.RETRYABLE, Verdict.MISCONFIGURED}:
        assert outcome.retry_after == 3.0


def test_the_protocols_are_what_our_own_destinations_are() -> None:
    from otas_middleware._delivery.destinations import BrainDestination
    from otas_middleware._delivery.destinations.agnost import AgnostDestination

    ours: list[Destination] = [BrainDestination("http://x", "key"), AgnostDestination("http://x", "org")]
    assert [destination.name for destination in ours] == ["brain", "agnost"]


def test_prometheus_shows_the_counters_of_stats() -> None:
    prometheus = pytest.importorskip("prometheus_client")
    from otas_middleware.prometheus import register

    registry = prometheus.CollectorRegistry()
    collector = register(registry)

    def value(name: str, **labels: str) -> float:
        found = registry.get_sample_value(name, {"destination": "brain", **labels})
        assert found is not None, name
        return float(found)

    with LocalBrain() as brain, pipeline(brain.url, sdk_key=brain.sdk_key) as sender:
        before = value("otas_delivered_total")
        for token in (brain.create_session(), "not.a.token"):
            sender.put(Item(token=token))
        assert sender.flush(10)
        assert value("otas_delivered_total") == before + 1
        assert value("otas_dropped_total", reason="bad_token") >= 1
        assert value("otas_up") in {0.0, 1.0}
        names = {metric.name for metric in collector.collect()}
        shared = {"captured", "delivered", "spooled", "dropped", "queued", "retries", "possible_duplicates", "failures"}
        assert {f"otas_{name}" for name in shared} <= names
        assert shared <= set(sender.stats())
    registry.unregister(collector)


def test_prometheus_shows_what_is_not_recorded_and_what_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    prometheus = pytest.importorskip("prometheus_client")
    from otas_middleware.prometheus import register

    monkeypatch.setattr(_errors, "counts", Counter({"before_send": 3}))
    registry = prometheus.CollectorRegistry()
    register(registry)

    def count(name: str, reason: str) -> float:
        return registry.get_sample_value(name, {"reason": reason}) or 0.0

    with record_events() as events:
        app = Flask("shop")
        Otas(app, ignore_methods=["PUT"])
        ignored, malformed = count("otas_skipped_total", "ignored"), count("otas_refused_total", "malformed")
        app.test_client().put("/", headers=events.headers)
        app.test_client().get("/", headers=session_headers("not.a.token"))
        assert count("otas_skipped_total", "ignored") == ignored + 1
        assert count("otas_refused_total", "malformed") == malformed + 1
    assert registry.get_sample_value("otas_internal_errors_total", {"place": "before_send"}) == 3.0
