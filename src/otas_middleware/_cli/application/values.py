"""Values of settings as they may be shown."""

from __future__ import annotations

import re

from pydantic import SecretStr

SDK_KEY = re.compile(r"otas_.+_.+")  # a prefix may hold underscores, and begin with one
_LONG_KEY = 30


def masked(value: object) -> str:
    """Return a setting's value as it may be shown: of a secret no more than what tells one key from another."""
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        start = f"{secret[:9]}…" if SDK_KEY.fullmatch(secret) and len(secret) >= _LONG_KEY else "…"
        return f"{start} ({len(secret)} characters)"
    if callable(value):
        return f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', repr(value))}"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return str(value)
