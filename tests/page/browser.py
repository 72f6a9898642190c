"""A headless Chromium, looking at a Brain's page."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from playwright.sync_api import Browser, Page

    from otas_middleware.localbrain import LocalBrain

CHROMIUM = Path("/usr/bin/chromium")
AXE = Path(sys.prefix) / "axe" / "node_modules" / "axe-core" / "axe.min.js"
_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class Sight:
    """A page, and all that the browser had to complain of: console errors, uncaught errors, foreign requests."""

    page: Page
    complaints: list[str] = field(default_factory=list[str])


@contextmanager
def chromium() -> Generator[Browser]:
    """Start a Chromium with an empty profile of its own; skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: make page-test installs it")
    if not CHROMIUM.exists():
        pytest.skip(f"needs Chromium at {CHROMIUM} (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=_QUIET)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def looking_at(
    browser: Browser,
    brain: LocalBrain,
    place: str = "",
    *,
    dark: bool = False,
    bypass_csp: bool = False,
    script: str = "",
) -> Generator[Sight]:
    """Open the page in a context of its own; fails in the end if the browser complained.

    Args:
        browser: The browser.
        brain: Whose page.
        place: What stands behind the `#`.
        dark: What the system prefers.
        bypass_csp: Whether a tool may be put into the page.
        script: What the browser runs before the page's own scripts.
    """
    context = browser.new_context(
        color_scheme="dark" if dark else "light",
        viewport={"width": 1360, "height": 820},
        bypass_csp=bypass_csp,
        permissions=["clipboard-read", "clipboard-write"],
        accept_downloads=True,
        reduced_motion="reduce",
    )
    context.set_default_timeout(15_000)
    context.add_init_script("window.pwn = () => { window.pwned = true; };" + script)
    page = context.new_page()
    sight = Sight(page)
    page.on("console", lambda said: sight.complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: sight.complaints.append(str(error)))
    page.on("dialog", lambda dialog: dialog.accept())
    page.on(
        "request",
        lambda sent: None if sent.url.startswith((brain.url, "about:blank")) else sight.complaints.append(sent.url),
    )
    try:
        page.goto(f"{brain.url}/#/{place}" if place else f"{brain.url}/")
        yield sight
        assert sight.complaints == []
    finally:
        context.close()
