"""The doctor's checks of the machine: the spool's directory, threads, and how delivery is put together."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otas_middleware._cli.doctor.set_up import check_spool
from otas_middleware._config.settings import OtasSettings
from otas_middleware._delivery.codec import Record
from otas_middleware._delivery.disk_queue import DiskQueue

if TYPE_CHECKING:
    from doctor.conftest import Doctor
    from otas_middleware._cli.doctor import Check

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def spool(directory: Path, **settings: object) -> Check:
    return check_spool(OtasSettings.model_validate({"spool_dir": directory, **settings}))


def test_a_spool_that_is_not_writable_is_a_failure(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    doctor.variables["OTAS_SPOOL_DIR"] = str(tmp_path / "file" / "spool")
    diagnosis = doctor()
    assert list(diagnosis.failed) == ["spool"]
    assert f"{tmp_path}/file/spool is not usable for " in diagnosis.of("spool")
    assert "set OTAS_SPOOL_DIR to a directory of its own" in diagnosis.of("spool")


def test_the_doctor_makes_no_directory(doctor: Doctor, tmp_path: Path) -> None:
    """It may run as another user than the application, who could then not use what it made."""
    doctor.variables["OTAS_SPOOL_DIR"] = str(tmp_path / "deep" / "spool")
    diagnosis = doctor()
    assert diagnosis.failed == {}
    assert "it is made when the first event goes there" in diagnosis.of("spool")
    assert not (tmp_path / "deep").exists()


@pytest.mark.skipif(not ROOT, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_no_spool(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    directory.mkdir(mode=0o700)
    os.chown(directory, 12345, 12345)
    check = spool(directory)
    assert check.status == "failed"
    assert "it belongs to another user (uid 12345)" in check.text


@pytest.mark.skipif(ROOT, reason="root may write anywhere")
def test_a_directory_that_takes_no_files_is_no_spool(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    directory.mkdir(mode=0o500)
    check = spool(directory)
    assert check.status == "failed"
    assert "no file can be written in it (Permission denied)" in check.text
    assert spool(directory / "deeper").status == "failed"


def test_a_directory_of_others_files_is_no_spool_and_is_left_to_them(tmp_path: Path) -> None:
    (tmp_path / "something").write_text("else")
    tmp_path.chmod(0o755)
    check = spool(tmp_path)
    assert check.status == "failed"
    assert "it is open to other users (mode 755) and holds other files" in check.text
    assert "chown" not in check.fix


@pytest.mark.parametrize("place", ["file", "file/spool"])
def test_nobody_is_told_to_change_the_owner_of_what_is_no_directory(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    check = spool(tmp_path / place)
    assert check.status == "failed"
    assert "chown" not in check.fix
    assert "set OTAS_SPOOL_DIR to a directory of its own" in check.fix


def test_a_file_in_the_place_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    assert "it is not a directory" in spool(tmp_path / "spool").text


@pytest.mark.parametrize(
    ("records", "waits"), [(0, "0 events wait"), (1, "1 event waits"), (1200, "1,200 events wait")]
)
def test_what_waits_is_counted_as_people_do(tmp_path: Path, records: int, waits: str) -> None:
    kept = DiskQueue(tmp_path / "otas-brain-0123456789ab.sqlite3", 1_048_576, None)
    kept.write([Record(b"{}", "token", "session", "agent", "backend")] * records)
    kept.close()
    assert f"; {waits} in it" in spool(tmp_path).text


def test_the_backlog_is_counted_and_left_alone(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    kept = DiskQueue(directory / "otas-brain-0123456789ab.sqlite3", 1_048_576, None)
    kept.write([Record(b"{}", "token", "session", "agent", "backend")] * 3)
    kept.close()
    check = spool(directory)
    assert check.status == "ok"
    assert "3 events wait in it" in check.text
    assert check.data["events"] == 3
    assert "OTAS_SPOOL_KEY encrypts them" in "\n".join(check.details)
    assert not [path for path in directory.iterdir() if "doctor" in path.name]


def test_a_file_that_cannot_be_used_is_pointed_out(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    directory.mkdir(mode=0o700)
    (directory / "otas-brain-0123456789ab.sqlite3").write_bytes(b"not a database" * 100)
    (directory / "otas-brain-0123456789ab.sqlite3.corrupt-20260101T000000-1").write_bytes(b"")
    check = spool(directory)
    assert check.status == "warning"
    assert "otas-brain-0123456789ab.sqlite3, otas-brain-0123456789ab.sqlite3.corrupt-" in check.text


def test_a_full_disk_is_pointed_out(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    assert spool(tmp_path / "spool", spool_max_bytes=free * 2).status == "warning"
    assert spool(tmp_path / "spool", spool_max_bytes=free // 2).status == "ok"


def test_delivery_that_cannot_be_put_together_is_named(doctor: Doctor) -> None:
    doctor.variables["OTAS_TRANSPORT"] = "no.such.module:carrier"
    diagnosis = doctor()
    assert list(diagnosis.failed) == ["transport"]
    assert "the transport 'no.such.module:carrier' cannot be imported" in diagnosis.of("transport")


CELERY = """
from celery import Celery
shop = Celery("shop", broker="{broker}")
nothing = 7
"""


@pytest.mark.parametrize(
    ("app", "broker", "said"),
    [
        ("nowhere:shop", "memory://", "the OTAS_CELERY_APP 'nowhere:shop' cannot be imported"),
        ("celery_shop:nothing", "memory://", "the OTAS_CELERY_APP 'celery_shop:nothing' is no Celery application"),
        ("celery_shop:shop", "amqp://me:hunter2@{closed}/", "the broker at amqp://me:**@{closed}// cannot be reached"),
    ],
)
def test_events_that_celery_cannot_take_are_a_failure(
    doctor: Doctor, closed: str, app: str, broker: str, said: str
) -> None:
    place = closed.removeprefix("http://")
    doctor.write("celery_shop.py", CELERY.format(broker=broker.format(closed=place)))
    doctor.variables |= {"OTAS_TRANSPORT": "celery", "OTAS_CELERY_APP": app}
    diagnosis = doctor()
    assert list(diagnosis.failed) == ["transport"]
    assert said.format(closed=place) in diagnosis.of("transport")
    assert "hunter2" not in diagnosis.output


def test_a_broker_that_answers_is_named_with_the_queue(doctor: Doctor) -> None:
    doctor.write("celery_shop.py", CELERY.format(broker="memory://"))
    doctor.variables |= {"OTAS_TRANSPORT": "celery", "OTAS_CELERY_APP": "celery_shop:shop"}
    diagnosis = doctor()
    assert diagnosis.failed == {}
    assert "@localhost// answers; workers of the queue otas deliver" in diagnosis.of("transport")


@pytest.fixture
def old_uwsgi(doctor: Doctor, tmp_path: Path) -> None:
    """A uWSGI of the time when threads had to be asked for, as far as its version goes."""
    program = tmp_path / "bin" / "uwsgi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 2.0.26\n")
    program.chmod(0o755)
    doctor.variables["PATH"] = f"{program.parent}:{os.environ['PATH']}"


INI = "[uwsgi]\nhttp-socket = :8000\nmodule = shop:app\nplugin = a\nplugin = b\n%(what)s\n"


@pytest.mark.usefixtures("old_uwsgi")
def test_uwsgi_without_threads_is_a_failure(doctor: Doctor) -> None:
    doctor.write("app.ini", INI % {"what": "processes = 4"})
    diagnosis = doctor("--uwsgi", "app.ini")
    assert list(diagnosis.failed) == ["threads"]
    assert "app.ini starts uWSGI 2.0.26 without threads: events wait until a worker ends" in diagnosis.of("threads")
    assert "enable-threads = true" in diagnosis.of("threads")


@pytest.mark.usefixtures("old_uwsgi")
@pytest.mark.parametrize("what", ["enable-threads = true", "threads = 4"])
def test_uwsgi_with_threads_is_well(doctor: Doctor, what: str) -> None:
    doctor.write("app.ini", INI % {"what": what})
    assert doctor("--uwsgi", "app.ini").checks["threads"]["status"] == "ok"


@pytest.mark.parametrize("text", [None, "enable-threads = true\n", "[other]\n"])
def test_a_file_that_is_not_uwsgis_is_said(doctor: Doctor, text: str | None) -> None:
    if text is not None:
        doctor.write("app.ini", text)
    diagnosis = doctor("--uwsgi", "app.ini")
    assert list(diagnosis.failed) == ["threads"]
    assert "--pyrun" in diagnosis.of("threads")


def test_the_doctor_runs_inside_of_a_real_uwsgi(doctor: Doctor) -> None:
    """uWSGI itself says whether threads run in it; which answer is right depends on its version."""
    program = str(Path(sys.executable).parent / "uwsgi")
    if not Path(program).exists():
        pytest.skip("uWSGI is not installed beside this Python (pip install pyuwsgi)")
    doctor.write("run.py", "import sys\nfrom otas_middleware.__main__ import main\nsys.argv[0] = 'doctor'\nmain()\n")
    doctor.write("shop.py", "def app(environ, start_response):\n    start_response('200 OK', [])\n    return []\n")
    command = [program, "--http-socket", "127.0.0.1:0", "--module", "shop:app", "--master", "--need-app"]
    result = subprocess.run(
        [*command, "--pyrun", "run.py", "--pyargv", "doctor"],
        cwd=doctor.folder,
        env={**os.environ, **doctor.variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    newer = tuple(map(int, version.split(".")[:3])) >= (2, 0, 27)
    expected = "threads      uWSGI runs threads" if newer else "threads      this uWSGI runs without threads"
    assert expected in result.stdout + result.stderr
