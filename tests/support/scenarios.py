"""The scenarios of the contract suite: what is asked of every application, and what the event must then say.

The applications are in `harnesses`; each answers these requests in its own framework's way. What they answer is theirs,
and compared with the same application without us. What the event must say is here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import urlencode

from support.request import Request

JSON = ("Content-Type", "application/json")
OCTETS = ("Content-Type", "application/octet-stream")
TEXT = ("Content-Type", "text/plain; charset=utf-8")

ORDER = {"item": "Darjeeling", "quantity": 2, "note": "für Zoë"}
FORM = {"name": "Ada", "city": "Zürich"}
BINARY = bytes(range(256)) * 4
LARGE_LINE = b"0123456789abcde\n"
LARGE_ANSWER = LARGE_LINE * 12_500
"""200,000 bytes: more than is kept."""
STREAM = [f"part {number}\n".encode() for number in range(5)]
ETAG = '"v1"'

_BOUNDARY = "boundary-7d93"
MULTIPART = (
    f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode() + (BINARY + f"\r\n--{_BOUNDARY}--\r\n".encode())


class OutOfTeaError(Exception):
    """What an application raises and its framework handles, as a server error."""


class NoSuchTeaError(Exception):
    """What an application raises and its framework handles, as a client's error."""


def serve_the_last_tea() -> NoReturn:
    """Fail as an application does that its framework lets answer with a server error."""
    raise OutOfTeaError("no tea")


def serve_unknown_tea() -> NoReturn:
    """Fail as an application does that its framework lets answer with a client's error."""
    raise NoSuchTeaError("no such tea")


@dataclass(frozen=True)
class Scenario:
    """A request, and what is true of it whatever the framework.

    Attributes:
        name: A few words.
        request: What the agent sends.
        status: The status that the event names.
        route: The route template, where the framework has routes; None where no route matches.
        error: The event's `error`.
        exception: The type that the event names, or empty.
        reads_body: Whether the application reads the request's body.
        raises: The application raises instead of answering; some frameworks answer in its place.
        breaks_off: The application raises after it began to answer.
        in_process_only: A real server would not send this.
    """

    name: str
    request: Request
    status: int = 200
    route: str | None = None
    error: str = ""
    exception: str = ""
    reads_body: bool = True
    raises: bool = False
    breaks_off: bool = False
    in_process_only: bool = False

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


def _large_upload() -> tuple[bytes, ...]:
    return (LARGE_LINE * 4096,) * 4 + (LARGE_LINE * 100,)


SCENARIOS = [
    Scenario("empty", Request(path="/empty"), route="/empty"),
    Scenario(
        "json",
        Request("POST", "/orders/42", "dry_run=1&tag=a&tag=b", (JSON,), (json.dumps(ORDER).encode(),)),
        status=201,
        route="/orders/{order_id}",
    ),
    Scenario(
        "form",
        Request(
            "POST",
            "/form",
            headers=(("Content-Type", "application/x-www-form-urlencoded"),),
            body=(urlencode(FORM).encode(),),
        ),
        route="/form",
    ),
    Scenario(
        "multipart",
        Request(
            "POST",
            "/upload",
            headers=(("Content-Type", f"multipart/form-data; boundary={_BOUNDARY}"),),
            body=(MULTIPART[:100], MULTIPART[100:]),
        ),
        route="/upload",
    ),
    Scenario("binary", Request("POST", "/binary", headers=(OCTETS,), body=(BINARY,)), route="/binary"),
    Scenario("large", Request("POST", "/large", headers=(TEXT,), body=_large_upload()), route="/large"),
    Scenario("streamed", Request(path="/stream"), route="/stream"),
    Scenario("streamed echo", Request("POST", "/echo", "7,1,400", (OCTETS,), (BINARY[:10], BINARY)), route="/echo"),
    Scenario("head", Request("HEAD", "/hello"), route="/hello"),
    Scenario("no content", Request("DELETE", "/items/7"), status=204, route="/items/{item_id}"),
    Scenario("not modified", Request(path="/cached", headers=(("If-None-Match", ETAG),)), status=304, route="/cached"),
    Scenario("redirect", Request(path="/old"), status=302, route="/old"),
    Scenario("cookies", Request(path="/cookies", headers=(("Cookie", "theme=dark"),)), route="/cookies"),
    Scenario("not found", Request(path="/nowhere/at/all"), status=404, error="404 Not Found"),
    Scenario("missing item", Request(path="/items/8"), status=404, route="/items/{item_id}", error="404 Not Found"),
    Scenario("handled refusal", Request(path="/refused"), status=409, route="/refused", error="409 Conflict"),
    Scenario(
        "handled error",
        Request(path="/handled"),
        status=500,
        route="/handled",
        error="OutOfTeaError: no tea",
        exception="OutOfTeaError",
    ),
    Scenario(
        "unhandled exception",
        Request(path="/boom"),
        status=500,
        route="/boom",
        error="RuntimeError: boom",
        exception="RuntimeError",
        raises=True,
    ),
    Scenario(
        "exception mid-stream",
        Request(path="/broken-stream"),
        route="/broken-stream",
        error="RuntimeError: mid-stream",
        exception="RuntimeError",
        breaks_off=True,
    ),
    Scenario(
        "unread body",
        Request("POST", "/unread", headers=(OCTETS,), body=(BINARY,)),
        route="/unread",
        reads_body=False,
    ),
    Scenario(
        "mounted",
        Request(path="/mount/inner/things/5", query="deep=1"),
        route="/mount/inner/things/{thing_id}",
    ),
    Scenario("mounted not found", Request(path="/mount/inner/other"), status=404, error="404 Not Found"),
    Scenario("unicode path", Request(path="/grüße/日本 1"), route="/grüße/{name}"),
    Scenario(
        "behind a prefix",
        Request(path="/prefix/items/8", prefix="/prefix"),
        status=404,
        route="/prefix/items/{item_id}",
        error="404 Not Found",
        in_process_only=True,
    ),
]
