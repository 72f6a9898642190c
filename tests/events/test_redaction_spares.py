"""What is not a secret stays as it was sent, to the character."""

from __future__ import annotations

import json

import pytest

from events.exchange import REDACTOR

HARMLESS = [
    '{"shipping": "express", "inside": true, "author": "Ann", "passenger": 2, "compass": "N"}',
    '{"design": "blue", "assignment": 4, "president": null, "spinning": 1.50, "company": "otas"}',
    '{"status": "ok",   "spaced" : [1,2 , 3],\n\t"e": 1e5, "f": 1.10, "big": 12345678901234567890}',
    '{"keyboard": "de", "monkey": 1, "key": "orders/42.json", "primary_key": "id", "sort_key": "a"}',
    '{"authored_by": "Ann", "authors": ["B"], "authority": "x", "unauthorized": false}',
    '{"sessions_count": 5, "session_duration": 12.5, "accession": "A1"}',
    '{"usage": {"prompt_tokens": 12, "completion_tokens": 30, "total_tokens": 42, "input_tokens": 7}}',
    '{"max_tokens": 1024, "usage": {"cache_read_input_tokens": 0, "maxOutputTokens": 5}}',
    '{"id": 1234567890123, "at": 1716239022123, "tweet": 1790000000000000001, "n": 4111111111111112}',
    '{"uuid": "4a1b2c3d-1234-5678-9012-345678901234", "sha": "4111111111111111aabbccddeeff0011"}',
    '{"ratio": 0.4111111111111111, "when": "2024-05-01T12:30:00Z", "phone": "+49 30 1234567"}',
    '{"detail": "Invalid token.", "message": "Your password was changed", "title": "Forgot your secret?"}',
    '{"required": ["password", "email"], "type": "password", "format": "bearer"}',
    '{"password": null, "token": "", "secret": ""}',
    '{"agent_session_count": 1, "agent_id": "a", "agent_session_started_at": 2, "otas_middleware": "0.1"}',
    "GET /orders/42?status=open&page=2&sort=-created HTTP/1.1",
    "The time is 12:30: see https://example.com:8080/a/b?c=d#e and http://localhost:8000",
    "mailto:ann@example.com, git@github.com:otas/otas.git, user@host:/path",
    "<html><head><title>Reset your password</title></head><body class='token-list'>a: b</body></html>",
    "Basic authentication is required; Bearer authentication too. Bearer tokens expire.",
    "sk-fading-circle sk-circle-fade-dot npm_config_user_agent",
    "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 and 4111-1111",
    "100% of %20 and %zz, a%2Fb, 50%-60%",
    'data: {"a": 1}\n\n: comment\n\nevent: x\ndata: y\n\n',
    "a,b\n1,2\n",
    "\\u00e9\\n\\\\ C:\\new\\path",
    "",
    " ",
    "日本語テキスト 😀",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_texts_stay_as_they_are(text: str) -> None:
    assert REDACTOR.text(text) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_texts_stay_as_they_are_beside_a_secret(text: str) -> None:
    """Next to a secret the whole text is looked through, and still nothing else changes."""
    document = json.dumps({"password": "x", "text": text})
    assert REDACTOR.text(document) == document.replace('"x"', '"[REDACTED]"')


def test_only_the_secret_of_a_document_changes() -> None:
    text = '{ "a":1.10,\t"b" : [ 1,2 ],"password"  :  "x" , "c":"\\u00e9\\/", "pin": 12.50e1,"d":{ } }\n'
    expected = text.replace('"x"', '"[REDACTED]"').replace("12.50e1", '"[REDACTED]"')
    assert REDACTOR.text(text) == expected


def test_duplicate_names_are_all_masked() -> None:
    assert REDACTOR.text('{"pin": 1, "pin": 2, "a": 3}') == '{"pin": "[REDACTED]", "pin": "[REDACTED]", "a": 3}'
