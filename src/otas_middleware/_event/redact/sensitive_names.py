"""The table of sensitive names, as data. The rules, the probes and the documentation are made of it."""

from __future__ import annotations

import re
from typing import NamedTuple


class SensitiveNames(NamedTuple):
    """One row of the table. `_` stands where a name may have a separator: `api_key` is api-key and apiKey too."""

    what: str
    inside: tuple[str, ...]
    """Sensitive wherever it stands, also inside of a word: `token` masks `accesstokenv2`."""
    phrase: tuple[str, ...]
    """Sensitive as one or more whole words, or their plural: `pin` masks `userPin`, and not `shipping`."""
    last: tuple[str, ...]
    """Sensitive as the last words of the name: `session` masks `user_session`, and not `session_title`."""
    stays: tuple[str, ...]
    """Forms of values (`forms.FORMS`) that are no secret under these names."""
    extent: str
    """How far an unquoted value goes: one `word`, a `phrase` of a few, all `words` of the line, or a
    `header` with its scheme."""


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text."""
    return tuple(text.split())


# What it is, `stays` and `extent` of `SensitiveNames`; below, the other columns. `_key` and the like are phrases that
# end so: `app_key`.
_NAMES = """
mnemonics and seed phrases | extent words
    inside mnemonic
    _phrase backup recovery secret seed wallet
    _words backup recovery seed
passwords | extent phrase
    inside pass_word passw0rd pass_wd pass_phrase pass_code
    _psk wpa wifi network
    phrase psw pswd passw pwds wpa_key requirepass masterauth
    last psk
passwords, short | stays path | extent phrase
    inside pwd
passwords, shortest | stays count path words | extent phrase
    phrase bindpw rootpw userpw dbpw adminpw upw opw
    last pw
passwords, shorter | stays count path
    _pass account admin auth base basic cert client db enc ftp http key ldap login mail master mongo my mysql new old
        pg redis root service smtp sql ssh store user wifi wp
    phrase pass
salts | stays count words
    phrase salt
salts, the secret ones | stays plain
    phrase pepper
dates of birth | stays members
    phrase date_of_birth birth_date dob
passwords in other languages | extent phrase
    inside passwort kennwort zugangsdaten mot_de_passe contrasena contraseña contrasinal contrasenya wachtwoord
        lösenord losenord adgangskode kodeord salasana пароль парола гасло лозинка συνθηματικό κωδικός_πρόσβασης 密码
        密碼 口令 暗証番号 パスワード 비밀번호 암호 סיסמה סיסמא كلمة_المرور كلمة_السر mật_khẩu mat_khau รหัสผ่าน पासवर्ड
        পাসওয়ার্ড kata_sandi lykilorð slaptažodis slaptazodis fjalëkalimi
        kata_laluan գաղտնաբառ პაროლი رمز_عبور گذرواژه پاس_ورڈ கடவுச்சொல்
    phrase senha mdp clave heslo hasło haslo jelszó jelszo passord sifre şifre geslo parolă lozinka parol пин
        pasahitza nenosiri geheim wagwoord nywila salasõna şifrə
keys and tokens in other languages | stays count
    inside токен ключ_api api_ключ секретный_ключ 令牌 密钥 密鑰 秘钥 トークン 秘密鍵 토큰 비밀키 مفتاح_api
        api_schlüssel api_schluessel clé_api cle_api clé_secrète clave_api llave_api chave_api klucz_api
    phrase секрет geheimnis
passwords in other languages, ambiguous | stays plain
    phrase contra parole parola parool sandi κωδικός κωδικος jeton ficha
tokens | stays url words
    inside token jwt magic_link
    phrase bearer
secrets and credentials
    inside secret credential connection_string
    phrase dsn cred creds conn_str conn_string keytab key_material ntlm_hash nt_hash lm_hash snmp_community
        community_string protection_bypass jfrog_art_api private_exponent
authorization headers | stays url | extent header
    inside authorization
    phrase x_auth basic_auth http_auth proxy_auth sentry_auth
authentication | stays url count
    phrase code_verifier oauth_verifier saml_response saml_request saml_art sam_lart honeycomb_team shared_access auth
        authn oauth auth0 wresult id_assertion client_assertion client_cert
assertions | stays count source words
    inside assertion
keys | stays count
    inside api_key access_key private_key shared_key pass_key signing_key
    _key account activation admin aes app application auth authorization cert certificate cipher client consumer crypt
        customer_encryption decrypt decryption deploy des dsa ecdsa ed25519 enc encryption functions gpg hash hmac
        ingest insert integration jwk kms license licence master pgp priv publishable rsa sas sas_token security
        sendgrid service session sign ssh ssl stripe storage subscription tls token unlock wallet wg wireguard write
        server_side_encryption_customer
other keys | stays plain
    last key skey pkey sk priv kek dek wif keystore p12 pfx key_base64 key_b64 keys_base64 keys_b64 formkey id_rsa
        id_ed25519 dockercfg dockerconfigjson kubeconfig
codes, tickets, nonces and others that are random where they are secret | stays plain
    last code ticket nonce wpnonce seed pat tok tkn tgt castgc sas authentication authenticate plaintext remember_me
        captcha captcha_response recaptcha_response turnstile_response
signatures | stays source words count | extent header
    inside signature
    phrase sig hmac access_sign api_sign x_sign
cookies | stays count | extent header
    inside cookie
sessions | stays resource
    inside session_id sess_id
    phrase sid sesskey
sessions, as a name's end | stays count members words
    last session sess
cross-site request forgery
    inside csrf xsrf
    phrase jenkins_crumb
one-time codes
    _code access activation auth authenticator authorization backup captcha confirm confirmation device email
        invitation invite login magic mfa oauth oob otp pairing phone_verification recovery reset scratch security
        setup sms two_factor unlock user verification verify
    phrase one_time two_factor 2fa tfa security_answer otp totp hotp mfa pin pincode puk passkey
cards
    phrase card_number card_no card_num cc_num cc_number credit_card debit_card cvv cvv2 cvc cvc2 csc cvn cavv
        cryptogram card_verification verification_value
card numbers and magnetic stripes | stays few_digits
    phrase pan track_data track1 track2 magstripe
bank accounts
    phrase account_number account_no acct_num acct_no bank_account routing_number sort_code iban kontonummer
        account_num bank_number clabe numero_de_cuenta numéro_de_compte
identity documents
    phrase social_security social_security_number national_id tax_id passport driver_license drivers_license
        driving_license driver_licence ssn aadhaar aadhar nhs_number dni nif curp cpf national_insurance_number
        personnummer maiden_name mothers_maiden_name pesel snils codice_fiscale cuit cnpj steuer_id steuernummer
        steueridentifikationsnummer burgerservicenummer tax_number medicare_number
        taxpayer_id itin nino bsn identity_number id_card_number identity_card_number voter_id nric emirates_id
        sozialversicherungsnummer
    inside 身份证 身份證 주민등록번호
payments by agents (x402)
    phrase x_payment
OTAS and Agnost
    phrase sdk_key agent_key x_org_id
"""


def _row(entry: str) -> SensitiveNames:
    head, *lines = re.split(r"\n    (?=\S)", entry)
    what, *more = head.split(" | ")
    row: dict[str, tuple[str, ...]] = dict.fromkeys(("inside", "phrase", "last", "stays", "extent"), ())
    for name, *found in map(str.split, (*more, *lines)):
        if name.startswith("_"):
            row["phrase"] += tuple(word + name for word in found)
        else:
            row[name] += tuple(found)
    return SensitiveNames(
        what, row["inside"], row["phrase"], row["last"], row["stays"], "".join(row["extent"]) or "word"
    )


DEFAULT_NAMES: tuple[SensitiveNames, ...] = tuple(map(_row, re.split(r"\n(?=\S)", _NAMES.strip())))

CONTAINING = (
    *words(
        "secretar(?:y|ies|iat|ial) secret(?:ion|ions|ory|e|es|ed|ing|ive|ly)(?![a-z]) secret_santa secrets?_?manager"
    ),
    *words(
        "credentialing token(?:i[sz](?:e|es|ed|er|ers|ing|ation)|omics)_?(?:config|model|path|file|class)? cookiecutter"
    ),
)
"""Patterns of words that only contain the letters of a sensitive one, as `HARMLESS` are written."""

HARMLESS = (
    *words("(?:next|prev|previous|first|last)_(?:page_)?token page_token continuation_token progress_token"),
    *words(
        "(?:pagination|sync|cursor|cancellation|cancel|skip|delta|resume)_token token_(?:type_)?ids? [cx]srf_header"
    ),
    *words("token_(?:bucket|address|symbol|standard|decimals|contract|supply|pair|holders?|price)s?"),
    *words("token_(?:embedding|vector|logprob|prob|offset|span)s? special_tokens? sub_?tokens?"),
    *words("(?:start|stop|end|bos|eos|pad|unk|sep|cls|mask|unused|per)_tokens?(?:_id)? credential_ids?"),
    *words("(?:encryption|signing|api|public|kms|master)_key_ids? (?:gpio|led|servo|button)_pins?"),
    *words("image_pull_secrets? cookie_(?:consent|policy|banner|notice|preferences|settings|law)"),
    *words("(?:boarding|season|day|ski|bus)_pass"),
    *words("(?:rail|travel|hall|guest|low|high|band|all|first|second|third|one|two|by|single|multi|forward)_pass"),
    *words("(?:primary|foreign|public|partition|idempotency|sort|range|cache|natural|composite|candidate|row)_keys?"),
    *words("(?:i18n|translation|locale|message|dedup(?:e|lication)?|websocket|clustering|unique|surrogate)_keys?"),
    # what a challenge says of the credentials that it asks for
    *words("bearer_(?:realm|error(?:_description|_uri)?|scope|resource(?:_metadata|_id)?|authorization_uri|client_id)"),
    *words("(?:object|lookup|group|grouping|join|index|column|field|property|map|dict|hot|arrow)_keys?"),
)
"""Patterns of names, whole words in lower case joined by `_`, that make nothing sensitive although their parts do."""

ENDINGS: dict[str, tuple[str, ...]] = {
    "count": words(
        "tokens count counts total totals length len size limit max maximum min minimum fee fees rate ratio percent "
        "percentage score strength age ttl seconds secs ms minutes hours days in remaining used budget usage attempts "
        "retries tries failures bits bytes second minute hour day reset index position offset price cost cents amount "
        "entropy rounds iterations lifetime duration timeout interval at on date time timestamp since until expires "
        "change expiry expiration validity limits quota expired updated changed created issued rotated modified seen "
        "set exp iat nbf last four ntokens period sent resets"
    ),
    "pieces": ("tokens",),
    "plain": words(
        "type types kind method methods provider algorithm alg policy status state format scheme required enabled "
        "disabled supported mode scope scopes issuer name names prefix strategy backend engine version strength color "
        "colour domain samesite arn identifier category level symbol standard country nationality style check checks "
        "path source location audience role owner brand channel class model manager store by use rotation site"
    ),
    "url": words("url uri endpoint link href page path"),
    "path": words("path file filename dir directory folder"),
    "members": words("details usage config configuration settings options stats ref refs reference selector"),
    "words": words(
        "label placeholder hint help title description error errors message messages msg note notes text instructions "
        "requirements rules policy question warning reason info"
    ),
}
"""Last words of a name that say what its value is. A value of that form stays readable: `password_changed_at`."""

BEGINNINGS: dict[str, tuple[str, ...]] = {
    "count": words(
        "has is num number n count total max min avg mean sum remaining active open concurrent ratelimit tokens native"
    ),
    "url": words("forgot reset change"),
}
"""First words of a name that do so."""

FINGERPRINTED = words("mcp_session_id")
"""Names of ids that tie calls together: equal values keep equal fingerprints instead of a mask."""

LABELS = words(
    "k name key field header param parameter label id type kind attribute attr column path pointer property prop "
    "option prompt tag slug variable var setting input question identifier flag loc element selector "
    "locator xpath css target"
)
"""Last words of the members of an object that may say what another member is: `{"name": "password", "value": "…"}`."""

WEAK_LABELS = words("type kind path pointer tag id")
"""Those that say so of a `value` only: `{"type": "token", "content": "Hello"}` is a piece of a model's answer."""

SECRET_FLAGS = words("secret sensitive masked encrypted confidential")
"""Last words of members that say so of a `value` when they are true: `{"key": "DB", "value": "…", "masked": true}`."""

SECRET_TYPES = words("securestring sensitive encrypted")
"""What the `type` of a `value` says so with, beside names of secrets."""

VALUES = words("v value values val")
"""Last words of the members that a label describes: `oldValue`, `string_value`."""

LOOSE_VALUES = words(
    "content contents data text default input answer response received actual given previous old new before after "
    "from to current plaintext string"
)
"""Members that a label describes as well, unless it is the name of a tool: `{"name": "rotate_session", "input": …}`."""

ACTIONS = words(
    "add authenticate auth call change check clear create decode delete destroy do encode exchange expire fetch find "
    "generate get has inspect invalidate introspect is issue list load log login logout make mint new parse put query "
    "read refresh regenerate remove renew request reset resolve revoke rotate run save scan search select send set "
    "show start stop store test update upload use validate verify write"
)
"""First words of the names of tools and functions."""

MESSAGE_WORDS = words(
    "absent already ambiguous are at bad be been blank blocked by cannot changed check closed confirm "
    "contain corrupt could deleted denied did differ different digits disabled do does enter error "
    "exceeded exist exists expired failed failure forbidden format found from has have in incorrect "
    "insufficient invalid is isn't locked long malformed match mismatch missing must needed no not null "
    "of on only optional out please rejected required reset revoked rotated set should short successfully "
    "than the to too unauthorized unexpected unknown unset unsupported updated use used valid was weak "
    "were will with wrong you your"
)
"""Words of which one at least stands in prose about a secret: `password: too short`."""
