"""Which operations a GraphQL document holds (GraphQL specification, sections 2.1 to 2.8), and whether it is one."""

from __future__ import annotations

import re
from typing import NamedTuple

_WORD = re.compile(
    r"(?P<ignored>(?:[\s,\ufeff]+|#[^\n\r]*)++)|(?P<name>[_A-Za-z]\w*+)|(?P<mark>\.\.\.|[{}():@])"
    r'|(?P<value>[!$&=|\[\]]|"""(?:\\"""|[^"]|"(?!""))*+"""|"(?:\\.|[^"\\\n])*+"|-?\d[\d.eE+-]*+)'
)
_KINDS = frozenset(("query", "mutation", "subscription", "fragment"))
_VALUE = "="
_NEVER = frozenset((_VALUE, ")"))  # values stand in parentheses only, but for descriptions
_MAX_WORDS = 20_000


class Definition(NamedTuple):
    """One operation of a document: `query`, `mutation` or `subscription`, and its name, which may be empty."""

    type: str
    name: str


def may_be_document(text: str) -> bool:
    """Say quickly whether a text begins as a document does."""
    begin = text.lstrip(" \t\r\n,\ufeff")
    return begin[:1] in {"{", "#", '"'} or begin.startswith(("query", "mutation", "subscription", "fragment"))


def operations_in(text: str, *, cut: bool = False) -> list[Definition] | None:
    """Return the operations of a document, or None when the text is no executable document.

    Args:
        text: The document.
        cut: It may end anywhere.
    """
    words, complete = _words(text)
    found: list[Definition] = []
    header: list[str] = []  # what stands before a definition's braces
    depth = 0
    previous = ""
    for word in words:
        if word == _VALUE and not depth and not header and previous != _VALUE:
            previous = word  # a description, which a shorthand cannot have
            continue
        if word in _NEVER or (previous == "{" and word == "}") or (previous == _VALUE and word not in _KINDS):
            return None
        if not depth and word == "{":
            if header and header[0] not in _KINDS:
                return None
            if not header or header[0] != "fragment":
                found.append(_definition(header))
            header, depth = [], 1
        elif not depth:
            header.append(word)
        elif word in "{}":
            depth += 1 if word == "{" else -1
        previous = word
    complete = complete and not depth and not header
    return found if found and (complete or cut) else None


def response_keys(text: str) -> set[str] | None:
    """Return the members that the answer to a shorthand may have; None where fragments add others."""
    keys: set[str] = set()
    depth = 0
    previous = ""
    for word in _words(text)[0]:
        if word in "{}":
            depth += 1 if word == "{" else -1
        elif depth == 1 and word == "...":
            return None
        elif depth == 1 and word != ":" and previous not in {":", "@"}:
            keys.add(word)  # a field, or its alias
        previous = word
    return keys


def _definition(header: list[str]) -> Definition:
    if not header:
        return Definition("query", "")
    return Definition(header[0], header[1] if len(header) > 1 and header[1] != "@" else "")


def _words(text: str) -> tuple[list[str], bool]:
    """Return the words outside of parentheses, in which values of any kind may stand, and whether these are all."""
    words: list[str] = []
    parentheses = position = 0
    for _ in range(_MAX_WORDS):
        match = _WORD.match(text, position)
        if match is None:
            break
        position = match.end()
        if match.lastgroup == "ignored":
            continue
        mark = match[0] if match.lastgroup == "mark" else ""
        parentheses += (mark == "(") - (mark == ")")
        if parentheses == 0 and mark != ")":
            words.append(_VALUE if match.lastgroup == "value" else match[0])
    return words, position == len(text) and parentheses == 0
