"""Source code, in which sensitive names are variables: behind the colon of `if token is None:` stands no value."""

from __future__ import annotations

import re

_LOOK_BACK = 96
_LINE_BEGINS = r"(?:[\n\"'`]|\\[nrt])(?:[ \t]|\\t)*+"
_HEAD = re.compile(
    _LINE_BEGINS + r"(?:async[ ])?(?:if|elif|while|match|except|case|for[ ][\w, ]{1,40}?[ ]in)(?=[ (])[^\n\"'`\\]*+\Z"
)
_LAMBDA = re.compile(r"\blambda(?:[ ]\w{1,32}+,){0,4}+[ ]\**+\Z")
_BODY = re.compile(
    r"[ \t]*+(?:\#[^\n\\]{0,128}+)?(?:\r?\n|\\++[rn])++(?:[ \t]|\\++t)++"
    r"(?:(?:return|raise|pass|continue|break|yield|await|assert|del|if|for|while|with|try|case|async)\b"
    r"|[A-Za-z_][\w.]{0,64}+(?:\[[^\]\n]{0,32}\])?[ ]?(?:[-+*/|&]?=[ ]|\())"
)
_CONDITION = re.compile(
    r"(?:(?:(?<![A-Za-z])|(?<=\\[nrt]))(?:if|elif|while|assert|return|and|or|not|when|unless)[ ]|&&[ ]|\|\|[ ]|\()"
    r"[^\n\"'`\\]*+\Z"
)
_VARIABLE = re.compile(r"[ ](?:[A-Za-z_]+\.){0,4}+[A-Za-z_]++(?=[):;]|[ ](?:and|or|&&|\|\||\{|then|\?)|\\*[\"'`]?\Z)")


def is_statement(text: str, begin: int, after: int, separator: str) -> bool:
    """Tell whether a name with its separator belongs to a statement, and what follows is not its value.

    Args:
        text: The text.
        begin: Where the name stands.
        after: Where what follows the separator begins.
        separator: The separator.
    """
    if separator == ":":
        found = _BODY.match(text, after)
        pattern = _HEAD if found is not None else _LAMBDA
        return (found is not None or text.startswith(" ", after)) and pattern.search(_before(text, begin)) is not None
    if separator in {"==", "===", "!="}:
        return _VARIABLE.match(text, after) is not None and _CONDITION.search(_before(text, begin)) is not None
    return False


def _before(text: str, begin: int) -> str:
    start = max(0, begin - _LOOK_BACK)
    return text[start:begin] if start else "\n" + text[:begin]
