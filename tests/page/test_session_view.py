"""One session in a real browser: its timeline, and what it cost. `make page-test` runs these."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from localbrain.wire import AGENT, EVENT, Client
from page.browser import looking_at

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow


def test_a_session_is_a_timeline_that_grows(browser: Browser, client: Client) -> None:
    client.log(path="/1", latency_ms=100, metadata={"captured_at": "2026-01-01T00:00:00Z", "event_id": "tool"})
    client.log(path="/2", latency_ms=50, metadata={"captured_at": "2026-01-01T00:00:00.050Z", "parent_id": "tool"})
    with looking_at(browser, client.brain, "sessions") as sight:
        page = sight.page
        page.get_by_role("link", name=client.session_id[:8]).click()
        page.get_by_role("heading", name=client.session_id).wait_for()
        page.get_by_role("link", name="GET /2").wait_for()
        first, second = (bar.bounding_box() for bar in page.locator(".bar").all())
        assert first is not None
        assert second is not None
        assert second["x"] == pytest.approx(first["x"] + first["width"] / 2, abs=3)
        assert second["width"] == pytest.approx(first["width"] / 2, abs=3)
        client.log(path="/3", metadata={"captured_at": "2026-01-01T00:00:01Z"})
        page.get_by_role("link", name="/3").click()
        page.get_by_role("heading", name="GET /3").wait_for()


def test_events_without_ids_of_their_own_are_not_nested(browser: Browser, client: Client) -> None:
    client.log(path="/1")
    client.log(path="/2")
    with looking_at(browser, client.brain, f"session/{client.session_id}") as sight:
        links = sight.page.locator(".timeline .path a")
        links.nth(1).wait_for()
        assert {link.evaluate("it => it.style.getPropertyValue('--depth')") for link in links.all()} == {"0"}


def test_children_stand_under_their_parents_whatever_began_first(browser: Browser, client: Client) -> None:
    at = "2026-01-01T00:00:{:06.3f}Z"
    for path, event_id, parent, second in (
        ("/other", "o", None, 1.0),
        ("/child-2", "c2", "p", 2.5),
        ("/parent", "p", None, 2.0),
        ("/child-1", "c1", "p", 1.5),  # by a clock that is behind
        ("/grandchild", "g", "c2", 2.6),
        ("/loop-1", "l1", "l2", 9.0),
        ("/loop-2", "l2", "l1", 9.5),
    ):
        client.log(path=path, metadata={"event_id": event_id, "parent_id": parent, "captured_at": at.format(second)})
    with looking_at(browser, client.brain, f"session/{client.session_id}") as sight:
        links = sight.page.locator(".timeline .path a")
        links.nth(6).wait_for()
        shown = [
            (link.inner_text(), link.evaluate("it => it.style.getPropertyValue('--depth')")) for link in links.all()
        ]
    assert shown == [
        ("GET /other", "0"),
        ("GET /parent", "0"),
        ("GET /child-1", "1"),
        ("GET /child-2", "1"),
        ("GET /grandchild", "2"),
        ("GET /loop-1", "0"),
        ("GET /loop-2", "1"),
    ]


def test_pauses_are_folded_and_the_axis_can_be_zoomed(browser: Browser, client: Client) -> None:
    for path, second in (("/1", "00:00:00"), ("/2", "00:00:01"), ("/3", "05:00:00")):
        client.log(path=path, latency_ms=1000, metadata={"captured_at": f"2026-01-01T{second}Z"})
    with looking_at(browser, client.brain, f"session/{client.session_id}") as sight:
        page = sight.page
        page.get_by_text("pause of 5.0 h").wait_for(state="attached")
        boxes = [bar.bounding_box() for bar in page.locator(".bar").all()]
        widths = [box["width"] for box in boxes if box is not None]
        assert len(widths) == 3
        assert min(widths) > 50
        page.get_by_role("button", name="Zoom in").click()
        assert page.locator(".bar").count() == 3
        page.get_by_role("button", name="Later").click()
        assert page.locator(".bar").count() == 2  # the first one has gone out of sight
        page.get_by_role("button", name="Show all of the session").click()
        assert page.locator(".bar").count() == 3
        axis = page.locator(".axis").bounding_box()
        assert axis is not None
        page.mouse.move(axis["x"] + 1, axis["y"] + 5)
        page.mouse.down()
        page.mouse.move(axis["x"] + axis["width"] / 5, axis["y"] + 5)
        page.mouse.up()
        assert page.locator(".bar").count() == 1


def test_the_axis_has_as_many_times_as_its_width_has_room_for(browser: Browser, client: Client) -> None:
    for second in range(4):
        client.log(latency_ms=1000, metadata={"captured_at": f"2026-01-01T00:00:0{second}Z"})
    with looking_at(browser, client.brain, f"session/{client.session_id}") as sight:
        ticks = sight.page.locator(".tick")
        ticks.nth(3).wait_for()
        sight.page.set_viewport_size({"width": 400, "height": 800})
        ticks.nth(3).wait_for(state="detached")
        assert ticks.count() >= 1


@pytest.mark.parametrize(("width", "beside"), [(1280, True), (1280, False), (640, False), (400, False)])
def test_the_times_on_the_axis_do_not_cover_one_another(
    browser: Browser, client: Client, width: int, beside: bool
) -> None:
    for second in (0, 2, 4, 6, 61, 62):
        client.log(latency_ms=900, metadata={"captured_at": f"2026-01-01T00:{second // 60:02}:{second % 60:02}Z"})
    place = f"session/{client.session_id}" + (f"?event={client.brain.events()[0]['id']}" if beside else "")
    with looking_at(browser, client.brain, place) as sight:
        sight.page.set_viewport_size({"width": width, "height": 800})
        sight.page.locator("#detail h2" if beside else ".bar").first.wait_for()
        sight.page.locator(".tick").first.wait_for()
        edges = "ticks => ticks.map(it => [it.getBoundingClientRect().left, it.getBoundingClientRect().right])"
        ticks = sorted(sight.page.locator(".tick").evaluate_all(edges))
        assert all(one[1] <= other[0] for one, other in pairwise(ticks)), ticks
        assert len(ticks) > 1 or width == 400 or beside


def test_a_status_and_its_bar_have_one_colour(browser: Browser, client: Client) -> None:
    client.log(path="/good")
    client.log(path="/refused", status_code=404, error="404 Not Found")
    client.log(path="/failed-within", error="mcp -32000: no such order")
    client.log(path="/broken", status_code=500, error="boom")
    with looking_at(browser, client.brain, f"session/{client.session_id}") as sight:
        sight.page.locator(".bar").nth(3).wait_for()
        color = "it => getComputedStyle(it).color"
        statuses = [status.evaluate(color) for status in sight.page.locator(".timeline .status").all()]
        assert [bar.evaluate(color) for bar in sight.page.locator(".bar").all()] == statuses
        assert len(set(statuses)) == 3
        assert statuses[2] == statuses[3]


def test_a_session_says_what_it_called_and_what_that_cost(browser: Browser, client: Client) -> None:
    client.log(latency_ms=500, request_headers='{"host": "shop.test"}')
    for model in ("first", "second"):
        noted = {"model": model, "usage": {"input": 1000, "output": 20}, "host": "api.test"}
        client.post(AGENT, {**EVENT, "latency_ms": 1500, "custom_properties": noted}, client.agent_headers)
    with looking_at(browser, client.brain, f"session/{client.session_id}") as sight:
        page = sight.page
        page.locator(".tile").nth(4).wait_for()
        assert page.locator(".tile").all_inner_texts() == [
            "Calls\n3",
            "Errors\n0",
            "Time in backends\n500 ms",
            "Time in models\n3.00 s",
            "Tokens in and out\n2,000 · 40",
        ]
        page.get_by_role("row", name="first 1 1,000 20 1.50 s").wait_for()
        assert page.locator(".timeline .where").all_inner_texts() == ["first", "second", "shop.test"]
