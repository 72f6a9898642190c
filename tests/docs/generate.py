"""Writes the generated parts of the documents: `make docs`.

Such a part stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->`, where NAME is a key of `SECTIONS`.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from docs import sections
from docs.documents import DOCUMENTS, name_of
from docs.measured import bench, chaos

if TYPE_CHECKING:
    from collections.abc import Callable

SECTIONS: dict[str, Callable[[str], str]] = {
    "settings": sections.settings,
    "settings-by-topic": sections.settings_by_topic,
    "event-fields": sections.event_fields,
    "event": sections.event,
    "names": sections.names,
    "readable": sections.readable,
    "labels": sections.labels,
    "shapes": sections.shapes,
    "services": sections.services,
    "answers": sections.answers,
    "agnost-mapping": sections.agnost_mapping,
}
"""What follows from the code. Each function gets the present text, and returns the one of today."""

MEASURED: dict[str, Callable[[str], str]] = {"bench": bench, "chaos": chaos}
"""What a run on some machine gave: written on demand (`make docs ARGS=--measured`), and not held to be current."""

_SECTION = re.compile(r"(<!-- ([\w-]+): begin -->\n)(.*?)(<!-- \2: end -->)", re.DOTALL)


def regenerated(text: str, *, measured: bool = False) -> str:
    """Return a document's text with its generated parts of today.

    Args:
        text: The document.
        measured: Write the figures of the last measurements too.

    Raises:
        KeyError: A part has a name that is not known.
    """
    known = SECTIONS | (MEASURED if measured else dict.fromkeys(MEASURED, str))

    def part(match: re.Match[str]) -> str:
        begin, name, old, end = match.groups()
        return begin + known[name](old) + end

    return _SECTION.sub(part, text)


def main() -> None:
    """Bring all documents up to date."""
    for document in DOCUMENTS:
        old = document.read_text(encoding="utf-8")
        new = regenerated(old, measured="--measured" in sys.argv)
        if new != old:
            document.write_text(new, encoding="utf-8")
            sys.stdout.write(f"wrote {name_of(document)}\n")


if __name__ == "__main__":
    main()
