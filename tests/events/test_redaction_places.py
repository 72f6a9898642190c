"""Secrets outside of bodies, and the session token wherever it is echoed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import SecretStr

from events.exchange import TOKEN, event_of, exchange, metadata, posted
from events.test_redaction_matrix import SECRET, assert_no_secret
from otas_middleware._config.settings import OtasSettings
from otas_middleware._event import BackendEvent
from otas_middleware._event.build import finish_event
from otas_middleware._event.redact import Masker, redactor_for

HEADERS = [
    "Authorization",
    "Proxy-Authorization",
    "Cookie",
    "Set-Cookie",
    "X-Api-Key",
    "X-API-KEY",
    "x_api_key",
    "Api-Key",
    "X-CSRF-Token",
    "X-XSRF-TOKEN",
    "X-Auth",
    "X-Amz-Security-Token",
    "X-Goog-Api-Key",
    "Ocp-Apim-Subscription-Key",
    "X-Session-Id",
    "X-Otas-Sdk-Key",
    "X-Otas-Agent-Key",
    "X-Otas-Agent-Session-Token",
    "X-Otas-User-Token",
    "X-Org-Id",
    "X-Hub-Signature",
    "X-Vault-Token",
    "Client-Secret",
]


@pytest.mark.parametrize("name", HEADERS)
def test_sensitive_headers_are_masked_whole_on_both_sides(name: str) -> None:
    headers = [(name, f"a {SECRET}; b={SECRET}"), ("X-Other", "kept")]
    event = event_of(exchange(request_headers=headers, response_headers=headers))
    for text in (event.request_headers, event.response_headers):
        assert json.loads(text) == {name.lower(): "[REDACTED]", "x-other": "kept"}


@pytest.mark.parametrize("text", ["https://ann:{}@h/x", "see amqp://ann:{}@h"])
def test_a_url_that_is_cut_off_within_its_password_is_masked_though_other_fields_stand_behind(text: str) -> None:
    body = text.format(SECRET).encode()
    for limit in range(body.index(b"ann:") + 5, len(body)):
        cut = exchange(request_body=body, request_type="text/plain", limit=limit, response_body=b"ok")
        assert SECRET[:1] not in event_of(cut).request_body.partition("ann:")[2], limit


def test_a_sensitive_header_that_comes_twice_is_masked_once() -> None:
    event = event_of(exchange(response_headers=[("Set-Cookie", f"a={SECRET}"), ("Set-Cookie", f"b={SECRET}")]))
    assert json.loads(event.response_headers) == {"set-cookie": "[REDACTED]"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"https://h/?access_token={SECRET}&a=1", "https://h/?access_token=[REDACTED]&a=1"),
        (f"https://ann:{SECRET}@h/", "https://[REDACTED]@h/"),
        (f"x Bearer {SECRET}", "x Bearer [REDACTED]"),
        ("4111 1111 1111 1111", "[REDACTED]"),
        (f'{{"password": "{SECRET}"}}', '{"password": "[REDACTED]"}'),
        ("größe", "größe"),
    ],
)
def test_values_of_other_headers_are_looked_through(value: str, expected: str) -> None:
    event = event_of(exchange(request_headers=[("X-Custom", value)], response_headers=[("X-Custom", value)]))
    assert json.loads(event.request_headers) == {"x-custom": expected}
    assert json.loads(event.response_headers) == {"x-custom": expected}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"a=1&token={SECRET}&b=2", "a=1&token=[REDACTED]&b=2"),
        (f"a=1&to%6ben={SECRET}", "a=1&to%6ben=[REDACTED]"),
        (f"user%5Bpin%5D={SECRET}&x", "user%5Bpin%5D=[REDACTED]&x"),
        (f"next=%2Fcb%3Fsid%3D{SECRET}%26a%3D1", "next=%2Fcb%3Fsid%3D[REDACTED]%26a%3D1"),
        (f"q=Bearer+{SECRET}", "q=Bearer+[REDACTED]"),
        (f"q=Bearer%20{SECRET}", "q=Bearer%20[REDACTED]"),
        (f"filter=%7B%22secret%22%3A%22{SECRET}%22%7D", "filter=%7B%22secret%22%3A%22[REDACTED]%22%7D"),
        ("a=%C3%A9&b=c%20d+e&flag", "a=%C3%A9&b=c%20d+e&flag"),
        ("token=", "token="),
        (f"AUTH={SECRET}&auth={SECRET}", "AUTH=[REDACTED]&auth=[REDACTED]"),
    ],
)
def test_query_strings_keep_all_but_their_secrets(query: str, expected: str) -> None:
    assert event_of(exchange(query=query.encode())).query_params == expected
    assert event_of(exchange(query=query)).query_params == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"/reset/eyJhbGciOiJIUzI1NiJ9.{SECRET}.{SECRET}/x", "/reset/[REDACTED]/x"),
        (f"/a;jsessionid={SECRET}", "/a;jsessionid=[REDACTED]"),
        ("/api/token/secret/password", "/api/token/secret/password"),
        ("/größe/日本", "/größe/日本"),
    ],
)
def test_paths_keep_all_but_their_secrets(path: str, expected: str) -> None:
    assert event_of(exchange(path=path)).path == expected


def test_path_patterns_mask_their_groups_or_their_match() -> None:
    settings = OtasSettings(redact_path_patterns=(r"/reset/([^/]+)/(\d+)", r"/u-\w+"))
    assert event_of(exchange(path="/reset/abc/42/x/u-ann"), settings).path == "/reset/[REDACTED]/[REDACTED]/x[REDACTED]"


class InvalidTokenError(Exception):
    """Its name says token, and yet what follows it is a message."""


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (f"login with password={SECRET} failed", "login with password=[REDACTED] failed"),
        (f"bad token: '{SECRET}'", "bad token: '[REDACTED]'"),
        (f"cannot connect to postgres://ann:{SECRET}@db/x", "cannot connect to postgres://[REDACTED]@db/x"),
        (f"{{'password': '{SECRET}', 'n': 1}}", "{'password': '[REDACTED]', 'n': 1}"),
        ("Signature has expired", "Signature has expired"),
    ],
)
def test_messages_of_exceptions_are_looked_through(message: str, expected: str) -> None:
    event = event_of(exchange(status=0, error=InvalidTokenError(message)))
    assert event.error == f"InvalidTokenError: {expected}"
    assert event.metadata["exception"] == {"type": "InvalidTokenError", "message": expected}
    assert finish_event(event, OtasSettings()).error.endswith(expected)


def test_tracebacks_are_looked_through() -> None:
    with pytest.raises(RuntimeError) as raised:
        connect(SECRET)
    capture = exchange(status=0, error=raised.value, with_traceback=True)
    exception = metadata(capture)["exception"]
    assert exception["message"] == "no connection with password=[REDACTED]"
    assert "RuntimeError: no connection with password=[REDACTED]" in exception["traceback"]
    assert_no_secret(posted(capture))


def connect(password: str) -> None:
    raise RuntimeError(f"no connection with {password=!s}")


def test_custom_properties_and_checkpoints_are_looked_through() -> None:
    capture = exchange(properties={"order": 42, "api_key": SECRET, "note": f"pin={SECRET}", "deep": [{"pwd": SECRET}]})
    capture.checkpoints = [("cache", 1.23456, {"rows": 5, "session_token": SECRET})]
    event = event_of(capture)
    assert event.custom_properties == {
        "order": 42,
        "api_key": "[REDACTED]",
        "note": "pin=[REDACTED]",
        "deep": [{"pwd": "[REDACTED]"}],
    }
    assert event.metadata["checkpoints"] == [
        {"name": "cache", "ms": 1.235, "attributes": {"rows": 5, "session_token": "[REDACTED]"}}
    ]


ECHOES: dict[str, dict[str, Any]] = {
    "response body": {"response_body": f'{{"you": "{TOKEN}"}}'.encode(), "response_type": "application/json"},
    "request body": {"request_body": f"x {TOKEN} y".encode(), "request_type": "text/plain"},
    "form": {"request_body": f"a={TOKEN}".encode(), "request_type": "application/x-www-form-urlencoded"},
    "header": {"response_headers": [("X-Echo", f"<{TOKEN}>")]},
    "query": {"query": f"a={TOKEN}".encode()},
    "path": {"path": f"/x/{TOKEN}"},
    "route": {"path": f"/x/{TOKEN}", "route": f"/x/{TOKEN}"},
    "content type": {"response_type": f"text/plain; x={TOKEN}", "response_body": b"x"},
    "error": {"error": ValueError(f"bad {TOKEN}"), "status": 0},
    "property": {"properties": {"t": TOKEN, TOKEN: 1, "x": [TOKEN]}},
    "events": {"response_body": f"data: {TOKEN}\n\n".encode(), "response_type": "text/event-stream"},
    "unknown text": {"response_body": TOKEN.encode()},
}


@pytest.mark.parametrize("place", ECHOES)
def test_the_session_token_is_masked_wherever_it_is_echoed(place: str) -> None:
    sent = posted(exchange(**ECHOES[place])).decode()
    assert TOKEN not in sent
    assert TOKEN.rpartition(".")[2] not in sent
    assert "[REDACTED]" in sent


def test_the_session_token_is_masked_also_where_a_body_was_cut_off_within_it() -> None:
    body = f"your token is {TOKEN}".encode()
    for limit in range(len(body) + 1):
        sent = posted(exchange(response_body=body, response_type="text/plain", limit=limit)).decode()
        assert TOKEN[:16] not in sent


def test_a_token_of_any_look_is_masked_also_where_a_text_was_cut_off_within_it() -> None:
    token = "!plain:words/that~look=like.nothing"
    masker = Masker(redactor_for(OtasSettings()), token)
    whole = f"one {token} and two {token}"
    for end in range(len(whole) + 1):
        shown = masker.text(whole[:end])
        assert token[:16] not in shown, shown
        assert token not in masker.text(f"{whole[:end]} and more")
    assert masker.text(whole) == "one [REDACTED] and two [REDACTED]"
    assert masker.text(f"x {token[:20]} y") == f"x {token[:20]} y", "the same beginning in the midst is another word"


@pytest.mark.parametrize(
    "key",
    ["otas__k3JqW-9xTz_q8Zr2mVn4Lp7Yc1Xb", "agent__ab_cd-EF12_q8Zr2mVn4Lp7Yc1Xb", "otas_Ab1-_x9Q2zT_abcdefgh-ijklmnop"],
)
def test_keys_whose_prefix_holds_or_begins_with_an_underscore_are_masked(key: str) -> None:
    assert redactor_for(OtasSettings()).text(f'{{"note": "use {key} now"}}') == '{"note": "use [REDACTED] now"}'


def test_this_processs_own_keys_are_masked_whatever_they_look_like() -> None:
    settings = OtasSettings(sdk_key=SecretStr("otas_plain_words-only"), session_secret=SecretStr("just seven words"))
    redactor = redactor_for(settings)
    assert redactor.text("a otas_plain_words-only b just seven words c") == "a [REDACTED] b [REDACTED] c"
    assert redactor.pairs("q=just%20seven%20words&a=1") == "q=[REDACTED]&a=1"


def test_a_query_is_as_it_was_sent_but_for_its_masks() -> None:
    query = b"x=%00&y=%ff&z=%ed%a0%80&api_key=abc"
    assert event_of(exchange(query=query)).query_params == "x=%00&y=%ff&z=%ed%a0%80&api_key=[REDACTED]"


def test_a_masked_event_says_so_only_where_there_was_something() -> None:
    sent = posted(exchange(request_body=b'{"a": 1}', request_type="application/json", query=b"a=1&b=2"))
    assert b"REDACTED" not in sent


def test_events_that_user_code_made_are_looked_through_in_every_field() -> None:
    leaky = f"password={SECRET}"
    event = BackendEvent(path=leaky, method="GET", status_code=200, latency_ms=1)
    for name, field in BackendEvent.model_fields.items():
        if field.annotation is str and name != "method":
            setattr(event, name, leaky)
    event.request_headers = json.dumps({"authorization": SECRET, "x": leaky})
    event.custom_properties = {"a": leaky, "session": SECRET}
    event.metadata = {"b": leaky, "session": {"fingerprint": "0f", "verified": False}, "auth": SECRET}
    finished = finish_event(event, OtasSettings())
    assert_no_secret(finished.to_json())
    assert finished.metadata["session"] == {"fingerprint": "0f", "verified": False}
    assert finished.custom_properties["session"] == "[REDACTED]"
    assert event.path == leaky, "the event that was given is left as it is"
