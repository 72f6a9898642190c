"""Values that lose the event, and their neighbours that do not."""

from __future__ import annotations

import json
import math
import random

import pytest

from localbrain.wire import Client
from otas_middleware.localbrain import LocalBrain

TEXTS = [
    "path",
    "request_headers",
    "request_body",
    "query_params",
    "post_data",
    "response_headers",
    "response_body",
    "error",
]
SHORT_TEXTS = ["method", "request_content_type", "response_content_type"]
DOCUMENTS = ["custom_properties", "metadata"]
INTEGERS = ["status_code", "request_size_bytes", "response_size_bytes"]
INCOMPRESSIBLE = "".join(
    random.Random(1).choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", k=4000)
)


def assert_lost(brain: LocalBrain, client: Client, name: str, value: str) -> None:
    answer = client.log_raw_field(name, value)
    assert (answer.status, answer.description) == (500, "event_capture_failed")
    assert answer.json == {"status": 0, "status_description": "event_capture_failed"}
    assert brain.events() == []


def stored(brain: LocalBrain, client: Client, name: str, value: str) -> object:
    assert client.log_raw_field(name, value).status == 201
    return brain.events()[-1][name]  # type: ignore[literal-required]


@pytest.mark.parametrize("name", [*TEXTS, *SHORT_TEXTS])
@pytest.mark.parametrize("value", [r'"a\u0000"', r'"\ud800"', r'"a\udfffb"', r'"\udc00\ud800"'])
def test_a_text_with_nul_or_a_lone_surrogate_cannot_be_stored(
    brain: LocalBrain, client: Client, name: str, value: str
) -> None:
    assert_lost(brain, client, name, value)


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize(
    "value",
    [
        r'{"a": "\u0000"}',
        r'{"\u0000": 1}',
        r'{"a": [[{"b": "\ud800"}]]}',
        r'{"\udfff": 1}',
        r'"\u0000"',
        '{"a": NaN}',
        '{"a": [Infinity]}',
        '{"a": {"b": -Infinity}}',
        "NaN",
        '{"a": 1e999}',
    ],
)
def test_a_document_with_what_json_in_the_database_has_not(
    brain: LocalBrain, client: Client, name: str, value: str
) -> None:
    assert_lost(brain, client, name, value)


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("value", ["-1", "2147483648", "1e300", "NaN", "Infinity", "null", '"many"', "[1]", "{}", '""'])
def test_a_number_that_the_column_cannot_hold(brain: LocalBrain, client: Client, name: str, value: str) -> None:
    assert_lost(brain, client, name, value)


@pytest.mark.parametrize("name", ["path", "method", "status_code", "latency_ms"])
def test_a_null_in_a_required_field_cannot_be_stored(brain: LocalBrain, client: Client, name: str) -> None:
    assert_lost(brain, client, name, "null")


@pytest.mark.parametrize("value", ['"slow"', "[]", "{}", "1" + "0" * 400])
def test_a_latency_that_is_no_number(brain: LocalBrain, client: Client, value: str) -> None:
    assert_lost(brain, client, "latency_ms", value)


@pytest.mark.parametrize(
    ("name", "length"), [("method", 20), ("request_content_type", 255), ("response_content_type", 255)]
)
def test_a_short_text_is_stored_up_to_its_limit(brain: LocalBrain, client: Client, name: str, length: int) -> None:
    assert stored(brain, client, name, json.dumps("é" * length)) == "é" * length
    assert stored(brain, client, name, json.dumps("a" * length + "   ")) == "a" * length
    brain.clear()
    assert_lost(brain, client, name, json.dumps("a" * (length + 1)))


def test_a_path_is_stored_up_to_the_limit_of_its_index(brain: LocalBrain, client: Client) -> None:
    fitting = INCOMPRESSIBLE[:2692]
    assert stored(brain, client, "path", json.dumps(fitting)) == fitting
    assert stored(brain, client, "path", json.dumps("/a" * 50_000)) == "/a" * 50_000
    brain.clear()
    assert_lost(brain, client, "path", json.dumps(INCOMPRESSIBLE[:2693]))


def test_a_paths_limit_counts_bytes_not_characters(brain: LocalBrain, client: Client) -> None:
    ideographs = [chr(0x4E00 + number) for number in random.Random(7).sample(range(20_000), k=1000)]
    fitting, losing = "".join(ideographs[:800]), "".join(ideographs)
    assert stored(brain, client, "path", json.dumps(fitting)) == fitting
    brain.clear()
    assert_lost(brain, client, "path", json.dumps(losing))


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("status_code", "0", 0),
        ("status_code", "2147483647", 2_147_483_647),
        ("status_code", "200.9", 200),
        ("status_code", '" 404 "', 404),
        ("status_code", "true", 1),
        ("request_size_bytes", "2147483647", 2_147_483_647),
        ("latency_ms", '"12.5"', 12.5),
        ("latency_ms", "-3", -3.0),
        ("latency_ms", "Infinity", math.inf),
        ("latency_ms", "-1e999", -math.inf),
        ("path", '""', ""),
        ("path", "17", "17"),
        ("path", '"/ünïcödé/\\ud83d\\ude00"', "/ünïcödé/😀"),
        ("error", r'"\u0001\u001b[31m"', "\x01\x1b[31m"),
        ("error", r'"\\u0000"', "\\u0000"),
        ("metadata", r'{"a": "\\u0000"}', {"a": "\\u0000"}),
        ("metadata", "null", None),
        ("metadata", "[1, 2]", [1, 2]),
        ("metadata", '"text"', "text"),
        ("custom_properties", '{"n": ' + "9" * 4300 + "}", {"n": int("9" * 4300)}),
        ("custom_properties", r'{"😀": "\ud83d\ude00"}', {"😀": "😀"}),
    ],
)
def test_what_is_odd_but_storable(brain: LocalBrain, client: Client, name: str, value: str, kept: object) -> None:
    assert stored(brain, client, name, value) == kept


def test_a_latency_that_is_not_a_number_is_stored(brain: LocalBrain, client: Client) -> None:
    latency = stored(brain, client, "latency_ms", "NaN")
    assert isinstance(latency, float)
    assert math.isnan(latency)


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "path"])
def test_a_text_field_given_as_an_object_is_stored_as_its_python_repr(
    brain: LocalBrain, client: Client, name: str
) -> None:
    assert stored(brain, client, name, '{"a": [true, null, "x"]}') == "{'a': [True, None, 'x']}"
    assert stored(brain, client, name, "true") == "True"
    assert stored(brain, client, name, r'{"a": "\u0000"}') == r"{'a': '\x00'}"


def test_one_bad_event_among_many_loses_only_itself(brain: LocalBrain, client: Client) -> None:
    assert client.log().status == 201
    assert client.log_raw_field("error", r'"\u0000"').status == 500
    assert client.log().status == 201
    assert len(brain.events()) == 2


def test_the_reason_is_told_to_whoever_runs_the_brain() -> None:
    reasons: list[str] = []
    with LocalBrain(on_refused=reasons.append) as brain:
        Client(brain).log(status_code=-1)
    assert reasons == ["event not stored: status_code is not within 0 and 2147483647"]
