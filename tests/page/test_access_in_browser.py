"""The page of a Brain with an access token, in a real browser. `make page-test` runs these."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from localbrain.wire import Client
from otas_middleware.localbrain import LocalBrain
from page.browser import looking_at

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

TOKEN = "a secret of some length"


def test_the_page_asks_for_the_access_token_once(browser: Browser) -> None:
    with LocalBrain(host="127.0.0.2", access_token=TOKEN) as brain:
        Client(brain).log(path="/seen")
        with looking_at(browser, brain) as sight:
            page = sight.page
            page.get_by_label("Access token").last.fill("wrong")
            page.get_by_role("button", name="Open").click()
            page.get_by_text("this is not the access token of this Brain").wait_for()
            page.get_by_label("Access token").last.fill(TOKEN)
            page.get_by_role("button", name="Open").click()
            page.get_by_role("link", name="/seen").wait_for()
            page.reload()
            page.get_by_role("link", name="/seen").wait_for()
            assert page.get_by_role("dialog").count() == 0
            assert all("401" in said or "403" in said for said in sight.complaints)
            sight.complaints.clear()  # of the answers that led to the question
