"""Script in every field of an event, through every view: none of it runs, and none of it becomes an element."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from localbrain.wire import SDK, Client
from page.browser import looking_at

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

PAYLOADS = {
    "script": "<script>pwn()</script>",
    "image": '"><img src=x onerror=pwn()>',
    "svg": "'><svg/onload=pwn()>",
    "frame": '</pre></td><iframe srcdoc="<script>parent.pwn()</script>"></iframe>',
    "link": "javascript:pwn()",
    "template": "${pwn()}{{constructor.constructor('pwn()')()}}",
    "escaped": "\\u003cimg src=x onerror=pwn()\\u003e&lt;script&gt;pwn()&lt;/script&gt;",
    "style": "</style><style>*{display:none}</style>",
    "break": "\u2028\u202e</title><base href=//evil.example><meta http-equiv=refresh content=0;url=//evil.example>",
}
TEXTS = (
    "path",
    "error",
    "query_params",
    "post_data",
    "request_headers",
    "request_body",
    "response_headers",
    "response_body",
    "request_content_type",
    "response_content_type",
)


def fields_with(payload: str) -> list[dict[str, Any]]:
    """An event for each field, and for each place that the page reads out of a field."""
    metadata = {"sdk": {"name": payload, "version": payload}, "framework": payload, "route": payload}
    return [
        *({name: payload} for name in TEXTS),
        {"method": "<svg onload=pwn()>"},
        {"method": payload[:20]},
        {"request_headers": json.dumps({payload: payload, "host": payload})},
        {"response_headers": json.dumps({payload: [payload, {payload: payload}]})},
        {"request_body": json.dumps({payload: [payload, f"[REDACTED] {payload}"]})},
        {"query_params": f"{payload}={payload}"},
        {"custom_properties": {payload: [payload]}},
        {"custom_properties": payload},
        {"metadata": {payload: payload}},
        {"metadata": metadata},
        {"metadata": {"truncated": {"request_body": {"kept": payload, "size": payload}}, "captured_at": payload}},
        {"metadata": {"event_id": payload, "parent_id": payload, "ttfb_ms": payload, "exception": {"type": payload}}},
    ]


def check(page: Page) -> None:
    """Nothing ran, and there are no elements but those that the page makes itself."""
    assert page.evaluate("window.pwned") is None
    assert page.locator(":is(main, #detail) :is(script, img, svg, iframe, style, base, meta)").count() == 0
    assert page.locator("script:not([src^='/_page/'])").count() == 0
    assert page.evaluate("[...document.links].every(link => link.protocol === 'http:')")


def test_a_payload_does_run_where_nothing_holds_it(browser: Browser, client: Client) -> None:
    """What the other tests look for does show when it happens."""
    with looking_at(browser, client.brain) as sight:
        sight.page.goto("about:blank")  # without the policy of our page
        sight.page.set_content(f"<p>{PAYLOADS['svg']}</p>")
        assert sight.page.evaluate("window.pwned") is True


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_script_in_no_field_of_an_event_runs(browser: Browser, client: Client, payload: str) -> None:
    events = fields_with(payload)
    assert {client.log(**fields).status for fields in events} == {201}
    with looking_at(browser, client.brain) as sight:
        page = sight.page
        page.get_by_text(f"{len(events)} events").wait_for()
        for number in range(1, len(events) + 1):
            page.locator(f"tr[data-id='{number}'] .path a").click()
            page.locator(f"#detail a[href$='?id={number}']").first.wait_for()
            check(page)


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
@pytest.mark.parametrize("view", ["session", "sessions", "charts", "senders"])
def test_script_runs_in_no_other_view(browser: Browser, client: Client, payload: str, view: str) -> None:
    client.token = client.brain.create_session({payload: payload})
    for fields in fields_with(payload):
        client.log(**fields)
    agent = payload.encode("ascii", "ignore").decode()
    client.post(SDK, {payload: payload}, {**client.sdk_headers, "User-Agent": agent})
    organisation = {"X-Org-Id": client.brain.agnost_org_id}
    called = {"primitive_name": payload, "primitive_type": "tool", "success": True, "latency": 1}
    assert client.post("/api/v1/capture-event", {"session_id": payload, **called}, organisation).status == 200
    client.token = client.brain.sign({"agent_session_id": payload, "agent_id": payload})
    client.log(path=payload)
    place = f"session/{client.session_id}" if view == "session" else view
    with looking_at(browser, client.brain, place) as sight:
        sight.page.locator("main table tbody tr").first.wait_for()
        if view == "charts":
            sight.page.locator(".plot canvas").nth(3).wait_for()
        check(sight.page)


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_script_in_the_address_does_not_run(browser: Browser, client: Client, payload: str) -> None:
    client.log()
    with looking_at(browser, client.brain) as sight:
        for place in ("events?event={0}", "events?q={0}&session={0}&path={0}&method={0}", "session/{0}", "{0}"):
            sight.page.evaluate("place => { location.hash = place; }", f"#/{place.format(payload)}")
            sight.page.wait_for_timeout(100)
            check(sight.page)
        sight.complaints[:] = [one for one in sight.complaints if "Failed to load resource" not in one]
