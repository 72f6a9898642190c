"""What axe-core finds, in each view and theme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from localbrain.wire import Client
from page.browser import AXE, looking_at
from page.seeds import seed

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from otas_middleware.localbrain import LocalBrain

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(
    "view", ["empty", "events", "event", "nothing found", "sessions", "session", "charts", "senders"]
)
def test_axe_finds_no_violation(browser: Browser, brain: LocalBrain, view: str, dark: bool) -> None:
    if not AXE.exists():
        pytest.skip("needs axe-core: make page-test fetches it")
    if view != "empty":
        seed(brain, 60)
        called = {
            "session_id": "s",
            "primitive_name": "GET /x",
            "primitive_type": "tool",
            "success": True,
            "latency": 1,
        }
        Client(brain).post("/api/v1/capture-event", called, {"X-Org-Id": brain.agnost_org_id})
    place = {
        "empty": "events",
        "event": "events?event=9&status=error&path=/orders",
        "nothing found": "events?q=nowhere",
        "session": f"session/{brain.sessions()[0]['id']}" if brain.sessions() else "",
    }.get(view, view)
    ready = {
        "empty": ".welcome",
        "event": "#detail h2",
        "nothing found": "text=No event matches. Remove a filter",
        "charts": ".busiest table",
    }.get(view, "main tbody tr")
    with looking_at(browser, brain, place, dark=dark, bypass_csp=True) as sight:
        sight.page.locator(ready).first.wait_for()
        sight.page.locator("#live[data-state=live]").wait_for()
        sight.page.evaluate(AXE.read_text())
        found: dict[str, Any] = sight.page.evaluate("axe.run(document)")
        assert [
            (violation["id"], violation["help"], [node["html"] for node in violation["nodes"]])
            for violation in found["violations"]
        ] == []
        assert len(found["passes"]) > 10
