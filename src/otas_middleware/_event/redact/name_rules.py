"""Which names are sensitive: the rules made of the table of defaults (`sensitive_names`) and of the settings.

A name is looked at as it stands in a header, a query string, a JSON object, an XML tag and so on: without case, with
`-`, `_`, `.` and blanks alike, in `snake_case`, `kebab-case` and `camelCase`, percent-encoded or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple
from unicodedata import normalize

from otas_middleware._event.redact import sensitive_names as table
from otas_middleware._event.redact.encodings import undo_percent, unescape_ascii, unescape_letters, without_invisible
from otas_middleware._event.redact.forms import readable
from otas_middleware._event.redact.spans import MASK, mask_of
from otas_middleware._runtime import BoundedDict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otas_middleware._event.redact.sensitive_names import SensitiveNames

SEPARATORS = "[-_. ]{0,3}"
_NOT_ALPHANUMERIC = re.compile(r"[\W_]+")
_DIGIT_BEFORE_LETTER = re.compile("([0-9])(?=[a-z])")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[a-z])(?=2fa(?![0-9a-z]))")
_NUMBERED = re.compile(r"(?<=[^\W\d_])\d+$")
_EXCEPTION = re.compile(r"(?:\w+\.)*[A-Z]\w*(?:Error|Exception|Warning)")
"""A class's name: what follows is a message, not a value."""
_MAX_KNOWN = 8192
_MAX_NAME_CHARACTERS = 512


class Rule(NamedTuple):
    """What is masked of the value of a sensitive name.

    Attributes:
        stays: Forms of values (`forms.FORMS`) that are no secret under this name.
        extent: How far an unquoted value goes; see `SensitiveNames.extent`.
        strict: Named by the user's settings: flags and schemas are masked too.
        fingerprint: An id that ties calls together; a fingerprint takes its place.
        session: A session, of which the same is true within the `_meta` of MCP.
    """

    stays: frozenset[str] = frozenset()
    extent: str = "word"
    strict: bool = False
    fingerprint: bool = False
    session: bool = False

    def shows(self, text: str) -> bool:
        """Tell whether a value, as the text that a document shows, is no secret by its form."""
        return not self.strict and readable(text, self.stays)

    def mask(self, text: str, *, in_meta: bool = False) -> str:
        """Return what takes the place of a value; `in_meta` is true within the `_meta` of MCP."""
        return mask_of(text) if self.fingerprint or (self.session and in_meta) else MASK


RuleOf = Callable[[str], "Rule | None"]
"""Says what is masked under a name."""
_STRICT = Rule(strict=True)


class NameRules:
    """Decides for each name once, and remembers, up to a number of names.

    Args:
        sensitive: Names that are sensitive beside the defaults; a whole name each, `*` stands for anything.
        keep: Names that are never sensitive; a whole name each, `*` stands for anything.
    """

    def __init__(self, sensitive: Iterable[str] = (), keep: Iterable[str] = ()) -> None:
        extra = tuple(dict.fromkeys(sensitive))
        self._extra = _whole_names(extra)
        self._keep = _whole_names(keep)
        self._table = [(row, _pattern_of(row)) for row in table.DEFAULT_NAMES]
        self._known = BoundedDict[str, Rule](_MAX_KNOWN)
        self.harmless: set[str] = set()
        """Names that were asked for and are not sensitive; not all of them."""
        self.probes = _probes(extra)

    def rule(self, name: str) -> Rule | None:
        """Return what is masked under a name, or None when nothing is."""
        if name in self.harmless:
            return None
        known = self._known.get(name)
        if known is not None:
            return known
        if len(name) > _MAX_NAME_CHARACTERS:  # hardly a name; what makes it sensitive is near one of its ends
            return self._decide(decoded(name[:_MAX_NAME_CHARACTERS] + " " + name[-_MAX_NAME_CHARACTERS:]))
        rule = self._decide(decoded(name))
        # Strangers can invent names without end: what they fill is emptied, and the names in use are soon back.
        if rule is None:
            if len(self.harmless) >= _MAX_KNOWN:
                self.harmless.clear()
            self.harmless.add(name)
        else:
            self._known[name] = rule
        return rule

    def shown(self, name: str, value: str) -> str | None:
        """Return what is shown of a text that stands under a name, or None when the name is not sensitive."""
        rule = self.rule(name)
        if rule is None:
            return None
        return value if not value or rule.shows(value) else MASK

    def sensitive(self, name: str) -> bool:
        """Tell whether anything that stands under this name is masked."""
        return self.rule(name) is not None

    def secret(self, name: str) -> bool:
        """Tell whether a name, as another member's value, says that what it labels is a secret."""
        rule = self.rule(name)
        return rule is not None and "plain" not in rule.stays

    def _decide(self, name: str) -> Rule | None:
        if self._keep.fullmatch(name) or _EXCEPTION.fullmatch(name):
            return None
        if self._extra.fullmatch(name):
            return _STRICT
        joined = _HARMLESS.sub("", "_".join(split_words(name)).lower())
        return self._rule_of(joined) if joined else None

    def _rule_of(self, joined: str) -> Rule | None:
        """Return the rule of a name that is given as its words in lower case, joined by `_`."""
        found = [(row, match) for row, pattern in self._table if (match := pattern.search(joined)) is not None]
        if not found:
            return None
        rows = [row for row, _ in found]
        stays = frozenset(rows[0].stays).intersection(*(row.stays for row in rows))
        # What the name's first and last words say of its value, unless they are what makes it sensitive.
        words = [_NUMBERED.sub("", word) for word in joined.strip("_").split("_")]
        if words[-1] == "tokens" or joined.rstrip("_")[max(match.end() for _, match in found) :].strip("_"):
            stays = stays.union(form for form, endings in table.ENDINGS.items() if words[-1] in endings)
        if words[0] == "tokens" or joined[: min(match.start() for _, match in found)]:
            stays = stays.union(form for form, beginnings in table.BEGINNINGS.items() if words[0] in beginnings)
        session = "session" in joined or "conversation" in joined
        return Rule(stays, rows[0].extent, fingerprint=joined in table.FINGERPRINTED, session=session)


def split_words(name: str) -> list[str]:
    """Return the words of a name in `snake_case`, `kebab-case` or `camelCase`."""
    return [word for part in _NOT_ALPHANUMERIC.split(name) for word in _HUMP.split(part) if word]


def decoded(name: str) -> str:
    """Return a name as it is meant: without escapes of JSON and URLs, and with letters in their usual form."""
    if "\\" in name:
        name = unescape_letters(unescape_ascii(name)).replace("\\", "")
    name = undo_percent(name).replace("+", " ")
    return name if name.isascii() else normalize("NFKC", without_invisible(name))


def _entry(entry: str) -> str:
    words = "_?".join(split_words(entry)).lower()
    return _DIGIT_BEFORE_LETTER.sub(r"\1_?", words)  # `2FA` is taken apart like `fooBar`


def _pattern_of(row: SensitiveNames) -> re.Pattern[str]:
    parts = [_entry(entry) for entry in row.inside]
    if row.phrase:
        entries = "|".join(map(_entry, row.phrase))
        parts.append(rf"(?:^|_)(?:{entries})(?:s|\d*)(?:_|$)")
    if row.last:
        entries = "|".join(map(_entry, row.last))
        parts.append(rf"(?:^|_)(?:{entries})(?:s|\d*)_*$")
    return re.compile("|".join(parts))


_HARMLESS = re.compile(rf"(?:{'|'.join(table.CONTAINING)}|(?<![^\W_])(?:{'|'.join(table.HARMLESS)}))(?![a-rt-z])")


def _pieces(name: str) -> list[list[str]]:
    """Split a name of the settings at `*`, and each part at its separators."""
    return [re.split(r"[-_. ]+", part) for part in name.split("*")]


def _whole_names(names: Iterable[str]) -> re.Pattern[str]:
    patterns = [
        ".*".join(SEPARATORS.join(re.escape(piece) for piece in part) for part in _pieces(name)) for name in names
    ]
    return re.compile("|".join(patterns) or r"(?!)", re.IGNORECASE | re.DOTALL)


class Probes(NamedTuple):
    """Sources of patterns, without look-around, that are found at least wherever the name rules have work to do."""

    mentioned: str
    """A sensitive name of ASCII, wherever it stands and whatever follows, but for a value that looks random where only
    such a one is a secret."""
    valued: str
    """The latter alone."""
    foreign: str
    """A sensitive name with other characters than those of ASCII."""
    escaped: str
    """Such a name as JSON escapes it."""
    labelled: str
    """A sensitive name that is itself a value: `{"name": "password", "value": …}`, `["password", …]`, or part of the
    place that a validation error names: `{"loc": ["body", "password"], "input": …}`. Also where it would be a variable
    of GraphQL's, and what is labelled a secret by a flag or a type."""
    flagged: str
    """The last of these alone: no name of a secret need be there."""


# What may separate the words of a name; what a word may begin behind (a letter there can be part of an escape); and
# what belongs to the same string.
_BETWEEN = r"[-_. +]*"
_BEFORE = r"(?:[^A-Za-z]|\\[bfnrt])"
_WITHIN = r"[^\"'`<>{}:=]"
_RANDOM = "[A-Za-z0-9_.~+/=:%|-]" * 16


def _probes(extra: Iterable[str]) -> Probes:
    # The engine is as fast as it is as long as its automaton is small: repetitions are not counted, entries with the
    # same last word share it, and only those of one word are looked at for where they begin and end.
    anywhere: list[str] = []
    singles: list[str] = []
    random: list[str] = []
    for row in table.DEFAULT_NAMES:
        anywhere += row.inside
        for entry in (*row.phrase, *row.last):
            kind = random if "plain" in row.stays else anywhere if "_" in entry or not entry.isascii() else singles
            kind.append(entry)
    words = "|".join(singles)
    cased = "|".join(form for entry in singles for form in (entry.capitalize(), entry.upper()))
    named = "|".join(_spelt(name, literal) for name in extra)
    cases = {case for name in extra if not name.isascii() for case in (name, name.lower(), name.upper(), name.title())}
    plain = _by_last_word(entry for entry in anywhere if entry.isascii())
    foreign = [form for entry in anywhere if not entry.isascii() for form in _forms(entry)]
    after = "[sS]?[0-9]*(?:[^a-z]|$)"
    inside = f"(?i-u:{plain})" + (f"|(?i:{named})" if named else "")
    inner = f"{inside}|(?:{_BEFORE}(?i-u:{words})|{cased}){after}"  # where something stands before it
    first = f"(?i-u:{words}){after}"
    valued = (
        rf"(?i-u:{_by_last_word(random)})[sS]?[0-9]*(?: is)?[^A-Za-z0-9]*(?:[^A-Za-z0-9_.~+/]|&quot;|b['\"]){_RANDOM}"
    )
    label = rf"(?i-u:(?:{'|'.join(table.LABELS)})\\*[\"'`]?)\s*[:=]\s*"
    place = r"[\"'](?:loc|path)\\*[\"']\s*:\s*\[[^\[\]]*"
    block = r"(?:variable|secret|output|parameter|local)[ ]+"  # of Terraform
    flags, types = "|".join(table.SECRET_FLAGS), "|".join(table.SECRET_TYPES)
    flagged = rf"(?i-u:{flags})\\*\"\s*:\s*true|(?i-u:type\\*\"\s*:\s*\\*\"(?:{types}))"
    listed = r"\[(?:\s*\\*\"[^\"\[\]{}]*\"\s*,)*\s*"
    other = "|".join(map(literal, foreign))
    return Probes(
        mentioned=f"{inner}|^{first}|{valued}",
        valued=valued,
        foreign=other,
        escaped="|".join((*map(_escaped, foreign), *(f"(?i:{_spelt(case, _escaped)})" for case in cases))),
        labelled=rf"(?:{label}|{listed}|{place}|{block})\\*[\"']?(?:{_WITHIN}*(?:{inner}|{other})|{first})"
        rf"|(?i-u:sql|query|statement|stmt|command|text)\\*\"\s*:\s*\\*\"[^\"]*(?:{inner})"
        rf"|{listed}\\*\"{_WITHIN}*{valued}|(?i-u:raw_?headers)|{flagged}|variables\\*\"\s*:\s*\{{",
        flagged=flagged,
    )


def _spelt(name: str, write: Callable[[str], str]) -> str:
    """Return a pattern of a name of the settings, the letters of which are written in some way."""
    return f"{_WITHIN}*".join(_BETWEEN.join(map(write, part)) for part in _pieces(name))


def _by_last_word(entries: Iterable[str]) -> str:
    """Return a pattern of entries of ASCII, of which those with the same last word are one branch."""
    before: dict[str, list[str]] = {}
    for entry in entries:
        *words, last = entry.split("_")
        before.setdefault(last, []).append("".join(word + _BETWEEN for word in words))
    return "|".join(last if starts == [""] else f"(?:{'|'.join(starts)}){last}" for last, starts in before.items())


def _forms(entry: str) -> list[str]:
    """Return how an entry is spelt: in lower and upper case and capitalised, with and without its separators."""
    titled = "_".join(word.capitalize() for word in entry.split("_"))
    cases = dict.fromkeys((entry, entry.upper(), entry.capitalize(), titled))
    return list(
        dict.fromkeys(case.replace("_", between) for case in cases for between in ("", "_", "-", " ", ".", "+"))
    )


def literal(text: str) -> str:
    """Quote a text for the probe's regular expressions, whose escapes are not Python's."""
    return "".join(char if char.isascii() and char.isalnum() else f"\\x{{{ord(char):x}}}" for char in text)


def _escaped(text: str) -> str:
    return "".join(
        literal(char)
        if char.isascii()
        else "".join(rf"\\+u(?i-u:{unit:04x})" for unit in memoryview(char.encode("utf-16-le")).cast("H"))
        for char in text
    )
