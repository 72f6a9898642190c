"""What the demo's agent does: some forty requests, over all three applications."""

from __future__ import annotations

import secrets
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from otas_middleware._cli.demo.environment import HELP_DESK, KNOWLEDGE_BASE, ORDERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otas_middleware._cli.demo.environment import Application

LONG_TEXT = "Press the red button. " * 5_000  # bytes enough to be recorded in part only
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 200


def steps(secrets: Secrets) -> list[Step]:
    """Return the requests in their order; the ids in them are those of fresh data."""
    return [*_orders(secrets), *_knowledge_base(secrets), *_help_desk(secrets)]


def _orders(secrets: Secrets) -> Iterator[Step]:
    order: dict[str, Any] = {
        "customer": "Ada",
        "country": "GB",
        "items": [{"sku": "TEA-100", "quantity": 2, "price": 450}, {"sku": "CUP-20", "quantity": 1, "price": 1200}],
        "payment": {"card_number": "4242424242424242", "cvc": "123"},
    }
    secrets["card number"] = order["payment"]["card_number"]
    bearer = {"Authorization": f"Bearer {secrets['bearer token']}"}
    unreadable = f'{{"customer": "Ada", "password": "{secrets["password in broken JSON"]}", "items": ['.encode()

    yield Step(ORDERS, "GET", "/health", 200, by_agent=False)
    yield Step(ORDERS, "POST", "/orders", 201, json=order, headers=bearer, answers=("tracking_token",))
    yield Step(ORDERS, "GET", "/orders/1", 200, headers=bearer)
    yield Step(ORDERS, "GET", "/orders/1/events?tracking_token={secrets[tracking_token]}", 200)
    yield Step(ORDERS, "GET", "/orders/1/events?tracking_token={secrets[wrong token]}", 403)
    yield Step(ORDERS, "DELETE", "/orders/1", 409)
    yield Step(ORDERS, "POST", "/orders", 201, json={**order, "customer": "Zoë 🚀", "country": "AQ"})
    yield Step(ORDERS, "DELETE", "/orders/2", 204)
    yield Step(ORDERS, "GET", "/orders?customer=Zo%C3%AB+%F0%9F%9A%80&api_key={secrets[key in a query]}", 200)
    yield Step(ORDERS, "GET", "/orders/1/shipping", 200)
    yield Step(ORDERS, "GET", "/orders/2/shipping", 500, exception="KeyError")
    yield Step(ORDERS, "GET", "/orders", 200, headers=bearer, by_agent=False)
    yield Step(ORDERS, "GET", "/orders/99", 404)
    yield Step(ORDERS, "POST", "/orders", 422, json={**order, "items": []})
    yield Step(ORDERS, "POST", "/orders", 422, content=unreadable, headers={"Content-Type": "application/json"})
    yield Step(ORDERS, "PUT", "/orders/1", 405)
    yield Step(ORDERS, "GET", "/openapi.json", 200)


def _knowledge_base(secrets: Secrets) -> Iterator[Step]:
    login = {"name": "Ada", "password": secrets["editor password"]}
    article = "/articles/reset"
    manual = f"{article}/files/manual.pdf"

    yield Step(KNOWLEDGE_BASE, "GET", "/", 200)
    yield Step(KNOWLEDGE_BASE, "POST", "/login", 401, form={"name": "Ada", "password": secrets["wrong password"]})
    yield Step(KNOWLEDGE_BASE, "POST", "/login", 303, form=login)
    yield Step(KNOWLEDGE_BASE, "POST", "/login", 303, form=login, by_agent=False)
    yield Step(KNOWLEDGE_BASE, "POST", "/articles", 303, form={"title": "Reset", "text": "Hold the button."})
    yield Step(KNOWLEDGE_BASE, "POST", "/articles", 303, form={"title": "Unabridged", "text": LONG_TEXT})
    yield Step(KNOWLEDGE_BASE, "POST", "/articles", 422, form={"title": "", "text": "An article without a title"})
    yield Step(KNOWLEDGE_BASE, "GET", article, 200)
    yield Step(
        KNOWLEDGE_BASE,
        "POST",
        f"{article}/files",
        201,
        file=("manual.pdf", PDF),
        form={"access_token": secrets["token in multipart"]},
    )
    yield Step(KNOWLEDGE_BASE, "GET", manual, 200)
    yield Step(KNOWLEDGE_BASE, "HEAD", manual, 200)
    yield Step(KNOWLEDGE_BASE, "GET", "/search?q=button&access_token={secrets[token in a query]}", 200)
    yield Step(KNOWLEDGE_BASE, "GET", f"{article}/reading-time", 200)
    yield Step(KNOWLEDGE_BASE, "GET", f"{article}/reading-time?words_per_minute=0", 500, exception="ZeroDivisionError")
    yield Step(KNOWLEDGE_BASE, "GET", "/", 200, by_agent=False)
    yield Step(KNOWLEDGE_BASE, "GET", "/articles/nothing", 404)


def _help_desk(secrets: Secrets) -> Iterator[Step]:
    accounts = [{"user": "ada", "secret": secrets["secret in a list"]}]
    ticket = {
        "subject": "Printer on fire",
        "description": f"It says: Authorization: Bearer {secrets['token in free text']} was refused.",
        "requester": "ada@example.com",
        "details": {"os": "Debian", "password": secrets["password in JSON"], "accounts": accounts},
    }
    api_key = {"X-Api-Key": secrets["key in a header"]}
    csrf = {"X-CSRFToken": "{secrets[csrftoken]}"}

    yield Step(HELP_DESK, "GET", "/", 200)
    yield Step(HELP_DESK, "POST", "/api/tickets/", 201, json=ticket, headers=api_key)
    yield Step(HELP_DESK, "POST", "/api/tickets/", 201, json={**ticket, "subject": "Drucker raucht 💨"})
    yield Step(HELP_DESK, "POST", "/api/tickets/", 422, json={"subject": "Nobody's ticket"}, headers=api_key)
    yield Step(HELP_DESK, "GET", "/api/tickets/?status=open&search=printer", 200, headers=api_key)
    yield Step(HELP_DESK, "GET", "/api/tickets/", 200, by_agent=False)
    yield Step(HELP_DESK, "GET", "/api/tickets", 301)
    yield Step(HELP_DESK, "GET", "/api/tickets/1/", 200)
    yield Step(HELP_DESK, "GET", "/tickets/1/", 200)
    yield Step(HELP_DESK, "POST", "/tickets/1/", 302, form={"author": "Bob", "text": "On my way."}, headers=csrf)
    yield Step(HELP_DESK, "POST", "/tickets/1/", 403, form={"author": "Eve", "text": "No CSRF token."})
    yield Step(HELP_DESK, "PATCH", "/api/tickets/1/", 200, json={"status": "waiting"})
    yield Step(HELP_DESK, "PATCH", "/api/tickets/1/", 422, json={"status": "on fire"})
    yield Step(HELP_DESK, "POST", "/api/tickets/2/merge/", 200, json={"into": 1})
    yield Step(HELP_DESK, "POST", "/api/tickets/2/merge/", 500, json={"into": 99}, exception="DoesNotExist")
    yield Step(HELP_DESK, "GET", "/export.csv", 200)
    yield Step(HELP_DESK, "DELETE", "/api/tickets/2/", 204)
    yield Step(HELP_DESK, "GET", "/tickets/2/", 404)


@dataclass(frozen=True)
class Step:
    """One request. `{secrets[NAME]}` in its target or a header stands for one of the demo's secrets."""

    application: Application
    method: str
    target: str
    """Path and query string."""
    status: int
    """What it must be answered with."""
    _: KW_ONLY
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    json: Any = None
    form: Mapping[str, str] | None = None
    file: tuple[str, bytes] | None = None
    """Name and content of an upload; `form` then holds the other parts of the multipart body."""
    content: bytes | None = None
    """A body as it is."""
    exception: str = ""
    """The exception that the recorded error must name."""
    answers: tuple[str, ...] = ()
    """Fields of the JSON answer that are secrets from then on, under the same names."""
    by_agent: bool = True
    """False: it comes from somebody else, without a session token, and must not be recorded."""

    @property
    def path(self) -> str:
        """The path as it must be recorded."""
        return unquote(urlsplit(self.target).path)


class Secrets(dict[str, str]):
    """Name → secret. A name that is asked for the first time gets a value that nothing else in the world holds."""

    def __missing__(self, name: str) -> str:
        value = self[name] = secrets.token_hex(12)
        return value

    def learn(self, name: str, value: str) -> None:
        """Add a secret that an application made. The first one of a name keeps it, further ones are numbered."""
        if value not in self.values():
            self[f"{name} {len(self)}" if name in self else name] = value

    def found_in(self, text: str) -> list[str]:
        """Return the names of the secrets that stand in `text`."""
        return [name for name, value in self.items() if value in text]
