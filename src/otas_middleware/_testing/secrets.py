"""Finding a text in an event, in the forms that it may have taken on its way."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from otas_middleware._event.model import BackendEvent


def traces(event: BackendEvent, secret: str) -> list[str]:
    """Return the names of the event's fields in which a text stands, in one of its forms."""
    forms = _forms(secret)
    fields: dict[str, object] = json.loads(event.to_json())
    found: list[str] = []
    for name, value in fields.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if any(form in text for form in forms):
            found.append(name)
    return found


def _forms(secret: str) -> set[str]:
    escaped = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    # A JSON text inside of a JSON text is escaped twice.
    escaped |= {json.dumps(form)[1:-1] for form in escaped}
    return {secret, *escaped, quote(secret), quote(secret, safe=""), quote_plus(secret), *_base64_forms(secret)}


def _base64_forms(secret: str) -> set[str]:
    """Return what stays the same in base64 wherever the secret begins: at each of three offsets, without both ends."""
    raw = secret.encode()
    if len(raw) < 12:
        return set()  # too little would be left to be told from anything else
    return {base64.b64encode(b"\0" * offset + raw).decode()[4:-4] for offset in range(3)}
