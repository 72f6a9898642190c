"""What a transport or a destination of one's own is made of.

A transport carries one request out and one response back; a plain function will do. This one sends through a proxy:

```python
# shop/telemetry.py                                     OTAS_TRANSPORT=shop.telemetry:through_proxy
import httpx2
from otas_middleware.delivery import Request, Response, TransportError

client = httpx2.Client(proxy="http://proxy.internal:3128")

def through_proxy(request: Request, timeout: float) -> Response:
    try:
        reply = client.post(request.url, content=request.body, headers=request.headers, timeout=timeout)
    except httpx2.TransportError as error:
        raise TransportError(type(error).__name__, sent=not isinstance(error, httpx2.ConnectError)) from error
    return Response(reply.status_code, reply.headers, reply.content)
```

A class is made once for each sending thread, and its `close()`, if it has one, is called at that thread's end.

A destination turns an event into a request and judges the answer. This one posts events to an archive of one's own:

```python
# shop/telemetry.py                                     OTAS_DESTINATIONS=shop.telemetry:archive
from otas_middleware.delivery import Outcome, Envelope, Request, Response, by_status

class Archive:
    name = "archive"

    def request(self, envelope: Envelope) -> Request:
        return Request("https://archive.example.com/events", (), envelope.event.to_json())

    def outcome(self, response: Response) -> Outcome:
        return by_status(response)

archive = Archive()
```

A function that takes the settings and makes the destination may be named instead. A destination has an exporter of its
own: a queue, retries, a spool and counters, so that its outages hold up nobody else. Events come to it redacted. The
session token, `envelope.token`, is Brain's business; do not send it anywhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otas_middleware._delivery import (
    DELIVERED,
    Destination,
    Outcome,
    Request,
    Response,
    Transport,
    TransportError,
    Verdict,
)
from otas_middleware._delivery.retry import by_status

if TYPE_CHECKING:
    from otas_middleware._event import BackendEvent, Envelope

__all__ = [
    "DELIVERED",
    "BackendEvent",
    "Destination",
    "Envelope",
    "Outcome",
    "Request",
    "Response",
    "Transport",
    "TransportError",
    "Verdict",
    "by_status",
]


def __getattr__(name: str) -> Any:
    if name == "Parcel":
        from warnings import warn  # noqa: PLC0415  # only for those who use the old name

        warn(
            "otas_middleware.delivery.Parcel is now otas_middleware.delivery.Envelope", DeprecationWarning, stacklevel=2
        )
        name = "Envelope"
    if name in {"BackendEvent", "Envelope"}:  # pydantic, only for those who ask for it
        from otas_middleware import _event  # noqa: PLC0415  # as the line above says

        return getattr(_event, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
