"""Redaction of structures that hypothesis invents: nothing secret remains, and nothing else is lost."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from events.documents import (
    PIECE,
    SECRET,
    documents,
    escape_some,
    expected,
    flat_documents,
    hostile_documents,
    json_styles,
    sensitive_names,
    to_xml,
    to_yaml,
)
from events.exchange import REDACTOR, exchange, posted
from otas_middleware._event.redact import MASK

pytestmark = pytest.mark.no_cover  # tracing doubles its time, and other tests run the same lines under coverage

EXAMPLES = int(os.environ.get("OTAS_FUZZ_EXAMPLES", "0"))
many = settings(max_examples=EXAMPLES or 150, deadline=None)
some = settings(max_examples=EXAMPLES or 60, deadline=None)


def leaks(text: str) -> bool:
    """Say whether a recognisable piece of the secret is in a text."""
    return any(SECRET[at : at + PIECE] in text for at in range(len(SECRET) - PIECE + 1))


@many
@given(sensitive_names)
def test_every_spelling_of_a_sensitive_name_is_found(name: str) -> None:
    assert REDACTOR.rules.sensitive(name)
    assert REDACTOR.text(json.dumps({name: SECRET})) == json.dumps({name: MASK})


@many
@given(documents, json_styles)
def test_json_loses_its_secrets_and_nothing_else(document: Any, style: dict[str, Any]) -> None:
    redacted = REDACTOR.text(json.dumps(document, **style))
    assert json.loads(redacted) == expected(document)


@many
@given(hostile_documents, json_styles)
@example({"x": '"password":'}, {})
@example({"x": "my password is hunter2#", "y": ["a", '"password":'], '"password":': {"z": 1}}, {"indent": 2})
def test_what_is_json_before_is_json_after(document: Any, style: dict[str, Any]) -> None:
    json.loads(REDACTOR.text(json.dumps(document, **style)))


@some
@given(st.lists(hostile_documents, min_size=2, max_size=4))
@example([{"x": '"password":'}, {"y": "my password is hunter2#"}, {"z": 1}])
@example([{"x": '"{\\"--password `\\": null}"'}, {"x": "`"}])
def test_each_line_or_event_that_is_json_before_is_json_after(lines: list[Any]) -> None:
    texts = [json.dumps(line) for line in lines]
    for begin, end in (("", "\n"), ("data: ", "\n\n"), ("event: message\ndata: ", "\n\n")):
        redacted = REDACTOR.text("".join(f"{begin}{text}{end}" for text in texts)).split(end)
        assert redacted.pop() == ""
        assert all(line.startswith(begin) for line in redacted)
        assert [json.loads(line[len(begin) :]).keys() for line in redacted] == [line.keys() for line in lines]


def test_of_json_whose_form_masking_would_cost_nothing_else_is_lost() -> None:
    text = '{"question": "\\"password\\":", "note": "my password is hunter2#", "count": 5, "list": ["a", 1.5, null]}'
    assert json.loads(REDACTOR.text(text)) == {
        "question": '"password":',
        "note": f"my password is {MASK}",
        "count": 5,
        "list": ["a", 1.5, None],
    }


@many
@given(hostile_documents)
@example({"x": "my password is hunter2#", "y": '"password":'})
def test_json_inside_json_stays_json(document: Any) -> None:
    inner = json.dumps(document)
    text = json.dumps({"result": {"content": [{"type": "text", "text": inner}, {"type": "text", "text": "[1]"}]}})
    content = json.loads(REDACTOR.text(text))["result"]["content"]
    assert json.loads(content[0]["text"]).keys() == document.keys()
    assert content[1] == {"type": "text", "text": "[1]"}


@pytest.mark.parametrize("secret", ["4111111111111111", "token is 1abcdef", "Authorization: Basic dTpw", "password=x"])
def test_json_with_more_secrets_than_anybody_writes_is_json_afterwards(secret: str) -> None:
    for document in ({"x": f"{secret} " * 3_000, "y": 1}, [{"z": f"{secret}, "}] * 3_000):
        redacted = REDACTOR.text(json.dumps(document))
        assert type(json.loads(redacted)) is type(document)
        assert "1111111" not in redacted


@many
@given(documents, json_styles, st.integers(0, 1000))
def test_escapes_hide_nothing(document: Any, style: dict[str, Any], seed: int) -> None:
    text = escape_some(json.dumps(document, **style), seed)
    assert json.loads(text) == document
    assert json.loads(REDACTOR.text(text)) == expected(document)


@many
@given(documents, json_styles, st.integers(1, 3))
@example({"mnemonic": '"', "note": "stays"}, {}, 1)  # two backslashes more are no second quote of the same level
@example({"mnemonic": '""x', "note": "stays"}, {}, 2)
@example({"mnemonic": '\\"', "note": "stays"}, {}, 1)
def test_json_inside_json_loses_its_secrets_and_nothing_else(document: Any, style: dict[str, Any], levels: int) -> None:
    text = json.dumps(document, **style)
    for _ in range(levels):
        text = json.dumps({"x": 1, "inner": text, "y": 2})
    redacted = REDACTOR.text(text)
    for _ in range(levels):
        outer = json.loads(redacted)
        assert (outer["x"], outer["y"]) == (1, 2)
        redacted = outer["inner"]
    assert json.loads(redacted) == expected(document)


@many
@given(documents, json_styles, st.integers(0, 2), st.data())
def test_json_that_was_cut_off_has_no_secret(
    document: Any, style: dict[str, Any], levels: int, data: st.DataObject
) -> None:
    text = json.dumps(document, **style)
    for _ in range(levels):
        text = json.dumps({"x": 1, "inner": text})
    cut = data.draw(st.integers(0, len(text)))
    assert not leaks(REDACTOR.text(text[:cut]))


@some
@given(st.lists(documents, min_size=1, max_size=4))
def test_lines_of_json_lose_their_secrets_and_nothing_else(lines: list[Any]) -> None:
    redacted = REDACTOR.text("\n".join(json.dumps(line) for line in lines))
    assert [json.loads(line) for line in redacted.split("\n")] == [expected(line) for line in lines]


@some
@given(st.lists(documents, min_size=1, max_size=4))
def test_event_streams_lose_their_secrets_and_nothing_else(chunks: list[Any]) -> None:
    redacted = REDACTOR.text("".join(f"event: x\ndata: {json.dumps(chunk)}\n\n" for chunk in chunks))
    data = [line.removeprefix("data: ") for line in redacted.split("\n") if line.startswith("data: ")]
    assert [json.loads(line) for line in data] == [expected(chunk) for chunk in chunks]


@some
@given(flat_documents, st.booleans(), st.booleans())
def test_forms_lose_their_secrets_and_nothing_else(document: dict[str, str], plus: bool, twice: bool) -> None:
    encode = quote_plus if plus else quote
    text = "&".join(f"{encode(encode(name) if twice else name)}={encode(value)}" for name, value in document.items())
    pairs = parse_qsl(REDACTOR.pairs(text), keep_blank_values=True)
    names = [encode(name) if twice else name for name in document]
    assert pairs == list(zip(names, expected(document).values(), strict=True))


@some
@given(documents)
def test_json_in_a_form_loses_its_secrets_and_nothing_else(document: Any) -> None:
    redacted = REDACTOR.pairs(f"x=1&data={quote(json.dumps(document))}&y=2")
    pairs = dict(parse_qsl(redacted, keep_blank_values=True))
    assert (pairs["x"], pairs["y"], json.loads(pairs["data"])) == ("1", "2", expected(document))


@pytest.mark.parametrize("first", [";", ")", "+", "';", ");x", "]", "}", ",", ":", "]},"])
def test_a_value_that_begins_as_code_behind_a_string_does_is_masked(first: str) -> None:
    assert not leaks(REDACTOR.text(repr({"x": {'"': None}, "mnemonic": f"{first}{SECRET}'"})))


@some
@given(documents, st.data())
def test_xml_and_yaml_and_python_have_no_secret(document: Any, data: st.DataObject) -> None:
    for text in (to_xml(document), to_yaml(document), repr(document)):
        assert not leaks(REDACTOR.text(text)), text
        cut = data.draw(st.integers(0, len(text)))
        assert not leaks(REDACTOR.text(text[:cut])), text[:cut]


def test_a_stray_quote_that_makes_a_name_of_several_lines_hides_no_secret() -> None:
    member = f"[':\n    pass_word: {SECRET}\n    pass_word_value: null\n"
    assert not leaks(REDACTOR.text(f"x:\n  {member}yy:\n  {member}"))


@some
@given(documents, st.sampled_from(["request", "response"]), st.integers(1, 200))
def test_no_secret_is_in_the_bytes_that_are_posted(document: Any, side: str, limit: int) -> None:
    body = json.dumps(document).encode()
    for kept in (65_536, limit):
        arguments: dict[str, Any] = {f"{side}_body": body, f"{side}_type": "application/json", "limit": kept}
        assert not leaks(posted(exchange(**arguments)).decode())


@some
@given(documents)
def test_redacting_twice_changes_nothing_more(document: Any) -> None:
    once = REDACTOR.text(json.dumps(document))
    assert REDACTOR.text(once) == once


@some
@given(documents)
def test_custom_properties_lose_their_secrets_and_nothing_else(document: Any) -> None:
    assert REDACTOR.value(document) == expected(document)
