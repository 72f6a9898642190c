"""Secrets that are known by their shape."""

from __future__ import annotations

import json
import random
import re
from urllib.parse import quote, quote_plus, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.exchange import REDACTOR
from otas_middleware._config.settings import OtasSettings
from otas_middleware._event.patterns import probe
from otas_middleware._event.redact import redactor_for
from otas_middleware._event.redact.service_keys import PREFIXES, SPECIAL, WEBHOOKS
from otas_middleware._event.redact.shapes import OPTIONAL, SURE, Shape, card_number, luhn

RANDOM = "Zk3vQ9xW7jT1bN5yR8mC2pL6"

SECRETS = [
    f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{RANDOM}",
    f"eyJhbGciOiJub25lIn0.{RANDOM}.",
    f"otas_k1_{RANDOM}",
    f"otas_a-b_c_{RANDOM}",
    f"agent_Ab12cd34ef_{RANDOM}",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    f"ghp_{RANDOM}{RANDOM}",
    f"gho_{RANDOM}",
    f"github_pat_11ABC_{RANDOM}",
    f"glpat-{RANDOM}",
    f"sk_live_{RANDOM}",
    f"rk_test_{RANDOM}",
    f"whsec_{RANDOM}",
    f"xoxb-123456789012-{RANDOM}",
    f"xapp-1-A1-{RANDOM}",
    f"AIzaSy{RANDOM}{RANDOM}",
    f"ya29.{RANDOM}",
    f"GOCSPX-{RANDOM}",
    f"sk-{RANDOM}",
    f"sk-proj-{RANDOM}_{RANDOM}",
    f"sk-ant-api03-{RANDOM}-{RANDOM}",
    f"hf_{RANDOM}",
    f"gsk_{RANDOM}",
    f"SG.{RANDOM}.{RANDOM}",
    f"npm_{RANDOM}",
    f"pypi-{RANDOM}",
    f"dop_v1_{RANDOM}",
    f"shpat_{RANDOM}",
    f"hvs.{RANDOM}",
    f"lin_api_{RANDOM}",
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "4111111111111111",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "3782 822463 10005",
    "30569309025904",
    "6011111111111117",
    "3530111333300000",
    "6200000000000005",
    "6759649826438453",
]


HEX = "0123456789abcdef0123456789abcdef"
SPECIAL_SAMPLES = {
    "Telegram bots": "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1",
    "Telegram bots, in paths": "/bot110201543%3AAAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1/sendMessage",
    "Discord bots": f"MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.{RANDOM}Zk3vQ9",
    "Azure AD client secrets": f"abc8Q~{RANDOM}{RANDOM[:10]}",
    "Google refresh tokens and codes": f"1//0{RANDOM}{RANDOM}",
    "Firebase": f"dFq9Rk2LmN0:APA91b{RANDOM}{RANDOM}",
    "Mailchimp": f"{HEX}-us12",
    "Twilio keys": f"SK{HEX}",
    "Asana": f"1/1199876543210987:{HEX}",
    "Mapbox, Grafana": f"sk.eyJ1IjoiYW5uIn0{RANDOM}",
    "LaunchDarkly": "sdk-0b0f6c1e-6a0e-4b57-9d0a-6f6f3c1b2a11",
    "Salesforce sessions": f"00D5g00000AbCdE!{RANDOM}{RANDOM}",
    "ClickUp": f"pk_1234567_{RANDOM.upper()[:32]:Z<32}",
    "Azure DevOps, Functions, Search, Storage and others": f"{RANDOM}{RANDOM}AZDO1a2B",
    "AWS, a session's": f"IQoJb3JpZ2luX2VjE{RANDOM}{RANDOM}{RANDOM}==",
    "Standard Webhooks": "whsec_MfKQ9r/GKYqrTwjUPD8ILPZIo2LaLaSw",
    "Ably": f"xVLyHw.A1b2C3:{RANDOM}{RANDOM[:19]}",
    "Bitwarden": f"0.0b0f6c1e-6a0e-4b57-9d0a-6f6f3c1b2a11.{RANDOM}abcdef:Zk3vQ9xW7jT1bN5yR8mC2p==",
    "Convex": f"prod:happy-animal-123|{RANDOM}{RANDOM}",
    "Zhipu": f"{HEX}.{RANDOM[:16]}",
    "New Relic, licences": f"{HEX}abcdNRAL",
    "Mailgun": f"{HEX}-7bafb5a6-30c1bc13",
    "Kubernetes, over WebSocket": f"base64url.bearer.authorization.k8s.io.{RANDOM}",
    "Stripe, a payment's": f"pi_3MtwBwLkdIwHu7ix28a3tqPa_secret_{RANDOM}",
    "Okta": f"SSWS 00{RANDOM}{RANDOM}"[:47],
    "Zoho": f"1000.{HEX}.{HEX}",
    "PayPal and Braintree": f"access_token$production$0123456789abcdef${HEX}",
    "answers to HTTP's digest challenge": f'Digest realm="r", response="{HEX}"',
    "1Password": "A3-ABCDEF-GHJKLM-NPQRS-TVWXY-Z2345-67892",
    "Azure, newer keys": f"{RANDOM}{RANDOM}abcdJQQJ99{RANDOM}abcdef"[: 52 + 32],
    "Vault, the older; Harness; Infisical": f"s.{RANDOM}",
    "Matrix": "syt_YW5u_abcdefghijklmnopqrst_1a2B3c",
    "Twitter": f"{'A' * 21}{RANDOM}%3D{RANDOM}{RANDOM}",
    "Rancher": f"kubeconfig-u-abcde:{'bcdf2456' * 7}"[:73],
    "Unleash": f"default:production.{HEX}{HEX}",
    "ConfigCat": f"configcat-sdk-1/{'aB3d' * 6}"[:38] + f"/{'aB3d' * 6}"[:23],
    "seeds of Stellar and XRP": f"SC{'Z2Q7K4' * 9}",
    "MaxMind": f"a1B2c3_{RANDOM}abcde_mmk",
    "K3s, RKE2": f"K10{HEX}{HEX}::server:{HEX}",
    "PASETO": f"v4.public.{RANDOM}{RANDOM}{RANDOM}.{RANDOM}",
    "hashes of passwords": "$2b$12$abcdefghijklmnopqrstuuKkTLMXdkF4E9bpJ/v3s4mG3qJ8nVb7i",
    "SSH2 keys": f"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nComment: x\n{RANDOM}\n{RANDOM}\n---- END SSH2",
    "PuTTY keys": f"Private-Lines: 2\n{RANDOM}{RANDOM}\n{RANDOM}\nPrivate-MAC: ab",
}
WEBHOOK_SAMPLES = {
    "Slack": "https://hooks.slack.com/workflows/T0/A0/123/Zk3vQ9xW7jT1bN5y",
    "Slack, without its host": "/services/T00000000/B00000000/Zk3vQ9xW7jT1bN5yR8mC2pL6",
    "Discord": f"/api/webhooks/1122334455667788990/{RANDOM}{RANDOM}",
    "Microsoft Teams": f"/webhookb2/a@b/IncomingWebhook/{HEX}/c",
    "Zapier": "https://hooks.zapier.com/hooks/catch/1234567/abc12de/",
    "Make": "https://hook.eu1.make.com/abcdefghijklmnopqrstuvwxyz012345",
    "IFTTT": f"https://maker.ifttt.com/trigger/x/with/key/{RANDOM}",
    "Mattermost": "https://chat.example.com/hooks/abcdefghijklmnopqrstuvwxyz",
    "Rocket.Chat": f"https://chat.example.com/hooks/5f3Zk3vQ9xW7jT1bN/{RANDOM}{RANDOM}",
    "Feishu, WeCom": "https://open.feishu.cn/open-apis/bot/v2/hook/0b0f6c1e-6a0e-4b57-9d0a-6f6f3c1b2a11",
    "Zapier's MCP": f"https://mcp.zapier.com/api/mcp/s/{RANDOM}{RANDOM}/mcp",
    "PagerDuty": f"https://events.pagerduty.com/integration/{HEX}/enqueue",
}


AZURE = ("APIMabcdeA==", "ACDbabcdeQ==", "+AStabcdeg==", "AIoTA12345=", "+AEhA12345=", "+ACRA12345")
"""What Microsoft's identifiable keys end with, behind 33, 42 or 76 characters of base64."""


@pytest.mark.parametrize("end", AZURE)
def test_azures_identifiable_keys_are_masked(end: str) -> None:
    key = (RANDOM * 4)[: 76 if end.endswith("==") else 42 if "ACR" in end else 33] + end
    assert REDACTOR.text(json.dumps({"x": f"use {key} ok"})) == '{"x": "use [REDACTED] ok"}'


def test_every_service_has_a_sample() -> None:
    assert set(SPECIAL_SAMPLES) == set(SPECIAL)
    assert set(WEBHOOK_SAMPLES) == set(WEBHOOKS)


@pytest.mark.parametrize("prefix", [prefix for _, prefixes in PREFIXES.values() for prefix in prefixes.split()])
def test_keys_of_every_service_are_masked_and_its_words_are_not(prefix: str) -> None:
    key = prefix + RANDOM + RANDOM
    assert REDACTOR.text(f'{{"note": "use {key}, please"}}') == '{"note": "use [REDACTED], please"}'
    assert REDACTOR.pairs(f"q={key}&a=1") == "q=[REDACTED]&a=1"
    words = prefix + "is-a-word-of-no-meaning"
    assert REDACTOR.text(f"see {words} there") == f"see {words} there"


@pytest.mark.parametrize("sample", [*SPECIAL_SAMPLES.values(), *WEBHOOK_SAMPLES.values()])
def test_keys_and_webhooks_are_masked_in_text_json_and_percent_encoded(sample: str) -> None:
    secret = max(re.findall(r"[A-Za-z0-9_~-]{7,}", sample.replace("webhookb2", "").replace("trigger", "")), key=len)
    escaped = json.dumps({"url": sample}).replace("/", "\\/")
    for text in (f"see {sample} there", json.dumps({"a": sample}), escaped, f'<a href="{sample}">'):
        assert REDACTOR.text(text) != text, text
        assert secret not in REDACTOR.text(text)
    assert secret not in REDACTOR.pairs(f"next={quote(sample, safe='')}&a=1")


@pytest.mark.parametrize("slash", [r"\/", r"\\/", "%2F", "%2f", "%252F", r"\u002f", r"\u002F", "&#x2F;", "&#x2f;"])
@pytest.mark.parametrize(
    "sample", [sample for sample in (*SPECIAL_SAMPLES.values(), *WEBHOOK_SAMPLES.values()) if "/" in sample]
)
def test_keys_and_webhooks_are_masked_however_their_slashes_are_written(sample: str, slash: str) -> None:
    secret = max(re.findall(r"[A-Za-z0-9_~-]{7,}", sample.replace("webhookb2", "").replace("trigger", "")), key=len)
    assert secret not in REDACTOR.text(f"see {sample.replace('/', slash)} there")


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_masked_where_the_names_of_a_form_stand(secret: str) -> None:
    masked = unquote_plus(REDACTOR.pairs(f"a=1&{quote_plus(secret)}=2&b=3"))
    assert secret not in masked
    assert masked.startswith("a=1&")
    assert masked.endswith("=2&b=3")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "around", ["{}", "a {} b", '{{"x": "{}"}}', "x={}&y=1", "<a>{}</a>", "({})", "'{}'", "see:{};", "\n{}\n"]
)
def test_known_shapes_are_masked_in_any_surroundings(secret: str, around: str) -> None:
    assert REDACTOR.text(around.format(secret)) == around.format("[REDACTED]")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abc.DEF-123", "Authorization: [REDACTED]"),
        ("sent bearer abc123 and", "sent bearer [REDACTED] and"),
        ("Basic dXNlcjpwYXNzd29yZA== x", "Basic [REDACTED] x"),
        ("Basic dXNlcjpwYXNz", "Basic [REDACTED]"),
        ("redis://:pw@h:6379/0", "redis://[REDACTED]@h:6379/0"),
        ("https://u:p@h/a@b", "https://[REDACTED]@h/a@b"),
        ("https://u:p@ss@h/", "https://[REDACTED]@h/"),
        ("https://u:p/w#x?y@h/", "https://[REDACTED]@h/"),
        ("https://token123@h/", "https://[REDACTED]@h/"),
        ('{"u":"https:\\/\\/u:p@h"}', '{"u":"https:\\/\\/[REDACTED]@h"}'),
        ("https://hooks.slack.com/services/T00/B00/xyz", "https://hooks.slack.com/services/[REDACTED]"),
        ('{"n":4111111111111111,"m":1}', '{"n":"[REDACTED]","m":1}'),
        ('{"n":[4111111111111111]}', '{"n":["[REDACTED]"]}'),
        (
            '{"k":"-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END PRIVATE KEY-----\\n","a":1}',
            '{"k":"[REDACTED]\\n","a":1}',
        ),
        (
            "x -----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\nbnNz\n-----END OPENSSH PRIVATE KEY----- y",
            "x [REDACTED] y",
        ),
        ("-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----", None),
        ("-----BEGIN PUBLIC KEY-----\nMIIE\n-----END PUBLIC KEY-----", None),
    ],
)
def test_only_the_secret_part_is_masked(text: str, expected: str | None) -> None:
    assert REDACTOR.text(text) == (text if expected is None else expected)


@pytest.mark.parametrize(
    ("setting", "secrets", "harmless"),
    [
        ("redact_emails", ["ann.b+c@example.co.uk", "x@y.io"], ["@example", "a@b", "user@host:/x"]),
        ("redact_phones", ["+49 30 1234567", "+1 (555) 010-9999", "(555) 555-0199"], ["2024-05-01", "12345", "1.2.3"]),
        (
            "redact_ips",
            ["203.0.113.9", "2001:db8::1", "::1", "fe80::1"],
            ["12:30:45", "1.2.3", "999.1.1.1", "1.2.3.4.5"],
        ),
    ],
)
def test_personal_data_is_masked_when_asked_for(setting: str, secrets: list[str], harmless: list[str]) -> None:
    asked = redactor_for(OtasSettings(**{setting: True}))  # type: ignore[arg-type]  # one setting by its name
    for secret in secrets:
        text = json.dumps({"x": f"call {secret} now"})
        assert REDACTOR.text(text) == text
        assert asked.text(text) == text.replace(secret, "[REDACTED]")
    for text in harmless:
        assert asked.text(f"see {text} there") == f"see {text} there"


def test_patterns_of_the_settings_mask_what_they_match() -> None:
    redactor = redactor_for(OtasSettings(redact_patterns=(r"ORD-\d+", r"secret-\w+")))
    assert redactor.text('{"a": "ORD-12 and secret-x", "b": 1}') == '{"a": "[REDACTED] and [REDACTED]", "b": 1}'
    assert redactor.pairs("a=ORD-12&b=1") == "a=[REDACTED]&b=1"


@given(st.integers(0, 10**15), st.sampled_from(["4", "51", "2221", "34", "6011", "35"]))
def test_every_card_number_with_a_valid_check_digit_is_masked(account: int, issuer: str) -> None:
    length = 15 if issuer == "34" else 16
    body = (issuer + str(account).zfill(length))[: length - 1]
    number = next(body + str(digit) for digit in range(10) if luhn(body + str(digit)))
    assert card_number(number)
    assert REDACTOR.text(f"paid with {number}.") == "paid with [REDACTED]."
    wrong = body + str((int(number[-1]) + 1) % 10)
    assert REDACTOR.text(f"paid with {wrong}.") == f"paid with {wrong}."


@pytest.mark.parametrize("shape", [*SURE, *OPTIONAL.values()], ids=lambda shape: shape.what)
def test_a_shape_is_never_missed_by_its_probe(shape: Shape) -> None:
    """Mutations of what a shape matches: whatever the pattern still finds, the probe finds too."""
    finds = probe(shape.probe)
    samples = (
        *SECRETS,
        *SPECIAL_SAMPLES.values(),
        *WEBHOOK_SAMPLES.values(),
        "Bearer a1",
        "Basic dTpw",
        "a://u:p@h",
        "-----BEGIN PRIVATE KEY-----\nMIIE",
        "a@b.cd",
        "+49301234567",
        "10.0.0.1",
        '{"kty":"RSA","e":"AQAB","d":"Zq7xKv9wJh3yFb5tZq7x"}',
    )
    chance = random.Random(7)
    found = 0
    for number, sample in enumerate(samples * 21):
        at = chance.randrange(len(sample))
        odd = chance.choice('aZ0-_. :/@%+\\\n="') * chance.randrange(3)
        mutated = sample if number < len(samples) else sample[:at] + odd + sample[at + 1 :]
        if shape.mask(mutated) != mutated:
            assert finds(mutated), mutated
            found += 1
    assert found
