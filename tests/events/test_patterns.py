"""The patterns of the settings run in linear time where RE2 is installed, and under a warning where it cannot."""

from __future__ import annotations

import logging
import re
import subprocess
import sys

import pytest

from events.exchange import event_of, exchange
from otas_middleware import OtasSettings
from otas_middleware._event.patterns import _ENDS, compile_pattern, unbounded, warn_of_patterns
from otas_middleware._event.redact import redactor_for
from otas_middleware._event.redact.messages import MESSAGES
from otas_middleware._event.redact.service_keys import WEBHOOKS

NESTED = r"(a+)+$"
LOOK_AROUND = r"(?<=order )\d+"


def test_a_pattern_with_nested_repetition_takes_no_longer_than_another() -> None:
    """Python's engine would take longer than the universe is old; the test would not come to an end."""
    pytest.importorskip("re2")
    redactor = redactor_for(OtasSettings(redact_patterns=(NESTED, r"ORD-\d+")))
    assert redactor.text("a" * 100_000 + "! ORD-12") == "a" * 100_000 + "! [REDACTED]"
    assert unbounded([NESTED, r"ORD-\d+"]) == []


def test_path_patterns_run_by_the_same_engine_and_mask_their_groups() -> None:
    settings = OtasSettings(redact_path_patterns=(r"/reset/([^/]+)/(\d+)", r"/u-\w+"))
    assert event_of(exchange(path="/reset/abc/42/x/u-ann"), settings).path == "/reset/[REDACTED]/[REDACTED]/x[REDACTED]"


def test_what_re2_refuses_runs_as_before_under_a_warning_that_names_it(caplog: pytest.LogCaptureFixture) -> None:
    settings = OtasSettings(redact_patterns=(LOOK_AROUND, r"ORD-\d+"))
    assert redactor_for(settings).text("order 12, ORD-3") == "order [REDACTED], [REDACTED]"
    with caplog.at_level(logging.WARNING, "otas_middleware"):
        warn_of_patterns(settings)
    assert len(caplog.records) == 1
    assert repr(LOOK_AROUND) in caplog.text
    if not isinstance(compile_pattern("a"), re.Pattern):
        assert "ORD" not in caplog.text
        assert "look-around" in caplog.text


def test_nothing_is_said_where_all_patterns_are_safe(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("re2")
    warn_of_patterns(OtasSettings(redact_patterns=(r"ORD-\d+",)))
    assert not caplog.records


def test_without_re2_the_start_names_the_extra_once() -> None:
    code = """
import logging, sys
sys.modules["re2"] = None
logging.basicConfig(format="%(message)s")
from otas_middleware.wsgi import OtasMiddleware
for _ in range(2):
    OtasMiddleware(lambda environ, start_response: [], sdk_key="otas_ab12_cdefghijklmnop", redact_patterns=["(a+)+$"])
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    assert said.count("'(a+)+$'") == 1
    assert "otas-middleware[re2]" in said


def test_each_pattern_that_is_compiled_at_its_first_use_can_be() -> None:
    for pattern in (*(message.pattern for message in MESSAGES), *WEBHOOKS.values()):
        re.compile(pattern)


AS_BEFORE_3_11_5 = """
import importlib, pkgutil, re, sys

made, compile = [], re.compile
def note(pattern, flags=0):
    if "_event" in sys._getframe(1).f_code.co_filename:
        made.append(pattern)
    return compile(pattern, flags)
re.compile = note
now = tuple(sys.version_info)
sys.version_info = (3, 11, 4, "final", 0)

import otas_middleware._event as events
from otas_middleware import OtasSettings
from otas_middleware._event.patterns import _ENDS, compile_pattern
from otas_middleware._event.redact import redactor_for
from otas_middleware._event.redact.shapes import OPTIONAL, SURE
for module in pkgutil.walk_packages(events.__path__, "otas_middleware._event."):
    importlib.import_module(module.name)
text = redactor_for(OtasSettings(redact_patterns=(r"(?:ab?c)++(?!x)Z",))).text
assert text('{"a": "b", "password": "hunter2"} acacZ').count("[REDACTED]") == 2
for shape in (*SURE, *OPTIONAL.values()):
    assert shape.mask("nothing of " + shape.what).startswith("nothing of")

mended = [pattern for pattern in made if isinstance(pattern, str) and ")" in pattern]
assert any("|(?!))" in pattern for pattern in mended)
for pattern in mended:
    ends = [found.start() for found in _ENDS.finditer(pattern) if found[1] is None]
    assert all(pattern[:end].endswith("|(?!)") for end in ends), pattern
"""


def test_where_python_mistakes_possessive_repetition_no_pattern_of_ours_is_mistaken() -> None:
    """Debian 12 has Python 3.11.2: passwords in JSON stayed readable there."""
    ended = subprocess.run([sys.executable, "-c", AS_BEFORE_3_11_5], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("pattern", "text", "end"),
    [
        (r"(?:ab?c)*+", "aca", 2),
        (r"(?:ab?c)?+a", "aba", 1),
        (r"(?:\s|\\+[nrt])*+\\X", "  \\X", 4),
        (r"(?P<q>(?:a|b(?=c))*+)b", "aab", 3),
        (r"(?:a(?:b|c)+d){1,3}+", "abdacdab", 6),
        (r"(?:(?!x)[^\n]){1,512}+x", "aaax", 4),
        (r"(?:(?:ab?c)++d)*+", "acdaca", 3),
        (r"[)*+]++(?:ab?c)?+a", ")*+aba", 4),
        (r"\)++(?:ab?c)?+a", "))aba", 3),
    ],
)
def test_a_pattern_so_mended_matches_what_it_says(pattern: str, text: str, end: int) -> None:
    found = re.match(_ENDS.sub(lambda found: found[1] or "|(?!))", pattern), text)
    assert found is not None
    assert found.end() == end
