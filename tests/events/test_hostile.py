"""Input that was made to hurt: what the worker spends on it is bounded in memory and time.

The bounds are some ten times what was measured, so that a busy machine does not fail them; what is not linear, or not
bounded, is over them by far.
"""

from __future__ import annotations

import gzip
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from events.codings import CODINGS
from events.exchange import DEFAULTS, event_of, exchange
from otas_middleware._config.settings import OtasSettings
from otas_middleware._event.redact import redactor_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._capture import Capture

pytestmark = pytest.mark.no_cover  # time and memory are measured: those of a tracer are not ours

MEGABYTE = 1_048_576
LARGEST = OtasSettings(max_body_bytes=MEGABYTE)


def bomb(coding: str) -> Capture:
    """Some hundred bytes, or kilobytes, that decompress to 20 MB."""
    return exchange(
        response_body=CODINGS[coding](bytes(20_000_000)), response_type="text/plain", response_coding=coding
    )


def gzip_bomb() -> Capture:
    """300 KB that decompress to 300 MB."""
    body = gzip.compress(bytes(1_000_000)) * 300
    assert 290_000 < len(body) < 310_000
    return exchange(response_body=body, response_type="text/plain", response_coding="gzip", limit=MEGABYTE)


def deep_json() -> Capture:
    body = b"[" * 100_000 + b'{"password": "x"}' + b"]" * 100_000
    return exchange(response_body=body, response_type="application/json", limit=300_000)


def long_line() -> Capture:
    body = b'{"a": [' + b'{"b": "cd", "password": "hunter2"},' * 300_000 + b"1]}"
    assert len(body) > 10_000_000
    return exchange(response_body=body, response_type="application/json")


def long_header() -> Capture:
    return exchange(request_headers=[("X-Long", "a=b; token=" * 6_000)])


def many_parts() -> Capture:
    part = b'--b\r\nContent-Disposition: form-data; name="password"\r\n\r\nhunter2\r\n'
    return exchange(
        request_body=part * 10_000 + b"--b--\r\n", request_type="multipart/form-data; boundary=b", limit=MEGABYTE
    )


def compressed_members() -> Capture:
    body = gzip.compress(b"") * 20_000
    return exchange(response_body=body, response_type="text/plain", response_coding="gzip", limit=400_000)


CASES: dict[str, tuple[Callable[[], Capture], float, float]] = {
    # what, megabytes at most, seconds of CPU at most; measured: see the documentation of redaction
    "gzip bomb": (gzip_bomb, 5, 2),
    "deflate bomb": (lambda: bomb("deflate"), 5, 2),
    "brotli bomb": (lambda: bomb("br"), 5, 2),
    "zstd bomb": (lambda: bomb("zstd"), 5, 2),
    "100,000 levels of JSON": (deep_json, 8, 5),
    "10 MB of JSON in one line": (long_line, 5, 5),
    "a header of 60 KB": (long_header, 5, 5),
    "10,000 parts": (many_parts, 40, 20),
    "20,000 gzip members": (compressed_members, 5, 5),
}


@pytest.mark.parametrize("case", CASES)
def test_memory_and_time_are_bounded(case: str) -> None:
    make, megabytes, seconds = CASES[case]
    capture = make()
    event_of(exchange(response_body=b"{}", response_type="application/json"))  # what is made once is not this case's
    tracemalloc.start()
    try:
        event = event_of(capture)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < megabytes * MEGABYTE, f"{peak / MEGABYTE:.1f} MB"
    started = time.process_time()
    event_of(capture)
    assert time.process_time() - started < seconds
    assert b"hunter2" not in event.to_json()


UNITS = [
    *('"', "\\", "{", "[", "}", "<a ", '<a "', "<a '", "://a:b", "://a@", "password=", '"password":', "password:\n"),
    *("password: |\n", "password:\n  ", "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "eyJ", "4111 ", "41", "&quot;"),
    *("%25", "%2570", "--password ", "data:\n", "- ", "\n", "\\u0022", "\\u005c", "Bearer ", "basic ", "<password>"),
    *("<password ", "<![CDATA[", "<secret><![CDATA[", '<x name="password" value="', '{"name":"password","value":'),
    *('"name":"password",', " ", "a", "é", "a b ", "sk-", "a@", "1.", "'", "api_", "secret\\", '"secret":"\\'),
    *('"secret":{"', '"secret":[{', 'secret=\\"', "\\n", "pin ", "Pin", "=", ":", '[["password","x"],', "</password>"),
    *("<tr><td>password</td>", "key: [aaaaaaaaaaaaaaaaaaaa, ", "a | password\n--|--\n"),
    *(
        "<a>",
        "<b> ",
        "<p>\n<i>",
        "<key>[",
        "? key\n: ",
        "event: password\n",
        "AUTH user ",
        "$4\r\nAUTH\r\n",
        "\\160",
        "key: [aaaaaaaaaaaaaaa1, ",
    ),
    *("+1 ", "2001:", "https://h/?a=%3D&", "%7B%22password%22%3A", "otas_a_", "\x00", "\ud800", '"a b c password":1,'),
]


@pytest.mark.parametrize("unit", UNITS)
def test_redaction_is_linear_in_whatever_repeats(unit: str) -> None:
    """64 KB of it, before and after something that has to be masked; quadratic time would be minutes."""
    redactor = redactor_for(DEFAULTS)
    filling = (unit * (65_536 // len(unit) + 1))[:65_536]
    for text in (filling, f"password {filling}", f'{{"password":"x","a":"{filling}"}}', f"{filling}password=hunter2"):
        started = time.process_time()
        redactor.text(text)
        assert time.process_time() - started < 10


def test_lines_of_a_form_feed_no_recursion() -> None:
    nested = "x=1"
    for _ in range(200):
        nested = "a=" + nested.replace("%", "%25").replace("=", "%3D")[:60_000]
    assert redactor_for(DEFAULTS).pairs(f"password=hunter2&b={nested}").startswith("password=[REDACTED]")


def test_a_body_limit_of_a_megabyte_is_kept_as_well() -> None:
    body = b'{"password": "hunter2", "a": "' + b"x" * (2 * MEGABYTE) + b'"}'
    event = event_of(exchange(response_body=body, response_type="application/json", limit=MEGABYTE), LARGEST)
    assert len(event.response_body) > MEGABYTE - 100
    assert event.metadata["truncated"]["response_body"] == {"kept": MEGABYTE, "size": len(body)}
