"""Who may ask the page's endpoints, and what its answers tell a browser to do with them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otas_middleware.localbrain import page as assets

if TYPE_CHECKING:
    from localbrain.wire import Client
    from otas_middleware.localbrain import LocalBrain

FILES = sorted(assets.assets())
QUESTIONS = ["events", "count", "event?id=1", "sessions", "charts", "senders", "agnost", "export.json", "export.har"]


@pytest.mark.parametrize(
    "path", FILES + [f"/_page/{question}" for question in [*QUESTIONS, "event?id=999", "events?limit=x"]]
)
def test_every_answer_is_locked_in(client: Client, path: str) -> None:
    client.log()
    headers = client.get(path).headers
    parts = (part.strip().partition(" ") for part in headers["content-security-policy"].split(";"))
    policy = {name: value for name, _, value in parts}
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers


def test_the_document_needs_nothing_from_elsewhere(client: Client) -> None:
    """Offline means: each address in the page's own files is of this server."""
    for path in FILES:
        text = client.get(path).body.decode()
        if "/vendor/" not in path:
            assert re.findall(r"(?:src|href|from|import\()\s*=?\s*[\"'](?:https?:)?//[^\"']+", text) == []
            assert (
                re.findall(r"\b(?:innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|new Function)\b", text)
                == []
            )
        for found in re.findall(r"(?:src|href)=\"(/[^\"]*)\"", text):
            assert found in FILES


def test_modules_import_what_is_served(client: Client) -> None:
    imported = {
        found
        for path in FILES
        if path.endswith(".js") and "/vendor/" not in path
        for found in re.findall(r"(?:from|import\()\s*\"\./([^\"]+)\"", client.get(path).body.decode())
    }
    assert imported
    assert {f"/_page/{name}" for name in imported} <= set(FILES)


def test_what_the_first_view_is_made_of_is_asked_for_at_once(client: Client) -> None:
    """Otherwise the browser learns of a module only when it has read the one that imports it."""

    def made_of(name: str) -> set[str]:
        imported = re.findall(
            r"^import .* from \"\./([^\"]+)\"", client.get(f"/_page/{name}").body.decode(), re.MULTILINE
        )
        return {name}.union(*map(made_of, imported))

    asked = re.findall(r'rel="modulepreload" href="/_page/([^"]+)"', client.get("/").body.decode())
    assert sorted(asked) == sorted(made_of("app.js") - {"app.js"})


def test_charts_come_with_their_licence() -> None:
    folder = next(file for file in Path(assets.__file__).parent.rglob("uPlot.min.js")).parent
    assert "MIT License" in (folder / "LICENSE").read_text()


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_data_is_not_for_other_sites(client: Client, question: str, site: str) -> None:
    assert client.get(f"/_page/{question}", {"Sec-Fetch-Site": site}).status == 403


def test_other_sites_may_link_to_the_page(client: Client) -> None:
    assert client.get("/", {"Sec-Fetch-Site": "cross-site"}).status == 200


@pytest.mark.parametrize("path", ["/", "/_page/app.js", "/_page/events", "/_page/feed"])
def test_a_foreign_name_reaches_nothing(client: Client, path: str) -> None:
    assert client.get(path, {"Host": "evil.example"}).status == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", ["/_page/clear", "/_page/new-session"])
def test_only_this_page_and_programs_change_anything(
    brain: LocalBrain, client: Client, path: str, headers: dict[str, str]
) -> None:
    client.log()
    assert client.post(path, {}, headers).status == 403
    assert (len(brain.events()), len(brain.sessions())) == (1, 1)


def test_the_page_itself_clears_and_makes_sessions(brain: LocalBrain, client: Client) -> None:
    client.log()
    own = {"Origin": f"http://127.0.0.1:{brain.port}", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/_page/clear", {}, own).status == 200
    assert (brain.events(), brain.sessions()) == ([], [])
    client.token = client.post("/_page/new-session", {}, own).json["token"]
    assert client.log().status == 201
    assert brain.sessions()[0]["id"] == client.session_id


@pytest.mark.parametrize("path", ["/_page/clear", "/_page/new-session"])
def test_a_get_changes_nothing(brain: LocalBrain, client: Client, path: str) -> None:
    client.log()
    assert client.get(path).status == 405
    assert len(brain.events()) == 1


def test_an_endless_query_is_refused(client: Client) -> None:
    assert client.get("/_page/events?method=" + "x" * 16_000).status == 414
