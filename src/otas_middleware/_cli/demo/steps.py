"""One request of the demo's agent, as data: what is sent, and what must be recorded of it."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otas_middleware._cli.demo.applications import Application


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
