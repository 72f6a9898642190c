"""UASAM's check of an SDK key. Unlike Brain, UASAM tells a bad key from an outage, and it names the key's project."""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, cast
from uuid import UUID

from otas_middleware._delivery.protocols import Request
from otas_middleware._version import __version__

if TYPE_CHECKING:
    from otas_middleware._delivery.protocols import Response

_PATH = "/api/project/v1/sdk/backend/key/authenticate/"


class KeyState(Enum):
    """What UASAM says of a key."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"
    """UASAM is away itself, or what answers there is not UASAM."""


def key_request(url: str, key: str) -> Request:
    """Return the request that asks for an SDK key.

    Args:
        url: UASAM's base URL, without a trailing slash.
        key: The key.
    """
    headers = (
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
        ("User-Agent", f"otas-middleware/{__version__}"),
        ("X-OTAS-SDK-KEY", key),
    )
    return Request(url + _PATH, headers, b"{}")


def key_state(response: Response) -> tuple[KeyState, UUID | None]:
    """Return what the answer says of the key, and the id of its project where it is good."""
    fields = _fields(response)
    if response.status == 200 and fields.get("status") == 1:
        project = _object(_object(fields.get("response")).get("project"))
        try:
            return KeyState.GOOD, UUID(str(project.get("id")))
        except ValueError:
            return KeyState.GOOD, None
    # UASAM's own 403 is JSON with an `error`; a proxy's is a page.
    if response.status == 403 and isinstance(fields.get("error"), str):
        return KeyState.BAD, None
    return KeyState.UNKNOWN, None


def _fields(response: Response) -> dict[str, object]:
    try:
        return _object(json.loads(response.body))
    except (ValueError, RecursionError):
        return {}


def _object(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}
