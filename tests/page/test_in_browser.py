"""The page in a real browser, as a person uses it. `make page-test` runs these."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from localbrain.wire import Client
from otas_middleware.localbrain import LocalBrain
from page.browser import looking_at
from page.seeds import seed

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow


def rows(page: Page) -> list[str]:
    return page.locator("table.list tbody .path a").all_inner_texts()


def focused(page: Page) -> str:
    text: str = page.evaluate("document.activeElement.textContent.trim()")
    return text


def test_a_newcomer_is_told_what_to_do_and_sees_the_first_event(browser: Browser, client: Client) -> None:
    with looking_at(browser, client.brain) as sight:
        page = sight.page
        page.get_by_role("heading", name="Nothing has arrived yet").wait_for()
        page.get_by_role("button", name="Make a session token").click()
        command = page.get_by_label("Command")
        command.wait_for()
        client.token = command.inner_text().partition("TOKEN: ")[2].partition("'")[0]
        client.log(path="/first")
        page.get_by_role("link", name="/first").wait_for()
        assert page.get_by_role("heading", name="Nothing has arrived yet").count() == 0


def test_a_session_token_can_be_made_at_any_time(browser: Browser, client: Client) -> None:
    with looking_at(browser, client.brain, "sessions") as sight:
        sight.page.get_by_role("button", name="Make a session token").click()
        command = sight.page.get_by_label("Command")
        command.wait_for()
        client.token = command.inner_text().partition("TOKEN: ")[2].partition("'")[0]
        assert client.log().status == 201
        sight.page.get_by_role("link", name=client.session_id[:8]).wait_for()


def test_events_show_up_as_they_arrive_newest_first(browser: Browser, client: Client) -> None:
    client.log(path="/before")
    with looking_at(browser, client.brain) as sight:
        sight.page.get_by_role("link", name="/before").wait_for()
        for number in range(3):
            client.log(path=f"/live/{number}")
            sight.page.get_by_role("link", name=f"/live/{number}").wait_for()
        assert rows(sight.page) == ["/live/2", "/live/1", "/live/0", "/before"]
        sight.page.get_by_text("4 events").wait_for()


def read_to_the_end(page: Page) -> None:
    """Scroll down until there is nothing more to load."""
    older = page.get_by_role("button", name="Load older events")
    while not older.is_hidden() or not rows(page):
        page.locator(".scroller").evaluate("scroller => { scroller.scrollTop = scroller.scrollHeight; }")
        page.wait_for_timeout(50)


def test_a_flood_leaves_no_gap(browser: Browser, client: Client) -> None:
    client.log(path="/before")
    with looking_at(browser, client.brain) as sight:
        sight.page.get_by_role("link", name="/before").wait_for()
        client.log_many(300)
        sight.page.get_by_text("301 events").wait_for()
        read_to_the_end(sight.page)
        assert sorted(rows(sight.page)) == sorted(["/before", *(f"/{number}" for number in range(300))])


def test_what_somebody_has_scrolled_down_to_stays_when_news_comes(browser: Browser, client: Client) -> None:
    client.log(path="/oldest")
    client.log_many(320)
    with looking_at(browser, client.brain) as sight:
        sight.page.get_by_text("321 events").wait_for()
        read_to_the_end(sight.page)
        oldest = sight.page.get_by_role("link", name="/oldest").element_handle()
        client.log(path="/news")
        sight.page.get_by_text("322 events").wait_for()
        sight.page.get_by_role("link", name="/news").wait_for()
        assert oldest.evaluate("row => row.isConnected"), "it was taken away, perhaps to be loaded again"


def test_a_paused_page_stands_still_and_catches_up(browser: Browser, client: Client) -> None:
    client.log(path="/before")
    with looking_at(browser, client.brain) as sight:
        sight.page.get_by_role("link", name="/before").wait_for()
        sight.page.get_by_role("button", name="Pause").click()
        client.log(path="/meanwhile")
        sight.page.get_by_text("paused, there is news").wait_for()
        assert rows(sight.page) == ["/before"]
        sight.page.get_by_role("button", name="Resume").click()
        sight.page.get_by_role("link", name="/meanwhile").wait_for()


def test_the_list_is_filtered_and_searched_and_the_address_keeps_it(browser: Browser, client: Client) -> None:
    client.log(path="/a", method="POST", status_code=500, error="boom", response_body="a needle")
    client.log(path="/b")
    client.log(path="/c", method="POST")
    with looking_at(browser, client.brain) as sight:
        page = sight.page
        page.get_by_text("3 events").wait_for()
        page.get_by_label("Method").select_option("POST")
        page.get_by_text("2 of 3 events").wait_for()
        assert rows(page) == ["/c", "/a"]
        page.get_by_label("Status").select_option("error")
        page.get_by_text("1 of 3 events").wait_for()
        client.log(path="/late", method="POST", error="bang")
        client.log(path="/not-like-this")
        page.get_by_text("2 of 5 events").wait_for()
        assert rows(page) == ["/late", "/a"]
        page.reload()
        page.get_by_text("2 of 5 events").wait_for()
        page.get_by_label("Search").fill("needle")
        page.get_by_text("No event matches. Remove a filter").wait_for()
        page.get_by_label("in bodies and headers too").check()
        page.get_by_role("link", name="/a").wait_for()
        assert rows(page) == ["/a"]


def test_what_is_pasted_is_searched_at_once_and_what_is_typed_after_a_pause(browser: Browser, client: Client) -> None:
    with looking_at(browser, client.brain) as sight:
        page = sight.page
        page.clock.install()
        page.clock.pause_at("2030-01-01")
        page.get_by_label("Search").fill("needle")
        assert page.evaluate("location.hash").endswith("q=needle")
        page.get_by_label("Search").press_sequentially("s in hay")
        assert page.evaluate("location.hash").endswith("q=needle")
        page.clock.run_for(1000)
        assert "hay" in page.evaluate("location.hash")


def test_the_form_shows_the_filter_of_the_address_by_whatever_way_one_came_there(
    browser: Browser, client: Client
) -> None:
    client.log(path="/a", method="PURGE", error="bang")
    client.log(path="/b")
    with looking_at(browser, client.brain, "events?status=error&q=a&slower=1&everywhere=1&method=PURGE") as sight:
        page = sight.page
        form = page.get_by_role("search")
        shown = "form => [...new FormData(form).values()].join()"
        page.get_by_text("1 of 2 events").wait_for()
        assert form.evaluate(shown) == "a,1,PURGE,error,,1"
        assert form.evaluate("form => [...form.childNodes].every(child => child instanceof Element)")
        page.get_by_role("link", name="Events").click()
        page.get_by_text("2 events", exact=True).wait_for()
        assert form.evaluate(shown) == ",,,,"
        page.go_back()
        page.get_by_text("1 of 2 events").wait_for()
        assert form.evaluate(shown) == "a,1,PURGE,error,,1"
        page.get_by_role("link", name="Charts").click()
        page.get_by_label("Time").select_option("last hour")
        assert "seconds=3600" in page.url
        page.get_by_role("link", name="Charts").click()
        page.wait_for_url(re.compile("#/charts$"))
        assert form.evaluate(shown) == ",,,,,"


def test_an_address_of_a_session_that_is_not_there_says_so_for_good(browser: Browser, client: Client) -> None:
    with looking_at(browser, client.brain, "session/gone") as sight:
        sight.page.get_by_role("main").get_by_text("there is no such session (any more)").wait_for()
        sight.complaints.clear()  # the browser's, of a 404


def test_a_view_that_cannot_be_loaded_says_so_and_is_there_the_next_time(browser: Browser, client: Client) -> None:
    with looking_at(browser, client.brain) as sight:
        page = sight.page
        page.route("**/_page/senders.js", lambda route: route.abort())
        page.get_by_role("link", name="Senders").click()
        page.get_by_role("status").get_by_text("The Brain does not answer.").wait_for()
        page.unroute("**/_page/senders.js")
        page.get_by_role("link", name="Events").click()
        page.get_by_role("link", name="Senders").click()
        page.get_by_role("heading", name="Senders").wait_for()
        sight.complaints.clear()  # the browser's, of the file that was kept from it


def test_older_events_are_loaded_while_scrolling(browser: Browser, brain: LocalBrain) -> None:
    seed(brain, 450)
    with looking_at(browser, brain) as sight:
        sight.page.get_by_text("450 events").wait_for()
        while sight.page.locator("table.list tbody tr").count() < 450:
            sight.page.locator(".scroller").evaluate("it => it.scrollTo(0, it.scrollHeight)")
            sight.page.wait_for_timeout(50)
        assert sight.page.get_by_role("button", name="Load older events").is_hidden()


def test_a_new_session_shows_up_by_its_first_event(browser: Browser, client: Client) -> None:
    with looking_at(browser, client.brain, "sessions") as sight:
        sight.page.get_by_role("link", name=client.session_id[:8]).wait_for()
        other = Client(client.brain)
        other.log(error="boom")
        row = sight.page.get_by_role("row", name=other.session_id[:8])
        row.get_by_role("cell", name="1", exact=True).nth(1).wait_for()
        assert row.get_by_role("cell").all_inner_texts()[4:6] == ["1", "1"]


def test_a_long_path_is_cut_and_its_row_still_shows_its_beginning(browser: Browser, client: Client) -> None:
    path = "/long" * 100
    client.log(path=path)
    with looking_at(browser, client.brain) as sight:
        link = sight.page.get_by_role("link", name=path)
        link.focus()
        link.press("Enter")
        sight.page.get_by_role("heading", name=path).wait_for()
        cell = sight.page.locator("td.path")
        assert cell.evaluate("it => [it.scrollLeft, it.firstChild.offsetWidth <= it.clientWidth]") == [0, True]
        assert sight.page.locator("#detail dd").last.inner_text() == path


@pytest.mark.parametrize("place", ["events", "sessions"])
def test_what_came_on_another_day_is_listed_with_day_and_time_unclipped(
    browser: Browser, brain: LocalBrain, place: str
) -> None:
    seed(brain, 3, sessions=1, ago=3 * 86_400)
    with looking_at(browser, brain, place) as sight:
        cell = sight.page.locator("td:has(time)").first
        assert re.fullmatch(r"\d\d-\d\d \d\d:\d\d|\d{4}-\d\d-\d\d", cell.inner_text())
        assert cell.evaluate("cell => cell.scrollWidth <= cell.clientWidth")


def test_the_list_names_the_operation_where_there_is_one(browser: Browser, client: Client) -> None:
    client.log(path="/mcp", metadata={"operation": {"name": "tools/call refund"}})
    with looking_at(browser, client.brain) as sight:
        sight.page.get_by_role("link", name="tools/call refund").wait_for()
        assert rows(sight.page) == ["tools/call refund"]


@pytest.mark.parametrize(("name", "suffix"), [("JSON", "json"), ("HAR", "har")])
def test_what_is_listed_is_exported(browser: Browser, client: Client, tmp_path: Path, name: str, suffix: str) -> None:
    client.log(path="/a")
    client.log(path="/b", status_code=404, error="404 Not Found")
    with looking_at(browser, client.brain, "events?status=error") as sight:
        sight.page.get_by_text("1 of 2 events").wait_for()
        with sight.page.expect_download() as download:
            sight.page.get_by_role("link", name=name, exact=True).click()
        assert download.value.suggested_filename == f"otas-events.{suffix}"
        file = tmp_path / "file"
        download.value.save_as(file)
        exported = json.loads(file.read_text())
        assert len(exported["events"] if suffix == "json" else exported["log"]["entries"]) == 1


def test_everything_is_reached_by_keys(browser: Browser, client: Client) -> None:
    for number in range(4):
        client.log(path=f"/{number}")
    with looking_at(browser, client.brain) as sight:
        page, keys = sight.page, sight.page.keyboard
        page.get_by_text("4 events").wait_for()
        keys.press("j")
        assert focused(page) == "/3"
        page.reload()
        page.get_by_text("4 events").wait_for()
        keys.press("Tab")
        assert focused(page) == "Skip to the content"
        for name in ("Events", "Sessions", "Charts", "Senders", "Pause", "Theme: system"):
            keys.press("Tab")
            assert focused(page) == name
        keys.press("/")
        keys.type("/")
        page.wait_for_url(re.compile("q="))
        keys.press("ArrowDown")
        assert focused(page) == "/3"
        keys.press("ArrowDown")
        keys.press("j")
        keys.press("k")
        assert focused(page) == "/2"
        keys.press("Enter")
        page.get_by_role("heading", name="GET /2").wait_for()
        assert focused(page) == "GET /2"
        keys.press("Tab")
        assert "Close" in focused(page)
        keys.press("Tab")
        assert focused(page) == "Copy as curl"
        keys.press("Enter")
        page.get_by_text("Copied as curl.").wait_for()
        keys.press("Escape")
        page.locator("#detail").wait_for(state="hidden")
        assert focused(page) == "/2"


def test_a_chosen_theme_is_kept(browser: Browser, client: Client) -> None:
    with looking_at(browser, client.brain) as sight:
        page = sight.page

        def background() -> str:
            color: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
            return color

        light = background()
        page.get_by_role("button", name="Theme").click()
        assert background() == light
        page.get_by_role("button", name="Theme").click()
        dark = background()
        assert dark != light
        page.reload()
        assert background() == dark
        page.get_by_role("button", name="Theme: dark").click()
        assert background() == light


def test_the_connection_is_taken_up_again(browser: Browser, client: Client) -> None:
    client.log(path="/before")
    with looking_at(browser, client.brain) as sight:
        page = sight.page
        page.get_by_role("link", name="/before").wait_for()
        client.brain.faults.down()
        page.get_by_text("no connection").wait_for()
        client.brain.faults.up()
        page.locator("#live[data-state=live]").wait_for()
        client.log(path="/after")
        page.get_by_role("link", name="/after").wait_for()
        assert all(re.search("ERR_", complaint) for complaint in sight.complaints)
        sight.complaints.clear()  # of the connection, which was broken on purpose


def test_an_open_page_shows_nothing_of_a_brain_that_another_took_the_place_of(browser: Browser) -> None:
    with LocalBrain() as brain:
        Client(brain).log(path="/old")
        with looking_at(browser, brain) as sight:
            sight.page.get_by_role("link", name="/old").wait_for()
            brain.close()
            sight.page.get_by_text("no connection").wait_for()
            with LocalBrain(port=int(brain.url.rpartition(":")[2])) as other:
                Client(other).log_many(3)
                sight.page.get_by_text("3 events").wait_for()
                assert sorted(rows(sight.page)) == ["/0", "/1", "/2"]
                assert all(re.search("ERR_", complaint) for complaint in sight.complaints)
                sight.complaints.clear()  # of the connection, which was broken on purpose
