"""What `otas-middleware doctor` does: check a set-up from its settings to the services; name the cause and the fix.

Here is what a check found, and how that is printed: for people a line each, for machines as JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from otas_middleware._cli import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TOKEN_VARIABLE = "X_OTAS_AGENT_SESSION_TOKEN"  # noqa: S105  # a variable's name
"""Where the session token for a test event may be."""

LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
"""Hosts in URLs of this machine."""


Status = Literal["ok", "warning", "failed", "skipped"]

_SIGNS: dict[Status, tuple[str, str, str]] = {
    # status: sign, sign in ASCII, colour
    "ok": ("✓", "ok  ", "\033[32m"),
    "warning": ("!", "warn", "\033[33m"),
    "failed": ("✗", "FAIL", "\033[31m"),
    "skipped": ("·", "-   ", "\033[2m"),
}
_PLAIN = "\033[0m"
_NAME_WIDTH = 12


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes:
        name: A stable name, such as `sdk_key`.
        status: `failed` makes the exit status 1; so does `warning`, of what works, but not as it should, when asked
            to be strict; `skipped` was not looked at, for the reason that `text` says.
        text: What was found, in a sentence.
        fix: What to do about it.
        details: Further lines.
        data: The same for machines.
    """

    name: str
    status: Status
    text: str
    fix: str = ""
    details: tuple[str, ...] = ()
    data: Mapping[str, object] = field(default_factory=dict[str, object])


def healthy(checks: Iterable[Check], *, strict: bool = False) -> bool:
    """Tell whether nothing failed, and when `strict`, whether there is no warning either."""
    bad = {"failed", "warning"} if strict else {"failed"}
    return not any(check.status in bad for check in checks)


def as_text(check: Check, *, colour: bool, ascii_only: bool) -> str:
    """Return a check as its lines: sign, name, text; then details, and the fix behind an arrow.

    Args:
        check: The check.
        colour: Whether to use ANSI escape sequences.
        ascii_only: Whether the output takes nothing but ASCII.
    """
    sign, plain_sign, style = _SIGNS[check.status]
    shown = plain_sign if ascii_only else sign
    if colour:
        shown = f"{style}{shown}{_PLAIN}"
    margin = " " * (len(plain_sign if ascii_only else sign) + 1 + _NAME_WIDTH + 1)
    arrow = "-> " if ascii_only else "→ "
    below = [*check.details, *([arrow + check.fix] if check.fix else [])]
    name = check.name.replace("_", " ")
    label = f"{name:<{_NAME_WIDTH}} " if len(name) <= _NAME_WIDTH else f"{name}: "
    lines = [f"{shown} {label}{printable(check.text)}"]
    lines += [margin + printable(line) for line in below]
    text = "\n".join(lines)
    return text.encode("ascii", "replace").decode() if ascii_only else text


def counted(count: int, one: str, many: str) -> str:
    """Return a number with what it counts, in the singular or the plural."""
    return f"{count:,} {one if count == 1 else many}"


def conclusion(checks: list[Check]) -> str:
    """Return the last line: what failed, what to look at, and what was not looked at."""
    by_status: dict[Status, list[str]] = {"failed": [], "warning": [], "skipped": [], "ok": []}
    for check in checks:
        by_status[check.status].append(check.name.replace("_", " "))
    failed, warned, skipped = (by_status[status] for status in ("failed", "warning", "skipped"))
    looked_at = len(checks) - len(skipped)
    parts = [f"{len(failed)} of {counted(looked_at, 'check', 'checks')} failed: {', '.join(failed)}."] if failed else []
    if warned:
        parts.append(f"{counted(len(warned), 'warning', 'warnings')}: {', '.join(warned)}.")
    if not parts:
        parts.append(f"All is well: {counted(looked_at, 'check', 'checks')}.")
    if skipped:
        parts.append(f"Not looked at: {', '.join(skipped)}.")
    return " ".join(parts)


def as_json(checks: list[Check], version: str, *, strict: bool = False) -> str:
    """Return all checks as one JSON document."""
    return json.dumps(
        {
            "ok": healthy(checks, strict=strict),
            "version": version,
            "checks": [
                {
                    "name": check.name,
                    "status": check.status,
                    "text": check.text,
                    **({"fix": check.fix} if check.fix else {}),
                    **({"details": check.details} if check.details else {}),
                    **({"data": check.data} if check.data else {}),
                }
                for check in checks
            ],
        },
        ensure_ascii=False,
        indent=2,
    )
