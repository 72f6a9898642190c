"""Which names are sensitive."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.exchange import DEFAULTS, REDACTOR, event_of, exchange
from otas_middleware._config.settings import OtasSettings
from otas_middleware._event.redact import MASK, redactor_for
from otas_middleware._event.redact.name_rules import NameRules
from otas_middleware._event.redact.sensitive_names import DEFAULT_NAMES

_SENSITIVE = """
password Password PASSWORD passwd pass pwd user_pwd old-password newPassword password_confirmation passphrase passcode
token access_token accessToken refresh-token id_token X-Auth-Token csrftoken authenticity_token tokens token_type jwt
secret client_secret clientSecret SECRET_KEY secrets aws_secret_access_key credential credentials mnemonic
authorization Authorization auth basic_auth x-auth oauth_token oauth_verifier code_verifier SAMLResponse
client_assertion api_key apiKey APIKEY api-key X-API-Key x.api.key private_key privateKey access_key_id ssh-key
encryption_key signing_key master_key subscription-key account_key signature sig hmac cookie Set-Cookie cookies
session sessionid session_id SESSIONID JSESSIONID PHPSESSID connect.sid sid user_session sess csrf xsrf _csrf
X-CSRF-Token otp totp user_otp pin PIN userPin pin_code pins mfa mfa_code 2fa two_factor verification_code
backup_codes recovery_codes security_answer one_time_code card_number cardNumber card-no ccnum cc_number credit_card
creditCard cvv cvc cvv2 CSC pan iban IBAN account_number accountNo bank_account routing_number sort_code ssn SSN
social_security_number national_id passport_number tax_id drivers_license x-otas-sdk-key x_otas_agent_key X-Org-Id
passwort kennwort mot_de_passe motdepasse contraseña contrasena senha wachtwoord salt dsn connectionString
X-Splunk-Token backend_token resend_token launchpad_token async_token homepage_token escrow_key sealed_pin airbus_pass
holiday_pass email_code tfaCode captcha_code rememberMe cf-turnstile-response g-recaptcha-response nt_hash
snmpCommunity x-vercel-protection-bypass x-jfrog-art-api cardVerificationValue cryptogram cavv pesel snils codiceFiscale
steuer_id clabe
user[password] key keys code codes user.password credentials[0] pass%77ord pass%2577ord p\\u0069n database_password_2
"""
SENSITIVE = _SENSITIVE.split()

_HARMLESS = """
name user email author authors authority shipping inside president assignment design passenger compass company
primary_key foreign_key sort_key public_key object_key keyboard monkey session_count session_duration
sessions_total accession id description card cards account accounts number postcode spinner opinion
page_token first_token time_per_token start-token led_pin day_pass hall_pass group_key rowKey detokenize undersecretary
bypass status InvalidTokenError jwt.exceptions.InvalidTokenError hash
fingerprint signed sign panel pane expand span sale salty discount
"""
HARMLESS = _HARMLESS.split()


@pytest.mark.parametrize("name", SENSITIVE)
def test_sensitive_by_default(name: str) -> None:
    assert REDACTOR.rules.sensitive(name)


@pytest.mark.parametrize("name", HARMLESS)
def test_not_sensitive_by_default(name: str) -> None:
    assert not REDACTOR.rules.sensitive(name)


def test_every_name_of_the_table_is_sensitive_as_the_table_says() -> None:
    for row in DEFAULT_NAMES:
        for entry in row.inside:
            assert REDACTOR.rules.sensitive(entry)
            assert REDACTOR.rules.sensitive(f"my_{entry.replace('_', '')}_value")
            assert REDACTOR.rules.sensitive(entry.replace("_", "-").upper())
        for entry in row.phrase:
            assert REDACTOR.rules.sensitive(f"my_{entry}_value")
            assert REDACTOR.rules.sensitive(f"my-{entry.replace('_', '-')}-Value")
            assert REDACTOR.rules.sensitive(f"{entry}s")
        for entry in row.last:
            assert REDACTOR.rules.sensitive(f"my_{entry}")


def test_a_word_of_the_table_is_no_part_of_another_word() -> None:
    for row in DEFAULT_NAMES:
        for entry in row.phrase:
            glued = f"xqz{entry.replace('_', '')}xqz"
            inside = any(part.replace("_", "") in glued for other in DEFAULT_NAMES for part in other.inside)
            assert inside or not REDACTOR.rules.sensitive(glued), entry


def test_settings_add_names_and_take_names_out() -> None:
    settings = OtasSettings(
        sensitive_headers=("X-Customer-Ref",),
        sensitive_fields=("order_code", "*internal*", "größe"),
        redact_keep=("token_type", "Cookie", "session_*"),
    )
    redactor = redactor_for(settings)
    document = {
        "X_CUSTOMER_REF": "a",
        "x_customer_reference": "b",
        "orderCode": "c",
        "order_codes": "d",
        "myInternalNote": "e",
        "Größe": "f",
        "token_type": "g",
        "tokenType": "h",
        "cookie": "i",
        "cookies": "j",
        "session_id": "k",
        "user_session": "l",
        "token": "m",
    }
    masked = json.loads(redactor.text(json.dumps(document)))
    assert {name for name, value in masked.items() if value == "[REDACTED]"} == {
        "X_CUSTOMER_REF",
        "orderCode",
        "myInternalNote",
        "Größe",
        "cookies",
        "user_session",
        "token",
    }
    assert redactor.value(document) == masked
    event = event_of(exchange(request_headers=[("x-customer-ref", "1"), ("Cookie", "theme=dark; sid=1")]), settings)
    assert json.loads(event.request_headers) == {"x-customer-ref": "[REDACTED]", "cookie": "theme=dark; sid=[REDACTED]"}


@pytest.mark.no_cover  # tracing doubles its time, and other tests run the same lines under coverage
@given(
    st.text(alphabet=" _-.%+[]\"'\\:={}<>\nabcXYZ019é", max_size=10),
    st.sampled_from(SENSITIVE),
    st.text(alphabet=" _-.%+[]\"'\\:={}<>\nabcXYZ019é", max_size=10),
)
def test_a_text_with_a_sensitive_name_never_passes_the_probe(before: str, name: str, after: str) -> None:
    """The probe lets no text pass in which a name would be found: masking never depends on luck."""
    text = f"{before}{name}{after}"
    if REDACTOR.rules.sensitive(text) and "%" not in text and "\\" not in text:
        assert REDACTOR._has_name(f"{text}: Zq7kXw2mPv9sLt4bRn8c"), text
        assert REDACTOR._has_name(text) or not REDACTOR.rules.secret(text), text
    assert REDACTOR._is_suspicious(f'"{name}": "Zq7kXw2mPv9sLt4bRn8c"')


@pytest.mark.no_cover  # as above
def test_decisions_are_remembered_within_bounds() -> None:
    rules = NameRules()
    for number in range(20_000):
        assert not rules.sensitive(f"field{number}x")
        assert rules.sensitive(f"password{number}x")
        assert max(len(rules.harmless), len(rules._known)) <= 8192
    assert not rules.sensitive("seen_last")
    assert "seen_last" in rules.harmless, "what strangers invented has made way"
    assert rules.sensitive("x" * 10_000 + "_password")


@pytest.mark.parametrize("word", ["passwort", "пароль", "รหัสผ่าน", "पासवर्ड", "পাসওয়ার্ড", "סיסמה"])
@pytest.mark.parametrize(
    "text",
    [
        "{} value: zq7xkv9wjh3y",
        "the {} here: zq7xkv9wjh3y\n",
        "{}: zq7xkv9wjh3y",
        "x:\n  {} value:\n    - one\n    - zq7xkv9wjh3y\n",
        "{} value: |\n  one\n  zq7xkv9wjh3y\n",
    ],
)
def test_names_of_several_words_are_found_in_scripts_that_write_vowels_as_marks(word: str, text: str) -> None:
    assert "zq7xkv9wjh3y" not in redactor_for(DEFAULTS).text(text.format(word))


@pytest.mark.parametrize(
    ("setting", "name", "sensitive"),
    [
        ("customer_*", "customerName", True),
        ("customer_*", "my_customer_name", False),
        ("x-tenant", "X_Tenant", True),
        ("x-tenant", "x tenant", True),
        ("x-tenant", "xtenant", True),
        ("x-tenant", "x-tenants", False),
        ("a.b", "a-b", True),
        ("a.b", "aXb", False),
        ("*_ref", "order.ref", True),
        ("*_ref", "order_refs", False),
        ("straße", "STRASSE", False),
        ("straße", "Straße", True),
    ],
)
def test_a_name_of_the_settings_is_a_whole_name_in_any_spelling(setting: str, name: str, sensitive: bool) -> None:
    redactor = redactor_for(OtasSettings(sensitive_fields=(setting, "another"), redact_keep=("third",)))
    shown = MASK if sensitive else "tea"
    assert json.loads(redactor.text(json.dumps({name: "tea"}))) == {name: shown}
    assert redactor.value({name: {"enabled": True}}) == {name: MASK if sensitive else {"enabled": True}}
    assert redactor.value({"another": 1, "third": 2, "": 3}) == {"another": MASK, "third": 2, "": 3}


RANDOM = [
    "a1B2c3D4e5F6g7H8",
    "Zq7kXw2mPv9sLt4b",
    "0123456789abcdef0123456789abcdef",
    "aaaa1bbbbbbbbbbbbbbb",
    "kJhGfDsAqWeRtYuIoPlM",
    "prefix-a1B2c3D4e5F6g7",
]
PLAIN = [
    "a1B2c3D4e5F6g7H",
    "correct-horse-battery-staple",
    "0b0f6c1e-6a0e-4b57-9d0a-6f6f3c1b2a11",
    "1764448646123001234567",
    "uploads/a1B2c3D4e5F6g7H8i9J0",
    "files.a/x1Y2z3W4v5U6t7S8.json",
    "TheImportantConfigurationOption",
    "kJhGfDsAqWeRtYuIoPl",
    "release-2026-11-30-eu-1",
    "a1b2-c3d4-e5f6-g7h8",
    "a1B2c3D4e5F6g7H8 and more",
    "",
]


@pytest.mark.parametrize("value", [*RANDOM, *PLAIN])
def test_a_key_is_masked_that_looks_as_if_a_machine_had_made_it_by_chance(value: str) -> None:
    assert REDACTOR.value({"key": value}) == {"key": MASK if value in RANDOM else value}


@pytest.mark.parametrize(
    "name", ["Секретный-Ключ", "Mật_Khẩu", "Κωδικός Πρόσβασης", "CLÉ_SECRÈTE", "Clé.Api", "ключ+api"]
)
def test_names_of_several_words_in_other_languages_are_found_in_any_case(name: str) -> None:
    assert REDACTOR.text(f"{name}: Zq7kXw2m") == f"{name}: {MASK}"
    text = json.dumps({name: "Zq7kXw2m"})
    assert REDACTOR.text(text) == text.replace("Zq7kXw2m", MASK)


@pytest.mark.parametrize(
    "said",
    [
        "gzip, deflate",
        "gzip, deflate, br, zstd",
        "application/json, text/plain, */*",
        "multipart/form-data; boundary=----WebKitFormBoundaryabc",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        "python-requests/2.32.3",
        "en-US,en;q=0.9",
        "keep-alive",
        "Mon, 30 Nov 2026 18:00:00 GMT",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "/items/7",
        '{"items": [{"id": 0, "name": "Item 0", "price": 12.5, "tags": ["new"], "note": null}]}',
    ],
)
def test_what_most_requests_say_needs_no_second_look(said: str) -> None:
    """A word that stands in almost every request, taken for a hint, makes each event cost three times as much."""
    assert not REDACTOR._is_suspicious(said)
