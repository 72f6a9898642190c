"""Which tap belongs into which client."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._config.origins import locate
from otas_middleware._outbound.gate import Place
from otas_middleware._outbound.httpx_tap import library_of, wrap_client

if TYPE_CHECKING:
    from otas_middleware._outbound.gate import Gate


def instrument(client: object, gate: Gate) -> None:
    """Put the tap into a client.

    Raises:
        TypeError: It is not a client of a library that is known here.
    """
    if library_of(client) is not None and hasattr(client, "_transport"):
        wrap_client(client, gate)
        return
    if "requests" in sys.modules:
        from requests import Session  # noqa: PLC0415  # optional; whose object this may be has imported it

        from otas_middleware._outbound.requests_tap import wrap_session  # noqa: PLC0415  # as above

        if isinstance(client, Session):
            wrap_session(client, gate)
            return
    raise TypeError(
        f"{type(client).__name__} is neither an httpx Client or AsyncClient nor a requests.Session; "
        "pass the one that it is built on, or set the headers of headers_for(url) on each of its requests."
    )


def headers_for(url: str, gate: Gate) -> dict[str, str]:
    """Return the token's header for a URL inside, else nothing; may block (see `Gate.token`)."""
    location = locate(url)
    if location is None or gate.place(*location) is not Place.INSIDE:
        return {}
    token = gate.token_at_hand() or gate.token()
    return {} if token is None else {TOKEN_HEADER: token}
