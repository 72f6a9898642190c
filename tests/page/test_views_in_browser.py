"""One event, the charts and the senders in a real browser. `make page-test` runs these."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from page.browser import looking_at
from page.seeds import seed

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from localbrain.wire import Client
    from otas_middleware.localbrain import LocalBrain

pytestmark = pytest.mark.slow


def test_an_event_is_shown_in_full_with_its_redactions(browser: Browser, client: Client) -> None:
    client.log(
        path="/orders/42",
        method="POST",
        request_headers='{"authorization": "[REDACTED]", "accept": ["a/b", "c/d"]}',
        request_body='{"big": 12345678901234567890, "key": "[REDACTED]", "list": [], "text": "a, b: {c}"}',
        response_body="not JSON: [REDACTED: could not be looked through]",
        metadata={"truncated": {"response_body": {"kept": 2048, "size": 4096}}},
        response_size_bytes=4096,
        error="boom",
    )
    with looking_at(browser, client.brain) as sight:
        page = sight.page
        page.get_by_role("link", name="/orders/42").click()
        panel = page.get_by_role("complementary", name="Event")
        panel.get_by_role("heading", name="POST /orders/42").wait_for()
        assert panel.get_by_role("region", name="Request body").inner_text() == (
            '{\n  "big": 12345678901234567890,\n  "key": "[REDACTED]",\n  "list": [],\n  "text": "a, b: {c}"\n}'
        )
        assert panel.locator("mark:visible").all_inner_texts() == [
            "3",
            "[REDACTED]",
            "[REDACTED]",
            "[REDACTED: could not be looked through]",
        ]
        assert panel.get_by_role("row", name="accept").all_inner_texts() == ["accept\ta/b", "accept\tc/d"]
        panel.get_by_text("cut: 2.0 KiB of 4.0 KiB recorded").wait_for()
        page.get_by_role("button", name="Close").click()
        panel.wait_for(state="hidden")


def test_a_share_is_neither_nothing_of_something_nor_all_of_less(browser: Browser, brain: LocalBrain) -> None:
    shares = "(pairs) => import('/_page/format.js').then(({ share }) => pairs.map(([part, all]) => share(part, all)))"
    with looking_at(browser, brain) as sight:
        assert sight.page.evaluate(
            shares, [[0, 9], [1, 50_000], [7, 1000], [3, 20], [1, 3], [994, 1000], [49_999, 50_000], [9, 9]]
        ) == ["0 %", "< 0.1 %", "0.7 %", "15 %", "33 %", "99.4 %", "> 99.9 %", "100 %"]


def test_charts_are_drawn_and_follow_the_filter(browser: Browser, brain: LocalBrain) -> None:
    seed(brain, 300)
    with looking_at(browser, brain, "charts") as sight:
        page = sight.page
        page.locator(".plot canvas").nth(3).wait_for()
        drawn = "it => it.getContext('2d').getImageData(0, 0, it.width, it.height).data.some(part => part > 0)"
        assert [canvas.evaluate(drawn) for canvas in page.locator(".plot canvas").all()] == [True] * 4
        requests = page.locator(".tile strong").first
        assert requests.inner_text() == "300"
        page.get_by_label("Status").select_option("5xx")
        page.locator(".tile strong").nth(2).get_by_text("100 %").wait_for()
        assert page.locator(".busiest tbody a").all_inner_texts() == ["GET /tickets/export"]


def test_a_call_of_hours_is_shown_in_hours(browser: Browser, client: Client) -> None:
    client.log(path="/stream", latency_ms=5_400_000.0)
    with looking_at(browser, client.brain) as sight:
        sight.page.get_by_role("cell", name="1.5 h").wait_for()


def test_a_chart_of_nothing_is_not_drawn(browser: Browser, client: Client) -> None:
    with looking_at(browser, client.brain, "charts") as sight:
        sight.page.get_by_text("there is nothing to draw").wait_for()
        assert sight.page.locator("canvas").count() == 0
        client.log()
        sight.page.locator("canvas").nth(3).wait_for()


def test_what_came_for_agnost_is_shown_as_it_arrives(browser: Browser, client: Client) -> None:
    called = {"session_id": "s", "primitive_name": "GET /x", "primitive_type": "tool", "success": True, "latency": 1}
    with looking_at(browser, client.brain, "senders") as sight:
        sight.page.get_by_text("Nobody has sent anything yet.").wait_for()
        assert sight.page.get_by_text("Agnost").count() == 0
        client.post("/api/v1/capture-event", called, {"X-Org-Id": client.brain.agnost_org_id})
        sight.page.get_by_role("heading", name="Agnost: 1 event of 0 sessions").wait_for()
        sight.page.get_by_role("row", name="GET /x").get_by_text("its session was not captured").wait_for()


def test_senders_and_refusals_are_shown_and_all_can_be_deleted(browser: Browser, client: Client) -> None:
    client.log(request_headers='{"host": "shop.test"}', metadata={"sdk": {"name": "otas-middleware", "version": "1"}})
    client.log(b"{")
    with looking_at(browser, client.brain, "senders") as sight:
        page = sight.page
        page.get_by_role("row", name="shop.test").get_by_text("otas-middleware 1").wait_for()
        page.get_by_role("row", name="invalid_json").wait_for()
        page.get_by_role("link", name="Events").click()
        page.get_by_role("button", name="Delete all events").click()
        page.get_by_role("heading", name="Nothing has arrived yet").wait_for()
        assert client.brain.events() == []


@pytest.mark.parametrize("ahead", [-3_600_000, 0, 3_600_000])
def test_who_is_quiet_is_said_by_the_clock_of_the_brain(browser: Browser, client: Client, ahead: int) -> None:
    seed(client.brain, 1, ago=400.0)
    client.log()
    skewed = f"const now = Date.now; Date.now = () => now() + {ahead};"
    with looking_at(browser, client.brain, "senders", script=skewed) as sight:
        states = sight.page.locator("tbody td:first-child")
        states.nth(1).wait_for()
        assert [state.strip() for state in states.all_inner_texts()] == ["active", "quiet"]


def test_request_and_response_stand_side_by_side_above_the_fold(browser: Browser, brain: LocalBrain) -> None:
    seed(brain, 60)
    posted = next(event["id"] for event in reversed(brain.events()) if event["request_body"])
    with looking_at(browser, brain, f"events?event={posted}") as sight:
        sight.page.set_viewport_size({"width": 1280, "height": 800})
        request, response = (
            sight.page.get_by_role("region", name=f"{side} body").bounding_box() for side in ("Request", "Response")
        )
        assert request is not None
        assert response is not None
        assert response["x"] >= request["x"] + request["width"]
        for box in (request, response):
            assert box["y"] + min(box["height"], 120) < 800


def test_beside_an_event_the_list_still_shows_whole_paths(browser: Browser, client: Client) -> None:
    client.log(path="/v1/chat/completions")
    with looking_at(browser, client.brain, f"events?event={client.brain.events()[0]['id']}") as sight:
        sight.page.set_viewport_size({"width": 1280, "height": 800})
        path = sight.page.locator(".list td.path a")
        path.wait_for()
        sight.page.locator("#detail h2").wait_for()
        assert path.evaluate("it => it.scrollWidth <= it.clientWidth")


def test_the_newest_bars_are_inside_of_the_chart(browser: Browser, client: Client) -> None:
    """Sixty requests at once are one bar, at the right edge."""
    client.log_many(60)
    with looking_at(browser, client.brain, "charts?seconds=900") as sight:
        canvas = sight.page.locator(".plot canvas").nth(1)
        canvas.wait_for()
        blue = (
            "it => { const all = it.getContext('2d').getImageData(0, 0, it.width, it.height).data; let found = 0;"
            "for (let at = 0; at < all.length; at += 4) if (all[at + 2] > all[at] + 60 && all[at + 3] > 200)"
            " found += 1; return found; }"
        )
        sight.page.wait_for_function(f"({blue})(document.querySelectorAll('.plot canvas')[1]) > 100")


@pytest.mark.parametrize(("what", "part"), [("Python", "httpx.request("), ("HAR", '"creator"')])
def test_a_request_is_copied_in_other_forms(browser: Browser, client: Client, what: str, part: str) -> None:
    client.log(path="/it's", request_headers='{"host": "shop.test"}')
    with looking_at(browser, client.brain, "events?event=1") as sight:
        sight.page.get_by_role("button", name=f"Copy as {what}").click()
        sight.page.get_by_text(f"Copied as {what}.").wait_for()
        assert part in sight.page.evaluate("navigator.clipboard.readText()")


def test_a_request_is_copied_as_curl(browser: Browser, client: Client) -> None:
    client.log(path="/it's", request_headers='{"host": "shop.test"}')
    with looking_at(browser, client.brain, "events?event=1") as sight:
        sight.page.get_by_role("button", name="Copy as curl").click()
        sight.page.get_by_text("Copied as curl.").wait_for()
        copied = sight.page.evaluate("navigator.clipboard.readText()")
        assert copied == "curl --globoff --path-as-is 'http://shop.test/it'\\''s'"


@pytest.mark.parametrize("place", ["events", "events?event=1", "charts", "senders"])
def test_what_is_printed_is_not_cut_off_at_the_window(browser: Browser, brain: LocalBrain, place: str) -> None:
    seed(brain, 90)
    with looking_at(browser, brain, place) as sight:
        sight.page.locator("table").first.wait_for(state="attached")
        sight.page.emulate_media(media="print")
        for part in sight.page.locator(".scroller:visible, aside:visible, aside pre:visible").all():
            assert part.evaluate("part => part.scrollHeight - part.clientHeight") <= 0
