"""Runs the Python blocks of one document, in their order, in this process: `python play.py docs/agents.md`.

The addresses that the examples use are replaced by those of hosts on the loopback interface (`DOCS_HOSTS`, JSON).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).parents[1]))

from docs.documents import Block, blocks


def localised(code: str) -> str:
    """Return the code with its example addresses replaced."""
    hosts: dict[str, str] = json.loads(os.environ.get("DOCS_HOSTS", "{}"))
    for theirs, ours in hosts.items():
        code = code.replace(theirs, ours)
    return code


def write_files(found: list[Block]) -> None:
    """Write the blocks that are files into the current folder."""
    for block in found:
        if block.file is not None:
            path = Path(block.file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(localised(block.code), encoding="utf-8")


def play(document: Path) -> None:
    """Run the blocks; an exception's traceback names the document and the line."""
    found = [block for block in blocks(document.read_text(encoding="utf-8"), "python") if "pytest" not in block.words]
    write_files(found)
    sys.path.insert(0, str(Path.cwd()))
    module = ModuleType("nothing_yet")
    for block in found:
        if block.file is not None:
            continue
        if "continued" not in block.words:
            module = ModuleType(f"block_{block.line}")
            module.__file__ = str(Path.cwd() / f"block_{block.line}.py")
            sys.modules[module.__name__] = module
        source = "\n" * (block.line - 1) + localised(block.code)
        exec(compile(source, str(document), "exec"), vars(module))


if __name__ == "__main__":
    play(Path(sys.argv[1]))
