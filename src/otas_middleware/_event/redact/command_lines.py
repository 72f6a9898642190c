"""Command lines, and what is written like one: values that are set off from their names by blanks or commas.

A command line is a text, or a list of its words: `["mysql", "-u", "root", "-pX"]`. `arguments` finds what stands behind
telling names: options, directives, arguments of calls. `COMMANDS` are the well-known programs whose options do not
tell: `mysql -pX`, `docker login -p X`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otas_middleware._event.redact.mask import MASK
from otas_middleware._event.redact.spans import BARE, OPENING, end_of_match, ends_string, string_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otas_middleware._event.redact.name_rules import Rule

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


_NEXT = r"(?:\s|\\*[\"'],\s*\\*[\"'])"  # between two words
_WORDS = rf"(?={_NEXT})(?:[^\n]|(?<=,)\n){{0,128}}?"
_VALUE = r"(?:\\*[\"'](?=[^\s\"',\\]))?(?P<values>[^\s\"'\\]{1,256})"


def _glued(program: str, option: str) -> str:
    return rf"{program}{_WORDS}{_NEXT}{option}{_VALUE}"


def _apart(program: str, option: str) -> str:
    return rf"{program}{_WORDS}{_NEXT}{option}{_NEXT}+{_VALUE}"


COMMANDS: tuple[tuple[str, str], ...] = (
    ("mysql", _glued(r"mysql(?:dump|admin|import|check)?", "-p")),
    ("mongo", _apart(r"mongo(?:sh|dump|restore|export|import)?", "-p")),
    ("redis-cli", _apart("redis-cli", "-a")),
    ("sshpass", rf"sshpass{_NEXT}+-p(?:{_NEXT}+)?{_VALUE}"),
    ("docker", _apart(rf"docker{_NEXT}+login", "-p")),
    ("podman", _apart(rf"podman{_NEXT}+login", "-p")),
    ("helm", _apart(rf"helm{_NEXT}+registry{_NEXT}+login", "-p")),
    ("ldap", _apart(r"ldap(?:search|modify|add|delete|passwd|whoami|compare)", "-w")),
    ("sqlcmd", rf"sqlcmd{_WORDS}{_NEXT}-P(?:{_NEXT}+)?{_VALUE}"),
    ("openssl", rf"openssl{_WORDS}(?<![a-z])pass:{_VALUE}"),
    ("htpasswd", rf"htpasswd{_NEXT}+-\w*b\w*{_NEXT}+[^\s\"']{{1,128}}{_NEXT}+[^\s\"']{{1,64}}{_NEXT}+{_VALUE}"),
    ("smbclient", rf"smbclient{_WORDS}{_NEXT}-U(?:{_NEXT}+)?[^\s%\"']{{1,64}}%{_VALUE}"),
    ("requirepass", rf"requirepass{_NEXT}+{_VALUE}"),
    ("masterauth", rf"masterauth{_NEXT}+{_VALUE}"),
    ("bindpw", rf"bindpw{_NEXT}+{_VALUE}"),
    ("rootpw", rf"rootpw{_NEXT}+(?:--\w+{_NEXT}+)?{_VALUE}"),
    ("curl", rf"(?:-u|--user|--proxy-user)(?:{_NEXT}+|=)\\*[\"']?[^\s:\"'\\]{{1,64}}:{_VALUE}"),
    ("wget", rf"(?:--user|--proxy-user)(?:{_NEXT}+|=)\\*[\"']?[^\s:\"'\\]{{1,64}}:{_VALUE}"),
    (
        "-stdin",  # echo X | docker login --password-stdin
        rf"(?:echo|printf)[ ]+(?:-n[ ]+)?\\*[\"']?(?!\$){_VALUE}[^|\n]{{0,8}}\|[^|\n]{{0,64}}--password-stdin",
    ),
    ("sudo -S", rf"(?:echo|printf)[ ]+(?:-n[ ]+)?\\*[\"']?(?!\$){_VALUE}[^|\n]{{0,8}}\|[ ]*sudo -S"),
)
"""A word without which a command line is none of these, and its pattern; the group `values` is the secret."""
