"""Answers to invalid requests quote what was refused; the place that they name tells whether it is a secret."""

from __future__ import annotations

import json

import pytest

from events.exchange import event_of, exchange

PASSWORD = "hunter2-refused"
ERROR = {"type": "int_parsing", "loc": ["body", "payment", "password"], "msg": "not an integer", "input": PASSWORD}


def recorded(body: bytes) -> str:
    return event_of(exchange(response_body=body, response_headers=[("content-type", "application/json")])).response_body


def test_what_a_validation_error_quotes_is_masked_when_its_place_is_sensitive() -> None:
    text = recorded(json.dumps({"detail": [ERROR]}).encode())
    assert json.loads(text)["detail"][0]["input"] == "[REDACTED]"
    assert json.loads(text)["detail"][0]["loc"] == ERROR["loc"]


def test_what_it_quotes_of_another_place_stays() -> None:
    harmless = {**ERROR, "loc": ["body", "payment", "quantity"], "input": "three"}
    assert json.loads(recorded(json.dumps({"detail": [harmless]}).encode()))["detail"][0]["input"] == "three"


@pytest.mark.parametrize("cut", range(5, 40, 5))
def test_a_validation_error_that_is_cut_off_keeps_its_secret(cut: int) -> None:
    body = json.dumps({"detail": [ERROR, {"type": "missing", "loc": ["body", "name"]}]}).encode()
    assert PASSWORD not in recorded(body[:-cut])
