"""Secrets in statements: SQL and dumps of databases, filters, calls in source code, files of cookies, command lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otas_middleware._event.redact.command_lines import COMMANDS, REDIS_AUTH
from otas_middleware._event.redact.mask import MASK, with_masked
from otas_middleware._event.redact.messages import QUOTED, Message, always, by_column, unless_prose

if TYPE_CHECKING:
    from otas_middleware._event.redact.name_rules import NameRules

_BETWEEN_ROWS = re.compile(r"(\)(?:\s|\\+[nrt])*,(?:\s|\\+[nrt])*\()")
_LITERAL = r"\\*'[^'\n]{0,512}'"
_CELLS = re.compile(r"\s*(?:'(?:[^']|'')*+'|\"(?:[^\"]|\"\")*+\"|[^,()'\"]+(?:\([^()]*\))?|\([^()]*\))\s*")


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


STATEMENTS = (
    Message(
        ("VALUES", "Values (", "Values(", "values (", "values("),
        r"(?i:INSERT|REPLACE)\s+(?i:INTO)\s+[\w.`\"\[\]]{1,128}\s*\((?P<columns>[^()]{1,2048})\)\s*(?i:VALUES)\s*\((?P<values>(?:(?!VALUES\s*\()[\s\S]){1,8192}?)\)\s*(?=;|ON\b|RETURNING\b|\\*\"|\n|$)",
        _in_rows,
    ),
    Message(
        ("IDENTIFIED",),
        rf"IDENTIFIED\s+(?:WITH\s+\S{{1,64}}\s+)?(?:BY|AS)\s+(?:PASSWORD\s+)?{QUOTED}",
        always,
    ),
    Message(  # pg_dump
        ("FROM stdin",),
        (
            r"COPY [\w.\"]{1,128} \((?P<columns>[^()]{1,2048})\) FROM stdin[^\n]{0,128}\n"
            r"(?P<values>(?:(?!\\\.)[^\n]*+\n?+)*+)"
        ),
        _in_copied_rows,
    ),
    Message(("OPTIONS (",), rf"OPTIONS \([^()\n]{{0,256}}?(?i:password)\s+{QUOTED}", always),
    Message(("SECRET '",), rf"(?<![\w-])SECRET\s+{QUOTED}", always),
    Message(("crypt(", "CRYPT("), rf"(?i:(?<!\w)crypt\(|(?:en|de)crypt\([^()\n]{{1,256}}?,)\s*{QUOTED}", always),
    Message(
        ("hmac.new(", "createHmac(", "Fernet("),
        rf"(?:hmac\.new\(|Fernet\(|createHmac\(\s*\\*['\"][\w-]{{1,32}}\\*['\"],)\s*b?{QUOTED}",
        always,
    ),
    Message(
        ("jwt.",),
        rf"jwt\.(?:encode|decode|sign|verify)\([^()\n]{{1,128}}?,\s*b?{QUOTED}",
        always,
    ),
    Message(("PASSWORD",), rf"(?<![\w-])PASSWORD(?:\s+|\s?\(\s?){QUOTED}", always),
    Message(
        ("asicAuth(", "igestAuth(", "login(", "authenticate("),
        rf"(?:(?i:basic|digest)Auth|(?<![A-Za-z])(?:login|authenticate))\(\s?\\*['\"][^'\"\n]{{1,128}}['\"],\s?{QUOTED}",
        always,
    ),
    Message(
        ("LIKE",),
        rf"(?<![\w.])(?P<columns>[\w.]{{2,64}})\s+(?:NOT\s+)?I?LIKE\s+{QUOTED}",
        by_column,
    ),
    *(Message((hint,), pattern, always) for hint, pattern in COMMANDS),
    Message(("AUTH", "> auth "), REDIS_AUTH, unless_prose),
    Message(  # filters of OData and SCIM
        (" eq ", " ne ", " sw ", " co "),
        rf"(?<![\w.])(?P<columns>[\w.]{{2,64}})\s+(?:eq|ne|sw|co)\s+{QUOTED}",
        by_column,
    ),
    Message(  # psql, \\x
        ("[ RECORD",),
        r"(?<![^\n])(?P<columns>[\w.]{1,64})[ ]*\|[ ](?P<values>[^\n]{1,4096})",
        by_column,
    ),
    Message(("SET PASSWORD",), rf"SET PASSWORD FOR [^\n=]{{1,128}}=\s*{QUOTED}", always),
    Message(
        (" IN (",),
        r"(?<![\w.])(?P<columns>[\w.]{2,64})\s+IN\s+\(\s*(?P<values>\\*'(?:[^()\n]){1,4096}|\\*\"[^()\n]{1,4096})(?=\))",
        by_column,
    ),
    Message(
        (" BETWEEN ",),
        rf"(?<![\w.])(?P<columns>[\w.]{{2,64}})\s+BETWEEN\s+(?P<values>{_LITERAL}\s+AND\s+{_LITERAL})",
        by_column,
    ),
    Message(
        ("DECLARE @",),
        rf"DECLARE @(?P<columns>\w{{2,64}})\s+[A-Za-z]\w{{1,32}}(?:\(\w{{1,8}}\))?\s*=\s*N?{QUOTED}",
        by_column,
    ),
    Message(  # PHP: serialize, var_dump
        ('";s:', '\\";s:'),
        r"s:\d{1,3}:\\*\"(?P<columns>[\w.\-]{1,64})\\*\";s:\d{1,6}:(?P<quote>\\*\")(?P<values>(?:(?!(?P=quote);)[^\n]){1,512}+)(?P=quote);",
        by_column,
    ),
    Message(
        ("]=>",),
        (
            r"\[\\*\"(?P<columns>[\w.\-]{1,64})\\*\"[:\w\\\"]{0,64}\]=>(?:\s|\\+n){1,8}"
            r"string\(\d{1,6}\) (?P<quote>\\*\")"
            r"(?P<values>(?:(?!(?P=quote))[^\n]){1,512}+)(?P=quote)"
        ),
        by_column,
    ),
    Message(  # Netscape's file of cookies
        ("\tTRUE\t", "\tFALSE\t", "\\tTRUE\\t", "\\tFALSE\\t"),
        (
            r"(?:\t|\\+t)(?:TRUE|FALSE)(?:\t|\\+t)/[^\t\n\\]{0,256}(?:\t|\\+t)(?:TRUE|FALSE)(?:\t|\\+t)\d{1,12}"
            r"(?:\t|\\+t)[^\t\n\\]{1,256}(?:\t|\\+t)(?P<values>[^\s\\\"]{1,4096})"
        ),
        always,
    ),
    Message(('PSK "', 'PSK \\"'), rf"(?<!\w)PSK\s{QUOTED}", always),  # strongSwan
    Message(  # .pgpass
        (":5432:", ":*:"),
        r"(?<![\w.*:\-])[\w.*\-]{1,128}:(?:\d{4,5}|\*):[\w*\-]{1,64}:[\w.*\-]{1,64}:(?P<values>[^\s:\"\\]{4,256})(?=\s|\\|\"|$)",
        always,
    ),
    Message(  # stores of keys and values, and settings, on command lines
        ("kv put", "etcdctl put", "configure set", "config set", "secrets set"),
        (
            r"(?:kv put|etcdctl put|config(?:ure)? set|secrets set)[ ]+(?P<columns>[\w.:/\-]{1,128})(?:[ ]+|=)"
            r"\\*[\"']?(?P<values>[^\s\"'\\]{1,512})"
        ),
        by_column,
    ),
)
"""The group `values` of each is the secret; `columns` are the names beside it."""
