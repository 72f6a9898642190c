"""Secrets in statements: SQL and dumps of databases, filters, calls in source code, files of cookies, command lines.

A command line is a text, or a list of its words: `["mysql", "-u", "root", "-pX"]`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otas_middleware._event.patterns import compiled
from otas_middleware._event.redact.mask import MASK, with_masked
from otas_middleware._event.redact.messages import QUOTED, Message, always, by_column, by_line, unless_prose
from otas_middleware._event.redact.spans import BULK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware._event.redact.name_rules import NameRules

_BETWEEN_ROWS = re.compile(r"(\)(?:\s|\\+[nrt])*,(?:\s|\\+[nrt])*\()")
_LITERAL = r"\\*'[^'\n]{0,512}'"
_CELLS = compiled(r"\s*(?:'(?:[^']|'')*+'|\"(?:[^\"]|\"\")*+\"|[^,()'\"]+(?:\([^()]*\))?|\([^()]*\))\s*")


def _hidden(match: re.Match[str], rules: NameRules) -> set[int]:
    """Return which of the columns of a statement are sensitive."""
    return {at for at, name in enumerate(match["columns"].split(",")) if rules.secret(name.strip(' \t\n`"[]'))}


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
        f"{cell[: len(cell) - len(cell.lstrip())]}'{MASK}'" if at in hidden else cell for at, cell in enumerate(cells)
    ]
    return ",".join(shown) or row


_NEXT = rf"(?:{BULK}|\s|\\*[\"'],\s*\\*[\"'])"  # between two words
_BESIDE = rf"(?:{BULK}|[ \t]|\\*[\"'],[ ]*\\*[\"'])"  # between two words of a line
_WORDS = rf"(?={_NEXT})(?:[^\n]|(?<=,)\n){{0,128}}?"
_VALUE = r"(?:\\*[\"'](?=[^\s\"',\\]))?(?P<values>[^\s\"'\\]{1,256})"
_USER = r"[^\s:\"'\\]{1,64}"
_PASSWORD = rf"(?<![\w-])-[ax]?[pP]{_NEXT}+(?![-./~]|\d{{1,5}}(?:[^\w]|$))"
_REDIS_USER = rf"(?:[\w.-]{{1,64}}{_BESIDE}+)?"
_ECHOED = r"(?:echo|printf)[ ]+(?:-n[ ]+)?\\*[\"']?"
_OPTIONS = {
    # options of programs that do not tell → the programs, whose first word tells that they may be there
    "-p": (
        "mongo(?:sh|dump|restore|export|import)?;docker login;podman login;helm registry login;az login;useradd;usermod"
        ";security unlock-keychain"
    ),
    "-P": "ipmitool;mosquitto_(?:pub|sub|rr)",
    "-a": "redis-cli",
    "-w": "security add-(?:generic|internet)-password;ldap(?:search|modify|add|delete|passwd|whoami|compare)",
    "-[kK]": "openssl enc",
    "-[NP]": "ssh-keygen",
    "/rp": "schtasks",
    "-[cAX]": "snmp(?:walk|bulkwalk|get|getnext|set|trap)",
}
_FIRST_WORD = re.compile(r"[A-Za-z-]{4,}|\w+ ?")


def _programs() -> Iterator[Message]:
    for option, programs in _OPTIONS.items():
        for program in programs.split(";"):
            hints = _FIRST_WORD.findall(program)[:1]
            called = program.replace(" ", f"{_NEXT}+")
            yield Message((*hints,), rf"(?<!\w){called}{_WORDS}{_NEXT}{option}{_NEXT}+{_VALUE}", always)


_SECRETS: tuple[tuple[tuple[str, ...], str], ...] = (
    # words without one of which it is none → what it looks like; the group `values` is the secret
    (('PSK "', 'PSK \\"'), rf"(?<!\w)PSK\s{QUOTED}"),  # strongSwan
    (("mysql",), rf"mysql(?:dump|admin|import|check)?{_WORDS}{_NEXT}-p{_VALUE}"),
    (  # whatever the program is: what follows is neither a port nor a path
        (" -u ", " -U ", '"-u"', '"-U"', '-u\\"', " -au ", " -xu "),
        (
            rf"(?<![\w-])-(?:[ax]?u|U){_NEXT}+{_USER}(?={_NEXT})"
            rf"(?:[^\n-]{{1,128}}+|(?<=,)\n|(?!{_PASSWORD})-){{0,16}}+{_PASSWORD}{_VALUE}"
        ),
    ),
    (("7z ", "rar "), rf"(?<!\w)(?:7z|(?:un)?rar){_WORDS}{_NEXT}-h?p{_VALUE}"),
    # by the option: almost every request says `gzip`
    (tuple(f"-P{end}" for end in " \t\r\n\"'\\"), rf"(?<!\w)(?:un)?zip{_WORDS}{_NEXT}-P{_NEXT}+{_VALUE}"),
    (("sshpass",), rf"sshpass{_NEXT}+-p(?:{_NEXT}+)?{_VALUE}"),
    (("sqlcmd",), rf"sqlcmd{_WORDS}{_NEXT}-P(?:{_NEXT}+)?{_VALUE}"),
    (("openssl",), rf"openssl{_WORDS}(?<![a-z])pass:{_VALUE}"),
    (
        ("htpasswd",),
        rf"htpasswd{_NEXT}+-(?:\w*n\w*|\w*b\w*{_NEXT}+[^\s\"']{{1,128}}){_NEXT}+[^\s\"']{{1,64}}{_NEXT}+{_VALUE}",
    ),
    (
        ("net user", "rabbitmqctl", "wpa_passphrase"),
        (
            rf"(?:net user|rabbitmqctl (?:add_user|change_password)|wpa_passphrase){_NEXT}+"
            rf"\S{{1,64}}{_NEXT}+(?![/*]){_VALUE}"
        ),
    ),
    (("openssl passwd", "rclone obscure"), rf"(?:openssl passwd(?: -\w{{1,8}})?|rclone obscure){_NEXT}+(?!-){_VALUE}"),
    (("/p:",), rf"/u:{_USER}{_WORDS}{_NEXT}/p:{_VALUE}"),
    (("connect to ", "CONNECT TO "), rf"(?i:connect to \S{{1,64}} user \S{{1,64}} using){_NEXT}+{_VALUE}"),
    (("smbclient",), rf"smbclient{_WORDS}{_NEXT}-U(?:{_NEXT}+)?[^\s%\"']{{1,64}}%{_VALUE}"),
    (("net use",), rf"net use[^\n]{{1,128}}?/user:\S{{1,64}}{_NEXT}+(?!/){_VALUE}"),
    (("lftp",), rf"lftp{_WORDS}{_NEXT}-u{_NEXT}+[^\s,\"']{{1,64}},{_VALUE}"),
    ((" -a ", " -A "), rf"(?<![\w-])(?:https?|xhs?|ab|hey){_WORDS}{_NEXT}-[aA]{_NEXT}+{_USER}:{_VALUE}"),
    (
        ("curl", "wget", "etcdctl", "--auth"),
        rf"-(?:[uUE](?:{_NEXT}+|=)?|-(?:auth|(?:proxy-)?(?:user|cert))(?:{_NEXT}+|=))\\*[\"']?{_USER}:{_VALUE}",
    ),
    (
        ("ConvertTo-SecureString",),
        rf"ConvertTo-SecureString{_WORDS}{_NEXT}(?:\\*[\"'])(?P<values>[^\s\"'\\$]{{1,256}})",
    ),
    (
        ("sqlplus", "expdp", "impdp", "rman target"),
        rf"(?:sqlplus|expdp|impdp|rman target){_WORDS}{_NEXT}[\w$]{{1,64}}/(?P<values>[^\s@\"'/]{{1,128}})@",
    ),
    (
        ("AUTH",),
        (
            rf"(?:(?:(?:redis-cli|MIGRATE){_WORDS}{_NEXT}|HELLO{_BESIDE}+[23]{_BESIDE}+)AUTH2?{_BESIDE}+{_REDIS_USER}"
            rf"|AUTH (?:PLAIN|LOGIN|XOAUTH2)[ ]+(?=[A-Za-z0-9+/=]{{8}})){_VALUE}"
        ),
    ),
    (
        ("vault login", "cargo login", "wandb login", "bw unlock", "authtoken ", "snyk auth"),
        (
            r"(?:(?:vault|cargo|wandb) login|bw unlock|ngrok (?:config add-)?authtoken|snyk auth)[ ]+(?:token=)?"
            rf"(?=\S{{0,64}}\d)(?!-){_VALUE}"
        ),
    ),
    (("chpasswd",), rf"{_ECHOED}{_USER}:{_VALUE}[^|\n]{{0,8}}\|[^|\n]{{0,16}}chpasswd"),
    (
        ("-stdin", "sudo -S"),  # echo X | docker login --password-stdin
        rf"{_ECHOED}(?!\$){_VALUE}[^|\n]{{0,8}}\|[^|\n]{{0,64}}(?:--(?:password-)?stdin|sudo -S)",
    ),
    (
        (" password 7 ", " key 7 ", " secret 5 ", " secret 9 "),
        rf"(?:password|secret|key) [05789] (?=\S{{0,64}}[\d$]){_VALUE}",
    ),
    (("enable ",), rf"enable (?:password|secret) (?=\S{{0,64}}\d)(?!\d ){_VALUE}"),
    (("snmp-server community",), rf"snmp-server community {_VALUE}"),
    ((" on >",), rf"(?:user|SETUSER) \S{{1,64}} on >{_VALUE}"),
    (("@tcp(", "@unix("), r"[^\s:@/\"'=]{1,64}:(?P<values>[^\s@\"']{1,128})@(?:tcp|unix)\("),
    (("@//",), r"(?<![\w/])[\w$]{1,64}/(?P<values>[^\s@\"'/]{1,128})@//"),
    (
        ("requirepass", "masterauth", "bindpw", "rootpw"),
        rf"(?:requirepass|masterauth|bindpw|rootpw){_NEXT}+(?:--\w+{_NEXT}+)?{_VALUE}",
    ),
    (("IDENTIFIED",), rf"IDENTIFIED\s+(?:WITH\s+\S{{1,64}}\s+)?(?:BY|AS)\s+(?:PASSWORD\s+)?{QUOTED}"),
    (("OPTIONS (",), rf"OPTIONS \([^()\n]{{0,256}}?(?i:password)\s+{QUOTED}"),
    (("SECRET '",), rf"(?<![\w-])SECRET\s+{QUOTED}"),
    (("crypt(", "CRYPT("), rf"(?i:(?<!\w)crypt\(|(?:en|de)crypt\([^()\n]{{1,256}}?,)\s*{QUOTED}"),
    (
        ("hmac.new(", "createHmac(", "Fernet("),
        rf"(?:hmac\.new\(|Fernet\(|createHmac\(\s*\\*['\"][\w-]{{1,32}}\\*['\"],)\s*b?{QUOTED}",
    ),
    (("jwt.",), rf"jwt\.(?:encode|decode|sign|verify)\([^()\n]{{1,128}}?,\s*b?{QUOTED}"),
    (("PASSWORD",), rf"(?<![\w-])PASSWORD(?:\s+|\s?\(\s?){QUOTED}"),
    (
        ("asicAuth(", "igestAuth(", "login(", "authenticate("),
        rf"(?:(?i:basic|digest)Auth|(?<![A-Za-z])(?:login|authenticate))\(\s?\\*['\"][^'\"\n]{{1,128}}['\"],\s?{QUOTED}",
    ),
    (("SET PASSWORD",), rf"SET PASSWORD FOR [^\n=]{{1,128}}=\s*{QUOTED}"),
    (  # Netscape's file of cookies
        ("\tTRUE\t", "\tFALSE\t", "\\tTRUE\\t", "\\tFALSE\\t"),
        (
            r"(?:\t|\\+t)(?:TRUE|FALSE)(?:\t|\\+t)/[^\t\n\\]{0,256}(?:\t|\\+t)(?:TRUE|FALSE)(?:\t|\\+t)\d{1,12}"
            r"(?:\t|\\+t)[^\t\n\\]{1,256}(?:\t|\\+t)(?P<values>[^\s\\\"]{1,4096})"
        ),
    ),
    (  # .pgpass
        (":5432:", ":*:"),
        r"(?<![\w.*:\-])[\w.*\-]{1,128}:(?:\d{4,5}|\*):[\w*\-]{1,64}:[\w.*\-]{1,64}:(?P<values>[^\s:\"\\]{4,256})(?=\s|\\|\"|$)",
    ),
)

_COLUMNS: tuple[tuple[tuple[str, ...], str], ...] = (
    # the same, where the group `columns` are the names beside the secret
    (("LIKE",), rf"(?<![\w.])(?P<columns>[\w.]{{2,64}})\s+(?:NOT\s+)?I?LIKE\s+{QUOTED}"),
    (  # filters of OData and SCIM
        (" eq ", " ne ", " sw ", " co "),
        rf"(?<![\w.])(?P<columns>[\w.]{{2,64}})\s+(?:eq|ne|sw|co)\s+{QUOTED}",
    ),
    (  # psql, \\x
        ("[ RECORD",),
        r"(?<![^\n])(?P<columns>[\w.]{1,64})[ ]*\|[ ](?P<values>[^\n]{1,4096})",
    ),
    (
        (" IN (",),
        r"(?<![\w.])(?P<columns>[\w.]{2,64})\s+IN\s+\(\s*(?P<values>\\*'(?:[^()\n]){1,4096}|\\*\"[^()\n]{1,4096})(?=\))",
    ),
    ((" BETWEEN ",), rf"(?<![\w.])(?P<columns>[\w.]{{2,64}})\s+BETWEEN\s+(?P<values>{_LITERAL}\s+AND\s+{_LITERAL})"),
    (("DECLARE @",), rf"DECLARE @(?P<columns>\w{{2,64}})\s+[A-Za-z]\w{{1,32}}(?:\(\w{{1,8}}\))?\s*=\s*N?{QUOTED}"),
    (  # PHP: serialize, var_dump
        ('";s:', '\\";s:'),
        r"s:\d{1,3}:\\*\"(?P<columns>[\w.\-]{1,64})\\*\";s:\d{1,6}:(?P<quote>\\*\")(?P<values>(?:(?!(?P=quote);)[^\n]){1,512}+)(?P=quote);",
    ),
    (
        ("]=>",),
        (
            r"\[\\*\"(?P<columns>[\w.\-]{1,64})\\*\"[:\w\\\"]{0,64}\]=>(?:\s|\\+n){1,8}"
            r"string\(\d{1,6}\) (?P<quote>\\*\")"
            r"(?P<values>(?:(?!(?P=quote))[^\n]){1,512}+)(?P=quote)"
        ),
    ),
    (  # stores of keys and values, and settings, on command lines
        ("kv put", "etcdctl put", "configure set", "config set", "secrets set", "env:set", "poetry config"),
        (
            r"(?:kv put|etcdctl put|config(?:ure)? set|secrets set|env:set|poetry config)[ ]+(?:--\w{1,16}[ ]+)?"
            r"\\*[\"']?(?P<columns>[\w.:/\-]{1,128})\\*[\"']?(?:[ ]+|=)\\*[\"']?(?!-)(?P<values>[^\s\"'\\]{1,512})"
        ),
    ),
)

STATEMENTS = (
    Message(
        ("VALUES", "Values (", "Values(", "values (", "values("),
        r"(?i:INSERT|REPLACE)\s+(?i:INTO)\s+[\w.`\"\[\]]{1,128}\s*\((?P<columns>[^()]{1,2048})\)\s*(?i:VALUES)\s*\((?P<values>(?:(?!VALUES\s*\()[\s\S]){1,8192}?)\)\s*(?=;|ON\b|RETURNING\b|\\*\"|\n|$)",
        _in_rows,
    ),
    Message(  # pg_dump
        ("FROM stdin",),
        (
            r"COPY [\w.\"]{1,128} \((?P<columns>[^()]{1,2048})\) FROM stdin[^\n]{0,128}\n"
            r"(?P<values>(?:(?!\\\.)[^\n]*+\n?+)*+)"
        ),
        _in_copied_rows,
    ),
    Message(
        ("AUTH", "> auth "),
        (
            r"(?:(?<![^\n\"'n])AUTH|(?<=> )(?:AUTH|auth))"
            rf"(?!{_BESIDE}+(?:PLAIN|LOGIN|XOAUTH2|CRAM|DIGEST|NTLM|SCRAM|GSSAPI))"
            rf"{_BESIDE}+{_REDIS_USER}{_VALUE}(?=\\*[\"'\r\n]|\\+[rn]|$)"
        ),
        unless_prose,
    ),
    Message((" <<<", "--value ", "--body "), rf"(?:<<<[ ]*|--(?:value|body)[ ]+){_VALUE}", by_line),
    *_programs(),
    *(Message(*row, always) for row in _SECRETS),
    *(Message(*row, by_column) for row in _COLUMNS),
)
