"""What every test may use: a local Brain, and an agent with a session of its own."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from otas_middleware import OtasSettings
from otas_middleware._capture.context import current
from otas_middleware._runtime import runtime
from otas_middleware.localbrain import LocalBrain

pytest.register_assert_rewrite("support")  # the checks in there explain themselves as those of test files do

from support.agent import Agent  # noqa: E402  # see above

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

for _name in [name for name in os.environ if name.startswith("OTAS_") and name != "OTAS_FUZZ_EXAMPLES"]:
    del os.environ[_name]  # the developer's own settings are not part of any test

_IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ  # one of several processes that run tests, and not the first

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a script started the tests in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the processes that they start must hear it

if find_spec("hypothesis") is not None:  # the environments of `make sdk-test` have none
    import hypothesis

    # No test fails because the machine is busy, or by an example that is new: `make fuzz` tries new ones.
    hypothesis.settings.register_profile("otas", deadline=None, derandomize="OTAS_FUZZ_EXAMPLES" not in os.environ)
    hypothesis.settings.load_profile("otas")

runtime.behaviour = replace(runtime.behaviour, reraise=True)  # what production reports fails a test


_UNMEASURED = {
    *("adapters/test_django.py", "adapters/test_everywhere.py", "adapters/test_sessions.py", "agent/test_inside.py"),
    *("agent/test_leaks.py", "agent/test_sdks.py", "agent/test_shared_clients.py"),
    *("contract/test_durability.py", "contract/test_lint.py", "contract/test_relay.py", "core/test_body.py"),
    *("events/test_names.py", "events/test_redaction_matrix.py", "events/test_shapes.py", "fuzz/test_asgi_fuzz.py"),
    *("fuzz/test_wsgi_fuzz.py", "localbrain/test_faults.py", "relay/test_durability.py"),
}
"""Tests that repeat, for many adapters or inputs, what others do under coverage (but for 1 branch in 300)."""


@contextlib.contextmanager
def _unmeasured() -> Generator[None]:
    """Stop coverage's tracer, with which Python takes twice as long over all it does.

    In each of several processes pytest-cov begins two measurements, of which it reads the second. While that is
    stopped, for a test marked `no_cover`, the first goes on (`findings/pytest_cov_no_cover_among_workers.sh`); so that
    is not begun again.
    """
    coverage = sys.modules.get("coverage")  # imported by who measures
    stopped: list[Any] = []
    while coverage is not None and (measured := coverage.Coverage.current()) is not None:
        measured.stop()
        stopped.append(measured)
    try:
        yield
    finally:
        for measured in stopped[:1]:
            measured.start()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the first of several processes alone measure what is imported."""
    with _unmeasured():
        if os.environ.get("PYTEST_XDIST_WORKER", "gw0") != "gw0":
            return (yield)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    repeats = item.path.relative_to(Path(__file__).parent).as_posix() in _UNMEASURED
    with _unmeasured() if repeats else contextlib.nullcontext():
        return (yield)


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what is there to the end: ten thousand tests, and what they import."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart() -> None:
    """Give the run a temporary folder of its own, before there are workers, which use it too."""
    if not _IS_WORKER:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())  # those of pytest outlive the run
        os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="otas-tests-")
        tempfile.tempdir = None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail when temporary files are left, by a test or by what it tried."""
    if _IS_WORKER:
        return
    if left := [path.name for path in Path(tempfile.gettempdir()).iterdir()]:
        session.config.get_terminal_writer().line(
            f"\nFAILED: left in the temporary folder: {', '.join(left)}", red=True
        )
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    shutil.rmtree(tempfile.gettempdir(), ignore_errors=True)
    os.environ["TMPDIR"] = os.environ["PYTEST_DEBUG_TEMPROOT"]  # `make mutants` has many runs in one process
    tempfile.tempdir = None


@pytest.fixture(autouse=True)
def _outside_of_any_request() -> None:
    """Begin each test outside of any request: some tests leave one open on purpose, as broken servers do."""
    current.set(None)


@pytest.fixture
def as_in_production() -> Iterator[None]:
    """Failures of our own are swallowed, as they are outside of this suite."""
    with runtime.replaced(reraise=False):
        yield


@pytest.fixture(scope="session")
def brain() -> Iterator[LocalBrain]:
    """A Brain that answers over HTTP for the whole run; its sessions keep the tests apart."""
    with LocalBrain() as brain:
        yield brain


@pytest.fixture(scope="session")
def settings(brain: LocalBrain) -> OtasSettings:
    """The settings with which the applications of the tests record."""
    return OtasSettings(sdk_key=SecretStr(brain.sdk_key), brain_url=brain.url, project_id=UUID(brain.project_id))


@pytest.fixture
def agent(brain: LocalBrain) -> Agent:
    """An agent with a fresh session."""
    return Agent(brain)
