"""The documents of the repository, and what the tests read out of them: code blocks, links, headings, names.

A Python block says in the words after its language how it is run (the same words are explained in CONTRIBUTING.md):

- none: on its own, as a module of its own;
- `continued`: in the namespace of the block before it;
- `file=shop/telemetry.py`: it is that file, which other blocks may import;
- `pytest`: it is a test file, and its tests pass.

A console block with the word `run` is run in a shell. Where lines begin with `$ `, the others are what is printed
(`…` stands for anything). Other console blocks are only looked at: their `make` targets, options, extras and
variables must exist.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^( *)```(\w*)([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


class Block(NamedTuple):
    """One fenced block.

    Attributes:
        language: Such as `python`.
        words: What follows the language.
        code: The text.
        line: The number of its first line in the document.
    """

    language: str
    words: tuple[str, ...]
    code: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that the block is, if it is one."""
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), None)


def name_of(document: Path) -> str:
    """Return how a document is called in test ids and messages."""
    return str(document.relative_to(ROOT))


def blocks(text: str, *languages: str) -> list[Block]:
    """Return the fenced blocks of a document in these languages, or in any."""
    found: list[Block] = []
    for match in _FENCE.finditer(text):
        indent, language, words, code = match.groups()
        if languages and language not in languages:
            continue
        line = text.count("\n", 0, match.start()) + 2
        found.append(Block(language, tuple(words.split()), re.sub(rf"^{indent}", "", code, flags=re.MULTILINE), line))
    return found


def prose(text: str) -> str:
    """Return a document without its fenced blocks."""
    return _FENCE.sub("", text)


def links(text: str) -> list[str]:
    """Return the targets of the links to other places of the repository."""
    return [target for target in _LINK.findall(prose(text)) if "://" not in target and not target.startswith("mailto:")]


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a document."""
    found: set[str] = set()
    for heading in _HEADING.findall(prose(text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-"))
    return found
