"""Secrets that libraries quote in the texts of their exceptions, and that statements, filters and commands hold.

Each pattern begins with a literal that the libraries write, and ends within a bound.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from otas_middleware._event.redact.command_lines import COMMANDS
from otas_middleware._event.redact.forms import looks_random
from otas_middleware._event.redact.mask import MASK, with_masked

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._event.redact.name_rules import NameRules

_COLUMN = re.compile(r"[\w.]+")
_LINE_END = re.compile(r"[\n\\]")
_LONGEST_PLACE = 200
_VALUES = re.compile(r"\s*(?:'(?:[^']|'')*+'|\"(?:[^\"]|\"\")*+\"|[^,()'\"]+(?:\([^()]*\))?|\([^()]*\))\s*")


class _Message(NamedTuple):
    """One form of message: what it looks like, and which of its values are secrets."""

    hints: tuple[str, ...]
    """Texts without one of which the pattern cannot match; none of its characters means anything to the probe."""
    pattern: re.Pattern[str]
    replace: Callable[[re.Match[str], NameRules], str]

    def masked(self, text: str, rules: NameRules) -> str:
        """Return the text with the secrets masked of all messages of this form."""
        return self.pattern.sub(lambda match: self.replace(match, rules), text)


def _line_before(match: re.Match[str]) -> str:
    """Return what stands before a match in its line, or at the end of the line before it."""
    before = match.string[max(0, match.start() - _LONGEST_PLACE) : match.start()]
    return _LINE_END.split(before)[-1]


def _any_sensitive(names: str, rules: NameRules) -> bool:
    return any(rules.secret(name) for name in _COLUMN.findall(names))


def _by_column(match: re.Match[str], rules: NameRules) -> str:
    return with_masked(match) if _any_sensitive(match["columns"], rules) else match[0]


def _by_variable(match: re.Match[str], rules: NameRules) -> str:
    names = f"{match['columns']} {match['place'] or ''}"
    return with_masked(match) if _any_sensitive(names, rules) else match[0]


def _if_random(match: re.Match[str], rules: NameRules) -> str:  # noqa: ARG001  # the signature of the others
    return with_masked(match) if looks_random(match["values"]) else match[0]


def _by_line(match: re.Match[str], rules: NameRules) -> str:
    return with_masked(match) if _any_sensitive(_line_before(match), rules) else match[0]


def _always(match: re.Match[str], rules: NameRules) -> str:  # noqa: ARG001  # the signature of the others
    return with_masked(match)


def _by_place(match: re.Match[str], rules: NameRules) -> str:
    """Mask pydantic's `input_value`; of a long one the middle was cut out, maybe with the name of what follows."""
    if _any_sensitive(_line_before(match), rules):
        return with_masked(match)
    values = match["values"]
    if "..." not in values or (values[:1] not in "{[(" and "(" not in values[:64]):
        return match[0]
    kept = values[: values.index("...") + 3]
    return match[0].replace(values, kept + MASK)


def _in_rows(match: re.Match[str], rules: NameRules) -> str:
    """Mask the columns of an INSERT whose names are sensitive."""
    hidden = {index for index, name in enumerate(match["columns"].split(",")) if rules.secret(name.strip(' \t\n`"[]'))}
    if not hidden:
        return match[0]
    rows: list[str] = []
    for row in re.split(r"(\)\s*,\s*\()", match["values"]):
        cells = _VALUES.findall(row) if "(" not in row[:3] or len(row) > 8 else []
        if not cells:
            rows.append(row)
            continue
        shown = [
            f"{cell[: len(cell) - len(cell.lstrip())]}'{MASK}'" if at in hidden else cell
            for at, cell in enumerate(cells)
        ]
        rows.append(",".join(shown))
    base = match.start()
    return match[0][: match.start("values") - base] + "".join(rows) + match[0][match.end("values") - base :]


_QUOTED = r"(?P<quote>\\*['\"])(?P<values>(?:(?!(?P=quote))[^\n]){1,512}+)(?P=quote)"
_INVALID = tuple(
    f"{how} {what}"
    for how in ("nvalid", "ncorrect", "nknown", "xpired", "evoked")
    for what in ("API key", "api key", "api_key", "API token", "token", "access token", "secret", "password", "key")
)
_MESSAGES = (
    _Message(  # pydantic
        ("input_value=",),
        re.compile(
            r"(?:\n|(?<!\\)\\++n)[ ]{1,8}(?:(?!\[type=)[^\n]){0,400}+\[type=[\w.]{1,64}, "
            r"input_value=(?P<values>(?:(?!input_value=).){0,400}?), input_type="
        ),
        _by_place,
    ),
    _Message(  # PostgreSQL
        ("Key ",),
        re.compile(
            r"Key \((?P<columns>[^()]{1,256})\)=\((?P<values>[^\n]{1,512}?)\)"
            r"(?= (?:already|is not|is still|conflicts)|[^)\n]|$)"
        ),
        _by_column,
    ),
    _Message(
        ("row contains",),
        re.compile(r"[Rr]ow contains \((?P<values>(?:(?!ow contains \()[^\n]){1,4096})\)"),
        _always,
    ),
    _Message(  # MySQL
        ("Duplicate entry",),
        re.compile(r"Duplicate entry \\*'(?P<values>[^\n]{1,512}?)\\*' for key \\*'?(?P<columns>[\w.`-]{1,128})"),
        _by_column,
    ),
    _Message(  # SQL Server
        ("duplicate key value is",),
        re.compile(r"duplicate key value is \((?P<values>[^\n()]{1,512}+)\)"),
        _by_line,
    ),
    _Message(  # SQLAlchemy: the statement stands before its parameters
        ("parameters:",),
        re.compile(
            r"\[SQL: (?P<columns>[^\[\]]{1,4096})\](?:\s|\\+n){1,4}"
            r"\[parameters: (?P<values>[^\n]{1,4096}?)\](?=\s|\\|\"|$)"
        ),
        _by_column,
    ),
    _Message(
        ("VALUES",),
        re.compile(
            r"(?:INSERT|REPLACE|insert)\s+(?:INTO|into)\s+[\w.`\"\[\]]{1,128}\s*\((?P<columns>[^()]{1,2048})\)\s*VALUES\s*\((?P<values>(?:(?!VALUES\s*\().){1,8192}?)\)\s*(?=;|ON\b|RETURNING\b|\\*\"|\n|$)",
        ),
        _in_rows,
    ),
    _Message(
        ("IDENTIFIED",),
        re.compile(rf"IDENTIFIED\s+(?:WITH\s+\S{{1,64}}\s+)?(?:BY|AS)\s+(?:PASSWORD\s+)?{_QUOTED}"),
        _always,
    ),
    _Message(("PASSWORD",), re.compile(rf"(?<![\w-])PASSWORD(?:\s+|\s?\(\s?){_QUOTED}"), _always),
    _Message(
        ("BasicAuth(", "DigestAuth("),
        re.compile(rf"(?:Basic|Digest)Auth\(\s?\\*['\"][^'\"\n]{{1,128}}['\"],\s?{_QUOTED}"),
        _always,
    ),
    _Message(  # prose: the password Zq7x…
        ("assword ", "oken ", "ecret "),
        re.compile(r"(?:[Pp]assword|[Tt]oken|[Ss]ecret) (?P<values>[A-Za-z0-9_.~+/=:%|-]{16,256})(?![\w@])"),
        _if_random,
    ),
    _Message(  # links that are as good as a password
        ("/reset", "reset/", "password/", "/magic", "/verify", "/confirm", "/activat"),
        re.compile(
            r"/(?:(?:password[-_]?)?reset(?:[-_]?password)?|(?:new|set|forgot)[-_]?password|magic[-_]?(?:link|login)"
            r"|(?:verify|confirm)(?:[-_]?e?mail)?|activat(?:e|ion))/(?:confirm/)?(?:[\w=-]{1,16}/)?"
            r"(?P<values>[A-Za-z0-9_.=-]{16,256})(?![\w@])"
        ),
        _if_random,
    ),
    _Message(
        ("LIKE",),
        re.compile(rf"(?<![\w.])(?P<columns>[\w.]{{2,64}})\s+(?:NOT\s+)?I?LIKE\s+{_QUOTED}"),
        _by_column,
    ),
    *(_Message((hint,), re.compile(pattern), _always) for hint, pattern in COMMANDS),
    _Message(  # filters of OData and SCIM
        (" eq ", " ne ", " sw ", " co "),
        re.compile(rf"(?<![\w.])(?P<columns>[\w.]{{2,64}})\s+(?:eq|ne|sw|co)\s+{_QUOTED}"),
        _by_column,
    ),
    _Message(  # GraphQL
        ("got invalid value", "has invalid value"),
        re.compile(
            r"\\*[\"'`]\$?(?P<columns>[\w.\[\]]{1,128})\\*[\"'`] (?:got|has) invalid value (?P<quote>\\*[\"'])"
            r"(?P<values>(?:(?!(?P=quote))[^\n]){1,512}+)(?P=quote)(?: at \\*[\"'](?P<place>[\w.\[\]]{1,128}))?"
        ),
        _by_variable,
    ),
    _Message(  # invalid API key a1B2…
        tuple(f"{what} " for what in _INVALID),
        re.compile(rf"(?:{'|'.join(_INVALID)})[: ]{{1,3}}\\*[\"'`(]?(?P<values>[\w.~+/=-]{{8,512}})"),
        _if_random,
    ),
    _Message(  # psql, \\x
        ("[ RECORD",),
        re.compile(r"(?<![^\n])(?P<columns>[\w.]{1,64})[ ]*\|[ ](?P<values>[^\n]{1,4096})"),
        _by_column,
    ),
    _Message(("SET PASSWORD",), re.compile(rf"SET PASSWORD FOR [^\n=]{{1,128}}=\s*{_QUOTED}"), _always),
    _Message((" IN (",), re.compile(rf"(?<![\w.])(?P<columns>[\w.]{{2,64}})\s+IN\s+\(\s*{_QUOTED}"), _by_column),
    _Message(  # a part of a multipart form, with line ends that are none
        ("form-data; name=",),
        re.compile(
            r"form-data; name=\\*\"?(?P<columns>[\w.\[\]-]{1,64})\\*\"?"
            r"(?:\r?\n|\\+r?\\*n?){2,8}(?P<values>[^\r\n\\]{1,4096})"
        ),
        _by_column,
    ),
    _Message(  # Your one-time code is <b>492817</b>
        ("code is", "pin is", "password is", "passcode is", "password for", "token is", "secret is", "key is"),
        re.compile(
            r"(?:(?:one-time|verification|login|security|access|confirmation|auth\w*|reset|sign-in)[ ](?:code|pin)"
            r"|(?i:password|passcode|passphrase|secret|token|api key)(?: for \S{1,64})?) is:?"
            r"[ ]{0,3}(?:<\w{1,10}>)?(?P<values>\d{4,10}(?:</\w{1,10}> [A-Za-z0-9]{16,64})?|(?=\S*\d)\S{6,64})"
        ),
        _always,
    ),
)


MESSAGES_PROBE = "|".join(
    hint.replace("(", r"\(").replace("[", r"\[") for message in _MESSAGES for hint in message.hints
)
"""Found in every text with one of these messages."""


def mask_messages(text: str, rules: NameRules) -> str:
    """Return a text with the secrets masked that are quoted in the forms of well-known libraries."""
    for message in _MESSAGES:
        if any(hint in text for hint in message.hints):
            text = message.masked(text, rules)
    return text
