"""The help desk under real servers: other tests configure Django differently, and it can be configured once a process.

Each behaviour is seen through the synchronous stack (gunicorn) and the asynchronous one (uvicorn).
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

from otas_middleware._cli.demo.environment import HELP_DESK, KNOWLEDGE_BASE, Launcher, address
from otas_middleware._cli.demo.processes import Children, Interruptions

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[2] / "examples"
GUNICORN = ("-m", "gunicorn", "help_desk.wsgi", *KNOWLEDGE_BASE.serve[3:])
TICKET = {"subject": "Printer on fire", "description": "Since this morning.", "requester": "ada@example.com"}


@pytest.fixture(scope="module", params=[GUNICORN, HELP_DESK.serve], ids=["gunicorn", "uvicorn"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("help-desk")
    with Children(Interruptions(), folder) as children:
        launcher = Launcher(children, EXAMPLES, folder, {})
        set_up = launcher.prepare(HELP_DESK)
        assert set_up is not None
        set_up.finished(timeout=30)
        yield address(launcher.serve(HELP_DESK, {}, request.param))


@pytest.fixture
def client(url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=url, trust_env=False, timeout=20) as client:
        yield client


def new_ticket(client: httpx2.Client, **fields: object) -> int:
    answer = client.post("/api/tickets/", json={**TICKET, **fields})
    assert answer.status_code == 201
    number: int = answer.json()["id"]
    return number


def test_a_ticket_is_made_and_read_back(client: httpx2.Client) -> None:
    number = new_ticket(client, details={"os": "Debian", "screens": [1, 2]})
    ticket = client.get(f"/api/tickets/{number}/").json()
    assert ticket.items() >= {**TICKET, "id": number, "status": "open", "replies": []}.items()
    assert ticket["details"] == {"os": "Debian", "screens": [1, 2]}


def test_tickets_are_found_by_status_and_words(client: httpx2.Client) -> None:
    number = new_ticket(client, subject="Cat on keyboard")
    assert [t["id"] for t in client.get("/api/tickets/?search=keyboard").json()["tickets"]] == [number]
    assert client.get("/api/tickets/?search=keyboard&status=closed").json() == {"tickets": []}


@pytest.mark.parametrize("body", [b"", b"not JSON", b"[]", b'{"subject": "No requester", "description": "x"}'])
def test_a_ticket_that_makes_no_sense_is_refused(client: httpx2.Client, body: bytes) -> None:
    answer = client.post("/api/tickets/", content=body)
    assert answer.status_code == 422
    assert "requester" in answer.json()["problems"]


def test_a_status_is_one_of_three(client: httpx2.Client) -> None:
    number = new_ticket(client)
    assert client.patch(f"/api/tickets/{number}/", json={"status": "waiting"}).json()["status"] == "waiting"
    assert client.patch(f"/api/tickets/{number}/", json={"status": "on fire"}).status_code == 422
    assert client.get(f"/api/tickets/{number}/").json()["status"] == "waiting"


def test_a_reply_is_written_by_form_and_stands_on_the_page(client: httpx2.Client) -> None:
    number = new_ticket(client, subject="<i>Help</i>")
    page = client.get(f"/tickets/{number}/").text
    assert "&lt;i&gt;Help&lt;/i&gt;" in page
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token is not None
    reply = {"author": "Bob", "text": "On my way.", "csrfmiddlewaretoken": token[1]}
    answer = client.post(f"/tickets/{number}/", data=reply)
    assert (answer.status_code, answer.headers["location"]) == (302, f"/tickets/{number}/")
    assert "On my way." in client.get(f"/tickets/{number}/").text
    assert client.post(f"/tickets/{number}/", data={**reply, "text": ""}).status_code == 422
    assert client.post(f"/tickets/{number}/", data={"author": "Eve", "text": "Me too."}).status_code == 403


def test_merged_tickets_share_their_replies_and_one_is_closed(client: httpx2.Client) -> None:
    one, other = new_ticket(client), new_ticket(client)
    client.get(f"/tickets/{one}/")
    reply = {"author": "Bob", "text": "On my way."}
    client.post(f"/tickets/{one}/", data=reply, headers={"X-CSRFToken": client.cookies["csrftoken"]})
    assert client.post(f"/api/tickets/{one}/merge/", json={"into": other}).status_code == 200
    assert client.get(f"/api/tickets/{one}/").json()["status"] == "closed"
    assert [r["text"] for r in client.get(f"/api/tickets/{other}/").json()["replies"]] == ["On my way."]
    assert client.post(f"/api/tickets/{one}/merge/", json={"into": 999}).status_code == 500


def test_the_export_streams_every_ticket(client: httpx2.Client) -> None:
    number = new_ticket(client, subject='With "quotes", and a comma')
    answer = client.get("/export.csv")
    assert "content-length" not in answer.headers
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = {row["id"]: row["subject"] for row in csv.DictReader(answer.text.splitlines())}
    assert rows[str(number)] == 'With "quotes", and a comma'


def test_a_deleted_ticket_is_a_404(client: httpx2.Client) -> None:
    number = new_ticket(client)
    assert f"#{number} " in client.get("/").text
    assert client.delete(f"/api/tickets/{number}/").status_code == 204
    assert client.get(f"/api/tickets/{number}/").status_code == 404
    assert client.get(f"/tickets/{number}/").status_code == 404
    assert f"#{number} " not in client.get("/").text
