"""The wheel that users install holds what it must, works without the checkout, and nothing else is in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    with ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(unpacked: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the unpacked wheel before the checkout, in another folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=unpacked.parent,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_holds_the_package_its_types_and_the_examples(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    assert "otas_middleware/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    root = "otas_middleware/_cli/demo/examples"
    shipped = {name.removeprefix(root + "/") for name in names if name.startswith(root)}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT / "examples", capture_output=True, text=True, check=False)
    there = {name for name in listed.stdout.split() if not name.endswith("README.md")}
    assert {"django_app/manage.py", "fastapi_app/orders_api/main.py", "flask_app/knowledge_base/views.py"} <= shipped
    assert not there or shipped == there


def test_the_wheel_brings_the_licence_of_what_it_vendors_once(wheel: Path) -> None:
    archive = ZipFile(wheel)
    (licence,) = [name for name in archive.namelist() if "uplot/LICENSE" in name]
    assert ".dist-info/licenses/" in licence
    assert b"Leon Sorokin" in archive.read(licence)


def test_the_local_brain_has_its_page_when_the_package_lies_in_a_zip_archive(wheel: Path) -> None:
    program = """
from urllib.request import urlopen
from otas_middleware.localbrain import LocalBrain, __file__ as place
assert ".whl/" in place.replace(chr(92), "/")
with LocalBrain() as brain:
    for path in ("/", "/_page/style.css", "/_page/vendor/uplot/uPlot.min.js"):
        print(urlopen(brain.url + path).headers["Content-Type"])
"""
    result = run(wheel, "-c", program)
    kinds = ["text/html", "text/css", "text/javascript"]
    assert result.stdout.split("\n")[:3] == [f"{kind}; charset=utf-8" for kind in kinds], result.stderr


def test_the_wheel_names_what_it_vendors_for_those_who_look_for_holes(wheel: Path) -> None:
    archive = ZipFile(wheel)
    (bill,) = [name for name in archive.namelist() if name.endswith(".cdx.json")]
    assert ".dist-info/sboms/" in bill
    (component,) = json.loads(archive.read(bill))["components"]
    vendored = archive.read("otas_middleware/localbrain/page/static/vendor/uplot/uPlot.min.js")
    assert f"(v{component['version']})".encode() in vendored.splitlines()[0]
    original = vendored.partition(b"\nexport default")[0]
    assert component["hashes"] == [{"alg": "SHA-256", "content": sha256(original).hexdigest()}]


def test_the_links_of_the_readme_work_without_its_folder(wheel: Path) -> None:
    archive = ZipFile(wheel)
    (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    text = archive.read(metadata).decode()
    targets = re.findall(r"\]\(([^)]+)\)", text.partition("\n\n")[2])
    assert targets
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []
    assert all("/raw.githubusercontent.com/" in target for target in targets if target.endswith(".png"))
    assert "Project-URL: Documentation, https://" in text


def test_the_wheel_holds_nothing_that_is_not_the_packages(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in ZipFile(wheel).namelist()}
    (info,) = {top for top in tops if top.endswith(".dist-info")}
    assert tops == {"otas_middleware", "_otas_middleware_pytest.py", info}
    assert not [name for name in ZipFile(wheel).namelist() if "__pycache__" in name or name.endswith(".sqlite3")]


@pytest.mark.parametrize("module", ["", ".asgi", ".wsgi", ".flask", ".django", ".agent", ".testing", ".localbrain"])
def test_each_public_module_comes_out_of_the_wheel(unpacked: Path, module: str) -> None:
    result = run(unpacked, "-c", f"import otas_middleware{module} as m; print(m.__file__)")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(str(unpacked))


def test_the_command_line_works_from_the_wheel(unpacked: Path) -> None:
    result = run(unpacked, "-m", "otas_middleware", "--help")
    assert result.returncode == 0, result.stderr
    for command in ("brain", "demo", "doctor", "preview"):
        assert command in result.stdout
