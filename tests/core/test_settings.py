"""Settings: one name in every spelling, clear errors, no secret in any text."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from otas_middleware import ConfigurationError, OtasSettings
from otas_middleware._config.sources import FrameworkSettings, env_name, gather, load_settings
from otas_middleware._recorder import open_recorder
from otas_middleware._runtime import runtime

if TYPE_CHECKING:
    from pathlib import Path

KEY = "otas_abc_s3cr3tvalue"


def django(**values: object) -> FrameworkSettings:
    return FrameworkSettings(values, "OTAS[{!r}]")


def test_the_defaults_are_those_of_the_documentation() -> None:
    settings = load_settings({}, environ={})
    assert settings == OtasSettings()
    assert settings.brain_url == "http://localhost:8002"
    assert settings.max_body_bytes == 65536
    assert settings.enabled


@pytest.mark.parametrize(
    ("keywords", "framework", "environ", "expected"),
    [
        ({"max_body_bytes": 1}, {"MAX_BODY_BYTES": 2}, {"OTAS_MAX_BODY_BYTES": "3"}, 1),
        ({}, {"MAX_BODY_BYTES": 2}, {"OTAS_MAX_BODY_BYTES": "3"}, 2),
        ({}, {}, {"OTAS_MAX_BODY_BYTES": "3"}, 3),
        ({}, {}, {"OTAS_MAX_BODY_BYTES": ""}, 65536),
    ],
)
def test_a_keyword_beats_the_framework_which_beats_the_environment(
    keywords: dict[str, Any], framework: dict[str, Any], environ: dict[str, str], expected: int
) -> None:
    assert load_settings(keywords, django(**framework), environ).max_body_bytes == expected


@pytest.mark.parametrize("field", sorted(OtasSettings.model_fields))
def test_every_field_has_a_description_and_one_derived_name(field: str) -> None:
    description = OtasSettings.model_fields[field].description
    assert description
    assert "likewise" not in description, "messages show it alone"
    assert env_name(field) == "OTAS_" + field.upper()


def test_lists_are_comma_separated_in_the_environment() -> None:
    settings = load_settings({}, environ={"OTAS_SENSITIVE_HEADERS": "X-One, x-two,"})
    assert settings.sensitive_headers == ("X-One", "x-two")


@pytest.mark.parametrize(
    "text", ['["pin","badge"]', "[pin, badge]", "'pin', 'badge'", '"pin,badge"', ' [ "pin" , "badge", ] ']
)
def test_brackets_and_quotes_around_names_are_no_part_of_them(text: str) -> None:
    assert load_settings({}, environ={"OTAS_SENSITIVE_FIELDS": text}).sensitive_fields == ("pin", "badge")


@pytest.mark.parametrize("field", ["spool_dir", "relay_log"])
def test_a_tilde_is_the_users_directory(field: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert getattr(load_settings({}, environ={env_name(field): "~/otas"}), field) == tmp_path / "otas"
    with pytest.raises(ConfigurationError, match="~ stands for no directory here"):
        load_settings({field: "~nobody-of-this-name/otas"}, environ={})


def test_a_callable_may_be_named_by_its_import_path() -> None:
    settings = load_settings({}, environ={"OTAS_SHOULD_RECORD": "operator:truth"})
    assert settings.should_record is not None
    assert settings.should_record(object()) is True


async def asynchronous(given: object) -> object:
    return given


class Asynchronous:
    async def __call__(self, given: object) -> object:
        return given


@pytest.mark.parametrize("name", ["should_record", "before_send", "on_loss", "operation_protocols"])
@pytest.mark.parametrize("function", [asynchronous, Asynchronous()])
def test_a_function_that_nobody_could_await_is_refused(name: str, function: object) -> None:
    value = [function] if name == "operation_protocols" else function
    with pytest.raises(ConfigurationError, match=f"{name}.* it is asynchronous.*write it with def"):
        load_settings({name: value}, environ={})


def test_the_project_id_is_a_uuid() -> None:
    project = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
    assert load_settings({"project_id": project}, environ={}).project_id == UUID(project)


@pytest.mark.parametrize("url", ["http://brain.test/", "http://brain.test//", " http://brain.test "])
def test_a_base_url_loses_its_trailing_slash(url: str) -> None:
    assert load_settings({"brain_url": url}, environ={}).brain_url == "http://brain.test"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("http://Bücher.example:80/x", "http://xn--bcher-kva.example:80/x"),
        ("https://faß.example", "https://xn--fa-hia.example"),
        ("https://brain.example。", "https://brain.example"),
        ("https://brain.example/ä%20b", "https://brain.example/%C3%A4%20b"),
    ],
)
def test_a_url_with_letters_of_other_languages_is_meant_in_its_ascii_form(written: str, meant: str) -> None:
    assert load_settings({"brain_url": written}, environ={}).brain_url == meant


@pytest.mark.parametrize("url", ["http://brain\u2024test", "http://-ü.example"])
def test_a_url_that_no_request_can_be_sent_to_is_refused_at_start(url: str) -> None:
    with pytest.raises(ConfigurationError, match="its ASCII form"):
        load_settings({"brain_url": url}, environ={})


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"OTAS_MAX_BODY_BYTES": "lots"}, ["OTAS_MAX_BODY_BYTES", "it is no whole number", "'lots'"]),
        ({"OTAS_MAX_BODY_BYTES": "-1"}, ["OTAS_MAX_BODY_BYTES", "greater than or equal to 0"]),
        ({"OTAS_BRAIN_URL": "localhost:8002"}, ["OTAS_BRAIN_URL", "https://brain.example.com"]),
        ({"OTAS_BRAIN_URL": "http://h:99999"}, ["OTAS_BRAIN_URL", "http(s) URL"]),
        ({"OTAS_PROJECT_ID": "seven"}, ["OTAS_PROJECT_ID", "it is no UUID"]),
        ({"OTAS_BRAIN_URL": "'http://h'"}, ["OTAS_BRAIN_URL", "take them out"]),
        ({"OTAS_SDK_KEY": "Bearer otas_a_b"}, ["OTAS_SDK_KEY", "it holds blanks"]),
        ({"OTAS_ENABLED": "perhaps"}, ["OTAS_ENABLED", "write 1 or 0"]),
        ({"OTAS_SESSION_SAMPLE_RATE": "20%"}, ["OTAS_SESSION_SAMPLE_RATE", "it is no number", "'20%'"]),
        ({"OTAS_SHOULD_RECORD": "no.such:thing"}, ["OTAS_SHOULD_RECORD", "package.module:name"]),
        ({"OTAS_SHOULD_RECORD": "wanted"}, ["OTAS_SHOULD_RECORD", "it names no module", "package.module:name"]),
        ({"OTAS_TRANSPORT": "http"}, ["OTAS_TRANSPORT", "it is none of what can be given", "'http'", "`direct`"]),
        ({"OTAS_BEFORE_SEND": "support.unimportable:thing"}, ["OTAS_BEFORE_SEND", "raises ZeroDivisionError"]),
    ],
)
def test_a_bad_variable_is_named_with_its_problem_and_the_fix(environ: dict[str, str], words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({}, environ=environ)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["PROJECT_ID", "BRAIN_URL", "MAX_BODY_BYTES", "SHOULD_RECORD", "TRANSPORT", "ENABLED"])
@pytest.mark.parametrize("secret", ["otas_abcdefghijk_hidden", '"agent_abcdefghijk_hidden"', "eyJhidden.a.b"])
def test_a_key_in_the_wrong_variable_is_called_that_and_not_shown(name: str, secret: str) -> None:
    with pytest.raises(ConfigurationError, match=f"OTAS_{name} cannot be used: it is a key or a token") as caught:
        load_settings({}, environ={f"OTAS_{name}": secret})
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("sdk_key", 123, "it is no text"),
        ("max_body_bytes", 1.5, "it is no whole number"),
        ("ignore_paths", {"/x": 1}, "it is no list"),
        ("sensitive_fields", None, "it is no list"),
        ("should_record", 3, "it is no function"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_in_plain_words(name: str, value: object, said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}= cannot be used: .*{said}"):
        load_settings({name: value}, environ={})


_FIELDS = OtasSettings.model_fields.items()
_COUNTS = [name for name, field in _FIELDS if isinstance(field.default, int) and not isinstance(field.default, bool)]
_QUANTITIES = [name for name, field in _FIELDS if isinstance(field.default, float)]


@pytest.mark.parametrize("name", [*_COUNTS, *_QUANTITIES, "session_max_events_per_second"])
def test_what_is_no_number_or_beyond_what_a_machine_can_count_is_refused(name: str) -> None:
    odd: list[object] = [True, False, -1, float("nan"), float("inf"), 10**400]
    odd += [2**63] if name in _COUNTS else []
    odd += [1e10] if name.endswith(("timeout", "delay", "interval")) else []
    for value in odd:
        with pytest.raises(ConfigurationError, match=f"{name}= cannot be used"):
            load_settings({name: value}, environ={})


def test_an_unknown_keyword_and_an_unknown_framework_name_are_errors_too() -> None:
    with pytest.raises(ConfigurationError, match="did you mean max_body_bytes="):
        load_settings({"max_body_byte": 1}, environ={})
    with pytest.raises(ConfigurationError, match=r"OTAS\['BRAIN'\] in the framework's configuration"):
        load_settings({}, django(BRAIN="x"), {})
    with pytest.raises(ConfigurationError, match="OTAS"):
        load_settings({}, django(max_body_bytes=1), {})


def test_unknown_names_in_the_environment_are_one_warning_and_stop_nothing(caplog: pytest.LogCaptureFixture) -> None:
    runtime.logged.clear()
    environ = {
        "OTAS_SDKKEY": "s3cr3t",
        "OTAS_MAXBODY": "1",
        "OTAS_Enabled": "0",
        "OTAS_X": "",
        "OTAS_MAX_BODY_BYTES": "7",
    }
    for _ in range(2):
        assert load_settings({}, environ=environ) == OtasSettings(max_body_bytes=7)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    for words in ("OTAS_SDKKEY", "did you mean OTAS_SDK_KEY?", "OTAS_MAXBODY", "OTAS_Enabled", "is ignored"):
        assert words in record.message
    assert "OTAS_X" not in record.message
    assert "s3cr3t" not in record.message


@pytest.mark.parametrize("empty", ["", " \n", SecretStr(""), SecretStr(" "), None])
def test_an_empty_key_switches_off_and_is_no_error(empty: Any) -> None:
    assert OtasSettings(sdk_key=empty).sdk_key is None
    assert open_recorder({"sdk_key": empty}) is None
    assert open_recorder({}, django(SDK_KEY=empty)) is None


def test_a_key_that_is_a_secret_already_is_taken_without_the_blanks_around_it() -> None:
    key = OtasSettings(sdk_key=SecretStr(f" {KEY}\n")).sdk_key
    assert key is not None
    assert key.get_secret_value() == KEY


def test_settings_that_are_none_are_refused_by_their_type() -> None:
    settings: Any = {"sdk_key": KEY}
    with pytest.raises(ConfigurationError, match="settings= is of type dict") as caught:
        open_recorder({}, settings=settings)
    assert KEY not in str(caught.value)


def test_what_kubernetes_puts_into_the_environment_is_not_taken_for_settings() -> None:
    environ = {
        "OTAS_BRAIN_PORT": "tcp://10.0.0.1:8002",
        "OTAS_BRAIN_SERVICE_HOST": "10.0.0.1",
        "OTAS_BRAIN_PORT_8002_TCP_ADDR": "10.0.0.1",
    }
    assert load_settings({}, environ=environ) == OtasSettings()


@pytest.mark.parametrize("bad", ["otas_a b_c", "otas_ä", "otas_x\ny"])
def test_an_unusable_key_is_refused_without_being_shown(bad: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"sdk_key": bad}, environ={})
    assert "sdk_key=" in str(caught.value)
    assert bad not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_credentials_in_a_url_are_refused_without_being_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        OtasSettings(brain_url="http://user:hunter2@brain.test")
    assert "hunter2" not in str(caught.value)


def test_a_key_never_shows_in_a_repr() -> None:
    settings = OtasSettings(sdk_key=KEY)  # what users write; pydantic makes a SecretStr
    assert "s3cr3t" not in repr(settings)
    assert "s3cr3t" not in str(settings.model_dump())


def test_blanks_around_a_key_are_not_part_of_it() -> None:
    settings = load_settings({}, environ={"OTAS_SDK_KEY": f"{KEY}\n"})
    assert settings.sdk_key is not None
    assert settings.sdk_key.get_secret_value() == KEY


def test_settings_cannot_be_changed_but_replaced() -> None:
    settings = OtasSettings()
    with pytest.raises(Exception, match="frozen"):
        settings.max_body_bytes = 1  # type: ignore[misc]  # the point of the test
    assert settings.replace(max_body_bytes=1).max_body_bytes == 1
    with pytest.raises(ConfigurationError):
        settings.replace(max_body_bytes=-1)


def test_the_kill_switch_works_even_when_another_value_is_bad() -> None:
    settings = load_settings({}, environ={"OTAS_ENABLED": "0", "OTAS_BRAIN_URL": "nonsense", "OTAS_WHAT": "x"})
    assert not settings.enabled


def test_each_value_is_traced_to_the_place_that_set_it() -> None:
    found = gather({"max_body_bytes": 1}, django(BRAIN_URL="http://x"), {"OTAS_SDK_KEY": KEY})
    assert {name: origin.spelling for name, origin in found.items()} == {
        "max_body_bytes": "max_body_bytes=",
        "brain_url": "OTAS['BRAIN_URL']",
        "sdk_key": "OTAS_SDK_KEY",
    }


def test_without_a_key_there_is_one_warning_and_no_recorder(caplog: pytest.LogCaptureFixture) -> None:
    runtime.logged.clear()
    with caplog.at_level(logging.WARNING, "otas_middleware"):
        assert open_recorder({}) is None
        assert open_recorder({}) is None
    assert [record.message for record in caplog.records if "OTAS_SDK_KEY" in record.message] == [
        caplog.records[0].message
    ]


def test_equal_settings_share_one_recorder() -> None:
    one = open_recorder({"sdk_key": KEY, "max_body_bytes": 77})
    two = open_recorder({"sdk_key": KEY, "max_body_bytes": 77})
    other = open_recorder({"sdk_key": KEY, "max_body_bytes": 78})
    assert one is two
    assert one is not other


def test_disabled_means_no_recorder_and_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert open_recorder({"enabled": False, "sdk_key": KEY}) is None
    assert caplog.records == []


@pytest.mark.parametrize("name", ["redact_patterns", "redact_path_patterns"])
def test_patterns_stand_one_a_line_in_the_environment_since_they_may_hold_commas(name: str) -> None:
    settings = load_settings({}, environ={env_name(name): "A[0-9]{2,4}\n B-[a-z]{1,3}\n"})
    assert getattr(settings, name) == ("A[0-9]{2,4}", "B-[a-z]{1,3}")
