"""The record of one operation, and what a protocol has to be."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NotRequired, Protocol, TypedDict, cast, get_args

from otas_middleware._capture.session import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._event.operation.exchange import Exchange

Outcome = Literal["ok", "error", "partial", "input_required", "cancelled", "unknown"]

MAX_ITEMS = 20
"""How many calls of a batch are listed one by one."""

_Text = Literal["name", "method", "target", "type", "version"]
_TEXTS: tuple[_Text, ...] = get_args(_Text)
_MAX_TEXT = 200
_MAX_MESSAGE = 1_000
_MAX_LOOKED_AT = 8_192
"""Of a longer text only this beginning is looked through for secrets, and far less of it is kept."""


class OperationRecord(TypedDict):
    """`metadata.operation`: an `Operation` as it is recorded, with the members that are known."""

    protocol: str
    outcome: Outcome
    name: NotRequired[str]
    method: NotRequired[str]
    target: NotRequired[str]
    type: NotRequired[str]
    version: NotRequired[str]
    id: NotRequired[str | float]
    client: NotRequired[dict[str, str]]
    session: NotRequired[str]
    code: NotRequired[str | int]
    count: NotRequired[int]
    failed: NotRequired[int]
    items: NotRequired[list[OperationRecord]]


@dataclass(slots=True)
class Operation:
    """What was called inside one HTTP request, and what came of it.

    Every text is as it was sent; it is redacted and cut before it leaves the process.

    Attributes:
        protocol: Such as `mcp`, `json-rpc`, `graphql`.
        name: What to group by: few values, never a URI or an id. Such as `tools/call add`.
        method: The protocol's own method, such as `tools/call`.
        target: What the method was applied to: a tool, a prompt, a resource's URI, a GraphQL operation.
        type: What kind of call it was: `tool`, `resource`, `prompt`, `query`, `mutation`, `batch`, …
        version: The protocol's version, where the request says it.
        id: The request's id within the protocol.
        client: Name and version of the caller's software, as it says itself.
        session: Fingerprint of the protocol's own session id; never the id.
        outcome: `ok`, `error`, `partial` (failed in part), `input_required` (neither), `cancelled`, or `unknown` when
            what decides was not seen.
        code: The protocol's error code.
        message: Why it failed; it becomes the event's `error`.
        count: How many calls a batch holds.
        failed: How many of them failed.
        items: The first calls of a batch.
        long_lived: The response is open for as long as the caller wants it, so that its end says nothing of latency.
        traceparent: A W3C trace context that the protocol carries in its body.
    """

    protocol: str
    name: str = ""
    method: str = ""
    target: str = ""
    type: str = ""
    version: str = ""
    id: str | float | None = None
    client: dict[str, str] | None = None
    session: str = ""
    outcome: Outcome = "unknown"
    code: str | int | None = None
    message: str = ""
    count: int | None = None
    failed: int | None = None
    items: list[Operation] = field(default_factory=list["Operation"])
    long_lived: bool = False
    traceparent: str = ""

    @property
    def is_error(self) -> bool:
        """Whether it failed, in whole or in part."""
        return self.outcome in {"error", "partial"}

    def fail(self, code: str | int | None, message: str, outcome: Outcome = "error") -> None:
        """Note that it failed, and why.

        Args:
            code: The protocol's own code.
            message: What the protocol says of the failure.
            outcome: What came of it.
        """
        self.outcome, self.code, self.message = outcome, None if isinstance(code, bool) else code, message

    def hold(self, items: list[Operation]) -> None:
        """Note the calls of a batch; it failed when one of them did, in part when not all did.

        Args:
            items: The calls in their order.
        """
        failed = [item for item in items if item.is_error]
        self.count, self.failed, self.items = len(items), len(failed), items[:MAX_ITEMS]
        if failed:
            self.fail(failed[0].code, failed[0].message, "partial" if len(failed) < len(items) else "error")

    def texts(self) -> list[str]:
        """Return every text in it that somebody else wrote."""
        found = [self.protocol, self.name, self.method, self.target, self.type, self.version, self.message]
        found += [value for value in (self.id, self.code) if isinstance(value, str)]
        if self.client:
            found += self.client.values()
        for item in self.items:
            found += item.texts()
        return found

    def masked(self, mask: Callable[[str], str]) -> OperationRecord:
        """Return the record for `metadata.operation`.

        Args:
            mask: Masks the secrets in a text.
        """
        record: OperationRecord = {"protocol": shown(self.protocol, mask), "outcome": self.outcome}
        for key in _TEXTS:
            text: str = getattr(self, key)
            if text:
                record[key] = shown(text, mask)
        if self.id is not None:
            record["id"] = shown(self.id, mask) if isinstance(self.id, str) else self.id
        if self.client:
            record["client"] = {key: shown(value, mask) for key, value in self.client.items() if value}
        if self.session:
            record["session"] = self.session
        if self.code is not None:
            record["code"] = shown(self.code, mask) if isinstance(self.code, str) else self.code
        if self.count is not None:
            record["count"], record["failed"] = self.count, self.failed or 0
        if self.items:
            record["items"] = [item.masked(mask) for item in self.items[:MAX_ITEMS]]
        return record

    def error(self, mask: Callable[[str], str]) -> str:
        """Return `protocol code: message`, masked; empty when nothing is known of a failure but that there was one.

        Args:
            mask: Masks secrets in a text.
        """
        if self.code is None and not self.message:
            return ""
        label = self.protocol if self.code is None else f"{self.protocol} {self.code}"
        label = shown(label, mask)
        return f"{label}: {shown(self.message, mask, _MAX_MESSAGE)}" if self.message else label


_KINDS: dict[str, Any] = {
    **dict.fromkeys((*_TEXTS, "protocol", "session", "message", "traceparent"), str),
    "id": str | int | float | None,
    "code": str | int | None,
    "count": int | None,
    "failed": int | None,
    "client": (dict, type(None)),
    "items": list,
}
_MAX_BITS = 64
_FINGERPRINT = re.compile("[0-9a-f]{16}")


def checked(given: object) -> Operation:
    """Return what a function of the user's gave, with a fingerprint in place of what is none.

    Raises:
        TypeError: It is no operation, or one of its attributes is not of the kind that is documented.
    """
    if not isinstance(given, Operation):
        raise TypeError(f"operation_protocols: {type(given).__name__} is no Operation, and not None")
    for name, kind in _KINDS.items():
        value: object = getattr(given, name)
        if not isinstance(value, kind) or (isinstance(value, int) and value.bit_length() > _MAX_BITS):
            raise TypeError(f"operation_protocols: {name} of an Operation cannot be this {type(value).__name__}")
    if given.outcome not in get_args(Outcome):
        raise TypeError("operation_protocols: outcome of an Operation is none of those that are documented")
    if given.session and _FINGERPRINT.fullmatch(given.session) is None:
        given.session = fingerprint(given.session)
    client = cast("dict[object, object]", given.client or {})
    if not client.keys() <= {"name", "version"} or not all(isinstance(text, str) for text in client.values()):
        raise TypeError("operation_protocols: client of an Operation holds texts under name and version")
    for item in given.items:
        checked(item)
    return given


class OperationReader(Protocol):
    """One protocol: a function that recognises an exchange, names the call and decides its outcome."""

    def __call__(self, exchange: Exchange, /) -> Operation | None:
        """Return what was called, or None when the exchange is not of this protocol."""
        ...


def shown(text: str, mask: Callable[[str], str], limit: int = _MAX_TEXT) -> str:
    """Return the beginning of a text, masked before it is cut: half a secret no longer looks like one.

    Args:
        text: The text.
        mask: Masks secrets.
        limit: Characters of the longest beginning.
    """
    if len(text) <= _MAX_TEXT:
        return mask(text)
    masked = mask(text[:_MAX_LOOKED_AT])
    return masked if len(masked) <= limit else masked[: limit - 1] + "…"
