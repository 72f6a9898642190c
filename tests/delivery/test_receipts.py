"""Whoever puts an item in can be told what became of it, once, whatever that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from otas_middleware._delivery import Pipeline
from support.delivery import Item, RawServer, answer, build, created, eventually, settings

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from support.delivery import Received


class Followed(Item):
    """An item with a receipt."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.dispositions: list[tuple[str, str]] = []
        self.done: list[tuple[str, str]] = []
        """Destinations that were done with it before others, and the disposition that was told then."""

    def receipt(self, disposition: str, stored_as: str = "", destination: str = "") -> None:
        if destination:
            self.done.append((destination, disposition))
        else:
            self.dispositions.append((disposition, stored_as))


def taking(connection: socket.socket, request: Received) -> None:
    to_agnost = b"/capture-" in request.data.partition(b"\r\n")[0]
    reply = b'{"session_id": "a7a7a7a7-0000-4000-8000-000000000000", "event_id": "e1"}'
    connection.sendall(answer("200 OK", reply) if to_agnost else created())


def refusing(connection: socket.socket, _request: Received) -> None:
    connection.sendall(answer("400 Bad Request", b'{"status":0,"status_description":"missing_required_fields"}'))


@pytest.mark.parametrize(("script", "disposition"), [(taking, "delivered"), (refusing, "missing_required_fields")])
def test_an_item_learns_that_it_was_delivered_or_why_it_was_dropped(script: Any, disposition: str) -> None:
    item = Followed()
    with RawServer(script) as server:
        pipeline = Pipeline(settings(server.url), build)
        pipeline.put(item)
        assert pipeline.flush(10)
        eventually(lambda: item.dispositions)
        pipeline.close(0.0)
    assert item.dispositions == [(disposition, "")]


def test_an_item_that_before_send_withheld_learns_that() -> None:
    item = Followed()
    pipeline = Pipeline(settings("http://127.0.0.1:9"), lambda _item, _settings: None)
    pipeline.put(item)
    assert pipeline.flush(10)
    assert item.dispositions == [("filtered", "")]


def test_an_item_that_goes_to_disk_learns_that(tmp_path: Path) -> None:
    item = Followed()
    pipeline = Pipeline(settings("http://127.0.0.1:9", spool_dir=tmp_path), build)
    pipeline.put(item)
    pipeline.close(1.0)
    assert item.dispositions == [("spooled", "")]


def test_items_that_are_pushed_out_or_cut_off_by_the_end_learn_that() -> None:
    items = [Followed() for _ in range(4)]
    pipeline = Pipeline(settings("http://127.0.0.1:9", queue_max_events=2), build)
    for item in items:
        pipeline.put(item)
    pipeline.close(0.0)
    assert sorted(disposition for item in items for disposition, _ in item.dispositions) == [
        "exit",
        "exit",
        "queue_full",
        "queue_full",
    ]


def test_with_two_destinations_an_item_learns_which_is_done_first_and_once_when_both_are() -> None:
    item = Followed()
    with RawServer(taking) as server:
        organisation = "6a1b1f0e-5d0c-4a43-9a0b-6d4f3c2b1a00"
        pipeline = Pipeline(settings(server.url, agnost_org_id=organisation, agnost_url=server.url), build)
        pipeline.put(item)
        assert pipeline.flush(10)
        pipeline.close(1.0)
    assert item.dispositions == [("delivered", "")]
    assert item.done in ([("brain", "delivered")], [("agnost", "")])
