"""Traffic with a secret in it, by kind: each function yields bodies, and what must not be recorded of them.

The table grows: whatever is found unmasked becomes a member of its kind, beside others that nobody has met yet.
"""

from __future__ import annotations

import base64
import json
import shlex
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from events import leaks_of_formats, leaks_of_tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = leaks_of_tools.SECRET
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
TEXT = "text/plain"
XML = "text/xml"
YAML = "application/yaml"
EVENTS = "text/event-stream"


class Leak(NamedTuple):
    """A body that has a secret in it."""

    body: bytes
    content_type: str = TEXT
    secrets: tuple[str, ...] = (SECRET,)


def _leak(body: str, content_type: str = TEXT, *secrets: str) -> Leak:
    return Leak(body.encode(), content_type, secrets or (SECRET,))


def _words(text: str) -> list[str]:
    return text.split()


def _dump(value: object, **arguments: bool) -> str:
    return json.dumps(value, **arguments)  # type: ignore[arg-type]  # its keywords


NAMES: list[str] = _words(
    """
    aes_key desKey hmac-key X-Deploy-Key priv_key PrivKey gpgKey pgp_private_key sshPrivKey X-Api-Token
    licenceKey wgPrivateKey psk pre_shared_key preSharedKey wpa_psk userPass dbpass rootPass adminPassword
    mail_passwd smtp_pass pgpass passw0rd_hash creds dbCreds aws_creds apiCredentials mdp motDePasse clave
    contraseña heslo haslo hasło lösenord salasana пароль Пароль userПароль 密码 密碼 パスワード 비밀번호 סיסמה senha
    wachtwoord passwort kennwort kodeord adgangskode passord jelszó şifre parolă geslo user_code userCode
    oobCode SAMLart SAMLResponse confirmationCode inviteCode login_code magicCode resetCode scratch_code
    backupCode pairing_code totp_secret x-amz-server-side-encryption-customer-key Fastly-Key DD-API-KEY
    dd-application-key applicationKey X-Auth-Email-Key X-Parse-REST-API-Key X-Shopify-Access-Token
    X-Hasura-Admin-Secret xi-api-key X-MBX-APIKEY consumerSecret refreshToken csrf_token authenticityToken
    sessionToken session_key bearerToken deviceCode pinCode userPin cvv2 ccNumber account_number iban
    puk taxpayer_id id_card_number 身份证号 wagwoord გ_პაროლი
    routingNumber ssn passportNumber taxId nationalId securityAnswer recoveryPhrase seedWords private-token
    webhookSecret signing_secret masterKey kms_key tlsKey storage_key accountKey sas_token sharedAccessKey
    dsn connectionString X-Honeycomb-Team CB-ACCESS-SIGN X-Subscription-Token
    bind_pw rootpw dbPw lozinka parol sesskey wallet_key activationKey
    """  # noqa: RUF001  # Cyrillic letters, on purpose
)


def names() -> Iterator[Leak]:
    for name in NAMES:
        yield _leak(_dump({"a": 1, name: SECRET}, ensure_ascii=False), JSON)
        yield _leak(_dump({"a": 1, name: SECRET}), JSON)
        yield _leak(f"a=1&{quote(name)}={SECRET}", FORM)
        yield _leak(f"a: 1\n{name}: {SECRET}\nb: 2\n", YAML)
        if name.isascii():
            yield _leak(f"A=1\n{name}={SECRET}\nB=2\n")
            yield _leak(f"<r><{name}>{SECRET}</{name}></r>", XML)


def names_of_what_looks_random() -> Iterator[Leak]:
    for name in _words(
        "key apiKey2 user_key project_key customer_key bot_key host_key root_key X-Insert-Key code ticket nonce "
        "skey pkey wif kek tok wpnonce CASTGC dockerconfigjson recovery_keys_b64 function_key "
        "github_pat githubPat authentication X-Authenticate Plaintext"
    ):
        yield _leak(_dump({name: SECRET}), JSON)
        yield _leak(f"{name}={SECRET}&x=1", FORM)
        yield _leak(f"see https://h/cb?a=1&{name}={SECRET}&b=2")


def values_of_several_words() -> Iterator[Leak]:
    for value, *secrets in (
        ("tr0ub4dor&3 horse staple", "tr0ub4dor", "horse staple"),
        ("correct horse battery staple", "correct", "horse battery"),
        ("p@ss word 9! x", "p@ss", "word 9!"),
        ("ab&cd ef<gh", "cd ef", "gh"),
        ("it's my 1st", "my 1st"),
    ):
        yield _leak(f"DB_PASSWORD={value}\nX=1\n", TEXT, *secrets)
        yield _leak(f"[db]\npassword = {value}\nport = 1\n", TEXT, *secrets)
        yield _leak(f"db:\n  password: {value}\n  port: 1\n", YAML, *secrets)
        yield _leak(_dump({"env": f"A=1\nPASSWORD={value}\nB=2"}), JSON, *secrets)
        yield _leak(f"[INFO] password: {value}\n[INFO] x", TEXT, secrets[0])
    mnemonic = "abandon ability able about above absent absorb abstract absurd abuse access accident"
    for before in ("mnemonic: ", "Seed phrase: ", "my recovery phrase: ", "MNEMONIC=", "seed_phrase = "):
        for body, content_type in ((before + mnemonic, TEXT), (_dump({"content": "ok, " + before + mnemonic}), JSON)):
            yield _leak(body, content_type, "absorb abstract", "access accident")


def credentials_of_headers() -> Iterator[Leak]:
    schemes = "SSWS Key GenieKey Token ApiKey OAuth Splunk ExpoToken Bot Klaviyo-API-Key DeepL-Auth-Key NLAuth"
    for scheme in [
        *(f"{scheme} " for scheme in schemes.split()),
        "SharedKey acc:",
        "sso-key k:",
        'Hawk id="x", mac=',
        "Bearer\t",
        "",
    ]:
        line = f"Authorization: {scheme}{SECRET}"
        yield _leak(f"curl -H '{line}' https://x")
        yield _leak(_dump({"cmd": f'curl -H "{line}" https://x'}), JSON) if '"' not in scheme else _leak(line)
        yield _leak(f"GET / HTTP/1.1\r\nHost: h\r\n{line}\r\nAccept: */*\r\n\r\n", "message/http")
        yield _leak(f"12:00 DEBUG > {line}\n12:00 DEBUG > accept: */*")
        yield _leak(_dump({"raw": f"GET / HTTP/1.1\r\n{line}\r\n\r\n"}), JSON)
    for cookies in (f"theme=dark; app={SECRET}", f"a={SECRET}; b={SECRET}; c=1", f"__Host-x={SECRET}"):
        yield _leak(f"GET / HTTP/1.1\r\nCookie: {cookies}\r\nHost: x\r\n\r\n")
        yield _leak(_dump({"h": f"Cookie: {cookies}"}), JSON)
        yield _leak(f'1.2.3.4 - "GET /" 200 "Cookie: {cookies}" 5ms')


LABELS = (
    "Name/Value NAME/VALUE Key/Value ParameterKey/ParameterValue fieldName/fieldValue attribute/value attr/val "
    "varName/value settingName/settingValue option/value column/newValue field/old_value field/rejectedValue "
    "path/value label/answer question/answer name/stringValue name/string_value key/val id/value slug/content k/v"
)


def labelled() -> Iterator[Leak]:
    for pair in LABELS.split():
        label, value = pair.split("/")
        for name in ("db_password", "X-Api-Key"):
            document = {label: name, "x": 1, value: SECRET}
            yield _leak(_dump([document]), JSON)
            yield _leak(_dump({"a": [{value: SECRET, label: name}]}), JSON)
            yield _leak(_dump([document])[:-2] + ',{"zz":"yy', JSON)  # cut off
            yield _leak('{"a":1,,' + _dump([document])[1:], JSON)  # broken
            yield _leak("INFO got " + _dump(document) + " ok")
            yield _leak("INFO got " + json.dumps(document, indent=2) + " ok")
            yield _leak(_dump({"s": _dump([document])}), JSON)
            yield _leak(repr([document]))
            yield _leak(f"env:\n- {label}: {name}\n  {value}: {SECRET}\n- {label}: OTHER\n  {value}: x\n", YAML)
            yield _leak(f"const f = [{{{label}: '{name}', {value}: '{SECRET}'}}]")
            yield _leak(f'v = [{{ {label} = "{name}", {value} = "{SECRET}" }}]', "application/toml")
            yield _leak(f"data: {_dump(document)}\n\n", EVENTS)
            lines = json.dumps(document, indent=1).split("\n")
            yield _leak("".join(f"data: {line}\n" for line in lines) + "\n", EVENTS)
            yield _leak(f"{_dump({'a': 1})}\n{_dump(document)}\n", "application/x-ndjson")
            if value not in {"answer", "content"}:
                yield _leak(f"<r><e><{label}>{name}</{label}><{value}>{SECRET}</{value}></e></r>", XML)


def structures() -> Iterator[Leak]:
    documents: list[object] = [
        {"op": "replace", "path": "/user/password", "value": SECRET},
        {"Operations": [{"op": "replace", "path": "password", "value": SECRET}]},
        {"path": ["user", "password"], "received": SECRET},
        {"loc": ["body", "secret"], "input": SECRET},
        {"pointer": "#/token", "rejectedValue": SECRET},
        {"property": "password", "value": SECRET, "constraints": {"x": "y"}},
        {"args": ["run", "--password", SECRET]},
        {"args": ["--api-key", SECRET, "x"]},
        {"cmd": ["x", "--token=" + SECRET]},
        {"rawHeaders": ["Authorization", "Bearer " + SECRET, "Accept", "*/*"]},
        {"rawHeaders": ["Accept", "*/*", "X-Api-Key", SECRET]},
        {"headers": [["Authorization", SECRET], ["a", "b"]]},
        {"headers": [["X-Api-Key", SECRET, True], ["a", "b", False]]},
        {"rows": [["id", "password"], [1, SECRET], [2, SECRET]]},
        {"columns": ["id", "password"], "rows": [[1, SECRET]]},
        ["password", SECRET],
        *_result_sets(),
        *_statements_with_values(),
    ]
    for document in documents:
        yield _leak(_dump(document), JSON)
        yield _leak(_dump({"x": _dump(document)}), JSON)


def _result_sets() -> Iterator[object]:
    """Yield what databases answer with over HTTP: the names of the columns stand beside the rows."""
    described = [{"name": "id", "type": "int"}, {"name": "password", "type": "text"}]
    for columns in ("columns", "cols", "meta", "fields", "schema", "columnMetadata"):
        for rows in ("rows", "data", "records"):
            yield {columns: described, rows: [[1, SECRET], [2, SECRET]]}
    for columns in ("columnNames", "column_names", "fieldNames", "header"):
        yield {columns: ["id", "password"], "rows": [[1, SECRET]]}
        yield {columns: ["password"], "rows": [[SECRET]]}
    yield {"schema": {"fields": described}, "rows": [{"f": [{"v": "1"}, {"v": SECRET}]}]}
    yield {"resultSetMetaData": {"rowType": described}, "data": [["1", SECRET]]}
    yield {"ResultSetMetadata": {"ColumnInfo": [{"Name": "password"}]}, "Rows": [{"Data": [{"VarCharValue": SECRET}]}]}
    yield {"cols": [{"id": "A", "label": "password"}], "rows": [{"c": [{"v": SECRET}]}]}
    yield {"results": [{"columns": ["id", "password"], "data": [{"row": [1, SECRET], "meta": [None, None]}]}]}
    yield {"columns": ["key", "value"], "rows": [["password", SECRET]]}


def _statements_with_values() -> Iterator[object]:
    """Yield what databases are asked with over HTTP: a statement, and its values beside it."""
    yield {"sql": "select * from u where id = ? and password = ?", "params": [1, SECRET]}
    yield {"query": "update u set u.password=$2 where id=$1", "values": [1, SECRET]}
    yield {"query": "select * from u where token like %s", "params": [SECRET]}
    yield {"sql": "update u set password = :p where id = :id", "params": {"id": 1, "p": SECRET}}
    yield {"statement": "select 1 from u where api_key = @k", "parameters": [{"name": "k", "value": {"s": SECRET}}]}
    inserted = {"sql": "INSERT INTO u (id, api_key) VALUES (?, ?), (?, ?)"}
    yield {**inserted, "args": [{"type": "text", "value": value} for value in ("1", SECRET, "2", SECRET)]}
    yield {"sql": "insert into u(id, token) values (:a, :b)", "bindings": {"a": 1, "b": SECRET}}


def odd_json() -> Iterator[Leak]:
    for text in (
        f'{{"password" /* c */ : "{SECRET}"}}',
        f'{{"password": /* c */ "{SECRET}"}}',
        f'{{\n "password":\n // x\n "{SECRET}"}}',
        f'{{password: "{SECRET}"}}',
        f"{{'password': '{SECRET}'}}",
        f'junk {{"password":"{SECRET}"}} tail',
        f'callback({{"token":"{SECRET}"}})',
        f')]}}\',\n{{"token":"{SECRET}"}}',
        f'for(;;);{{"secret":"{SECRET}"}}',
        f'{{"a":"x"}}{{"password":"{SECRET}"}}',
        f'\x1e{{"password":"{SECRET}"}}\n',
        f'{{"\\x70assword":"{SECRET}"}}',
        f'{{"the password that you chose when you opened the account, which has {"x" * 150}": "{SECRET}"}}',
    ):
        yield _leak(text, JSON)


def encodings() -> Iterator[Leak]:
    document: dict[str, object] = {"password": SECRET, "x": 1}
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-16", "utf-32", "utf-8-sig"):
        yield Leak(_dump(document).encode(encoding), JSON)
        yield Leak(f"<a><password>{SECRET}</password></a>".encode(encoding), XML)
    for charset in _words("utf-16 utf-16-le utf-16be utf-32 utf-32-be cp037 cp500 cp1140 cp273 cp1026 ibm037 utf-7"):
        yield _leak(_dump(document), f"{JSON}; charset={charset}")
        yield _leak(f"a=1&password={SECRET}", f"{FORM}; charset={charset}")
        yield _leak(_dump({"ü": "größe", **document}, ensure_ascii=False), f"{JSON}; charset={charset}")
    for value in (document, [document], {"a": [document], "n": "ÿÿ>>>???"}):
        for indent in (None, 1, 2, "\t"):
            encoded = base64.b64encode(json.dumps(value, indent=indent).encode()).decode()
            for spelt in (
                encoded,
                encoded.replace("/", "\\/"),
                encoded.replace("+", "-").replace("/", "_").rstrip("="),
            ):
                yield _leak(f'{{"p": "{spelt}"}}', JSON)
            yield _leak(f"payload={encoded} ok")
            yield _leak(f'{{"p": "=?base64?{encoded}?="}}', JSON)
    telling = base64.b64encode(f"password: {SECRET}".encode()).decode()
    for line in ("DB_PASSWORD={}", "export AWS_SECRET_ACCESS_KEY={}", "API_KEY: {}"):
        yield _leak(_dump({"data": base64.b64encode(line.format(SECRET).encode()).decode()}), JSON)
    yield _leak(f"Content-Transfer-Encoding: base64\r\n\r\n{telling}")
    yield _leak(f"Subject: =?utf-8?B?{telling}?=")
    yield _leak(f"Subject: =?utf-8?Q?password=3A_{SECRET}?=")
    for line in (
        rf"echo -e '\160\141\163\163word={SECRET}'",
        rf"pass\0167ord: {SECRET}",
        rf"p = 'pass\x77ord: {SECRET}'",
        rf'h - - "POST /l" 200 "{{\x22user\x22:\x22ann\x22,\x22password\x22:\x22{SECRET}\x22}}" "-"',
        rf"\x22password\x22: \x22a\x5C\x22b{SECRET}\x22",
    ):
        yield _leak(line)
        yield _leak(_dump({"a": line, "path": r"C:\\x64\\bin"}), JSON)


KEY = "\n".join(
    ["-----BEGIN {} KEY-----", *["MIIEpAIBAAKCAQEA7" + SECRET + "/+abc/" + SECRET] * 6, "-----END {} KEY-----"]
)
SPELLINGS: list[tuple[str, Callable[[str], str]]] = [
    (TEXT, str),
    (JSON, lambda key: _dump({"k": key})),
    (JSON, lambda key: _dump({"k": key}).replace("/", "\\/")),
    (JSON, lambda key: _dump(key.split("\n"))),
    (JSON, lambda key: _dump({"a": _dump({"k": key})})),
    (XML, lambda key: f"<k>{key}</k>".replace("\n", "&#xA;")),
    (XML, lambda key: f"<k>{key}</k>".replace("\n", "&#10;")),
    ("text/html", lambda key: key.replace("\n", "<br>")),
    ("text/html", lambda key: key.replace("\n", "<br/>\n")),
    (TEXT, lambda key: "\n".join("> " + line for line in key.split("\n"))),
    (TEXT, lambda key: "\n".join("+" + line for line in key.split("\n"))),
    (TEXT, lambda key: "\n".join(f"{number:4d}  {line}" for number, line in enumerate(key.split("\n")))),
    (TEXT, lambda key: key.replace("\n", "\r\n")),
    (TEXT, quote),
    (FORM, lambda key: "k=" + quote(key)),
    (YAML, lambda key: "key: |\n" + "\n".join("  " + line for line in key.split("\n"))),
    (TEXT, lambda key: "const k = " + " +\n".join(_dump(line + "\n") for line in key.split("\n"))),
]


def private_keys() -> Iterator[Leak]:
    for kind in ("PRIVATE", "RSA PRIVATE", "EC PRIVATE", "OPENSSH PRIVATE", "ENCRYPTED PRIVATE"):
        for content_type, spell in SPELLINGS:
            text = spell(KEY.replace("{}", kind))
            yield _leak(text, content_type)
            yield _leak(text[: len(text) * 2 // 3], content_type)


def cards() -> Iterator[Leak]:
    for gap in (" ", "-", "+", "%20", "\u00a0", "\u2009", "\u202f", "\u2013", "\u2011", "&nbsp;"):
        for groups in (("4111", "1111", "1111", "1111"), ("3782", "822463", "10005"), ("5555", "5555", "5555", "4444")):
            number = gap.join(groups)
            yield _leak(_dump({"note": f"card {number}."}, ensure_ascii=False), JSON, number)
            yield _leak(_dump({"note": f"card {number}."}), JSON, _dump(number)[1:-1])
            sent = number.replace(" ", "+") if gap == " " else quote(number, safe="+%")
            yield _leak(f"note={sent}", FORM, number, quote(number), sent)


_PYDANTIC = "1 validation error for Login\n{}\n  It is not valid [type=not_valid, input_value={}, input_type=str]"


def exceptions() -> Iterator[Leak]:
    for text in (
        _PYDANTIC.format("password", f"'{SECRET}'"),
        _PYDANTIC.format("age", f"{{'name': 'ann', 'passw...: '{SECRET}'}}"),
        f'duplicate key value violates unique constraint "x"\nDETAIL:  Key (token)=({SECRET}) already exists.',
        f"Key (email, api_key)=(a@b.c, {SECRET}) already exists.",
        f"Duplicate entry '{SECRET}' for key 'users.api_token'",
        f"Failing row contains (1, ann, {SECRET}, null).",
        f"[SQL: INSERT INTO users (email, password) VALUES (?, ?)]\n[parameters: ('a@b.c', '{SECRET}')]",
        f"KeyError: 'password={SECRET}'",
        f"password authentication failed, dsn 'host=h password={SECRET}'",
        f'E11000 duplicate key error collection: db.users index: token_1 dup key: {{ token: "{SECRET}" }}',
    ):
        yield _leak(text)
        yield _leak(_dump({"error": text}), JSON)


def statements_and_commands() -> Iterator[Leak]:
    for text in f"""
        ALTER USER x WITH PASSWORD '{SECRET}'
        CREATE ROLE x LOGIN PASSWORD '{SECRET}' VALID UNTIL 'y'
        CREATE USER b IDENTIFIED BY '{SECRET}'
        ALTER USER b IDENTIFIED WITH mysql_native_password BY '{SECRET}'
        SET PASSWORD FOR 'b' = '{SECRET}'
        INSERT INTO u (a, password, b) VALUES ('x','{SECRET}','y')
        INSERT INTO u (a, password) VALUES ('x','y'), ('z','{SECRET}')
        UPDATE u SET password='{SECRET}' WHERE id=1
        SELECT 1 FROM u WHERE api_key = '{SECRET}' OR token <> '{SECRET}' OR password LIKE '{SECRET}'
        WHERE token IN ('{SECRET}')
        mysql -u root -p{SECRET} db
        ["mysql", "-u", "root", "-p{SECRET}"]
        ["docker", "login", "-u", "a", "-p", "{SECRET}"]
        ["curl", "-u", "ann:{SECRET}", "https://h"]
        mongosh -u a -p {SECRET} h
        ldapsearch -D cn=a -w {SECRET} -b dc=x
        sqlcmd -S h -U sa -P {SECRET}
        openssl enc -aes-256-cbc -pass pass:{SECRET}
        htpasswd -bB file ann {SECRET}
        smbclient //h/s -U ann%{SECRET}
        echo {SECRET} | docker login -u a --password-stdin
        printf '{SECRET}' | sudo -S id
        bindpw {SECRET}
        rootpw --plaintext {SECRET}
        $filter=token eq '{SECRET}'
        filter: emails.secret eq "{SECRET}" and active eq true
        Variable "$password" got invalid value "{SECRET}"; Expected type Int.
        Variable "$input" got invalid value "{SECRET}" at "input.password"; Expected type Int.
        Argument "token" has invalid value "{SECRET}".
        invalid api key {SECRET}
        Unknown token: '{SECRET}'
        base64url.bearer.authorization.k8s.io.{SECRET}
        sshpass -p {SECRET} ssh h
        redis-cli -a {SECRET} ping
        curl -u user:{SECRET} https://x
        docker login -u a -p {SECRET}
        PGPASSWORD={SECRET} psql -h x
        export TOKEN={SECRET}; run
        $env:API_KEY = '{SECRET}'
        ENV DB_PASSWORD {SECRET}
        requirepass {SECRET}
        sshpass -p '{SECRET}' ssh h
        mysql -u root -p'{SECRET}' db
        docker login -u a -p "{SECRET}" h
        SET PASSWORD FOR 'b' = PASSWORD('{SECRET}')
        requests.get(u, auth=HTTPBasicAuth('bob', '{SECRET}'))
        session.auth = HTTPDigestAuth("bob", "{SECRET}")
        log in as bob with the password {SECRET}
        I used token {SECRET} for it
        if password == "{SECRET}":
        machine h login u password {SECRET}
        proxy_set_header X-Api-Key {SECRET};
        setItem('token', '{SECRET}')
        client.set_password("{SECRET}")
        password := "{SECRET}"
        :password => '{SECRET}'
        const apiKey = `{SECRET}`
        Server=h;User Id=sa;Password={SECRET};Database=x
        jdbc:mysql://h/d?user=a&password={SECRET}
        jdbc:oracle:thin:scott/{SECRET}@//h:1521/x
        amqp://u:{SECRET}@h
        password -> {SECRET}
        password → {SECRET}
        **Password:** {SECRET}
        **API key**: `{SECRET}`
        the password for ann is {SECRET}
        login: ann / password: {SECRET}
        user=ann; password={SECRET}; host=h
        Set-Cookie: sid={SECRET}; Path=/; HttpOnly
    """.strip().split("\n"):
        yield _leak(text.strip())
        yield _leak(_dump({"content": text.strip()}), JSON)
    block = f'mutation {{ setToken(token: """{SECRET}""") {{ ok }} }}'
    yield _leak(block, "application/graphql")
    yield _leak(_dump({"query": block}), JSON)
    yield _leak(f'variable "db_password" {{\n  default = "{SECRET}"\n}}\n')
    yield _leak(_dump({"content": f'variable "db_password" {{\n  default = "{SECRET}"\n}}\n'}), JSON)
    for table in (
        f"| user | password |\n|---|---|\n| a | {SECRET} |",
        f" user | password\n------+---------\n a    | {SECRET}",
        f"user,password\na,{SECRET}\n",
        f"# export\nuser;password\na;{SECRET}\n",
        f"user\tpassword\na\t{SECRET}\n",
        f"\ufeffuser,password\na,{SECRET}\n",
    ):
        yield _leak(table)
        yield _leak(table, "text/csv" if "|" not in table else "text/markdown")
        yield _leak(_dump({"content": table}), JSON)


def markup() -> Iterator[Leak]:
    for table in (
        f"name    password\n------- --------\nann     {SECRET}\n",
        f"-[ RECORD 1 ]-----\nid       | 1\npassword | {SECRET}\n",
    ):
        yield _leak(table)
        yield _leak(_dump({"content": table}), JSON)
    for text in f"""
        <password>{SECRET}</password>
        &lt;password&gt;{SECRET}&lt;/password&gt;
        <wsse:Password Type='x'>{SECRET}</wsse:Password>
        <entry key='password'>{SECRET}</entry>
        <key>password</key> <string>{SECRET}</string>
        <name>api_key</name><value>{SECRET}</value>
        <member><name>password</name><value><string>{SECRET}</string></value></member>
        <param-name>password</param-name><param-value>{SECRET}</param-value>
        <property name='password' value='{SECRET}'/>
        <th>Password</th><td>{SECRET}</td>
        <td>API key</td><td>{SECRET}</td>
        <entry><string>password</string><string>{SECRET}</string></entry>
        <dt>API key</dt><dd>{SECRET}</dd>
        <input value="{SECRET}" type=hidden name=csrf_token>
        <b>Password:</b> {SECRET}
        <li>Password: <code>{SECRET}</code></li>
        <Parameter><Name>DbPassword</Name><Value>{SECRET}</Value></Parameter>
        <![CDATA[<password>{SECRET}</password>]]>
        <a href='https://h/?token={SECRET}'>x</a>
        <meta content='{SECRET}' name='csrf-token'>
        <x data-api-key='{SECRET}'/>
        <password xsi:type='x'><![CDATA[{SECRET}]]></password>
        <x>&#112;assword={SECRET}</x>
    """.strip().split("\n"):
        yield _leak(f"<r>{text.strip()}</r>", XML)
        yield _leak(f"<html>{text.strip()}</html>", "text/html")
        yield _leak(_dump({"x": text.strip()}), JSON)


def json_web_keys() -> Iterator[Leak]:
    private = dict.fromkeys(("d", "p", "q", "dp", "dq", "qi"), SECRET)
    for key in (
        {"kty": "RSA", "n": "0vx7agoebGcQSuuPiLJXZpt", "e": "AQAB", **private},
        {**private, "kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"},
        {"kty": "oct", "k": SECRET, "alg": "A128KW"},
    ):
        yield _leak(_dump(key), JSON)
        yield _leak(_dump({"keys": [{"kty": "RSA", "e": "AQAB"}, key]}), JSON)
        yield _leak(_dump({"jwk": _dump(key)}), JSON)


def links() -> Iterator[Leak]:
    for path in (
        "reset-password/{}",
        "password-reset/{}",
        "accounts/password/reset/{}/",
        "reset/MQ/{}/",
        "password_reset/confirm/MQ/{}/",
        "magic-link/{}",
        "verify-email/{}",
        "confirm/{}",
        "activate/{}?x=1",
        "invitations/{}",
        "magic/{}",
        "api/token/{}",
    ):
        link = f"https://shop.example/{path.format(SECRET)}"
        yield _leak(link)
        yield _leak(_dump({"text": f"Follow {link} within an hour."}), JSON)


def multipart() -> Iterator[Leak]:
    field = f'--Q\r\nContent-Disposition: form-data; name="password"\r\n\r\n{SECRET}\r\n--Q--\r\n'
    for content_type in ("multipart/form-data; boundary=Q", "multipart/form-data; boundary=Z", JSON, TEXT, FORM):
        yield _leak(field, content_type)
    yield _leak(field.replace("\r\n", "\n"), JSON)
    yield _leak(field.replace('name="password"', "name*=utf-8''pass%77ord"), "multipart/form-data; boundary=Q")
    part = f'--Q\r\nContent-Type: application/json\r\n\r\n{{"password":"{SECRET}"}}\r\n--Q--\r\n'
    yield _leak(part, "multipart/related; boundary=Q")
    request = f"GET / HTTP/1.1\r\nAuthorization: Key {SECRET}\r\n\r\n"
    part = f"--Q\r\nContent-Type: application/http\r\n\r\n{request}\r\n--Q--\r\n"
    yield _leak(part, "multipart/mixed; boundary=Q")


def tools() -> Iterator[Leak]:
    for text in leaks_of_tools.texts():
        secret = leaks_of_tools.BCRYPT if leaks_of_tools.BCRYPT in text else SECRET
        yield _leak(text, TEXT, secret)
        yield _leak(_dump({"a": text}), JSON, secret)
        yield _leak(_dump({"content": [{"type": "text", "text": f"Look:\n{text}\nand say."}]}), JSON, secret)
    for text in leaks_of_tools.ONE_TIME_CODES:
        yield _leak(_dump({"to": "+4930123", "body": text}), JSON, "492817")
    for labelled in leaks_of_tools.LABELLED:
        yield _leak(_dump(labelled), JSON)
        yield _leak(_dump({"items": [labelled, {"a": 1}]}), JSON)
    for number in ("4111111111111111.0", "5555555555554444.00"):
        yield _leak(f'{{"n": {number}}}', JSON, number[:16])


def formats() -> Iterator[Leak]:
    """Yield each format with a name that is sensitive in whatever it stands, and with others."""
    for content_type, rows in leaks_of_formats.ROWS.items():
        for row in rows:
            for name in ("password", "api_key", "clientSecret"):
                yield _leak(row.replace("NAME", name).replace("HIDDEN", SECRET), content_type)


def words_in_tables() -> Iterator[Leak]:
    """Yield tables of names and values, of which the values are words and do not look random."""
    for row in (
        "<tr><td>Password</td><td>opensesame</td></tr>",
        "<tr><td>Password:</td><td>opensesame</td></tr>",
        "<table><tr><td><b>Password</b></td><td><code>opensesame</code></td></tr></table>",
        "<table><tr><th>User</th><th>Password</th></tr><tr><td>ann</td><td>opensesame</td></tr></table>",
    ):
        yield _leak(row, "text/html", "opensesame")
        yield _leak(_dump({"html": row}), JSON, "opensesame")
    for table in (
        "| key | value |\n|---|---|\n| size | 3 |\n| password | opensesame |\n",
        "| name | type | value |\n|---|---|---|\n| password | string | opensesame |\n",
        "name,value\nsize,3\npassword,opensesame\n",
        "┃ user ┃ password ┃\n┡━━━━━━╇━━━━━━━━━━┩\n│ ann  │ opensesame │\n",
        "user password\n──── ────────\nann  opensesame\n",
    ):
        yield _leak(table, TEXT, "opensesame")
        yield _leak(_dump({"text": table}), JSON, "opensesame")
    yield _leak('["password", "opensesame"]', JSON, "opensesame")
    yield _leak('{"x": ["password", "opensesame1"]}', JSON, "opensesame1")
    yield _leak("name,value\npassword,opensesame\n", "text/csv", "opensesame")
    yield _leak(_dump({"headers": [["X-Nonce", SECRET], ["X-Key", SECRET]]}), JSON)


def names_in_other_letters() -> Iterator[Leak]:
    wide = [name.translate({code: code + 0xFEE0 for code in range(33, 127)}) for name in ("password", "API_KEY")]
    for name in (*wide, "contrasen\u0303a", "sta\ufb00_password"):
        yield _leak(_dump({name: SECRET}, ensure_ascii=False), JSON)
        yield _leak(f"{name}: {SECRET}")
        yield _leak(f"{quote(name)}={SECRET}", FORM)


def names_with_unseen_characters() -> Iterator[Leak]:
    for name in ("pa\u200bssword", "\u202epassword\u202c", "api\u00ad_key"):
        yield _leak(_dump({name: SECRET}, ensure_ascii=False), JSON)
        yield _leak(f"{name}: {SECRET}")
        yield _leak(f"{quote(name)}={SECRET}", FORM)


def names_in_other_scripts() -> Iterator[Leak]:
    for name in ("пароль", "密码", "비밀번호", "contraseña"):
        yield _leak(_dump({"env": [{"name": name, "value": SECRET}]}, ensure_ascii=False), JSON)
        yield _leak(f"env:\n- name: {name}\n  value: {SECRET}\n", YAML)
        yield _leak(f"<a><{name}>{SECRET}</{name}><{name}><![CDATA[{SECRET}]]></{name}></a>", "application/xml")
        yield _leak(f"x &lt;{name}&gt;{SECRET}&lt;/{name}&gt;")


def characters() -> Iterator[Leak]:
    """Yield passwords with characters in them that end a value elsewhere, as each format writes them."""
    parts = ("Zk9xW", "Qm4vT", "Hp7sL")
    for between in ("'", '"', "@", "#", "/", "<", "\\", "&"):
        password = between.join(parts)
        yield _leak(_dump({"user": "ann", "password": password}), JSON, *parts)
        yield _leak(_dump({"log": repr({"user": "ann", "password": password})}), JSON, *parts)
        yield _leak(f"a: 1\npassword: '{password.replace(chr(39), chr(39) * 2)}'\nb: 2\n", YAML, *parts)
        yield _leak(f"UPDATE u SET password = '{password.replace(chr(39), chr(39) * 2)}' WHERE id=1", TEXT, *parts)
        yield _leak(f"login --password {shlex.quote(password)} --host h", TEXT, *parts)
        yield _leak(_dump({"cmd": f"login --password {shlex.quote(password)} --host h"}), JSON, *parts)
        yield _leak(f"see https://ann:{quote(password, safe='')}@h/x now", TEXT, *parts)
        if between not in {"'", '"', "#"}:
            yield _leak(f"A=1\nDB_PASSWORD={between.join((parts[0], 'r' + parts[1], parts[2]))}\nB=2\n", TEXT, *parts)


KINDS: dict[str, Callable[[], Iterator[Leak]]] = {
    kind.__name__: kind
    for kind in (
        names,
        names_of_what_looks_random,
        values_of_several_words,
        credentials_of_headers,
        labelled,
        structures,
        odd_json,
        encodings,
        private_keys,
        cards,
        exceptions,
        statements_and_commands,
        markup,
        json_web_keys,
        links,
        multipart,
        tools,
        formats,
        words_in_tables,
        names_in_other_letters,
        names_in_other_scripts,
        names_with_unseen_characters,
        characters,
    )
}
