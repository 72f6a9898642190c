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

_OPTION = re.compile(  # --password x, -storepass x, "--password", "x"
    r"(?<![\w-])-{1,2}(?P<name>\w[\w.-]+)(?:[ \t]++(?=[^-\s])|\\*[\"'],?\s*+(?=\\*[\"'][^-]))"
)
_ARGUMENT = re.compile(  # setItem('token', 'x')
    r"(?<=\()\s*+[bu]?(?P<quote>\\*[\"'])(?P<name>[\w.-]{1,64})(?P=quote)\s*+,\s*+(?=[bu]?(?P=quote))"
    r"|(?<=\()(?P<pair>[\w.-]{1,64}+)[ ]\.[ ](?=\\*\")"
    r"|(?<![\w.])(?:\w*+\.)*+(?P<call>(?:set|with|use|add|login|auth)\w*+)\(\s*+(?=\\*[\"'])"
)
_TUPLE = re.compile(  # {password,"x"} of Erlang, {"password" "x"} of Clojure
    r"\{(?:(?P<atom>[\w.-]{1,64}+)[ ]?,[ ]?|\\*\"(?P<string>[\w.-]{1,64}+)\\*\"[ ])(?=\\*\")"
)
_DIRECTIVE = re.compile(  # ENV DB_PASSWORD x, requirepass x, login u password x
    r"(?m:^)[ \t]*+(?P<keyword>(?:ENV|ARG|SET|setx|set(?:[ ]-\w{1,3})?|setenv|export|proxy_set_header|add_header"
    r"|more_set_headers)[ \t]++)?+"
    r"(?P<name>[\w.-]{3,64})[ \t]++(?=[^\s=:|,;.(){}<>-][^\s=:|,;(){}<>]{7,}[ \t]*+;?\r?(?m:$))"
    r"|(?<=[ \t])login[ \t]++\S{1,64}[ \t]++(?P<login>password)[ \t]++"
    r"|(?<![\w-])(?:ENV|ARG|proxy_set_header|add_header|\w+_param|SetEnv|setx|set[ ]-\w{1,3}"
    r"|Set-Item(?=[ ]env:)|\#define)"
    r"[ \t]++(?:env:)?+(?P<quoted>[\w.-]{3,64})[ \t]++(?=[^\s=])"
)
_PROSE = re.compile(r"[A-Za-z'-]+[.!?]?")
_METAVAR = re.compile(r"(?:string|text|value|path|file|[A-Z][A-Z_]{2,32})(?=[\]\s,\"\\]|$)")
"""What a program's help shows in place of a value."""
_DIRECTIVES = ("login ", "ENV ", "ARG ", "_header ", "setx ", "set -", "#define ", "SetEnv ", "_param ", "Set-Item ")


def arguments(
    text: str, rule_of: Callable[[str], Rule | None], begin: int, limit: int
) -> Iterator[tuple[int, int, str]]:
    """Yield the values that are set off from their names by blanks or commas."""
    part = text[begin:limit]
    found: list[re.Match[str]] = []
    if "-" in part:
        found += _OPTION.finditer(text, begin, limit)
    if "(" in part:
        found += _ARGUMENT.finditer(text, begin, limit)
    if "{" in part:
        found += _TUPLE.finditer(text, begin, limit)
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
        value = text[start:end]
        if match.lastgroup == "name" and match.re is _DIRECTIVE and not match["keyword"] and _PROSE.fullmatch(value):
            continue  # two words: `Cookie settings`
        if start < end and not rule.shows(value):
            yield start, end, MASK


_NEXT = r"(?:\s|\\*[\"'],\s*\\*[\"'])"  # between two words
_WORDS = rf"(?={_NEXT})(?:[^\n]|(?<=,)\n){{0,128}}?"
_VALUE = r"(?:\\*[\"'](?=[^\s\"',\\]))?(?P<values>[^\s\"'\\]{1,256})"
_USER = r"[^\s:\"'\\]{1,64}"


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
    ("az login", _apart("az login", "-p")),
    ("twine upload", _apart("twine upload", "-p")),
    ("cqlsh", _apart("cqlsh", "-p")),
    ("psexec", _apart("psexec(?:64)?(?:[.]exe)?", "-p")),
    ("PsExec", _apart("PsExec(?:64)?(?:[.]exe)?", "-p")),
    ("useradd", _apart("useradd", "-p")),
    ("usermod", _apart("usermod", "-p")),
    ("ipmitool", _apart("ipmitool", "-P")),
    ("mosquitto_", _apart("mosquitto_(?:pub|sub|rr)", "-P")),
    ("zip -", _apart(r"(?<!\w)(?:un)?zip", "-P")),
    ("7z ", _glued(r"(?<!\w)7z", "-p")),
    ("openssl enc", _apart("openssl enc", "-[kK]")),
    ("schtasks", _apart("schtasks", "/rp")),
    ("snmp", _apart("snmp(?:walk|bulkwalk|get|getnext|set|trap)", "-[cA]")),
    (" -X ", _apart("snmp(?:walk|bulkwalk|get|getnext|set|trap)", "-X")),
    ("net use", rf"net use[^\n]{{1,128}}?/user:\S{{1,64}}{_NEXT}+(?!/){_VALUE}"),
    ("lftp", rf"lftp{_WORDS}{_NEXT}-u{_NEXT}+[^\s,\"']{{1,64}},{_VALUE}"),
    (" -a ", rf"(?<![\w-])(?:https?|xhs?){_WORDS}{_NEXT}-a{_NEXT}+{_USER}:{_VALUE}"),
    ("--auth", rf"--auth(?:{_NEXT}+|=)\\*[\"']?{_USER}:{_VALUE}"),
    ("etcdctl", rf"etcdctl{_WORDS}{_NEXT}--user(?:{_NEXT}+|=){_USER}:{_VALUE}"),
    ("ConvertTo-SecureString", rf"ConvertTo-SecureString{_WORDS}{_NEXT}(?:\\*[\"'])(?P<values>[^\s\"'\\$]{{1,256}})"),
    ("sqlplus", rf"sqlplus{_WORDS}{_NEXT}[\w$]{{1,64}}/(?P<values>[^\s@\"'/]{{1,128}})@"),
    ("AUTH ", rf"(?:redis-cli{_WORDS}|HELLO [23]){_NEXT}AUTH{_NEXT}+(?:[\w-]{{1,64}}{_NEXT}+)?{_VALUE}"),
    ("AUTH ", r"AUTH (?:PLAIN|LOGIN|XOAUTH2)[ ]+(?P<values>[A-Za-z0-9+/=]{8,4096})"),
    (" <<<", rf"-(?:token|stdin)[ ]+<<<[ ]*{_VALUE}"),
    ("vault login", rf"vault login[ ]+(?:token=)?(?=\S{{0,64}}\d)(?!-){_VALUE}"),
    ("cargo login", rf"cargo login[ ]+(?=\S{{0,64}}\d)(?!-){_VALUE}"),
    ("chpasswd", rf"(?:echo|printf)[ ]+\\*[\"']?{_USER}:{_VALUE}[^|\n]{{0,8}}\|[^|\n]{{0,16}}chpasswd"),
    *(
        (hint, rf"(?:password|secret|key) [05789] (?=\S{{0,64}}[\d$]){_VALUE}")
        for hint in (" password 7 ", " key 7 ", " secret 5 ", " secret 9 ")
    ),
    ("enable ", rf"enable (?:password|secret) (?=\S{{0,64}}\d)(?!\d ){_VALUE}"),
    ("snmp-server community", rf"snmp-server community {_VALUE}"),
    (" on >", rf"user \S{{1,64}} on >{_VALUE}"),
    ("@tcp(", r"[^\s:@/\"'=]{1,64}:(?P<values>[^\s@\"']{1,128})@tcp\("),
    ("@unix(", r"[^\s:@/\"'=]{1,64}:(?P<values>[^\s@\"']{1,128})@unix\("),
    ("@//", r"(?<![\w/])[\w$]{1,64}/(?P<values>[^\s@\"'/]{1,128})@//"),
    ("requirepass", rf"requirepass{_NEXT}+{_VALUE}"),
    ("masterauth", rf"masterauth{_NEXT}+{_VALUE}"),
    ("bindpw", rf"bindpw{_NEXT}+{_VALUE}"),
    ("rootpw", rf"rootpw{_NEXT}+(?:--\w+{_NEXT}+)?{_VALUE}"),
    ("curl", rf"(?:-u|--user|--proxy-user)(?:{_NEXT}+|=)\\*[\"']?{_USER}:{_VALUE}"),
    ("wget", rf"(?:--user|--proxy-user)(?:{_NEXT}+|=)\\*[\"']?{_USER}:{_VALUE}"),
    (
        "-stdin",  # echo X | docker login --password-stdin
        rf"(?:echo|printf)[ ]+(?:-n[ ]+)?\\*[\"']?(?!\$){_VALUE}[^|\n]{{0,8}}\|[^|\n]{{0,64}}--(?:password-)?stdin",
    ),
    ("sudo -S", rf"(?:echo|printf)[ ]+(?:-n[ ]+)?\\*[\"']?(?!\$){_VALUE}[^|\n]{{0,8}}\|[ ]*sudo -S"),
)
"""A word without which a command line is none of these, and its pattern; the group `values` is the secret."""
