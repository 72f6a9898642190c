"""The code blocks of the documents do what they say: Python is run, and so is every command that can be."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from docs.documents import DOCUMENTS, Block, blocks, name_of
from docs.play import write_files
from otas_middleware._cli import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware.localbrain import LocalBrain

PLAY = Path(__file__).parent / "play.py"
WITH_PYTHON = [document for document in DOCUMENTS if blocks(document.read_text(encoding="utf-8"), "python")]
WITH_TEST_FILES = [
    document
    for document in WITH_PYTHON
    if any("pytest" in block.words for block in blocks(document.read_text(encoding="utf-8"), "python"))
]
COMMANDS = [
    pytest.param(block, blocks(document.read_text(encoding="utf-8"), "python"), id=f"{name_of(document)}:{block.line}")
    for document in DOCUMENTS
    for block in blocks(document.read_text(encoding="utf-8"), "console")
    if "run" in block.words
]


class _Answers(BaseHTTPRequestHandler):
    """Answers as the hosts of the examples might: JSON, and a language model's where one is asked for."""

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path.startswith("http://"):  # it is asked as a proxy
            self._forward(asked)
            return
        answer: dict[str, object] = {"path": self.path}
        if b'"model"' in asked:
            usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
            answer = {"model": "some-model", "usage": usage, "choices": []}
        self._answer(200, json.dumps(answer).encode())

    def _forward(self, asked: bytes) -> None:
        aim = urlsplit(self.path)
        connection = HTTPConnection(aim.netloc)
        connection.request(self.command, aim.path, asked, dict(self.headers))
        with closing(connection), connection.getresponse() as reply:
            self._answer(reply.status, reply.read())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def environ(brain: LocalBrain) -> Iterator[dict[str, str]]:
    """The environment of somebody who follows the documents: keys, a local Brain, and the hosts of the examples."""
    with serving(_Answers) as inside, serving(_Answers) as outside:
        hosts = {
            "https://brain.example.com": brain.url,
            "https://api.example.com": inside,
            "https://inventory.internal": inside,
            "https://api.openai.com": outside,
            "https://archive.example.com": outside,
            "http://proxy.internal:3128": outside,
        }
        yield {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": os.environ.get("HOME", "/"),
            "DOCS_HOSTS": json.dumps(hosts),
            "OTAS_SDK_KEY": brain.sdk_key,
            "OTAS_AGENT_KEY": brain.agent_key,
            "OTAS_BRAIN_URL": brain.url,
            "OTAS_UASAM_URL": brain.url,
        }


@pytest.mark.parametrize("document", WITH_PYTHON, ids=name_of)
def test_the_python_blocks_run_as_they_stand(document: Path, environ: dict[str, str], tmp_path: Path) -> None:
    run = [sys.executable, "-W", "error", str(PLAY), str(document)]
    result = subprocess.run(run, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


@pytest.mark.parametrize("document", WITH_TEST_FILES, ids=name_of)
def test_the_test_files_pass(document: Path, environ: dict[str, str], tmp_path: Path) -> None:
    found = blocks(document.read_text(encoding="utf-8"), "python")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        write_files(found)
    tests = [block for block in found if "pytest" in block.words]
    for block in tests:
        (tmp_path / f"test_block_{block.line}.py").write_text(block.code, encoding="utf-8")
    run = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    result = subprocess.run(
        [*run, str(tmp_path)],
        cwd=tmp_path,
        env={"PATH": environ["PATH"], "HOME": environ["HOME"], "PYTHONPATH": str(tmp_path)},  # no key is needed
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout
    assert len(re.findall(r"def test_", "".join(block.code for block in tests))) == int(
        re.findall(r"(\d+) passed", result.stdout)[0]
    )


@pytest.mark.parametrize(("block", "files"), COMMANDS)
def test_the_commands_do_what_is_shown(
    block: Block, files: list[Block], environ: dict[str, str], tmp_path: Path
) -> None:
    with_prompts = re.search(r"^\$ ", block.code, re.MULTILINE) is not None
    lines = block.code.splitlines()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        write_files(files)
    script = [line.removeprefix("$ ") for line in lines if not with_prompts or line.startswith("$ ")]
    result = subprocess.run(
        ["bash", "-eu", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    if with_prompts:
        shown = "\n".join(line.rstrip() for line in lines if not line.startswith("$ "))
        printed = "\n".join(line.rstrip() for line in result.stdout.splitlines())
        pattern = ".*?".join(re.escape(part) for part in shown.split("…"))
        assert re.fullmatch(pattern, printed, re.DOTALL), printed
