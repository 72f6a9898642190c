"""What a monitor is for stays readable: counts, dates, flags, schemas and messages whose names sound like secrets.

The table grows: whatever is found masked that is no secret becomes a row of it.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from events.exchange import REDACTOR, event_of, exchange

DOCUMENTS: dict[str, list[Any]] = {
    "counts of tokens": [
        {"usage": {"prompt_tokens": 11, "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 0}}},
        {"usage": {"input_tokens_details": {"cached_tokens": 3}, "output_tokens_details": {"reasoning_tokens": 1}}},
        {"usageMetadata": {"promptTokenCount": 8, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 8}]}},
        {"usage": {"cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2}}},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens_to_sample": 7, "min_tokens": 1},
        {"token_count": 5, "tokens": 12, "num_tokens": 3, "n_tokens": 3, "tokenCount": 4, "total_token_count": 9},
        {"tokens_per_second": 71.5, "tokens_used": 3, "tokensRemaining": 100, "token_limit": 8192, "maxTokenCount": 5},
        {"tokens": {"input": 5, "output": 6, "cache": {"read": 0, "write": 1}}, "token_usage": {"total": 7}},
        {"prompt_token_ids": [1, 2, 3], "token_ids": [4], "stop_token_ids": [5], "eos_token_id": 2, "bos_token": "<s>"},
        {
            "rate_limit_tokens": 5,
            "prompt_tokens_cost": 0.12,
            "avg_tokens": 3.5,
            "tokens": "7171",
            "tokens_reset": "6m0s",
        },
        {"token_limit": "128k", "ntokens": 5, "token_type_ids": [0, 0, 1], "token_embeddings": [[0.1, 0.2]]},
    ],
    "tables and statements beside which no column is secret": [
        {"columns": [{"name": "id"}, {"name": "token_count"}], "rows": [[1, 7171]]},
        {"columnNames": ["id", "status"], "rows": [[1, "password expired"]]},
        {"schema": {"fields": [{"name": "id"}, {"name": "state"}]}, "rows": [{"f": [{"v": "1"}, {"v": "on"}]}]},
        {"sql": "select * from u where name = ?", "params": ["ann"]},
        {"sql": "update u set password = ? where id = ?", "params": [None, 7171]},
        {"sql": "update u set password = :p where id = :id", "params": {"id": 7171}},
        {"sql": "insert into u(id, token) values ($1, $2)", "params": [7171, None]},
    ],
    "a model's words": [
        {"logprobs": {"content": [{"token": "Hello", "logprob": -0.1, "bytes": [72], "top_logprobs": []}]}},
        {"logprob": -0.1, "token": " world"},
        {"token": {"id": 5, "text": "Hello", "logprob": -0.5, "special": False}},
        {"type": "token", "content": "Hello"},
        {"type": "tool_use", "name": "rotate_session", "input": {"city": "Paris"}},
        {"name": "create_token", "content": "weather", "arguments": {"days": 3}},
        {"name": "reset_password", "description": "Sends a link", "text": "done"},
        {"params": {"_meta": {"progressToken": "abc-1"}}},
        {"tokens": ["the", "cat", " sat", "▁on", "##ing", "n't", "!", "\n"], "text_tokens": [["Hello"], [], ["World"]]},
        {"start_token": "<s>", "end_token": "</s>", "mask_token": "[MASK]"},
        {"tokenizer": "cl100k_base", "tokenized": "a b c", "detokenize": True, "tokenization": "bpe"},
    ],
    "schemas and documents about secrets": [
        {"properties": {"password": {"type": "string", "minLength": 8}, "token": {"$ref": "#/defs/Token"}}},
        {"password": {"oneOf": [{"minLength": 8}, {"pattern": "x"}]}, "pin": {"anyOf": [{"maximum": 9}]}},
        {"properties": {"api_key": {"description": "Your key", "type": "string"}, "pin": {"type": ["string", "null"]}}},
        {"parameters": [{"name": "token", "in": "query", "required": True, "schema": {"type": "string"}}]},
        {"token_endpoint": "https://h/oauth/token", "authorization_endpoint": "https://h/authorize"},
        {
            "token_url": "https://h/token",
            "auth_uri": "https://accounts.example.com/o/oauth2/auth",
            "jwks_uri": "https://h/j",
        },
        {"token_endpoint_auth_methods_supported": ["client_secret_basic"], "credential_type": "password"},
        {"token_type": "bearer", "auth_method": "oauth2", "password_policy": "strong", "secret_name": "prod/db"},
        {"flows": {"authorizationCode": {"authorizationUrl": "https://h/a", "tokenUrl": "https://h/t", "scopes": {}}}},
        {"flows": {"password": {"tokenUrl": "https://h/t", "scopes": {"read": "Read"}}}},
        {"securitySchemes": {"apiKeyAuth": {"type": "apiKey", "in": "header", "name": "X-Api-Key"}}},
        {"required": ["password", "email"], "fields": ["api_key", "token"]},
        {"code": "const token = getToken();", "line": "password = get_password()", "more": "token: str = None"},
        {
            "code": "let secret = process.env.SECRET;",
            "query": "mutation($password: String!) { login(password: $password) }",
        },
        {"query": "mutation($p:Int!,$password:String!,$n:[Int]){login(password:$password)}", "x": "token = token"},
        {"yaml": "password: !secret db_password\ntoken: !Ref Token\n", "x": "auth=success user=ann"},
        {"doc": "Look:\nAuthorization: Bearer <token>\napi_key: <YOUR_API_KEY>\nBearer YOUR_TOKEN_HERE\nok"},
        {"template": "Authorization: Bearer ${TOKEN}", "url": "https://h/?token={{token}}", "doc": "password=****"},
    ],
    "flags, dates, counts": [
        {"has_password": True, "password": False, "token": None, "mfa": True, "2fa": False, "pin": True},
        {"is_secret": "yes", "requires_otp": "false", "password_required": True, "mfa_enabled": "true"},
        {"last_password_change": "2026-01-01", "auth": "success"},
        {"password_changed_at": "2026-11-29T10:00:00Z", "token_expires_at": 1764448646, "session_started_at": 5},
        {"token_expires_in": 3600, "otp_ttl": 300, "password_age": 12, "secret_version": "v2", "pin_attempts": 3},
        {"pass": 12, "fail": 3, "pass_rate": 0.97, "passes": 4, "pass_count": 1},
        {"active_sessions": 7, "session_count": 2, "sessions": 41, "session_duration": "1h30m", "max_sessions": 5},
        {"one_time_fee": 12.5, "password_length": 12, "password_score": 3, "token_version": 2, "cookie_max_age": 86400},
        {"passport_expiry": "2030-01-01", "passport_required": "no", "signature_required": True},
    ],
    "objects of flags": [
        {"two_factor": {"enabled": True, "enforced": False}, "password": {"required": True}, "otp": {"sms": None}},
    ],
    "versions of packages that are named like secrets": [
        {"dependencies": {"jsonwebtoken": "^9.0.0", "passport": "~0.7", "cookie-parser": "1.4.6", "oauth": ">=0.10.0"}},
        {"packages": [{"tokenizers": "0.15.0-rc.1", "secrets": "v2.0.1"}]},
    ],
    "placeholders": [
        {"Authorization": "Bearer {token}", "headers": {"X-Api-Key": "${API_KEY}", "password": "{{ db_password }}"}},
        {"api_key": "your-api-key-here", "secret": "<%= ENV['SECRET'] %>", "token": "%API_TOKEN%"},
        {"password": "********", "token": "<your token>", "secret": "${{ secrets.DEPLOY }}"},
    ],
    "public keys, and where a secret is kept": [
        {"ssh_key": f"ssh-rsa {'AAAAB3Nz7kXw2mPv9sLt4bRn8cQz' * 13}== ann@host"},
        {"secret_id": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-Zq7kXw"},
        {"password": "op://Shop/db/password", "token": "projects/shop/secrets/token/versions/latest"},
    ],
    "limits and uses of tokens, and cursors": [
        {
            "sort": "-token_created_at",
            "fields": ["id"],
            "by": ["-session", "-token"],
            "imagePullSecrets": [{"name": "r"}],
        },
        {"permissions": {"secrets": "read", "tokens": "write", "cookies": "deny"}, "cookie_same_site": "lax"},
        {"mfa_grace_period": 7, "otp_sent": 5, "password_resets": 2, "token_rotation": "daily"},
        {"token_limits": {"input": 1, "output": 2}, "token_use": "access", "token_validity": 3600},
        {"skipToken": "Zq7kXw2mPv9sLt4bRn8c", "deltaToken": "Zq7kXw2mPv9sLt4bRn8c", "credentialing": "open"},
    ],
    "resources of Twilio's": [
        {"sid": "SM7171", "call": {"sid": "CA0123456789abcdef0123456789abcdef"}},
    ],
    "flags that say no, and what is labelled by nothing": [
        {"sensitive": False, "value": "plain"},
        {"key": "A", "value": "plain", "masked": False, "protected": True},
        {"type": "encrypted", "size": 3, "name": "disk"},
        {"encrypted": True, "name": "volume", "size": 8},
        {"type": "String", "Name": "/shop/theme", "Value": "dark"},
        {"question": "How do I reset my password?", "answer": "Click on settings and choose reset."},
        {"query": "mutation($n: String!){rename(name: $n){id}}", "variables": {"n": "Apple pie"}},
        {"query": "query($first: Int!){tokens(first: $first){id}}", "variables": {"first": 10}},
        {"pan": 0.3, "tilt": -0.1},
    ],
    "names that only contain the letters": [
        {"secretary": "Ann", "secretariat": "x", "secretion": "y", "discardNotes": "n", "account_notes": "m"},
        {"taxidermy": "t", "resort_code": "RC1", "service_keywords": "a, b", "device_codename": "sunfish"},
        {"wildcard_node": "n1", "card_notes": "n", "card_title": "t", "cookie_consent": "all", "cookiecutter": "c"},
        {"author": "Ann", "coauthors": "B", "passenger": "p", "compass": "N", "boarding_pass": "B12", "bypass": "x"},
        {"keyboard": "de", "monkey": "m", "keywords": "k", "primary_key": "id", "public_key": "k7", "sort_key": "a"},
        {"key": "orders/42.json", "keys": ["a", "b"], "code": "invalid_grant", "status_code": 200, "zip_code": "12345"},
        {"9c42fa10-1111-4222-8333-444444444444": "n", "key": "0b0f6c1e-6a0e-4b57-9d0a-6f6f3c1b2a11"},
        {"partition_key": "tenant#1764448646123", "object_key": "a/b/9f8e7d6c5b4a39281706f5e4d3c2b1a0.png"},
        {"next_page_token": "CAUQAA", "nextToken": "abc", "pageToken": "d", "continuation_token": "e"},
        {"pinned": True, "spinning": "s", "opinion": "o", "panel": "p", "expand": "e", "japan": "j", "design": "d"},
        {"salt": "1 tsp", "pan": 12, "sessions": [{"title": "Opening"}], "session": {"title": "Closing"}},
        {"signature": "def f(x)", "pwd": "/home/ann/project", "assertions": 12, "ticket": "PROJ-123", "seed": 42},
    ],
    "what is said of a secret, and empty containers": [
        {"password_last_set": "2026-01-01", "passport_country": "DE", "iban_country": "DE", "signature_style": "bold"},
        {"checks": {"cvc_check": "pass", "address_line1_check": None}, "cvv_check": "unchecked"},
        {"secrets": [], "password": {}, "cookies": [], "auth": {}, "log": "Token refresh: ok"},
        {"sql": "SELECT token FROM t WHERE token = ? AND password = $1 LIMIT 10"},
        {"code": "def login(password: str, again: str | None = None) -> Token:\n    pass"},
        {"url": "ssh://git@github.com/a/b.git", "local": "http://[::1]:8080/@user", "clone": "git@github.com:a/b"},
        {"html": "<table><tr><th>Password</th><th>Email</th></tr></table><p>Set one.</p>"},
        {"html": "<tr><td>Token</td><td>A unit of text</td></tr><tr><td>Key</td><td>Required</td></tr>"},
        {"html": "<table><tr><th>Name</th><th>City</th></tr><tr><td>Ann</td><td>Paris</td></tr></table>"},
        {"table": "| Field | Type |\n|---|---|\n| password | string |\n", "csv": "field,type\npassword,string\n"},
        {"required": ["password", "email"], "menu": ["Token", "Profile"], "list": ["username", "password"]},
        {"yaml": "secretKeyRef:\n  name: db\n  key: url\nimagePullPolicy: Always\n"},
        {"yaml": "env:\n- name: PASSWORD\n  valueFrom:\n    secretKeyRef:\n      name: db\n      key: url\n"},
        {"env": [{"name": "DB_PASSWORD", "valueFrom": "arn:aws:ssm:eu-west-1:123456789012:parameter/db"}]},
        {"tokens_input": 12, "tokens_output": 7, "native_tokens": 3},
        {"question": "Reset my password how", "answer": "Click on settings and choose reset."},
        {"code": "if (password === confirm) { save(token); }", "args": ["--password", "--verbose"]},
        {"id": "live_abcdefghijklmnopqrstuvwxyz", "text": "a page with password protection"},
        {"text": "A bearer, however, is needed", "x": "basic, simple"},
    ],
    "errors of a form's fields": [
        {
            "errors": {
                "password": ["This field is required."],
                "token": ["Invalid token."],
                "pin": ["Must be 4 digits."],
            }
        },
        {"errors": {"password": ["can't be blank", "is too short (minimum is 8 characters)"]}},
        {"errors": {"password": ["This password is too short. It must contain at least 8 characters.", "Too common."]}},
        {"api_key": "is invalid", "password": "can't be blank", "token": "has expired", "pin": "must be 4 digits"},
        {"password": "Must be at least 8 characters long, and contain a digit."},
        {"password": [{"message": "This field is required.", "code": "required"}], "otp": [{"code": "blank"}]},
        {"token": "Not found.", "secret": "Wrong value.", "session": "expired", "credentials": "include"},
    ],
    "scopes, events and resources": [
        {
            "permissions": ["token:read", "secret:write", "session.delete", "api_key:*"],
            "scope": "secrets:read token:revoke",
        },
        {"event": "password:reset", "topics": ["session:start", "token:expired"], "action": "token.refresh"},
        {"secret_arn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf"},
        {
            "env": [{"name": "DB", "valueFrom": {"secretKeyRef": {"name": "db", "key": "url"}}}],
            "secretRef": {"name": "x"},
        },
    ],
    "what is said of a secret": [
        {"password_strength": "strong", "token_symbol": "USDC", "token_standard": "ERC20", "token_decimals": 6},
        {
            "tokenAddress": "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48",
            "csrf_header": "X-CSRFToken",
            "pin_color": "red",
        },
        {"forgot_password_link": "https://h/forgot", "password_page": "/reset", "secret_file": "/run/secrets/db"},
        {"tokens_prompt": 5, "native_tokens_completion": 3, "tokens_cached": 2, "training_session": "Leg day"},
        {"key_id": "k-2026", "encryption_key_id": "arn:aws:kms:eu:123456789012:key/x"},
        {"password_hint": "your first pet", "password_manager": "1Password", "password_updated_by": "ann"},
        {
            "token_source": "header",
            "token_audience": "api",
            "token_role": "admin",
            "token_owner": "ann",
            "secret_path": "kv/a",
        },
        {
            "forgot_password": "https://h/forgot",
            "reset_password": "/reset",
            "otp_channel": "sms",
            "secret_santa": "Ann",
        },
        {"card_number_last4": "4242", "credit_card_brand": "visa", "gpio_pin": 17, "authorization_model": "rbac"},
        {"log": "auth_type=bearer x=1 cookie_name=sid y=2"},
        {"note": "Token bucket: 5 per second", "cookie_domain": ".example.com", "cookie_samesite": "Lax"},
    ],
    "numbers and ids": [
        {"ean": 4006381333931, "order": "4000000000000002", "snow": "175928847299117063", "phone": "4915112345678"},
        {"id": 4111111111111111, "imei": "353879234252633", "ts": 1764448646123, "tracking_number": "6011000990139424"},
        {"plan": "Basic understanding", "t": "a bearer of good news", "time": "12:30:45", "ratio": 0.4111111111111111},
        {"isbn": "9783161484100", "iban_ok": True, "gtin": "5012345678900", "vat": "DE123456789"},
    ],
}

MESSAGES = [
    "Passwords are hashed with bcrypt2 or argon2id; the password is sha256-hashed, 8-character or OAuth2.",
    "The token is sent to api2.example.com (RFC7519), is ERC-20, CVE-2024-1234 and 256-bit.",
    "The secret is base64-encoded, the key is ed25519, the token is s3-backed, 10-minute, argon2id-hashed.",
    "pin 13 is connected to GPIO17, the PIN is 4-digit, the password changed 3 times, the code is 404.",
    "password reset at 10:30:05, token expired at 9:15",
    "Password1 and Password2, the zip code is 94103, the error code is 100612.",
    "CREATE TABLE users (id int, password varchar(255) not null, token text)",
    "invalid_token: expired",
    "Access denied for user 'root'@'localhost' (using password: YES)",
    "Number of tokens: 1234. Total (prompt tokens = 12)",
    "Invalid password: too short",
    "A JWT has three parts: header, payload and signature. A password needs two things: length and luck.",
    "Session: closed by peer",
    "password: must contain at least one digit",
    "Token: not found",
    "csrf: missing or incorrect",
    "InvalidCredential: the password is wrong",
    "authorization: denied for this user",
    "error in token: unexpected end of input",
    "Signature: does not match",
    "secret: is required",
    "Your password was changed. If it was not you, reset it.",
    "401 Unauthorized: Basic authentication is required",
]

HEADERS = {
    "x-ratelimit-remaining-tokens": "149984",
    "x-ratelimit-reset-tokens": "6m0s",
    "anthropic-ratelimit-output-tokens-remaining": "8000",
    "anthropic-ratelimit-tokens-reset": "2026-11-29T12:00:00Z",
    "idempotency-key": "8e03978e-40d5-43e8-bc93-6894a57f9324",
    "x-request-id": "r8181",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "etag": '"33a64df551425fcc55e4d42a148795d9f25f89d4"',
    "authors": "Ann",
}

ROWS = [(kind, document) for kind, documents in DOCUMENTS.items() for document in documents]


@pytest.mark.parametrize(("kind", "document"), ROWS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_document_stays_as_it_is(kind: str, document: dict[str, Any]) -> None:
    for text in (json.dumps(document), json.dumps(document, indent=2), json.dumps([document], separators=(",", ":"))):
        assert REDACTOR.text(text) == text, kind
    assert REDACTOR.value(document) == document, kind


@pytest.mark.parametrize(("kind", "document"), ROWS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_document_stays_as_it_is_beside_a_secret(kind: str, document: dict[str, Any]) -> None:
    text = json.dumps({"password": "hunter2", "inner": document, "text": json.dumps(document)})
    assert REDACTOR.text(text) == text.replace("hunter2", "[REDACTED]"), kind


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_stays_as_it_is(message: str) -> None:
    event = event_of(exchange(status=0, error=ValueError(message)))
    assert event.error == f"ValueError: {message}"
    assert event.metadata["exception"]["message"] == message
    assert REDACTOR.text(json.dumps({"error": message})) == json.dumps({"error": message})


def test_headers_that_are_no_secret_stay_as_they_are() -> None:
    event = event_of(exchange(request_headers=list(HEADERS.items()), response_headers=list(HEADERS.items())))
    assert json.loads(event.request_headers) == HEADERS
    assert json.loads(event.response_headers) == HEADERS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("password", 12),
        ("pin", 4928),
        ("otp", "492817"),
        ("token", 123456),
        ("password_hint", "it is hunter2"),
        ("tokens", ["the", "hunter2"]),
        ("tokens", ["ZqXwPvLtRnBcKmJh", "a"]),
        ("tokens", "opensesame"),
        ("access_key_id", "hunter2"),
        ("secret_id", "0b0f6c1e-6a0e-4b57-9d0a-6f6f3c1b2a11"),
        ("key", "Zq7kXw2mPv9sLt4bRn8c"),
        ("code", "Zq7kXw2mPv9sLt4bRn8c"),
        ("cvv", 123),
        ("my_token", 123456),
        ("user_pin", 4928),
        ("pan", "411111111111"),
        ("has_password", "hunter2"),
        ("password_changed_at", "hunter2"),
        ("token_count", "eyJhbGciOiJIUzI1NiJ9"),
        ("session", "a1b2c3"),
        ("pass", "hunter2"),
        ("salt", "9f8e7d6c5b4a3928"),
        ("one_time", "492817"),
    ],
)
def test_a_secret_in_a_name_like_these_is_masked_all_the_same(name: str, value: object) -> None:
    assert json.loads(REDACTOR.text(json.dumps({name: value}))) == {name: "[REDACTED]"}
    assert REDACTOR.value({name: value}) == {name: "[REDACTED]"}


def test_ids_that_tie_calls_together_keep_a_fingerprint() -> None:
    def recorded(session: str) -> tuple[str, str]:
        body = json.dumps({"params": {"_meta": {"openai/session": session, "progressToken": 1}}}).encode()
        event = event_of(
            exchange(request_headers=[("Mcp-Session-Id", session)], request_body=body, request_type="application/json")
        )
        assert session not in event.to_json().decode()
        return json.loads(event.request_headers)["mcp-session-id"], json.loads(event.request_body)["params"]["_meta"]

    assert recorded("e4bbb7e60a1e4be0") == recorded("e4bbb7e60a1e4be0")
    assert recorded("e4bbb7e60a1e4be0")[0] != recorded("another-session-id")[0]
    assert recorded("e4bbb7e60a1e4be0")[1] != recorded("another-session-id")[1]


@pytest.mark.parametrize(
    "document",
    [
        {"question": "Enter your password:", "answer": "none", "n": 1},
        {"content": "token: ", "x": [1]},
        {"usage": "run --password ", "text": "`token` =", "x": [1]},
        {"page": "&lt;password&gt;", "x": 1},
        {"a": "the secret is:\n", "b": "q"},
        {"log": json.dumps({"question": "Enter your password:", "x": "y"})},
        {"long": "x" * 600 + " password:", "b": 1},
        {"content": "password: ********", "x": 1},
        {"content": "Authorization: Bearer <token>", "x": 1},
        {"html": '<label for="password">Password</label><input type="password" name="password" required>', "x": 1},
        {"code": "password = get()\ntoken = make(user);\nreturn token"},
        {"log": "auth: oauth2", "mode": "auth=basic"},
    ],
)
def test_what_ends_with_a_sensitive_name_or_holds_a_placeholder_stays_with_all_that_follows(document: Any) -> None:
    for text in (json.dumps(document), json.dumps([document, document]), json.dumps(document)[:-1]):
        assert REDACTOR.text(text) == text


def test_a_quote_of_markup_that_is_not_closed_ends_with_the_string_around_it() -> None:
    assert REDACTOR.text('{"page": "token = &quot;a1", "x": 1}') == '{"page": "token = &quot;[REDACTED]", "x": 1}'


@pytest.mark.parametrize(
    "text", ['password = "},x"', "password: ',abc'", 'x = "a"; password = ",b1"', '{"password": ",x"}']
)
def test_a_value_that_begins_as_the_end_of_a_string_goes_on_is_masked(text: str) -> None:
    assert "[REDACTED]" in REDACTOR.text(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password = abc(def)", "password = abc(def)"),
        ("token: user.token", "token: user.token"),
        ("DB_PASSWORD=abc(def)", "DB_PASSWORD=[REDACTED]"),
        ("password = 'abc(def)'", "password = '[REDACTED]'"),
        ('{"password": "abc(def)"}', '{"password": "[REDACTED]"}'),
        ('{"password": {"min_length": 8}}', '{"password": "[REDACTED]"}'),
    ],
)
def test_an_unquoted_call_or_member_between_blanks_is_source_code(text: str, shown: str) -> None:
    """As docs/redaction.md says under "What it cannot know"."""
    assert REDACTOR.text(text) == shown


SOURCE_CODE = [
    "const password = document.getElementById('password').value;\ntoken = load(user)?.token",
    'class TokenAuthentication(Base):\n    """\n    A class.\n    """\n\n    keyword = 1\n',
    "class Cookie:\n    # nothing\n    domain: str\n    path: str = '/'\n\ndef f(token):\n    '''Doc.'''\n",
    "if auth is None:\n    # later\n\n    # x\n    user, password = auth.pair()\nwith session:\n    session.get(u)\n",
    'if qop == "auth-int":\n    body = b"x"\nelif name.endswith("-SESS"):\n    return b":".join((a, self.password))\n',
    "def f(self, app: Flask, session: SessionMixin) -> Token:\n    x = 1\ndef g(tokens: Infos, *, k: bytes) -> str:\n",
    "fn new(token: &str, password: Option<String>) -> Self {}",
    "print(f\"curl -H 'X-SESSION-TOKEN: {token}' http://h/\")\nthis.token = token;\n",
    "if len(auth) == 1:\n    x = 1\n",
    "credentials = Credentials.from_file(\n    path,\n)\n",
    'client = Client(api_key=os.environ.get("KEY"), token=settings.TOKEN, password=request.json["p"])',
    'request.headers["Authorization"] = self.build(request, last)\nkeys = {"token": os.environ["T"]}',
    "self.session = session\nself.token = token\n",
    "if not verify(token): raise Unauthorized()",
    "def check(password): return hash(password) == stored\n",
    'if token is None:\n    raise ValueError("no token")',
    "if not token:\n    return None",
    "if token:  # there is one\n    use(token)",
    "elif password:\n\tself.check(password)",
    "while token:\n    token = next(tokens)",
    "for token in tokens:\n    print(token)",
    "async for secret in secrets:\n    await store(secret)",
    "match token:\n    case None: pass",
    "try:\n    token = get()\nexcept TokenError:\n    pass",
    "while token != end:\n    x = 1",
    "if password == expected:\n    return True",
    "if (token != other && secret == known) { return; }",
    "keys = sorted(tokens, key=lambda token: token.value)",
    "token = tokens[i]\nsecret = secrets[0]",
    'password = input("Password: ")',
    'throw new Error("Invalid token: " + token)',
    "token: Annotated[str, Header()]",
    "type User {\n  password: String!\n  token: ID\n  secret: String\n  active: Boolean\n}",
    "interface A { password: string; token?: number }",
    "usage: x [--token TOKEN] [--password PASSWORD]",
    "Options:\n  -p, --password string   Password\n  -t, --token string      Token",
    "Current password:\nNew password:\n",
]


@pytest.mark.parametrize("text", SOURCE_CODE)
def test_source_code_stays_as_it_is(text: str) -> None:
    assert REDACTOR.text(text) == text
    for document in ({"code": text}, {"messages": [{"role": "user", "content": f"Look:\n{text}\n"}]}):
        assert REDACTOR.text(json.dumps(document)) == json.dumps(document)
        assert REDACTOR.value(document) == document


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password:\n    hunter2", "password:[REDACTED]"),
        ("if you lost your password:\n    hunter2 is the new one", "if you lost your password:[REDACTED]"),
        ("for token:\nabc123", "for token:\n[REDACTED]"),
        ("password == hunter2", "password == [REDACTED]"),
        ('if password == "hunter2":', 'if password == "[REDACTED]":'),
        ("Password:\nhunter2", "Password:\n[REDACTED]"),
        ("--password hunter2", "--password [REDACTED]"),
        ("--token ABC123DEF", "--token [REDACTED]"),
    ],
)
def test_what_only_begins_like_source_code_is_masked(text: str, shown: str) -> None:
    assert REDACTOR.text(text).startswith(shown)


@pytest.mark.parametrize(
    "value",
    [
        'Bearer realm="api", error="invalid_token", error_description="The token expired"',
        'Bearer resource_metadata="https://h/.well-known/oauth-protected-resource"',
        'Bearer scope="read write"',
        'Basic realm="x"',
    ],
)
def test_a_challenge_stays_as_it_is(value: str) -> None:
    event = event_of(exchange(status=401, response_headers=[("WWW-Authenticate", value)]))
    assert json.loads(event.response_headers) == {"www-authenticate": value}
    assert REDACTOR.text(json.dumps({"x": value})) == json.dumps({"x": value})


def test_a_bearer_token_that_ends_like_a_parameter_is_masked() -> None:
    assert (
        REDACTOR.text('{"a": "Bearer cmVhbG0=", "b": "Bearer realmx="}')
        == '{"a": "Bearer [REDACTED]", "b": "Bearer [REDACTED]"}'
    )


@pytest.mark.parametrize(
    ("cursor", "stays"),
    [
        ({"id": 10}, True),
        ({"page": 2, "sort": "created_at", "order": "desc"}, True),
        ({"last_id": 42, "createdAt": "2026-11-30T08:00:00Z"}, True),
        ({"id": "Zq7xKv9wJh3yFb5tZq7x"}, False),
        ({"user": 10}, False),
        ({"alg": "none"}, False),
    ],
)
def test_where_a_list_goes_on_is_readable(cursor: dict[str, Any], stays: bool) -> None:
    encoded = base64.b64encode(json.dumps(cursor).encode()).decode()
    text = json.dumps({"nextCursor": encoded, "x": f"/items?after={encoded}"})
    assert (REDACTOR.text(text) == text) is stays
    assert (encoded not in REDACTOR.text(text)) is not stays


TOOLS = [
    "docker run -u 1000 -p 8080:80 img; sudo -u app mkdir -p /var/x; psql -U postgres -p 5432 shop; ls -U -p",
    "aws ssm put-parameter --name /x/size --value 5; cat <<< hello; gh issue create --title x --body y",
    "net user ann /delete; rclone ls x; openssl passwd -6; hey -n 5 http://h; config set color blue",
    "each pair is a token::\n\n    a = b\n    c\n",
    "- `password`: The password of the user.\n* `api_key`: Your API key.\n- **token**: The token to use\n",
    "[oauth2-section]: https://www.example.org/api-guide/authentication/#django-rest-framework-oauth\n",
    "--otp=... or --otp <code>, {otp: <2fa token>}, use `--token TOKEN`.",
    "Token: rotate keys\nTokens: see below.\nsession[:user_id] = 7\n",
    "    at Token.verify (/app/node_modules/jsonwebtoken/verify.js:10:5)\ncookie.go:12 +0x1d\n",
    "npm config delete <key> [<key> ...]\nnpm config set <key>=<value>\n\nDeletes; see <password>, `<secret>` too.\n",
    "git clone <protocol>://[<user>[:<password>]@]<hostname>, or `otas_<prefix>_<secret>, agent_<prefix>`",
    '<div align="center">x</div>\n\n# Usage\n\n    run <token>\n\nand all that follows.\n',
    "Deprecated: `pathspec.patterns.gitwildmatch.GitWildMatchPattern`",
    "AUTH failed\nAUTH required.\nAUTH LOGIN\n250-AUTH PLAIN LOGIN\n",
    "event: token\ndata: Hello\n\nevent: token\ndata: world\n\nevent: password_reset\ndata: done for ann\n\n",
    "Is it so? password\n: yes\n? page\n: 2\n",
    "C:\\100\\bin and \\1 or \\143 of the pattern",
    "Cookie settings",
    'Token("identifier"), Secret("db-password"), Password("Enter your password"), Secret.from_name("openai-secret-v2")',
    'hash_password("correct horse"), Session("550e8400-e29b-41d4-a716-446655440000"), auth("https://h/oauth2/v2/token")',
    "use --password, then run it; the options --user, --password, and --host",
    "see --password\n- the next item\n- --password\n- --user\n- --token-count\n- 20000\n",
    "key-string 7 is the default; password 0 items; enable password level 15 checks; git use net use x",
    "it says \\x22hello\\x22, and \\x22password policy\\x22 too",
    "Password protection.\nToken authentication\nSecret management",
    "http -a GET h; zip -r x.zip d; psexec -i cmd; az login --use-device-code; cargo login; twine upload dist/*",
    "vault login -method=oidc",
    "page.fill('#name', 'Ann'); cy.get('[name=city]').type('Paris'); new PDO(dsn, user, password); bcrypt.hash(pw, 10)",
    "git show -p 3f2a9c8d1e4b7a6f5c0d9e8b7a6f5c4d3e2b1a09; cat <<< $TOKEN; echo 5 | tee x; make -k all; ls -t a/b",
    "usage: x [-token TOKEN] -password string",
    "enable password recovery",
    "login('ann')\nauth(request, response)",
    "jwt.encode(payload, key, algorithm='HS256')\nhmac.new(key, message, hashlib.sha256)\nFernet(key)",
    "crypt(password, salt) and AES_ENCRYPT(col, @key)",
    "COPY public.items (id, name) FROM stdin;\n1\tApple\n\\.\n",
    "COPY public.users (id, password) FROM stdin;\n1\t\\N\n\\.\n",
    'INSERT INTO items (id, name) VALUES (1, \'Apple\');\ns:4:"name";s:5:"Apple";\n["name"]=>\n  string(5) "Apple"',
    "a.py:1042:warning:unused:foo and 12:34:56:78:9a and 10:5432:12:33:44 and localhost:5432:shop:ann",
    "your order 492817 is on its way; Use 2024 as your starting year; error code: 492817",
    "Your code: review it, it is your first",
    "SyntaxError: Unexpected token '<', \"<!DOCTYPE \"... is not valid JSON",
    "unexpected token 'export', key 'user_id' is missing, the password \"field\" is required",
    "$1 and $2 and $6 more cost $5$ or so; echo $1 $2",
    "image: repo/app:v2.public.3, host: v1.public.example.com",
    '[secretaries]\nann = 1\n[auth]\nenabled = true\nsite_url = "https://h"\n',
    "password: str\ntoken: Optional[str] = None\nsecret: str = Field(default=None)",
    "passport==1.2.3\ntokenizers>=0.15.0\n",
]


@pytest.mark.parametrize("text", TOOLS)
def test_what_tools_print_and_read_stays_as_it_is(text: str) -> None:
    assert REDACTOR.text(text) == text
    assert REDACTOR.text(json.dumps({"a": text})) == json.dumps({"a": text})


def test_what_a_graphql_query_passes_on_is_masked_where_it_stands_and_the_query_stays() -> None:
    query = "mutation($p: String!){login(password: $p){id}}"
    masked = json.loads(REDACTOR.text(json.dumps({"query": query, "variables": {"p": "hunter2", "n": "p"}})))
    assert masked == {"query": query, "variables": {"p": "[REDACTED]", "n": "p"}}


def test_lines_below_a_name_stay_where_each_of_them_is_of_a_form_that_the_name_allows() -> None:
    text = "Password requirements:\n - 8 characters\n - one digit\n"
    assert REDACTOR.text(text) == text
    assert REDACTOR.text(text + " - Zq7kXw2mPv9s\n") == "Password requirements:[REDACTED]"


TABLES = [
    "model,tokens,cost\ngpt,123,0.1\nclaude,456,0.2\n",
    "model\tprompt_tokens\tcompletion_tokens\ngpt\t12\t3\n",
    "| model | tokens |\n|---|---|\n| gpt | 123 |\n| x | 45k |\n",
    "user,has_password,mfa\nann,true,false\nbob,no,yes\n",
    "| Feature | 2FA | SSO |\n|---|---|---|\n| publish | Yes | No |\n| list | No | - |\n",
]


@pytest.mark.parametrize("text", TABLES)
def test_a_table_of_counts_and_flags_stays_as_it_is(text: str) -> None:
    assert REDACTOR.text(text) == text
    assert text.startswith("|") or REDACTOR.table(text) == text
    assert "hunter2" not in REDACTOR.text(re.sub(r"\b(?:123|12|false|Yes)\b", "hunter2", text))


def test_a_table_masks_a_password_beside_flags() -> None:
    assert REDACTOR.text("user,pin\nann,4928\nbob,none\n") == "user,pin\nann,[REDACTED]\nbob,none\n"
