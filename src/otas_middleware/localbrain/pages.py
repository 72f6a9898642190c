"""Answers as Brain gives them: Django's JSON, and its HTML pages for what goes wrong around a view.

The real pages were measured in Django's debug mode, where the page of an unhandled failure shows the local variables of
the view, the SDK key and the session token among them. Ours shows them too: a client that logs or stores such a page is
to be caught here, and not in production.
"""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse, Response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class DjangoJSON(Response):
    """JSON in the form of Django's `JsonResponse`; like it, it writes NaN and Infinity as they are."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode an answer."""
        return json.dumps(content).encode()


def ok(description: str, response: Mapping[str, object], status: int = 200) -> Response:
    """Answer a success with its `status_description`."""
    return DjangoJSON({"status": 1, "status_description": description, "response": response}, status)


def refusal(status: int, description: str, **more: object) -> Response:
    """Answer a failure with its `status_description`."""
    return DjangoJSON({"status": 0, "status_description": description, **more}, status)


class RefusedError(Exception):
    """A request is refused, with the answer that says so; raised by handlers, sent by their endpoint."""

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.status_code)
        self.answer = answer


def refused(status: int, description: str, **more: object) -> RefusedError:
    """Make the error that refuses a request with a `status_description`."""
    return RefusedError(refusal(status, description, **more))


def page(status: int, title: str, shown: Mapping[str, str] | None = None) -> Response:
    """Answer with an HTML page.

    Args:
        status: The HTTP status.
        title: What went wrong.
        shown: Variables that the page displays, as a debug page does.
    """
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td><pre>&#x27;{html.escape(value)}&#x27;</pre></td></tr>"
        for name, value in (shown or {}).items()
    )
    table = f"<h2>Local vars</h2><table class=vars><tbody>{rows}</tbody></table>" if rows else ""
    text = (
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>"
        f"<title>{html.escape(title)}</title></head><body><h1>{html.escape(title)}</h1>{table}</body></html>\n"
    )
    return HTMLResponse(text, status)


def wrong_method(allowed: Sequence[str]) -> Response:
    """Answer 405 as Django does: an empty page that names the methods that are allowed."""
    return HTMLResponse(b"", 405, {"allow": ", ".join(allowed)})


def options(allowed: Sequence[str]) -> Response:
    """Answer OPTIONS as Django does."""
    return HTMLResponse(b"", 200, {"allow": ", ".join(allowed)})


NO_SLASH = page(500, "RuntimeError: You called this URL via POST, but the URL doesn't end in a slash.")
NOT_FOUND = page(404, "Page not found (404)")
BAD_HOST = page(400, "Bad Request (400): this Brain answers only to localhost, 127.0.0.1 and [::1]")
CSRF_FAILED = page(403, "403 Forbidden: CSRF verification failed. Request aborted.")
TOO_MANY_HEADERS = page(431, "Request Header Fields Too Large")
