"""The patterns of the settings run in linear time where RE2 is installed, and under a warning where it cannot."""

from __future__ import annotations

import logging
import re
import subprocess
import sys

import pytest

from events.exchange import event_of, exchange
from otas_middleware import OtasSettings
from otas_middleware._event.patterns import compile_pattern, unbounded, warn_of_patterns
from otas_middleware._event.redact import redactor_for
from otas_middleware._event.redact.messages import MESSAGES
from otas_middleware._event.redact.service_keys import WEBHOOKS
from otas_middleware._event.redact.statements import STATEMENTS

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
    for pattern in (*(message.pattern for message in (*MESSAGES, *STATEMENTS)), *WEBHOOKS.values()):
        re.compile(pattern)
