"""Comma- and tab-separated values: a heading names a whole column."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from otas_middleware._event.redact.mask import MASK, UNREADABLE

if TYPE_CHECKING:
    from otas_middleware._event.redact.names import NameRules

_DELIMITERS = ",;\t|"


def mask_table(text: str, rules: NameRules) -> str:
    """Return a table, whole or cut off, with the columns masked whose heading is sensitive."""
    heading = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=heading.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        names = next(reader, None) or []
        hidden = [index for index, name in enumerate(names) if rules.sensitive(name.strip())]
        if not hidden:
            return text
        rows = list(reader)
    except csv.Error:  # a cell larger than the reader takes; nobody can say which column it is in
        return f"{heading}\n{UNREADABLE}"
    for row in rows:
        for index in hidden:
            if index < len(row):
                row[index] = MASK
    masked = io.StringIO(newline="")
    writer = csv.writer(masked, delimiter=delimiter, lineterminator="\r\n" if heading.endswith("\r") else "\n")
    writer.writerow(names)
    writer.writerows(rows)
    return masked.getvalue()
