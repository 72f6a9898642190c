"""Making the keys of projects and agents."""

from __future__ import annotations

import secrets
import string
from typing import Literal, NamedTuple

KeyKind = Literal["sdk", "agent"]

_SCHEME: dict[KeyKind, str] = {"sdk": "otas", "agent": "agent"}
_PREFIX_ALPHABET = string.ascii_letters + string.digits
_PREFIX_LENGTH = 11
_SECRET_BYTES = 32


class NewKey(NamedTuple):
    """A key and the prefix by which it is looked up."""

    key: str
    prefix: str


def new_key(kind: KeyKind, prefix: str | None = None) -> NewKey:
    """Make a key, `otas_<prefix>_<secret>` or `agent_<prefix>_<secret>`.

    Args:
        kind: Whose key it is.
        prefix: A prefix of the caller's choice. By default one without an underscore: with one, UASAM can never
            match an agent's key (so it is with about one key in seven of the real service), nor can this Brain.
    """
    if prefix is None:
        prefix = "".join(secrets.choice(_PREFIX_ALPHABET) for _ in range(_PREFIX_LENGTH))
    return NewKey(f"{_SCHEME[kind]}_{prefix}_{secrets.token_urlsafe(_SECRET_BYTES)}", prefix)
