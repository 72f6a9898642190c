"""Values that are set off from their names by blanks, commas or ends of lines, and not by a colon or an equals sign.

Options of command lines, arguments of calls, tuples, directives of configurations, lines that follow a name, and prose:
`my password is x`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otas_middleware._event.patterns import compiled, probe
from otas_middleware._event.redact.forms import is_told, looks_random
from otas_middleware._event.redact.name_rules import split_words
from otas_middleware._event.redact.spans import (
    BARE,
    BULK,
    LINE,
    MARKS,
    MASK,
    OPENING,
    STOPS,
    behind,
    end_of_match,
    ends_string,
    string_end,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware._event.redact.name_rules import Rule, RuleOf

_LINE_END = r"(?:\r?\n|(?:\\++r)?\\++n)"
_OPTION = compiled(  # --password x, -storepass x, "--password", "x"; in YAML [--password, x], and items that follow
    r"(?<![\w-])-{1,2}(?P<name>\w[\w.-]+)(?:[ \t]++(?=[^-\s])|\\*[\"'],?\s*+(?=\\*[\"'][^-])"
    rf"|,[ ]?(?P<listed>)(?=[^-\s\"'])|\\*[\"']?{_LINE_END}[ ]*+-[ ](?P<item>)(?=[^-\s]))"
)
_ARGUMENT = compiled(  # setItem('token', 'x')
    r"(?<=\()\s*+[bu]?(?P<quote>\\*[\"'])(?P<name>[#.]?[\w.-]{1,64})(?P=quote)\s*+,\s*+(?=[bu]?(?P=quote))"
    r"|(?<=\()(?P<pair>[\w.-]{1,64}+)[ ]\.[ ](?=\\*\")"
    r"|(?<![\w.])(?:\w*+\.)*+(?P<call>(?:set|with|use|add|login|auth)\w*+)\(\s*+(?=\\*[\"'])"
)
_MADE = compiled(  # SecretStr('x'), new ApiKey("x"), check_password("x")
    r"(?<![\w.])(?:\w*+\.)*+(?P<made>[A-Za-z]\w{2,40}+)\(\s*+(?:[a-z_]{1,24}+=)?+[bru]?(?=\\*[\"'])"
)
_TUPLE = compiled(  # {password,"x"} of Erlang, {"password" "x"} and {:password "x"} of Clojure
    r"\{(?:(?P<atom>[\w.-]{1,64}+)[ ]?,[ ]?|\\*\"(?P<string>[\w.-]{1,64}+)\\*\"[ ])(?=\\*\")"
    r"|:(?<=[{,\s]:)(?P<keyword>[\w.-]{1,64}+)[ ]++(?=\\*\")"
)
_SETTING = compiled(  # requirepass x, export DB_PASSWORD x
    r"(?m:^)[ \t]*+(?P<keyword>(?:ENV|ARG|SET|setx|set(?:[ ]-\w{1,3})?|setenv|export|proxy_set_header|add_header"
    r"|more_set_headers)[ \t]++)?+"
    r"(?P<name>[\w.-]{3,64})[ \t]++(?=[^\s=:|,;.(){}<>-][^\s=:|,;(){}<>]{7,}[ \t]*+;?\r?(?m:$))"
)
_DIRECTIVE = compiled(  # ENV DB_PASSWORD x, login u password x
    r"(?<=[ \t])login[ \t]++\S{1,64}[ \t]++(?P<login>password)[ \t]++"
    r"|(?<![\w-])(?:ENV|ARG|proxy_set_header|add_header|(?:fastcgi|s?cgi|uwsgi)_param|SetEnv|setx|set[ ]-\w{1,3}"
    r"|Set-Item(?=[ ]env:)|\#define)"
    r"[ \t]++(?:env:)?+(?P<quoted>[\w.-]{3,64})[ \t]++(?=[^\s=])"
)
_NEXT_LINE = compiled(  # YAML's `? password`, an event `event: password`, Redis: the value stands in the next line
    rf"(?<![^\s\-,{{\"n])\?[ \t]++(?:[!&]\S++[ \t]++)*+(?:[|>]-?{_LINE_END}[ \t]++)?\\*[\"']?(?P<key>[\w.-]{{1,64}}+)"
    rf"\\*[\"']?[ \t]*+(?:\#[^\n\\]*+)?{_LINE_END}[ \t]*+:(?![^\s\\])(?:[ \t]|{_LINE_END})*+(?:[|>]-?{_LINE_END}[ ]*+)?"
    rf"|event:[ ]?(?P<event>[\w.-]{{1,64}}+){_LINE_END}(?:(?:id|retry)?:[^\n\\]{{0,64}}+{_LINE_END}){{0,3}}+data:[ ]?+"
    rf"(?![{{\[])|(?<=n|\n)(?!AUTH)(?P<item>[\w.:-]{{1,64}}+){BULK}"
)
_QUESTIONS = ("\n? ", "\\n? ", "- ? ", '"? ')
_FURTHEST = 128
_PROSE = re.compile(r"[A-Za-z'-]+[.!?]?")
_IS_NAME = re.compile(r"\\*[\"']\s*:")
_METAVAR = re.compile(r"(?:string|text|value|path|file|[A-Z][A-Z_]{2,32})(?=[.)]*(?:[\]\s,`\"\\]|$))")
"""What a program's help shows in place of a value."""
_DIRECTIVES = ("login ", "ENV ", "ARG ", "_header ", "setx ", "set -", "#define ", "SetEnv ", "_param ", "Set-Item ")
_SAID = compiled(  # my password is x, the API key x, set my PIN to x
    rf"(?<![\w.<-])(?P<said>[^\W\d_][\w{MARKS}-]{{1,40}}+)"
    r"(?P<copula>(?:[ ]for(?:[ ][\w@.'-]{1,64}+){1,3}?(?=[ ](?:is|was)))?"
    r"(?:['\u2019]s|[ ](?:is|was|(?:(?:re)?set[ ]|changed[ ])?to|with[ ]value"
    r"|will[ ]be|ist|lautet|est|es|\u00e9)(?:[ ](?:now|(?:(?:re)?set|changed)[ ]to))?:?))?+"
    r"(?:[ ]{1,2}|[ ]?(?:[\t|\u2013\u2014\u2192-]|\\+u(?:201[34]|2192))[ ]?)"
    r"(?:<\w{1,10}(?:[ ][^<>]{0,128})?>){0,2}+"
    r"(?=\\*[\"'`]\S|[(*`]{0,3}(?:[^\s\"'`\\<>]{0,64}?\d|[A-Za-z]{16}))"
)
"""A word in prose, and what stands between it and its value, if it is a name."""
_may_be_said = probe(
    r"[^\x{00}-\x{40}\[\]{}\\](?:\\u201[34]|[ \t|\x{2013}\x{2014}\x{2192}-])+(?:<[^<>]{1,128}>)*"
    r"(?:\\*[\"'`]\S|[^\s\"'\\<>]*[0-9]|[(*`]{0,3}[A-Za-z]{16})"
)
"""Tell quickly whether `_SAID` may find one: behind a letter, and before a digit or a quote."""
_CODE = re.compile(r"(?i:pin|otp|cv[vc]2?|passcode|code)")
_SHORTEST_CODE = 3
_SHORTEST_QUOTED = 4
_SHORTEST_TOLD = _SHORTEST_TOKEN = 6
_LONGEST_WORD = 40
_QUOTE = 8
"""So many characters a quote has, and what stands before it, of an item of a list."""
_LAST_WORD = re.compile(r"(?<![\w-])(mot[ ]de|[\w-]{2,32})[ ]$")
_STOPS = frozenset((*STOPS.split("|"), "reset", "changed", "expired", "as", "the", "a"))


def arguments(text: str, rule_of: RuleOf, begin: int, limit: int) -> Iterator[tuple[int, int, str]]:
    """Yield where the values are that are set off so from names that begin within a part of a text, and their masks.

    Args:
        text: The text.
        rule_of: Says which names are sensitive.
        begin: Where the part begins.
        limit: Where it ends.
    """
    part, furthest = text[begin:limit], min(limit + _FURTHEST, len(text))
    patterns = [(_OPTION, furthest)] if "-" in part else []
    if "(" in part:
        patterns += (_ARGUMENT, limit), (_MADE, limit)
    if "{" in part:
        patterns.append((_TUPLE, limit))
    if "event:" in part or text.find("$", begin, furthest) >= 0 or _has_question(part):
        patterns.append((_NEXT_LINE, furthest))
    directive = " " in part and any(word in part for word in _DIRECTIVES)
    if directive:
        patterns.append((_DIRECTIVE, furthest))
    if directive or (" " in part and '"' not in part):
        patterns.append((_SETTING, furthest))
    if _may_be_said(part):
        patterns.append((_SAID, limit))
    for pattern, end_of_part in patterns:
        for match in pattern.finditer(text, begin, end_of_part):
            rule = _rule_of_argument(match, rule_of) if match.start() < limit else None
            start, end = (0, 0) if rule is None else _value_of(match)
            if rule is None or start >= end or rule.shows(text[start:end]):
                continue
            value = text[start:end]
            if looks_random(value) if _may_be_another(match) else pattern is not _SAID or _is_said(match, rule, value):
                yield start, end, MASK


def _may_be_another(match: re.Match[str]) -> bool:
    """Tell whether what follows may be a word of a sentence, or what is no secret, as in `Token("name")`."""
    if match.re is not _OPTION:
        return match.re is _MADE
    before = match.string[behind(match.start(), _QUOTE) : match.start()]
    return match["listed"] is not None or (match["item"] is not None and not before.rstrip("\"'\\").endswith("- "))


def _has_question(text: str) -> bool:
    return "? " in text and (text.startswith("? ") or any(sign in text for sign in _QUESTIONS))


def _rule_of_argument(match: re.Match[str], rule_of: RuleOf) -> Rule | None:
    if match.re is _SAID:
        return _rule_of_said(match, rule_of)
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
        if match.re is _OPTION and match["listed"] is not None and text[start:end].endswith("]"):
            end -= 1
    elif text[start - 1].isspace() and ends_string(text, match.start(), opening):
        return start, start
    else:
        start = opening.end()
        end, _ = string_end(text, start, opening["quote"], len(opening["level"]))
        if match.re is _OPTION and _IS_NAME.match(text, end) is not None:
            return start, start  # `"sort": "-token", "fields": …`
    if match.re is _SETTING and not match["keyword"] and _PROSE.fullmatch(text[start:end]):
        return start, start  # two words: `Cookie settings`
    return start, end


def _rule_of_said(match: re.Match[str], rule_of: RuleOf) -> Rule | None:
    """Return the rule of a word that `_SAID` found, or of the two that end with it: `API key`, not `password with`."""
    name = match["said"]
    rule = rule_of(name)
    if name in _STOPS or (rule is not None and "plain" not in rule.stays):
        return rule
    before = _LAST_WORD.search(match.string, behind(match.start(), _LONGEST_WORD), match.start())
    return (before and rule_of(f"{before[1]} {name}")) or rule


def _is_said(match: re.Match[str], rule: Rule, value: str) -> bool:
    """Tell whether what follows is the name's value, and not the next word of the sentence."""
    value = value.strip("()[]*.,;!?")
    if "plain" in rule.stays or looks_random(value):
        return looks_random(value)
    told = match["copula"] is not None
    if value.isdigit():
        least = _SHORTEST_TOKEN if rule.stays else _SHORTEST_CODE
        return "count" not in rule.stays and len(value) >= least and (told or bool(_CODE.fullmatch(match["said"])))
    shortest = _SHORTEST_QUOTED if match.string[match.end()] in "\\\"'`" else _SHORTEST_TOLD
    return is_told(value, shortest) and (told or rule.extent == "phrase")
