"""Command lines, and what is written like one: values that are set off from their names by blanks or commas.

A command line is a text, or a list of its words: `["mysql", "-u", "root", "-pX"]`. `arguments` finds what stands behind
telling names: options, directives, arguments of calls. `COMMANDS` are the well-known programs whose options do not
tell: `mysql -pX`, `docker login -p X`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otas_middleware._event.patterns import compiled
from otas_middleware._event.redact.mask import MASK
from otas_middleware._event.redact.name_rules import split_words
from otas_middleware._event.redact.spans import BARE, LINE, OPENING, end_of_match, ends_string, string_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otas_middleware._event.redact.name_rules import Rule

_OPTION = re.compile(  # --password x, -storepass x, "--password", "x"
    r"(?<![\w-])-{1,2}(?P<name>\w[\w.-]+)(?:[ \t]++(?=[^-\s])|\\*[\"'],?\s*+(?=\\*[\"'][^-]))"
)
_ARGUMENT = compiled(  # setItem('token', 'x')
    r"(?<=\()\s*+[bu]?(?P<quote>\\*[\"'])(?P<name>[\w.-]{1,64})(?P=quote)\s*+,\s*+(?=[bu]?(?P=quote))"
    r"|(?<=\()(?P<pair>[\w.-]{1,64}+)[ ]\.[ ](?=\\*\")"
    r"|(?<![\w.])(?:\w*+\.)*+(?P<call>(?:set|with|use|add|login|auth)\w*+)\(\s*+(?=\\*[\"'])"
)
_TUPLE = re.compile(  # {password,"x"} of Erlang, {"password" "x"} of Clojure
    r"\{(?:(?P<atom>[\w.-]{1,64}+)[ ]?,[ ]?|\\*\"(?P<string>[\w.-]{1,64}+)\\*\"[ ])(?=\\*\")"
)
_DIRECTIVE = compiled(  # ENV DB_PASSWORD x, requirepass x, login u password x
    r"(?m:^)[ \t]*+(?P<keyword>(?:ENV|ARG|SET|setx|set(?:[ ]-\w{1,3})?|setenv|export|proxy_set_header|add_header"
    r"|more_set_headers)[ \t]++)?+"
    r"(?P<name>[\w.-]{3,64})[ \t]++(?=[^\s=:|,;.(){}<>-][^\s=:|,;(){}<>]{7,}[ \t]*+;?\r?(?m:$))"
    r"|(?<=[ \t])login[ \t]++\S{1,64}[ \t]++(?P<login>password)[ \t]++"
    r"|(?<![\w-])(?:ENV|ARG|proxy_set_header|add_header|\w+_param|SetEnv|setx|set[ ]-\w{1,3}"
    r"|Set-Item(?=[ ]env:)|\#define)"
    r"[ \t]++(?:env:)?+(?P<quoted>[\w.-]{3,64})[ \t]++(?=[^\s=])"
)
_LINE_END = r"(?:\r?\n|(?:\\++r)?\\++n)"
_BULK = r"(?:\r\n|\\+r\\+n)\$\d{1,9}(?:\r\n|\\+r\\+n)"
"""What stands between two words in Redis's protocol: how long the next is."""
_NEXT_LINE = compiled(  # YAML's `? password`, an event `event: password`, Redis: the value stands in the next line
    rf"(?<![^\s\-,{{\"n])\?[ \t]++(?:[!&]\S++[ \t]++)*+(?:[|>]-?{_LINE_END}[ \t]++)?\\*[\"']?(?P<key>[\w.-]{{1,64}}+)"
    rf"\\*[\"']?[ \t]*+(?:\#[^\n\\]*+)?{_LINE_END}[ \t]*+:(?![^\s\\])(?:[ \t]|{_LINE_END})*+(?:[|>]-?{_LINE_END}[ ]*+)?"
    rf"|event:[ ]?(?P<event>[\w.-]{{1,64}}+){_LINE_END}(?:(?:id|retry)?:[^\n\\]{{0,64}}+{_LINE_END}){{0,3}}+data:[ ]?+"
    rf"(?![{{\[])|(?<=n|\n)(?!AUTH)(?P<item>[\w.:-]{{1,64}}+){_BULK}"
)
_SIGNS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (_OPTION, ("-",)),
    (_ARGUMENT, ("(",)),
    (_TUPLE, ("{",)),
    (_NEXT_LINE, ("\n", "\\n")),
)
_FURTHEST = 128
_PROSE = re.compile(r"[A-Za-z'-]+[.!?]?")
_METAVAR = re.compile(r"(?:string|text|value|path|file|[A-Z][A-Z_]{2,32})(?=[\]\s,\"\\]|$)")
"""What a program's help shows in place of a value."""
_DIRECTIVES = ("login ", "ENV ", "ARG ", "_header ", "setx ", "set -", "#define ", "SetEnv ", "_param ", "Set-Item ")


def arguments(
    text: str, rule_of: Callable[[str], Rule | None], begin: int, limit: int
) -> Iterator[tuple[int, int, str]]:
    """Yield the values that are set off by blanks, commas or ends of lines from names that begin within some part."""
    part = text[begin:limit]
    for pattern, signs in (*_SIGNS, (_DIRECTIVE, _DIRECTIVES if '"' in part else (" ",))):
        if not any(sign in part for sign in signs):
            continue
        for match in pattern.finditer(text, begin, min(limit + _FURTHEST, len(text))):
            rule = _rule_of(match, rule_of) if match.start() < limit else None
            start, end = (0, 0) if rule is None else _value_of(match)
            if rule is not None and start < end and not rule.shows(text[start:end]):
                yield start, end, MASK


def _rule_of(match: re.Match[str], rule_of: Callable[[str], Rule | None]) -> Rule | None:
    name = match["name"] if match.re is _OPTION else match[match.lastgroup or 0]
    rule = rule_of(name)
    if rule is None or match.lastgroup != "event":
        return rule
    # That a password was reset is an event, too; and those of tokens may be the words of a model.
    if rule_of(split_words(name)[-1]) is None:
        return None
    return rule._replace(stays=rule.stays | {"plain"}) if "token" in name else rule


def _value_of(match: re.Match[str]) -> tuple[int, int]:
    """Return where the value of a name begins and ends; the same place where there is none."""
    text, start = match.string, match.end()
    if match.re is _OPTION and _METAVAR.match(text, start) is not None:
        return start, start
    opening = OPENING.match(text, start)
    if opening is None:
        end = end_of_match(LINE if match.re is _NEXT_LINE else BARE, text, start)
    elif text[start - 1].isspace() and ends_string(text, match.start(), opening):
        return start, start
    else:
        start = opening.end()
        end, _ = string_end(text, start, opening["quote"], len(opening["level"]))
    if (
        match.re is _DIRECTIVE
        and match.lastgroup == "name"
        and not match["keyword"]
        and _PROSE.fullmatch(text[start:end])
    ):
        return start, start  # two words: `Cookie settings`
    return start, end


_NEXT = rf"(?:{_BULK}|\s|\\*[\"'],\s*\\*[\"'])"  # between two words
_BESIDE = rf"(?:{_BULK}|[ \t]|\\*[\"'],[ ]*\\*[\"'])"  # between two words of a line
_WORDS = rf"(?={_NEXT})(?:[^\n]|(?<=,)\n){{0,128}}?"
_VALUE = r"(?:\\*[\"'](?=[^\s\"',\\]))?(?P<values>[^\s\"'\\]{1,256})"
_USER = r"[^\s:\"'\\]{1,64}"
_CREDENTIALS = rf"{_BESIDE}+(?:[\w.-]{{1,64}}{_BESIDE}+)?{_VALUE}"
REDIS_AUTH = (
    rf"(?:(?<![^\n\"'n])AUTH|(?<=> )(?:AUTH|auth))(?!{_BESIDE}+(?:PLAIN|LOGIN|XOAUTH2|CRAM|DIGEST|NTLM|SCRAM|GSSAPI))"
    rf"{_CREDENTIALS}(?=\\*[\"'\r\n]|\\+[rn]|$)"
)


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
    ("ssh-keygen", _apart("ssh-keygen", "-[NP]")),
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
    ("AUTH", rf"(?:(?:redis-cli|MIGRATE){_WORDS}{_NEXT}|HELLO{_BESIDE}+[23]{_BESIDE}+)AUTH2?{_CREDENTIALS}"),
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
    (" on >", rf"(?:user|SETUSER) \S{{1,64}} on >{_VALUE}"),
    ("@tcp(", r"[^\s:@/\"'=]{1,64}:(?P<values>[^\s@\"']{1,128})@tcp\("),
    ("@unix(", r"[^\s:@/\"'=]{1,64}:(?P<values>[^\s@\"']{1,128})@unix\("),
    ("@//", r"(?<![\w/])[\w$]{1,64}/(?P<values>[^\s@\"'/]{1,128})@//"),
    ("requirepass", rf"requirepass{_NEXT}+{_VALUE}"),
    ("masterauth", rf"masterauth{_NEXT}+{_VALUE}"),
    ("bindpw", rf"bindpw{_NEXT}+{_VALUE}"),
    ("rootpw", rf"rootpw{_NEXT}+(?:--\w+{_NEXT}+)?{_VALUE}"),
    ("curl", rf"(?:-u(?:{_NEXT}+|=)?|--(?:proxy-)?user(?:{_NEXT}+|=))\\*[\"']?{_USER}:{_VALUE}"),
    ("wget", rf"(?:--user|--proxy-user)(?:{_NEXT}+|=)\\*[\"']?{_USER}:{_VALUE}"),
    (
        "-stdin",  # echo X | docker login --password-stdin
        rf"(?:echo|printf)[ ]+(?:-n[ ]+)?\\*[\"']?(?!\$){_VALUE}[^|\n]{{0,8}}\|[^|\n]{{0,64}}--(?:password-)?stdin",
    ),
    ("sudo -S", rf"(?:echo|printf)[ ]+(?:-n[ ]+)?\\*[\"']?(?!\$){_VALUE}[^|\n]{{0,8}}\|[ ]*sudo -S"),
)
"""A word without which a command line is none of these, and its pattern; the group `values` is the secret."""
