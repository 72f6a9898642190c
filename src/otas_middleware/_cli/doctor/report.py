"""What a check found, and how that is printed: for people a line each, for machines as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Status = Literal["ok", "caution", "failed", "skipped"]

_SIGNS: dict[Status, tuple[str, str, str]] = {
    # status: sign, sign in ASCII, colour
    "ok": ("✓", "ok  ", "\033[32m"),
    "caution": ("!", "note", "\033[33m"),
    "failed": ("✗", "FAIL", "\033[31m"),
    "skipped": ("·", "-   ", "\033[2m"),
}
_PLAIN = "\033[0m"


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes:
        name: A stable name, such as `sdk_key`.
        status: `failed` makes the exit status 1; `caution` works, but not quite as it should; `skipped` was not
            looked at, for the reason that `text` says.
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


def healthy(checks: Iterable[Check]) -> bool:
    """Say whether all is well."""
    return not any(check.status == "failed" for check in checks)


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
    margin = " " * (len(plain_sign if ascii_only else sign) + 14)
    arrow = "-> " if ascii_only else "→ "
    below = [*check.details, *([arrow + check.fix] if check.fix else [])]
    lines = [f"{shown} {check.name.replace('_', ' '):<12} {printable(check.text)}"]
    lines += [margin + printable(line) for line in below]
    text = "\n".join(lines)
    return text.encode("ascii", "replace").decode() if ascii_only else text


def conclusion(checks: list[Check]) -> str:
    """Return the last line."""
    looked_at = [check for check in checks if check.status != "skipped"]
    failed = [check.name.replace("_", " ") for check in looked_at if check.status == "failed"]
    if not failed:
        return f"All is well: {len(looked_at)} checks."
    return f"{len(failed)} of {len(looked_at)} checks failed: {', '.join(failed)}."


def as_json(checks: list[Check], version: str) -> str:
    """Return all checks as one JSON document."""
    return json.dumps(
        {
            "ok": healthy(checks),
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


def printable(text: str) -> str:
    """Return a text without control characters: parts of it may come from a server or a file."""
    return "".join(char if char.isprintable() else "?" for char in text)
