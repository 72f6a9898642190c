"""Writes the settings table of the README from the model: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import SecretStr

from otas_middleware import OtasSettings
from otas_middleware._configure import env_name

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"


def settings_table() -> str:
    """Return the table as Markdown, one row per field of the model."""
    rows = ["| environment | default | what it does |", "|---|---|---|"]
    for name, field in OtasSettings.model_fields.items():
        default = field.default
        shown = "" if default is None or default == () or isinstance(default, SecretStr) else f"`{_plain(default)}`"
        rows.append(f"| `{env_name(name)}` | {shown} | {field.description} |")
    return "\n".join(rows) + "\n"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def with_table(text: str) -> str:
    """Return the README's text with the table of today's model in it."""
    head, rest = text.split(BEGIN)
    return head + BEGIN + settings_table() + END + rest.split(END)[1]


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"wrote the settings table of {README.name}\n")
