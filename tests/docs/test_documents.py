"""What the documents name is there: links, settings, commands, extras; and what is generated is current."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from docs.documents import DOCUMENTS, README, ROOT, Block, anchors, blocks, links, name_of
from docs.generate import MEASURED, SECTIONS, regenerated
from docs.sections import TOPICS
from otas_middleware import OtasSettings
from otas_middleware._config.sources import env_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

TEXTS = {document: document.read_text(encoding="utf-8") for document in DOCUMENTS}

_COMMAND = re.compile(r"otas-middleware (brain|demo|doctor|preview|relay|settings)\b([^\n`]*)")
_NO_VARIABLES = re.compile(r"OTAS_[A-Z_]*[*…]|OTAS_BRAIN_(?:SERVICE_HOST|PORT)")  # a pattern; what Kubernetes sets

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)


@each_document
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in links(TEXTS[document]):
        path, _, anchor = target.partition("#")
        aim = (document.parent / path).resolve() if path else document
        assert aim.exists(), target
        if anchor:
            assert anchor in anchors(aim.read_text(encoding="utf-8")), target


def test_the_index_lists_every_document_of_its_folder() -> None:
    index = ROOT / "docs" / "README.md"
    assert {"README.md", *links(TEXTS[index])} >= {document.name for document in (ROOT / "docs").glob("*.md")}


@each_document
def test_every_variable_is_a_setting(document: Path) -> None:
    known = {env_name(field) for field in OtasSettings.model_fields}
    named = set(re.findall(r"\bOTAS_[A-Z][A-Z_]*[A-Z]\b", _NO_VARIABLES.sub("", TEXTS[document])))
    assert named <= known


def test_every_file_that_a_contributor_is_sent_to_exists() -> None:
    section = TEXTS[ROOT / "CONTRIBUTING.md"].partition("\n## Where is …?\n")[2].partition("\n## ")[0]
    named = re.findall(r"`([\w/]+\.py)`", section)
    assert len(named) > 20
    assert [name for name in named if not (ROOT / "src" / "otas_middleware" / name).exists()] == []


@each_document
def test_every_make_target_exists(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:^|[`$] ?|&& )make ([a-z-]+)", TEXTS[document], re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@each_document
def test_every_extra_exists(document: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    for named in re.findall(r"otas-middleware\[([a-z,]+)\]", TEXTS[document]):
        assert set(named.split(",")) <= extras.keys()


def options_of(command: str) -> set[str]:
    """Return the options that a command of ours has, as its own help says."""
    run = [sys.executable, "-m", "otas_middleware", command, "--help"]
    return set(re.findall(r"--[a-z][a-z-]*", subprocess.run(run, capture_output=True, text=True, check=True).stdout))


def named_options() -> dict[str, set[str]]:
    """Return the options of each command that any document names."""
    found: dict[str, set[str]] = {}
    for text in TEXTS.values():
        for command, rest in _COMMAND.findall(text):
            own = rest.partition(" curl ")[0]  # what follows belongs to curl
            found.setdefault(command, set()).update(re.findall(r"--[a-z][a-z-]*", own))
    return found


@pytest.mark.parametrize(("command", "options"), sorted(named_options().items()))
def test_every_option_of_our_commands_exists(command: str, options: Iterable[str]) -> None:
    assert set(options) <= options_of(command)


@each_document
def test_what_is_generated_is_current(document: Path) -> None:
    assert regenerated(TEXTS[document]) == TEXTS[document], "run `make docs`"


def test_every_generated_part_has_its_place() -> None:
    placed = set(re.findall(r"<!-- ([\w-]+): begin -->", "".join(TEXTS.values())))
    assert placed == SECTIONS.keys() | MEASURED.keys()


def test_every_setting_has_one_topic() -> None:
    placed = " ".join(TOPICS.values()).split()
    assert sorted(placed) == sorted(OtasSettings.model_fields)


@each_document
def test_every_block_says_how_it_is_run(document: Path) -> None:
    for block in blocks(TEXTS[document], "python", "console"):
        assert set(block.words) <= {"continued", "pytest", "run", f"file={block.file}"}, f"line {block.line}"


def test_the_two_commands_are_the_ones_that_ci_runs() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command in ("make demo", "make test"):
        assert command in TEXTS[README]
        assert command in script


def test_the_reader_finds_each_kind_of_block() -> None:
    text = "```python continued\na = 1\n```\n\n- item\n\n  ```console run\n  $ true\n  ```\n"
    assert blocks(text) == [
        Block("python", ("continued",), "a = 1\n", 2),
        Block("console", ("run",), "$ true\n", 8),
    ]
