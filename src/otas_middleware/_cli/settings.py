"""What `otas-middleware settings` prints: every setting, its value, and where that came from."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from otas_middleware._cli.application import masked, read
from otas_middleware._config.sources import unknown_variables

if TYPE_CHECKING:
    from otas_middleware._cli.application import Source


def run(source: Source, *, as_json: bool) -> None:
    """Print every setting; secrets are masked.

    Args:
        source: Where the settings come from.
        as_json: Print one JSON document instead of lines.

    Raises:
        OtasError: The settings cannot be read.
    """
    subject = read(source)
    if subject.error is not None or subject.settings is None:
        raise subject.error or RuntimeError("the settings cannot be read")
    for line in unknown_variables():
        sys.stderr.write(line + "\n")
    listed = {
        name: {"value": _shown(getattr(subject.settings, name)), "from": subject.origins.get(name, "default")}
        for name in type(subject.settings).model_fields
    }
    if as_json:
        sys.stdout.write(json.dumps(listed, ensure_ascii=False, indent=2) + "\n")
        return
    width = max(map(len, listed))
    for name, found in listed.items():
        origin = "" if found["from"] == "default" else f"  ({found['from']})"
        sys.stdout.write(f"{name:<{width}}  {'-' if found['value'] is None else found['value']}{origin}\n")


def _shown(value: object) -> str | None:
    """Return a value as it may be shown, or None for what is not set: nothing, or a list of nothing."""
    return None if value is None or value == () else masked(value)
