"""More traffic with a secret in it: files, dumps, logs and command lines of tools that are pasted, uploaded or printed.

Each function yields texts; `leaks` sends each as a text and within JSON.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "Vt9pLq3zXw7RkB2mNc5d"
BCRYPT = "abcdefghijklmnopqrstuuKkTLMXdkF4E9bpJ/v3s4mG3qJ8nVb7i"


def command_lines() -> Iterator[str]:
    yield from (
        line.strip()
        for line in f"""
        http -a ann:{SECRET} GET h
        https POST h -a ann:{SECRET}
        xh --auth ann:{SECRET} h
        az login --service-principal -u a -p {SECRET} --tenant t
        vault login {SECRET}
        vault login token={SECRET}
        cargo login {SECRET}
        mariadb -u root -p{SECRET} shop
        valkey-cli -a {SECRET} ping
        bcp shop out f -Usa -P{SECRET}
        curl -sSLu ann:{SECRET} https://h
        smbclient -U 'ann%{SECRET}' //h/s
        rpcclient -U ann%{SECRET} h
        kinit ann@R <<< {SECRET}
        cryptsetup luksOpen /dev/x m <<< {SECRET}
        echo {SECRET} | gh secret set TOKEN
        echo {SECRET} | cryptsetup open /dev/x m
        printf '{SECRET}' | gcloud secrets versions add x --data-file=-
        useradd -p $(openssl passwd -1 {SECRET}) ann
        aws ssm put-parameter --type SecureString --name x --value {SECRET}
        aws ssm put-parameter --name x --value {SECRET} --type SecureString
        composer config http-basic.h ann {SECRET}
        composer config github-oauth.github.com {SECRET}
        vault kv put -mount=secret x foo={SECRET}
        vault operator unseal {SECRET}
        htpasswd -bnBC 10 "" {SECRET}
        "{SECRET}" | ConvertTo-SecureString -AsPlainText -Force
        7za a "-p{SECRET}" x.7z f
        uv publish -t {SECRET}
        hydra -l ann -p {SECRET} ssh://h
        knife bootstrap h -x ann -P '{SECRET}'
        ldapmodify -w{SECRET} -D cn=a
        swift -U ann -K {SECRET} list
        pdftotext -upw {SECRET} a.pdf
        signtool sign /f c.pfx /p {SECRET} a.exe
        twine upload -u __token__ -p {SECRET} dist/*
        gh auth login --with-token <<< {SECRET}
        keytool -storepass {SECRET} -list
        influx -username ann -password {SECRET}
        cqlsh h -u ann -p {SECRET}
        ipmitool -H h -U ann -P {SECRET} power on
        mosquitto_pub -u ann -P {SECRET} -t a -m b
        snmpwalk -v2c -c {SECRET} h
        snmpget -v3 -X {SECRET} h
        zip -P {SECRET} x.zip f
        unzip -P {SECRET} x.zip
        7z x -p{SECRET} x.7z
        openssl enc -aes-256-cbc -k {SECRET} -in f
        lftp -u ann,{SECRET} h
        sqlplus ann/{SECRET}@orcl
        sqlplus -S ann/{SECRET}@//h:1521/orcl
        etcdctl --user root:{SECRET} get x
        etcdctl put /db/password {SECRET}
        consul kv put db/password {SECRET}
        aws configure set aws_secret_access_key {SECRET}
        flyctl secrets set DB_PASSWORD={SECRET}
        redis-cli AUTH default {SECRET}
        redis-cli -h h AUTH {SECRET}
        HELLO 3 AUTH default {SECRET}
        curl -uann:{SECRET} h
        ssh-keygen -t ed25519 -N {SECRET} -f k
        npm config set //r/:_authToken {SECRET}
        password - {SECRET}
        the password — {SECRET}
        Das Passwort lautet {SECRET}
        密码是{SECRET}
        AUTH {SECRET}
        AUTH default {SECRET}
        127.0.0.1:6379> auth default {SECRET}
        MIGRATE h 6379 k 0 5000 AUTH2 default {SECRET}
        ACL SETUSER ann on >{SECRET} ~* +@all
        AUTH PLAIN {SECRET}
        net use Z: \\\\h\\s /user:ann {SECRET}
        net use Z: \\\\h\\s {SECRET} /user:ann
        net use * //h/s {SECRET} /user:ann
        dotnet nuget push x.nupkg -k {SECRET} -s h
        schtasks /create /ru ann /rp {SECRET} /tn x
        PsExec.exe \\\\h -u ann -p {SECRET} cmd
        useradd -m -p {SECRET} ann
        echo 'ann:{SECRET}' | chpasswd
        echo {SECRET} | passwd --stdin ann
        $x = ConvertTo-SecureString '{SECRET}' -AsPlainText -Force
        -Password (ConvertTo-SecureString -String "{SECRET}" -AsPlainText -Force)
        setx API_TOKEN {SECRET}
        set -gx API_TOKEN {SECRET}
        oc login -u ann -p {SECRET}
        skopeo login -u ann -p {SECRET} h
        bcp db.t out f -U sa -P {SECRET}
        swaks --to a@h -au ann -ap {SECRET}
        unrar x -p{SECRET} a.rar
        net user ann {SECRET} /add
        rabbitmqctl change_password ann {SECRET}
        wpa_passphrase Home {SECRET}
        htpasswd -nb ann {SECRET}
        openssl passwd -6 {SECRET}
        rclone obscure {SECRET}
        xfreerdp /u:ann /p:{SECRET} /v:h
        db2 connect to shop user ann using {SECRET}
        hey -a ann:{SECRET} http://h
        curl -U ann:{SECRET} http://h
        curl --cert c.pem:{SECRET} http://h
        expdp system/{SECRET}@orcl schemas=x
        security add-generic-password -a ann -s s -w {SECRET}
        ngrok config add-authtoken 2a{SECRET}
        wandb login 4b{SECRET}
        wrangler secret put TOKEN <<< {SECRET}
        gcloud secrets versions add x --data-file=- <<< "{SECRET}"
        aws ssm put-parameter --name /x/password --value {SECRET} --type SecureString
        gh secret set X --body {SECRET}
        dotnet user-secrets set "Db:Password" "{SECRET}"
        netlify env:set API_TOKEN {SECRET}
        pulumi config set --secret dbPassword {SECRET}
        """.strip().splitlines()
    )


def configurations() -> Iterator[str]:
    yield f'[secrets]\nfoo = "{SECRET}"\nbar = 1\n'
    yield f"[database]\nhost = h\n[credentials]\nann = {SECRET}\r\n[other]\na = 1\n"
    yield f"password = <<EOF\n{SECRET}\nEOF\n"
    yield f"private_key = <<-EOT\n    {SECRET}\n    {SECRET}\n    EOT\nx = 1\n"
    yield f"user default on >{SECRET} ~* +@all\n"
    yield f"port 6379\nmasterauth {SECRET}\ntimeout 0\n"
    yield f"smtp_password {SECRET}\nport 25\n"
    yield f"# cookies\n.h\tTRUE\t/\tFALSE\t1893456000\tsid\t{SECRET}\n"
    yield f"#HttpOnly_h\tFALSE\t/\tTRUE\t0\tx\t{SECRET}\n"
    yield f"h:5432:db:ann:{SECRET}\n"
    yield f"# comment\n*:*:*:postgres:{SECRET}\nlocalhost:5433:*:ann:x\n"
    yield f"kind: Secret\r\nmetadata:\r\n  name: x\r\n\r\nstringData:\r\n  foo: {SECRET}\r\n"
    yield f"password changed to {SECRET}\nthe password was reset to {SECRET}\n"
    yield f"enable password {SECRET}\n"
    yield f"username ann password 7 {SECRET}\n"
    yield f"snmp-server community {SECRET} RO\n"
    yield f"enable password level 15 {SECRET}\nusername ann privilege 15 password 0 {SECRET}\n"
    yield f"ppp chap password 0 {SECRET}\nkey-string 7 {SECRET}\nip ospf message-digest-key 1 md5 {SECRET}\n"
    yield f"args: [--password, {SECRET}]\ncmd: [run, --api-key, {SECRET}, --verbose]\n"
    yield f"args:\n- --password\n- {SECRET}\n- --token\n- hunter22\n".replace("hunter22", SECRET)
    yield f'args:\n  - "--password"\n  - "{SECRET}"\n'
    yield f'#define API_KEY "{SECRET}"\n'
    yield f"ann:{SECRET}@tcp(127.0.0.1:3306)/db?parseTime=true"
    yield f"ann:{SECRET}@unix(/tmp/mysql.sock)/db"
    yield f"ann/{SECRET}@//h:1521/orcl"
    yield f'dsn = "ann:{SECRET}@tcp(h)/db"\n'


def source_code() -> Iterator[str]:
    yield f'password: str = "{SECRET}"\n'
    yield f"password: Optional[str] = '{SECRET}'\n"
    yield f"api_key: str | None = '{SECRET}'\n"
    yield f'let password: String = "{SECRET}".into();'
    yield f"client.login('ann', '{SECRET}')"
    yield f'NSString *password = @"{SECRET}"; var apiKey = $"{SECRET}";'
    yield f"password = MD5('{SECRET}') or password=SHA1('{SECRET}')"
    yield f"page.fill('#password', '{SECRET}')"
    yield f"SecretStr('{SECRET}') or SecretBytes(b'{SECRET}')"
    yield f'new ApiKey("{SECRET}"), .password("{SECRET}"), AzureKeyCredential(key="{SECRET}")'
    yield f'assert user.check_password("{SECRET}")'
    yield f'.basicAuth("ann", "{SECRET}")'
    yield f'builder.withPassword("{SECRET}")'
    yield f'  .setApiKey("{SECRET}")\n'
    yield f"define( 'AUTH_KEY', '{SECRET}' );"
    yield f"hmac.new(b'{SECRET}', message)"
    yield f"crypto.createHmac('sha256', '{SECRET}')"
    yield f"Fernet(b'{SECRET}')"
    yield f"jwt.encode(payload, '{SECRET}', algorithm='HS256')"
    yield f'jwt.verify(token, "{SECRET}")'
    yield f"page.fill('#password', '{SECRET}')"
    yield f'await page.fill("input[name=password]", "{SECRET}")'
    yield f"cy.get('[name=password]').type('{SECRET}')"
    yield f'page.get_by_label("Password").fill("{SECRET}")'
    yield f'driver.findElement(By.name("password")).sendKeys("{SECRET}");'
    yield f"new PDO('mysql:host=h', 'ann', '{SECRET}')"
    yield f'mysqli_connect("h", "ann", "{SECRET}", "shop");'
    yield f'DriverManager.getConnection("jdbc:mysql://h/d", "ann", "{SECRET}");'
    yield f'new NetworkCredential("ann", "{SECRET}")'
    yield f'WiFi.begin(ssid, "{SECRET}");'
    yield f"hash_hmac('sha256', $d, '{SECRET}')"
    yield f"crypto.createCipheriv('aes-256-cbc', '{SECRET}', iv)"
    yield f"AES.new(b'{SECRET}', AES.MODE_CBC)"
    yield f"bcrypt.hashpw(b'{SECRET}', salt)"
    yield f"config.pepper = '{SECRET}'"
    yield f's:8:"password";s:20:"{SECRET}";'
    yield f'a:1:{{s:8:"password";s:20:"{SECRET}";}}'
    yield f'  ["password"]=>\n  string(20) "{SECRET}"\n'


def dumps() -> Iterator[str]:
    yield f"COPY public.users (id, email, password) FROM stdin;\n1\ta@b.c\t{SECRET}\n2\td@e.f\t{SECRET}\n\\.\n"
    yield f"insert into users(id,password) values(1,'{SECRET}')"
    yield f"Insert Into users (id, password) Values (1, '{SECRET}');"
    yield f"SELECT crypt('{SECRET}', gen_salt('bf'))"
    yield f"SELECT pgp_sym_encrypt('x', '{SECRET}'), AES_ENCRYPT(name, '{SECRET}')"
    yield f"CREATE USER MAPPING FOR a SERVER s OPTIONS (user 'a', password '{SECRET}')"
    yield f"CREATE SECRET s (TYPE s3, KEY_ID 'x', SECRET '{SECRET}')"
    yield f'{{"who": "ann", "answer": "Digest realm=\\"r\\", token={SECRET}"}}'


def prose() -> Iterator[str]:
    yield f"connecting with password {SECRET} to h"
    yield f"ERROR bad password {SECRET} for ann"
    yield f"The token '{SECRET}' has expired"
    yield f'key "{SECRET}" not found'
    yield f"bad signature {SECRET}"
    yield f"the password '{SECRET}' was taken"


def languages() -> Iterator[str]:
    for name in (
        *("Пароль", "Mot de passe", "Contraseña", "hasło", "şifre", "jelszó", "parolă", "κωδικός πρόσβασης"),
        *(
            "パスワード",
            "密码",
            "密碼",
            "비밀번호",
            "كلمة المرور",
            "סיסמה",
            "รหัสผ่าน",
            "mật khẩu",
            "токен",
            "令牌",
            "密钥",
        ),
    ):
        yield f"Die Daten.\n{name}: {SECRET}\nBis bald."
        yield f"{name}\uff1a{SECRET}"
        yield f"{name} \uff1d {SECRET}"
        yield f"ja, {name}={SECRET} & mehr"
    for name in ("api_schlüssel", "clé_api", "geheimnis", "ключ_api", "секрет", "トークン", "토큰", "chave_api"):
        yield json.dumps({name: SECRET})
        yield json.dumps({name: SECRET}, ensure_ascii=False)


def settings() -> Iterator[str]:
    yield f"SetEnv DB_PASSWORD {SECRET}\n"
    yield f'SetEnv API_TOKEN "{SECRET}"\n'
    yield f"fastcgi_param DB_PASSWORD {SECRET};\n"
    yield f"Set-Item env:API_TOKEN '{SECRET}'"
    yield f'10.0.0.1 10.0.0.2 : PSK "{SECRET}"\n'
    yield f"tacacs-server key 7 {SECRET}\n"
    yield f"dn: cn=ann\nuserPassword:: {SECRET}==\ncn: ann\n"
    yield f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: x\ndata:\n  foo: {SECRET}\n  bar: {SECRET}==\n"
    yield f"pi_3MtwBwLkdIwHu7ix28a3tqPa_secret_{SECRET}"


def hashes() -> Iterator[str]:
    for algorithm in ("2a", "2b", "2y"):
        yield f"INSERT INTO users VALUES (1, 'ann', '${algorithm}$12${BCRYPT}')"
    yield f"ann:$apr1$abcdefgh${SECRET}zz"
    yield f"root:$6$rounds=5000$abc${SECRET * 4}:19000:0:99999:7:::"
    yield f"ann:$y$j9T$abcdef${SECRET * 2}:19000::"
    yield f"$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ${SECRET * 2}"
    yield f"pbkdf2_sha256$600000$abcdef${SECRET * 2}="
    yield f"pbkdf2:sha256:600000$abcdef${SECRET * 2}"
    yield f"scrypt:32768:8:1$abcdef${SECRET * 4}"
    yield f"{{SSHA}}{SECRET * 2}=="
    yield f"SCRAM-SHA-256$4096:{SECRET}==${SECRET * 2}=:{SECRET * 2}="


ONE_TIME_CODES = (
    "492817 is your verification code",
    "492817 is your Shop login code. Do not share it.",
    "Use 492817 as your one-time code",
    "G-492817 is your Google verification code",
    "Your verification code: 492817",
    "Your login code is 492817",
    "OTP: 492817",
    "Your passcode for Shop is: 492817",
)


LABELLED = (
    {"field": "auth", "input": SECRET},
    {"xpath": "//input[@name='password']", "text": SECRET},
    {"action": "type", "target": "password field", "text": SECRET},
    {"RAW_HEADERS": ["X-Api-Key", SECRET, "Accept", "*/*"]},
    {"sensitive": True, "type": "string", "value": SECRET},
    {"key": "DB", "value": SECRET, "masked": True, "protected": False},
    {"isSecret": True, "value": SECRET},
    {"name": "DB", "value": SECRET, "secret": True},
    {"Name": "/shop/db", "Type": "SecureString", "Value": SECRET},
    {"key": "DB", "type": "encrypted", "value": SECRET},
    {"field_id": "db_password", "answer": SECRET},
    {"element": "Password textbox", "ref": "e12", "text": SECRET},
    {"selector": "#password", "text": SECRET},
    {"uid": "1", "selector": "input[name=password]", "value": SECRET},
    {"question": "What was your maiden name, ann?", "answer": SECRET},
    {"cols": ["id", "password"], "data": [[1, SECRET], [2, SECRET]]},
    {"query": "mutation($p: String!){login(password: $p){id}}", "variables": {"p": SECRET}},
    {"variables": {"u": "ann", "p": SECRET}, "query": "mutation($u:ID,$p:String){login(in:{id:$u,password:$p}){id}}"},
    [{"query": "mutation M($k: String!){set(apiKey:$k){id}}", "operationName": "M", "variables": {"k": SECRET}}],
)


def texts() -> Iterator[str]:
    """Yield all of them."""
    for kind in (command_lines, configurations, settings, source_code, dumps, prose, languages, hashes):
        yield from kind()
    yield from map(json.dumps, LABELLED)
