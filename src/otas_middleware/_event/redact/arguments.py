"""Values that are set off from their names by blanks or commas: command lines, calls, directives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otas_middleware._event.redact.mask import MASK
from otas_middleware._event.redact.spans import BARE, QUOTE, end_of_match, ends_string, string_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otas_middleware._event.redact.name_rules import Rule

OPENING = re.compile(
    rf"[bBfFrRuU]{{0,2}}(?P<level>\\*+)(?P<quote>\"\"\"|'''|(?<=\\)\"(?P=level)\"(?P=level)\"|{QUOTE})"
)
_OPTION = re.compile(  # --password x, "--password", "x"
    r"(?<![\w-])--(?P<name>\w[\w.-]*+)(?:[ \t]++(?=[^-\s])|\\*[\"'],?\s*+(?=\\*[\"'][^-]))"
)
_ARGUMENT = re.compile(  # setItem('token', 'x')
    r"(?<=\()\s*+(?P<quote>\\*[\"'])(?P<name>[\w.-]{1,64})(?P=quote)\s*+,\s*+(?=(?P=quote))"
    r"|(?<![\w.])(?:\w++\.)*+(?P<call>(?:set|with|use|add|login|auth)\w*+)\(\s*+(?=\\*[\"'])"
)
_DIRECTIVE = re.compile(  # ENV DB_PASSWORD x, requirepass x, login u password x
    r"(?m:^)[ \t]*+(?:(?:ENV|ARG|SET|setx|set|setenv|export|proxy_set_header|add_header|more_set_headers)[ \t]++)?"
    r"(?P<name>[\w.-]{3,64})[ \t]++(?=[^\s=:|,;.(){}<>-][^\s=:|,;(){}<>]{7,}[ \t]*+;?$)"
    r"|(?<=[ \t])login[ \t]++\S{1,64}[ \t]++(?P<login>password)[ \t]++"
    r"|(?<![\w-])(?:ENV|ARG|proxy_set_header|add_header)[ \t]++(?P<quoted>[\w.-]{3,64})[ \t]++(?=[^\s\"'=])"
)
_METAVAR = re.compile(r"(?:string|text|value|path|file|[A-Z][A-Z_]{2,32})(?=[\]\s,]|$)")
"""What a program's help shows in place of a value."""
_DIRECTIVES = ("login ", "ENV ", "ARG ", "_header ")


def arguments(
    text: str, rule_of: Callable[[str], Rule | None], begin: int, limit: int
) -> Iterator[tuple[int, int, str]]:
    """Yield the values that are set off from their names by blanks or commas."""
    part = text[begin:limit]
    found: list[re.Match[str]] = []
    if "--" in part:
        found += _OPTION.finditer(text, begin, limit)
    if "('" in part or '("' in part or '(\\"' in part:
        found += _ARGUMENT.finditer(text, begin, limit)
    if " " in part and ('"' not in part or any(word in part for word in _DIRECTIVES)):
        found += _DIRECTIVE.finditer(text, begin, limit)
    for match in found:
        rule = rule_of(match["name"] if match.re is _OPTION else match[match.lastgroup or 0])
        if rule is None:
            continue
        start = match.end()
        if match.re is _OPTION and _METAVAR.match(text, start) is not None:
            continue
        opening = OPENING.match(text, start)
        if opening is not None:
            if text[start - 1].isspace() and ends_string(text, match.start(), opening):
                continue
            start = opening.end()
            end, _ = string_end(text, start, opening["quote"], len(opening["level"]))
        else:
            end = end_of_match(BARE, text, start)
        if start < end and not rule.shows(text[start:end]):
            yield start, end, MASK
