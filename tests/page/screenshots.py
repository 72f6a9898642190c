"""Takes the pictures of the page that the documentation shows: `make page-pictures` writes them to `docs/images`."""

from __future__ import annotations

from pathlib import Path

from otas_middleware.localbrain import LocalBrain
from page.browser import chromium, looking_at
from page.seeds import seed, talk

_FOLDER = Path(__file__).parents[2] / "docs" / "images"


def main() -> None:
    """Write one picture of each view worth seeing."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with chromium() as browser, LocalBrain() as brain:
        seed(brain, 1200, sessions=24, ago=20)
        session = talk(brain)
        posted = next(event["id"] for event in brain.events(session) if event["path"] == "/v1/chat/completions")
        for name, place, ready, dark in (
            ("page-event", f"events?event={posted}", "#detail h2", False),
            ("page-charts-dark", "charts", ".busiest td", True),
            ("page-session", f"session/{session}", ".bar", False),
        ):
            with looking_at(browser, brain, place, dark=dark) as sight:
                sight.page.locator("#live[data-state=live]").wait_for()
                sight.page.locator(ready).first.wait_for()
                sight.page.evaluate("document.activeElement.blur()")
                sight.page.wait_for_timeout(300)
                sight.page.screenshot(path=_FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
