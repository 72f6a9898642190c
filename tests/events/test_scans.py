"""Redaction is linear: what it does for twice the input is counted, not timed (`make bench-redaction` times it)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from events.exchange import REDACTOR
from otas_middleware._event.redact import Redactor, arguments, labels, named, named_value
from otas_middleware._event.redact.spans import most

pytestmark = pytest.mark.no_cover  # tracing doubles its time, and other tests run the same lines under coverage

UNITS = [
    *(
        "pin=1\n",
        "password: x, ",
        '"password":',
        '"name":"password"\n',
        "- name: password\n",
        "[password]\n",
        "Bearer%20pass ",
    ),
    *(
        "https://h/?token=%3D&",
        "'password':'x',",
        '{"name":"password","value":',
        "\\'",
        "password:\n",
        "<password>",
        "key=a1 ",
    ),
    *(
        "name: password ",
        "Authorization: ",
        "пароль: x ",
        "token: a b c d ",
        "Cookie: ",
    ),
]


def scans(text: str, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Return how often values, objects around labels and texts within the text were looked for, and how far."""
    counted: Counter[str] = Counter()

    def count(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def counting(*arguments: Any, **keywords: Any) -> Any:
            counted[name] += 1
            result = original(*arguments, **keywords)
            if name == "end_of_match":
                counted["characters"] += result - arguments[2]
            return result

        monkeypatch.setattr(owner, name, counting)

    with monkeypatch.context() as patch:
        monkeypatch = patch
        count(named_value.NamedValue, "locate")
        count(named, "end_of_match")
        count(arguments, "end_of_match")
        count(named_value, "end_of_match")
        count(labels, "_object_around")
        count(Redactor, "text")
        REDACTOR.text(text)
    return counted


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("wrapper", ["{}", '{{"password":"x","a":"{}"}}', '[{{"name":"password","value":"{}"}}]'])
def test_twice_the_input_is_at_most_twice_the_scans(unit: str, wrapper: str, monkeypatch: pytest.MonkeyPatch) -> None:
    half = scans(wrapper.format(unit * (32_768 // len(unit))), monkeypatch)
    whole = scans(wrapper.format(unit * (65_536 // len(unit))), monkeypatch)
    for name, number in whole.items():
        assert number <= 2.02 * half[name] + 64, name


def test_a_text_of_more_secrets_than_anybody_writes_is_masked_from_there_on() -> None:
    text = "pin=1\n" * 20_000
    masked = REDACTOR.text(text)
    assert masked.count("[REDACTED]") <= most(text) + 1
    assert "pin=1" not in masked
