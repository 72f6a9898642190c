"""A redactor at work on one event, field by field: what it hides, what it leaves, and what happens when it fails."""

from __future__ import annotations

import json
from typing import Any

import pytest

from events.exchange import DEFAULTS, TOKEN
from otas_middleware import OtasSettings
from otas_middleware._event.redact import MASK, UNREADABLE, UNTOUCHED, Masker, redactor_for

PLAIN_TOKEN = "a-token-that-looks-like-nothing-else"
FIELDS: dict[str, Any] = {
    "path": "/orders",
    "method": "POST",
    "query_params": "",
    "post_data": "",
    "request_body": "",
    "response_body": "",
    "request_headers": "{}",
    "response_headers": "{}",
    "request_content_type": "",
    "response_content_type": "",
    "error": "",
    "project_id": "",
    "custom_properties": {},
    "metadata": {},
}


def masker(token: str = TOKEN, **settings: Any) -> Masker:
    return Masker(redactor_for(OtasSettings(**settings)), token)


def masked(token: str = TOKEN, **fields: Any) -> dict[str, Any]:
    """Return the fields of an event with these, masked, and only those."""
    event = json.loads(json.dumps(FIELDS)) | fields
    masker(token).fields(event)
    return {name: event[name] for name in fields}


@pytest.mark.parametrize("token", [TOKEN, PLAIN_TOKEN])
class TestTheSessionToken:
    def test_it_is_hidden_wherever_it_is_echoed(self, token: str) -> None:
        echo = f"you sent {token}, and again {token}."
        hidden = f"you sent {MASK}, and again {MASK}."
        at_work = masker(token)
        assert at_work.text(echo) == hidden
        assert at_work.text(token) == at_work.path(token) == MASK
        assert at_work.pairs(f"q={token}&page=2") == f"q={MASK}&page=2"
        assert at_work.table(f"a,b\n{token},2\n") == f"a,b\n{MASK},2\n"
        assert at_work.value({"q": [echo]}) == {"q": [hidden]}

    @pytest.mark.parametrize("before", ["", "x "])
    def test_it_is_hidden_when_a_body_was_cut_off_within_it(self, token: str, before: str) -> None:
        assert masker(token).text(before + token[:-5], cut=True) == before + MASK
        assert masker(token).pairs(before + token[:20]) == before + MASK

    def test_a_text_that_holds_it_is_no_text_in_which_there_is_nothing(self, token: str) -> None:
        assert masker(token).finds_nothing(["one", "two"]) is True
        assert masker(token).finds_nothing(["one", f"q={token}"]) is False

    def test_what_only_begins_as_it_does_stays(self, token: str) -> None:
        assert (
            masker(PLAIN_TOKEN).text(f"{PLAIN_TOKEN[:20]} and something else")
            == f"{PLAIN_TOKEN[:20]} and something else"
        )


def test_without_a_token_nothing_is_hidden() -> None:
    assert masker("").text("nothing to see") == "nothing to see"
    assert masker("").finds_nothing(["a", "b"]) is True
    assert masker("").finds_nothing(["password=hunter22"]) is False


class TestFailures:
    """Nothing that could not be looked through leaves."""

    @pytest.mark.parametrize("method", ["text", "pairs", "table", "path", "value"])
    def test_what_cannot_be_looked_through_is_replaced_and_counted(
        self, method: str, as_in_production: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reported: list[str] = []
        monkeypatch.setattr("otas_middleware._event.redact.report_internal_error", reported.append)
        broken = Masker(None, PLAIN_TOKEN)  # type: ignore[arg-type]  # whatever is wrong with it
        assert getattr(broken, method)("text") == UNREADABLE
        assert reported == ["redact"]

    def test_nothing_is_said_to_be_harmless_then(self, as_in_production: None, monkeypatch: pytest.MonkeyPatch) -> None:
        reported: list[str] = []
        monkeypatch.setattr("otas_middleware._event.redact.report_internal_error", reported.append)
        assert Masker(None, PLAIN_TOKEN).finds_nothing(["text"]) is False  # type: ignore[arg-type]  # as above
        assert reported == ["redact"]

    def test_an_object_is_an_object_also_then(self, as_in_production: None, monkeypatch: pytest.MonkeyPatch) -> None:
        reported: list[str] = []
        monkeypatch.setattr("otas_middleware._event.redact.report_internal_error", reported.append)
        assert Masker(None, "").members({"a": 1}) == {"value": UNREADABLE}  # type: ignore[arg-type]  # as above
        assert masker().members({"a": 1}) == {"a": 1}

    @pytest.mark.parametrize("method", ["text", "pairs", "table"])
    def test_an_empty_text_needs_no_looking_through(self, method: str) -> None:
        assert getattr(Masker(None, ""), method)("") == ""  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize("token", [TOKEN, PLAIN_TOKEN])
def test_whether_a_text_was_cut_off_is_passed_on(token: str) -> None:
    cut = '{"name": "password",  "value": "hunter2", "note": "tea an'
    assert masker(token).text(cut, cut=True) == redactor_for(DEFAULTS).text(cut, cut=True)
    assert masker(token).text(cut, cut=True) != masker(token).text(cut)


class TestFields:
    @pytest.mark.parametrize(
        "name",
        [
            *("request_body", "response_body", "request_headers", "response_headers"),
            *("request_content_type", "response_content_type", "error", "method", "project_id"),
        ],
    )
    def test_a_secret_is_masked_in_each_text(self, name: str) -> None:
        assert masked(**{name: '{"password": "hunter22"}'}) == {name: f'{{"password": "{MASK}"}}'}

    @pytest.mark.parametrize("name", ["query_params", "post_data"])
    def test_parameters_are_masked_by_their_names(self, name: str) -> None:
        assert masked(**{name: "page=2&password=hunter 22"}) == {name: f"page=2&password={MASK}"}

    def test_a_form_is_masked_as_parameters_are(self) -> None:
        form = {"request_content_type": "application/x-www-form-urlencoded", "request_body": "password=a; b, c d&x=1"}
        assert masked(**form) == {**form, "request_body": f"password={MASK}&x=1"}

    def test_names_in_a_form_may_be_encoded(self) -> None:
        form = {"request_content_type": "application/x-www-form-urlencoded", "request_body": "p%61ssword=hunter22&x=1"}
        assert masked(**form)["request_body"] == f"p%61ssword={MASK}&x=1"

    def test_a_path_is_masked_by_its_shape(self) -> None:
        assert masked(path=f"/reset/{TOKEN}/now") == {"path": f"/reset/{MASK}/now"}

    def test_objects_are_masked_by_their_names(self) -> None:
        assert masked(custom_properties={"password": "hunter22", "n": 1}) == {
            "custom_properties": {"password": MASK, "n": 1}
        }
        assert masked(metadata={"password": "hunter22", "n": 1}) == {"metadata": {"password": MASK, "n": 1}}

    def test_of_what_we_say_of_the_session_only_the_name_looks_sensitive(self) -> None:
        ours = {"session": {"fingerprint": "0123456789abcdef", "verified": True}}
        assert masked(metadata=ours) == {"metadata": ours}
        assert masked(metadata={"session": "0123456789abcdefX"}) == {"metadata": {"session": MASK}}

    def test_that_stays_also_where_the_settings_call_it_sensitive(self) -> None:
        strict = Masker(redactor_for(OtasSettings(sensitive_fields=("session",))), "")
        ours = {"session": {"fingerprint": "0123456789abcdef", "verified": True}}
        fields = json.loads(json.dumps(FIELDS)) | {"metadata": dict(ours)}
        strict.fields(fields)
        assert fields["metadata"] == ours

    def test_an_operations_session_stays_where_it_is_a_fingerprint(self) -> None:
        fingerprint = {"operation": {"session": "0123456789abcdef"}}
        assert masked(metadata=fingerprint) == {"metadata": fingerprint}
        raw = {"operation": {"session": "0123456789abcdefX"}}
        assert masked(metadata=raw) == {"metadata": {"operation": {"session": MASK}}}


def test_a_value_of_which_there_is_too_much_is_cut() -> None:
    value = ["aaaaaaaaaa", "bbbbbbbbbb", "cccc"]
    assert masker().value(value) == value
    assert masker().value(value, max_nodes=100, max_characters=12) == [
        "aaaaaaaaaa",
        "bb[CUT: too much]",
        "[CUT: too much]",
    ]


def test_where_there_is_nothing_to_mask_all_stays() -> None:
    assert UNTOUCHED.text("a", cut=True) == UNTOUCHED.pairs("a") == UNTOUCHED.table("a") == UNTOUCHED.path("a") == "a"
    assert UNTOUCHED.value([1]) == [1]


class TestTheRedactor:
    @pytest.mark.parametrize(
        "text", ['["password=hunter22"]', '{"password": "hunter22"}', "<password>hunter22</password>"]
    )
    def test_what_was_sent_as_a_form_and_is_none_is_masked_as_what_it_is(self, text: str) -> None:
        redactor = redactor_for(DEFAULTS)
        assert redactor.pairs(text) == redactor.text(text) == text.replace("hunter22", MASK)

    def test_a_text_may_hold_what_the_settings_patterns_find(self) -> None:
        plain = redactor_for(DEFAULTS)
        assert plain.finds_nothing("order 17") is True
        assert redactor_for(OtasSettings(redact_patterns=["17"])).finds_nothing("order 17") is False
        assert redactor_for(OtasSettings(redact_path_patterns=["17"])).finds_nothing("order 17") is False
        assert plain.finds_nothing("é") is False
        assert plain.finds_nothing("\x00") is False

    @pytest.mark.parametrize(
        ("pattern", "path", "shown"),
        [
            (r"/reset/\w+", "/reset/abc/x", f"{MASK}/x"),
            (r"/reset/(\w+)", "/reset/abc/x", f"/reset/{MASK}/x"),
            (r"(\w+)/of/(\w+)", "abc/of/def", f"{MASK}/of/{MASK}"),
            (r"/(a)?(\w+)$", "/x/bcd", f"/x/{MASK}"),
        ],
    )
    def test_of_a_path_what_a_pattern_or_its_groups_find_is_masked(self, pattern: str, path: str, shown: str) -> None:
        assert redactor_for(OtasSettings(redact_path_patterns=[pattern])).path(path) == shown

    @pytest.mark.parametrize("ending", ["\\n", "\\r", "\\r\\n"])
    @pytest.mark.parametrize("closed", ['"}', '"', ""])
    def test_a_json_string_of_several_lines_is_looked_at_as_the_text_that_it_is(self, ending: str, closed: str) -> None:
        text = f'{{"note": "first{ending}password: hunter22{ending}last{closed}'
        assert redactor_for(DEFAULTS).text(text) == text.replace("hunter22", MASK)

    def test_that_text_may_hold_a_raw_tab_and_may_be_cut_off(self) -> None:
        redactor = redactor_for(DEFAULTS)
        begin = '{"note": "usage\\n- name: password\\n  value: '
        assert redactor.text(begin + "hunter22") == begin + MASK
        assert redactor.text(begin + 'hunter22\\n\tx"}') == begin + MASK + '\\n\\tx"}'

    def test_whole_values_are_masked_once_so_many_encoded_ones_have_been_looked_at(self) -> None:
        value = "%7B%22password%22%3A%22hunter22%22%2C%22n%22%3A1%7D"
        shown = redactor_for(DEFAULTS).pairs("&".join(f"q{number}={value}" for number in range(3000)))
        assert "hunter22" not in shown
        assert shown.startswith(("q0=%7B", "q0={"))
        assert shown.endswith(f"q2999={MASK}")
        assert shown.count(f"={MASK}") == 3000 - 128
