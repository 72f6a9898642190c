"""Messages and statements that have a secret in them, as data: a new one is a row of the table.

Texts of exceptions, of logs and mails, SQL and dumps of databases, filters, calls in source code, files of cookies,
command lines. One of these is a text, or a list of its words: `["mysql", "-u", "root", "-pX"]`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from otas_middleware._event.patterns import compiled, filled, rows, shared_probe
from otas_middleware._event.redact.forms import is_odd, is_told, looks_random, may_be_message
from otas_middleware._event.redact.name_rules import literal
from otas_middleware._event.redact.spans import BULK, MASK, behind, with_masked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware._event.redact.name_rules import NameRules

_COLUMN = re.compile(r"[\w.]+")
_LINE_END = re.compile(r"[\n\\]")
_LONGEST_PLACE = 200
_LINE_ENDS = re.compile(r"\\+[nr]$")
_HASH_OR_PLACE = re.compile(r"[/:.]|^[0-9a-f-]+$")
_GROUP = 12
_BETWEEN_ROWS = re.compile(r"(\)(?:\s|\\+[nrt])*,(?:\s|\\+[nrt])*\()")
_CELLS = compiled(r"\s*(?:'(?:[^']|'')*+'|\"(?:[^\"]|\"\")*+\"|[^,()'\"]+(?:\([^()]*\))?|\([^()]*\))\s*")


Replace = Callable[[re.Match[str], "NameRules"], str]


class Message(NamedTuple):
    """One form of message: what it looks like, and which of its values are secrets."""

    hints: tuple[str, ...]
    """Texts without one of which the pattern cannot match; none of its characters means anything to the probe."""
    pattern: str
    """Compiled when a text first has one of the hints: most processes never see most of them."""
    replace: Replace

    def masked(self, text: str, rules: NameRules) -> str:
        """Return the text with the secrets masked of all messages of this form."""
        return compiled(self.pattern).sub(lambda match: self.replace(match, rules), text)


def _line_before(match: re.Match[str]) -> str:
    """Return what stands before a match in its line, or at the end of the line before it."""
    before = match.string[behind(match.start(), _LONGEST_PLACE) : match.start()]
    return _LINE_END.split(before)[-1]


def _any_sensitive(names: str, rules: NameRules) -> bool:
    return any(rules.secret(name) for name in _COLUMN.findall(names))


def _where(told: Callable[[re.Match[str], NameRules], bool]) -> Replace:
    """Return what masks the values of a message where that is told of it."""
    return lambda match, rules: with_masked(match) if told(match, rules) else match[0]


def _by_place(match: re.Match[str], rules: NameRules) -> str:
    """Mask pydantic's `input_value`; of a long one the middle was cut out, maybe with the name of what follows."""
    if _any_sensitive(_line_before(match), rules):
        return with_masked(match)
    values = match["values"]
    if "..." not in values or (values[:1] not in "{[(" and "(" not in values[:64]):
        return match[0]
    kept = values[: values.index("...") + 3]
    return match[0].replace(values, kept + MASK)


def _hidden(match: re.Match[str], rules: NameRules) -> set[int]:
    """Return which of the columns of a statement are sensitive."""
    return {at for at, name in enumerate(match["columns"].split(",")) if rules.secret(name.strip(' \t\n`"[]'))}


def _is_key(text: str) -> bool:
    """Tell whether a word of a command looks like a key: random, no hash, no path, no address."""
    text = _LINE_ENDS.sub("", text)
    return looks_random(text) and _HASH_OR_PLACE.search(text) is None


def _in_copied_rows(match: re.Match[str], rules: NameRules) -> str:
    """Mask the columns of a COPY whose names are sensitive."""
    hidden = _hidden(match, rules)
    lines = [
        "\t".join(MASK if at in hidden and cell != "\\N" else cell for at, cell in enumerate(line.split("\t")))
        for line in match["values"].split("\n")
    ]
    return with_masked(match, shown="\n".join(lines)) if hidden else match[0]


def _in_rows(match: re.Match[str], rules: NameRules) -> str:
    """Mask the columns of an INSERT whose names are sensitive."""
    hidden = _hidden(match, rules)
    if not hidden:
        return match[0]
    return with_masked(match, shown="".join(_in_row(part, hidden) for part in _BETWEEN_ROWS.split(match["values"])))


def _in_row(row: str, hidden: set[int]) -> str:
    cells = [] if _BETWEEN_ROWS.fullmatch(row) else _CELLS.findall(row)
    shown = [
        f"{cell[: len(cell) - len(cell.lstrip())]}'{MASK}'" if at in hidden and not _PARAMETER.fullmatch(cell) else cell
        for at, cell in enumerate(cells)
    ]
    return ",".join(shown) or row


_PARAMETER = re.compile(r"\s*(?:\?|%s|\$\d{1,4}|[:@]\w{1,64})\s*")

_KINDS: dict[str, Replace] = {
    "always": lambda match, _: with_masked(match),
    "key": _where(lambda match, _: _is_key(match["values"])),
    "random": _where(lambda match, _: looks_random(match["values"])),
    "odd": _where(lambda match, _: is_odd(match["values"])),  # any other word may be one of the sentence's
    "unless_prose": _where(lambda match, _: not may_be_message(match["values"])),
    "column": _where(lambda match, rules: _any_sensitive(match["columns"], rules)),
    "name": _where(
        lambda match, rules: (
            (rules.secret(match["columns"]) and is_told(match["values"]))
            or (match["values"].isdigit() and (rules.secret(match["columns"]) or match["columns"] == "code"))
        )
    ),
    "variable": _where(lambda match, rules: _any_sensitive(f"{match['columns']} {match['place'] or ''}", rules)),
    "line": _where(lambda match, rules: _any_sensitive(_line_before(match), rules)),
    "place": _by_place,
    "rows": _in_rows,
    "copied": _in_copied_rows,
}
"""By what it is told that the values of a message are secrets, and what becomes of it then."""

_PARTS = {
    # what `<…>` in the table means; those that have parts themselves come first
    "words": r"(?=<next>)(?:[^\n]|(?<=,)\n){0,128}?",
    "password": r"(?<![\w-])-[ax]?[pP]<next>+(?![-./~]|\d{1,5}(?:[^\w]|$))",
    "redis_user": r"(?:[\w.-]{1,64}<beside>+)?",
    "next": rf"(?:{BULK}|\s|\\*[\"'],\s*\\*[\"'])",  # between two words
    "beside": rf"(?:{BULK}|[ \t]|\\*[\"'],[ ]*\\*[\"'])",  # between two words of a line
    "long": r"[\w+=~%-]{16}",
    "user": r"[^\s:\"'\\]{1,64}",
    "echoed": r"(?:echo|printf)[ ]+(?:-n[ ]+)?\\*[\"']?",
    "column": r"(?<![\w.])(?P<columns>[\w.]{2,64})\s+",
    "literal": r"\\*'[^'\n]{0,512}'",
    "value": r"(?:\\*[\"'](?=[^\s\"',\\]))?(?!\$\()(?P<values>[^\s\"'\\]{1,256})",
    "quoted": r"(?P<quote>\\*['\"])(?P<values>(?:(?!(?P=quote))[^\n]){1,512}+)(?P=quote)",
    "word": r"(?P<values>(?![^\s:]+:)[!#-&(-;=?-\[\]-~]{6,64})",
    "codes": "your|my|one-time|verification|login|log-in|sign-in|security|access|confirmation|auth\\w{0,12}|reset|2FA",
}

# What tells that its values are secrets (`_KINDS`), texts without one of which it is no such message (`·` is a blank),
# and what it looks like. The group `values` is masked; `columns` are names beside it.
_TABLE = r"""
# texts of exceptions: pydantic's, databases', SQLAlchemy's (the statement stands before its parameters)
place  input_value=
    (?:\n|(?<!\\)\\++n)[ ]{1,8}(?:(?!\[type=)[^\n]){0,400}+\[type=[\w.]{1,64}, input_value=
    (?P<values>(?:(?!input_value=).){0,400}?), input_type=
column  Key·
    Key \((?P<columns>[^()]{1,256})\)=\((?P<values>[^\n]{1,512}?)\)(?= (?:already|is not|is still|conflicts)|[^)\n]|$)
always  row·contains  [Rr]ow contains \((?P<values>(?:(?!ow contains \()[^\n]){1,4096})\)
column  Duplicate·entry  Duplicate entry \\*'(?P<values>[^\n]{1,512}?)\\*' for key \\*'?(?P<columns>[\w.`-]{1,128})
line  duplicate·key·value·is  duplicate key value is \((?P<values>[^\n()]{1,512}+)\)
column  parameters:
    \[SQL: (?P<columns>[^\[\]]{1,4096})\](?:\s|\\+n){1,4}\[parameters: (?P<values>[^\n]{1,4096}?)\](?=\s|\\|\"|$)
# prose: a copula without blanks, links that are as good as a password, GraphQL's complaints
odd  密码|密碼|口令|パスワード|비밀번호  (?:密码|密碼|口令|パスワード|비밀번호)[是为為は는][ ]?<word>
random  /reset|reset/|password/|/magic|/verify|/confirm|/activat|/invit|/token/
    /(?:(?:password[-_]?)?reset(?:[-_]?password)?|(?:new|set|forgot)[-_]?password|magic(?:[-_]?(?:link|login))?|token
    |invit(?:e|ations?)|(?:verify|confirm)(?:[-_]?e?mail)?|activat(?:e|ion))/(?:confirm/)?(?:[\w=-]{1,16}/)?
    (?P<values>[A-Za-z0-9_.=-]{16,256})(?![\w@])
variable  got·invalid·value|has·invalid·value
    \\*[\"'`]\$?(?P<columns>[\w.\[\]]{1,128})\\*[\"'`] (?:got|has) invalid value (?P<quote>\\*[\"'])
    (?P<values>(?:(?!(?P=quote))[^\n]){1,512}+)(?P=quote)(?: at \\*[\"'](?P<place>[\w.\[\]]{1,128}))?
column  form-data;·name=
    form-data; name=\\*\"?(?P<columns>[\w.\[\]-]{1,64})\\*\"?(?:\r?\n|\\+r?\\*n?){2,8}(?P<values>[^\r\n\\]{1,4096})
name  ·is·your·|·as·your·|·as·my·|·as·the·
    (?<![\w.])(?P<values>[^\s\"'\\<>:]{4,64}) (?:is|as) (?:your|my|the) (?P<columns>(?:[\w-]{1,32} ){0,2}?\w{2,32})
    (?![\w-]| \w)
always  code:·|code·is|pin:·|pin·is|OTP:·|OTP·is
    (?i:(?:<codes>)[ -](?:code|pin)|otp|passcode)(?: for \S{1,64}| is|:){0,2}[ ]{1,2}(?:<\w{1,10}>)?(?P<values>\d{4,8}
    (?:</\w{1,10}> [A-Za-z0-9]{16,64})?)(?![\w.%])
# rows of databases
rows  VALUES|Values·(|Values(|values·(|values(
    (?i:INSERT|REPLACE)\s+(?i:INTO)\s+[\w.`\"\[\]]{1,128}\s*\((?P<columns>[^()]{1,2048})\)\s*(?i:VALUES)\s*\(
    (?P<values>(?:(?!VALUES\s*\()[\s\S]){1,8192}?)\)\s*(?=;|ON\b|RETURNING\b|\\*\"|\n|$)
copied  FROM·stdin
    COPY [\w.\"]{1,128} \((?P<columns>[^()]{1,2048})\) FROM stdin[^\n]{0,128}\n(?P<values>(?:(?!\\\.)[^\n]*+\n?+)*+)
# command lines, those of Redis too; `option` says by which option the secret is told, of several programs
key  <<<  <<<[ ]*\\*[\"']?(?=<long>)<value>
key  ·-p|"-p|·-P|"-P|·-w|"-w|·-k|"-k|·-K|"-K|·-t|"-t|·-A|"-A
    (?<![\w\-/.])-[pPwkKtA](?:<next>+|\\*[\"'])?\\*[\"']?(?=<long>)<value>
unless_prose  AUTH|>·auth·
    (?:(?<![^\n\"'n])AUTH|(?<=> )(?:AUTH|auth))(?!<beside>+(?:PLAIN|LOGIN|XOAUTH2|CRAM|DIGEST|NTLM|SCRAM|GSSAPI))
    <beside>+<redis_user><value>(?=\\*[\"'\r\n]|\\+[rn]|$)
line  ·<<<|--value·|--body·  (?:<<<[ ]*|--(?:value|body)[ ]+)<value>
option  -p  mongo(?:sh|dump|restore|export|import)?;docker login;podman login;helm registry login;az login;useradd
    ;usermod;security unlock-keychain
option  -P  ipmitool;mosquitto_(?:pub|sub|rr)
option  -a  redis-cli;valkey-cli
option  -w  security add-(?:generic|internet)-password;ldap(?:search|modify|add|delete|passwd|whoami|compare)
option  -[kK]  openssl enc;nuget push
option  -[NP]  ssh-keygen
option  /r?p  schtasks;signtool
option  --value  --type SecureString
option  -[cAX]  snmp(?:walk|bulkwalk|get|getnext|set|trap)
always  PSK·"|PSK·\"  (?<!\w)PSK\s<quoted>
always  mysql|mariadb  (?:mysql|mariadb-?)(?:dump|admin|import|check)?<words><next>-p<value>
always  ·-u·|·-U·|"-u"|"-U"|-u\"|·-au·|·-xu·
    (?<![\w-])-(?:[ax]?u|U)<next>+<user>(?=<next>)(?:[^\n-]{1,128}+|(?<=,)\n|(?!<password>)-){0,16}+<password><value>
always  7z|rar·  (?<!\w)(?:7z[az]?|(?:un)?rar)<words><next>\\*[\"']?-h?p<value>
always  -P·|-P<tab>|-P<return>|-P<line>|-P"|-P'|-P\  (?<!\w)(?:un)?zip<words><next>-P<next>+<value>
always  sshpass  sshpass<next>+-p(?:<next>+)?<value>
always  sqlcmd|bcp·  (?<!\w)(?:sqlcmd|bcp)<words><next>-P(?:<next>+)?<value>
always  openssl  openssl<words>(?<![a-z])pass:<value>
always  htpasswd
    htpasswd<next>+-(?:\w*n\w*(?:<next>+\d{1,2})?|\w*b\w*<next>+[^\s\"']{1,128})<next>+(?:[^\s\"']{1,64}|\\*\"\\*\"|'')<next>+
    <value>
always  net·user|rabbitmqctl|wpa_passphrase
    (?:net user|rabbitmqctl (?:add_user|change_password)|wpa_passphrase)<next>+(?:\\*\"[^\"\\]{1,64}\\*\"|\S{1,64})
    <next>+(?![/*])<value>
always  openssl·passwd|rclone·obscure  (?:openssl passwd(?: -\w{1,8})?|rclone obscure)<next>+(?!-)<value>
always  /p:  /u:<user><words><next>/p:<value>
always  connect·to·|CONNECT·TO·  (?i:connect to \S{1,64} user \S{1,64} using)<next>+<value>
always  smbclient|rpcclient|winexe|net·ads|net·rpc
    (?:smbclient|rpcclient|winexe|net (?:ads|rpc))<words><next>-U(?:<next>+)?\\*[\"']?[^\s%\"']{1,64}%<value>
always  net·use  net use[^\n]{1,128}?/user:\S{1,64}<next>+(?!/)<value>
always  net·use  net use(?:<next>+\w:)?<next>+\\\S{1,128}<next>+(?![/*])<value>(?=<next>+/user:)
always  net·use  net use<next>+(?:[\w*]:?<next>+)?\\*[\"']?[\\/]{2,8}[^\s\"']{1,128}\\*[\"']?<next>+(?![/*])<value>
always  lftp  lftp<words><next>-u<next>+[^\s,\"']{1,64},<value>
always  ·-a·|·-A·  (?<![\w-])(?:https?|xhs?|ab|hey)<words><next>-[aA]<next>+<user>:<value>
always  curl|wget|etcdctl|--auth
    -(?:[a-zA-Z]{0,6}[uUE](?:<next>+|=)?|-(?:auth|(?:proxy-)?(?:user|cert))(?:<next>+|=))\\*[\"']?<user>:(?!//)<value>
always  ConvertTo-SecureString  ConvertTo-SecureString<words><next>(?:\\*[\"'])(?P<values>[^\s\"'\\$]{1,256})
always  sqlplus|expdp|impdp|rman·target
    (?:sqlplus|expdp|impdp|rman target)<words><next>[\w$]{1,64}/(?P<values>[^\s@\"'/]{1,128})@
always  AUTH
    (?:(?:(?:redis-cli|MIGRATE)<words><next>|HELLO<beside>+[23]<beside>+)AUTH2?<beside>+<redis_user>|AUTH (?:PLAIN
    |LOGIN|XOAUTH2)[ ]+(?=[A-Za-z0-9+/=]{8}))<value>
always  vault·login|cargo·login|wandb·login|bw·unlock|authtoken·|snyk·auth|vault·operator|vault·unwrap|service·inst
    (?:(?:vault|cargo|wandb) login|bw unlock|ngrok (?:config add-)?authtoken|snyk auth|vault (?:operator unseal|unwrap)
    |cloudflared service install)[ ]+(?:token=)?(?=\S{0,64}\d)
    (?!-)<value>
always  chpasswd  <echoed><user>:<value>[^|\n]{0,8}\|[^|\n]{0,16}chpasswd
always  echo·|printf·
    <echoed>(?!\$)<value>[^|\n]{0,8}\|[^|\n]{0,64}?(?:--(?:\w{1,8}-){0,2}stdin|sudo -S|kinit|cryptsetup|load-key
    |--with-token|secret(?: create| put| set|s versions add|s create)|env add|keepassxc-cli|realm join)
always  echo·|printf·  (?:echo|printf)[ ]+(?:-\w{1,2}[ ]+)?<quoted>[ ]*\|[^|\n]{0,16}passwd
always  http-basic.|hub-oauth.|lab-oauth.|lab-token.
    (?:http-basic\.\S{1,64}<next>+\S{1,64}|git(?:hub|lab)-(?:oauth|token)\.\S{1,64})<next>+<value>
always  vault·kv
    vault kv (?:put|patch)(?:<next>+-[^\s"',]++)*+<next>+[^\s="',]++<next>+[\w.\-]{1,64}=(?![@$])
    (?P<values>[^\n\"'|;&]{1,512})
always  ConvertTo-SecureString  <quoted>\s*\|\s*ConvertTo-SecureString
always  SecureString  --value[ ]+(?!file:)<value>(?=[^\n]{1,128}SecureString)
always  ·password·0·|·password·5·|·password·7·|·password·8·|·key·0·|·key·7·|·secret·0·|·secret·5·|·secret·9·|-string·7·
    (?:password|secret|key(?:-string)?) [05-9] (?=\S{0,64}[\d$])<value>
always  enable·  enable (?:password|secret)(?: level \d{1,2}(?: \d)?)? (?=\S{0,64}\d)(?!\d )<value>
always  ·md5·  key \d{1,5} md5 (?:\d )?(?=\S{0,64}\d)<value>
always  snmp-server·community  snmp-server community <value>
always  ·on·>  (?:user|SETUSER) \S{1,64} on ><value>
# addresses of databases
always  @tcp(|@unix(  [^\s:@/\"'=]{1,64}:(?P<values>[^\s@\"']{1,128})@(?:tcp|unix)\(
always  @//  (?<![\w/])[\w$]{1,64}/(?P<values>[^\s@\"'/]{1,128})@//
always  requirepass|masterauth|bindpw|rootpw  (?:requirepass|masterauth|bindpw|rootpw)<next>+(?:--\w+<next>+)?<value>
# statements and calls in source code
always  IDENTIFIED  IDENTIFIED\s+(?:WITH\s+\S{1,64}\s+)?(?:BY|AS)\s+(?:PASSWORD\s+)?<quoted>
always  OPTIONS·(  OPTIONS \([^()\n]{0,256}?(?i:password)\s+<quoted>
always  SECRET·'  (?<![\w-])SECRET\s+<quoted>
always  crypt(|CRYPT(  (?i:(?<!\w)crypt\(|(?:en|de)crypt\([^()\n]{1,256}?,)\s*<quoted>
always  hmac.new(|createHmac(|createCipheriv(|hash_hmac(|Fernet(|AES.new(|bcrypt.
    (?:hmac\.new\(|(?:Fernet|AES\.new|bcrypt\.\w{1,16})\(|create(?:Hmac|Cipheriv)\(\s*\\*['\"][\w-]{1,32}\\*['\"],|hash_hmac\([^()\n]{1,128}?,)\s*b?<quoted>
always  jwt.  jwt\.(?:encode|decode|sign|verify)\([^()\n]{1,128}?,\s*b?<quoted>
always  PASSWORD  (?<![\w-])PASSWORD(?:\s+|\s?\(\s?)<quoted>
always  asicAuth(|igestAuth(|login(|authenticate(|Credential|wordAuthentication(|WiFi.begin(
    (?:(?i:basic|digest)Auth|(?<![A-Za-z])(?:login|authenticate)
    |Credentials?|wordAuthentication|WiFi\.begin)\(\s?[^()\n,]{1,128},\s?<quoted>
always  PDO(|mysqli|etConnection(  (?:PDO|mysqli\w*|etConnection)\((?:\s?\\*['\"][^'\"\n]{1,128}['\"],){2}\s?<quoted>
always  SET·PASSWORD  SET PASSWORD FOR [^\n=]{1,128}=\s*<quoted>
# files: Netscape's of cookies, .pgpass
always  <tab>TRUE<tab>|<tab>FALSE<tab>|\tTRUE\t|\tFALSE\t
    (?:\t|\\+t)(?:TRUE|FALSE)(?:\t|\\+t)/[^\t\n\\]{0,256}(?:\t|\\+t)(?:TRUE|FALSE)(?:\t|\\+t)\d{1,12}(?:\t|\\+t)
    [^\t\n\\]{1,256}(?:\t|\\+t)(?P<values>[^\s\\\"]{1,4096})
always  :5432:|:*:
    (?<![\w.*:\-])[\w.*\-]{1,128}:(?:\d{4,5}|\*):[\w*\-]{1,64}:[\w.*\-]{1,64}:(?P<values>[^\s:\"\\]{4,256})(?=\s|\\|\"
    |$)
# beside the name of what is secret: filters, psql's records, T-SQL, PHP's, stores of keys and values
column  fill(|type(|Field(|eys(|illin(|setValue(
    (?:(?:fill|type|fillField)\(|\((?=[^()\n]{1,128}\)\.))\s*\\*['\"]?(?P<columns>[^()'\"\n]{1,128}(?:['\"][^()'\"\n]{1,64}){0,2}?)\\*['\"]?
    (?:,|\)\.(?:fill|type|send_?[kK]eys|setValue)\()\s*<quoted>
column  LIKE  <column>(?:NOT\s+)?I?LIKE\s+<quoted>
column  ·eq·|·ne·|·sw·|·co·  <column>(?:eq|ne|sw|co)\s+<quoted>
column  [·RECORD  (?<![^\n])(?P<columns>[\w.]{1,64})[ ]*\|[ ](?P<values>[^\n]{1,4096})
column  ·IN·(
    <column>IN\s+\(\s*(?P<values>\\*'(?:[^()\n]){1,4096}|\\*\"[^()\n]{1,4096})(?=\))
column  ·BETWEEN·  <column>BETWEEN\s+(?P<values><literal>\s+AND\s+<literal>)
column  DECLARE·@  DECLARE @(?P<columns>\w{2,64})\s+[A-Za-z]\w{1,32}(?:\(\w{1,8}\))?\s*=\s*N?<quoted>
column  ";s:|\";s:
    s:\d{1,3}:\\*\"(?P<columns>[\w.\-]{1,64})\\*\";s:\d{1,6}:(?P<quote>\\*\")(?P<values>(?:(?!(?P=quote);)
    [^\n]){1,512}+)(?P=quote);
column  ]=>
    \[\\*\"(?P<columns>[\w.\-]{1,64})\\*\"[:\w\\\"]{0,64}\]=>(?:\s|\\+n){1,8}string\(\d{1,6}\) (?P<quote>\\*\")
    (?P<values>(?:(?!(?P=quote))[^\n]){1,512}+)(?P=quote)
column  kv·put|etcdctl·put|configure·set|config·set|secrets·set|env:set|poetry·config
    (?:kv put|etcdctl put|config(?:ure)? set|secrets set|env:set|poetry config)[ ]+(?:--\w{1,16}[ ]+)?\\*[\"']?
    (?P<columns>[\w.:/\-]{1,128})\\*[\"']?(?:[ ]+|=)\\*[\"']?(?!-)(?P<values>[^\s\"'\\]{1,512})
"""

_SIGNS = {"tab": "\t", "line": "\n", "return": "\r"}
_FIRST_WORD = re.compile(r"[A-Za-z-]{4,}|\w+ ?")


def _messages() -> Iterator[Message]:
    for kind, hints, pattern in rows(_TABLE):
        if kind == "option":
            for program in pattern.split(";"):
                called = rf"(?<!\w){program.replace(' ', '<next>+')}<words><next>{hints}<next>+<value>"
                yield Message((_FIRST_WORD.findall(program)[0],), filled(called, _PARTS), _KINDS["always"])
        else:
            texts = filled(hints.replace("·", " "), _SIGNS).split("|")
            yield Message((*texts,), filled(pattern, _PARTS), _KINDS[kind])


MESSAGES = tuple(_messages())


class Messages:
    """Forms of messages, which are looked for in groups: far sooner told of many hints together than of one by one.

    Args:
        messages: The forms.
    """

    def __init__(self, *messages: Message) -> None:
        groups = [messages[first : first + _GROUP] for first in range(0, len(messages), _GROUP)]
        self._groups = [("|".join(literal(hint) for form in group for hint in form.hints), group) for group in groups]
        self.probe = "|".join(hints for hints, _ in self._groups)
        """Pattern for `probe`, found in every text with one of these messages."""

    def masked(self, text: str, rules: NameRules) -> str:
        """Return a text with the secrets masked that stand in messages of these forms."""
        for hints, group in self._groups:
            if shared_probe(hints)(text):
                for message in group:
                    if any(hint in text for hint in message.hints):
                        text = message.masked(text, rules)
        return text
