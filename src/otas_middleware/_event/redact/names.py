"""Which names are sensitive: the table of defaults, and the rules made of it and of the settings.

A name is looked at as it stands in a header, a query string, a JSON object, an XML tag and so on: without case, with
`-`, `_`, `.` and blanks alike, in `snake_case`, `kebab-case` and `camelCase`, percent-encoded or not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from otas_middleware._event.redact.escapes import undo_percent, unescape_all

if TYPE_CHECKING:
    from collections.abc import Iterable


class SensitiveNames(NamedTuple):
    """One row of the table. `_` stands where a name may have a separator: `api_key` is api-key and apiKey too."""

    what: str
    anywhere: tuple[str, ...] = ()
    """Sensitive wherever it stands in a name: `secret` masks `client_secret_v2`."""
    word: tuple[str, ...] = ()
    """Sensitive as a word of the name, or its plural: `pin` masks `userPin` and `pin_code`, and not `shipping`."""
    last: tuple[str, ...] = ()
    """Sensitive as the last word of the name: `session` masks `user_session`, and not `session_count`."""


_KEYS = (
    "access account admin api app auth client consumer crypt encryption functions hmac license master private secret "
    "security service session shared signing ssh storage subscription"
)
_CODES = "access activation auth backup mfa recovery security sms verification"

DEFAULT_NAMES: tuple[SensitiveNames, ...] = (
    SensitiveNames(
        "passwords",
        anywhere=("pass_word", "pass_wd", "pass_phrase", "pass_code", "pwd"),
        word=("pass", "salt"),
    ),
    SensitiveNames(
        "passwords in other languages",
        anywhere=("passwort", "kennwort", "mot_de_passe", "contrasena", "contraseña", "wachtwoord"),
        word=("senha",),
    ),
    SensitiveNames("tokens", anywhere=("token", "jwt", "magic_link"), word=("bearer",)),
    SensitiveNames(
        "secrets and credentials",
        anywhere=("secret", "credential", "mnemonic", "seed_phrase", "recovery_phrase", "connection_string"),
        word=("dsn",),
    ),
    SensitiveNames(
        "authentication",
        anywhere=("authorization", "code_verifier", "oauth_verifier", "device_code", "saml_response", "assertion"),
        word=("auth",),
    ),
    SensitiveNames("keys", anywhere=tuple(f"{kind}_key" for kind in _KEYS.split())),
    SensitiveNames("signatures", anywhere=("signature",), word=("sig", "hmac")),
    SensitiveNames(
        "sessions and cookies",
        anywhere=("cookie", "session_id", "sess_id"),
        word=("sid",),
        last=("session", "sess"),
    ),
    SensitiveNames("cross-site request forgery", anywhere=("csrf", "xsrf")),
    SensitiveNames(
        "one-time codes",
        anywhere=(*(f"{kind}_code" for kind in _CODES.split()), "one_time", "two_factor", "2fa", "security_answer"),
        word=("otp", "totp", "hotp", "mfa", "pin"),
    ),
    SensitiveNames(
        "cards",
        anywhere=(
            *("card_number", "card_no", "card_num", "cc_num", "credit_card", "debit_card"),
            *("cvv", "cvc", "track_data"),
        ),
        word=("pan", "csc"),
    ),
    SensitiveNames(
        "bank accounts",
        anywhere=("account_number", "account_no", "acct_num", "acct_no", "bank_account", "routing_number", "sort_code"),
        word=("iban",),
    ),
    SensitiveNames(
        "identity documents",
        anywhere=("social_security", "national_id", "tax_id", "passport", "driver_license", "drivers_license"),
        word=("ssn",),
    ),
    SensitiveNames("OTAS and Agnost", anywhere=("sdk_key", "agent_key", "x_org_id")),
)

_COUNTED = (
    "prompt completion total input output cached reasoning audio max max_new max_output max_completion "
    "cache_creation_input cache_read_input accepted_prediction rejected_prediction"
)
COUNTERS = frozenset(kind.replace("_", "") + "tokens" for kind in _COUNTED.split())
"""Counts of a language model's tokens. They stay readable as long as the value is a plain number."""

LABELS = ("name", "key", "field", "header", "param", "parameter", "label", "id", "type", "kind", "attribute")
"""Members of an object that may say what its other members are: `{"name": "password", "value": "…"}`."""

SEPARATORS = "[-_. ]{0,3}"
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_EXCEPTION = re.compile(r"(?:\w+\.)*[A-Z]\w*(?:Error|Exception|Warning)")
"""A class's name: what follows is a message, not a value."""
_MAX_KNOWN = 8192
_MAX_NAME_CHARACTERS = 512


class NameRules:
    """Decides for each name once, and remembers.

    Args:
        sensitive: Names that are sensitive beside the defaults; a whole name each, `*` stands for anything.
        keep: Names that are never sensitive; a whole name each, `*` stands for anything.
    """

    def __init__(self, sensitive: Iterable[str] = (), keep: Iterable[str] = ()) -> None:
        self._anywhere = re.compile("|".join(_with_separators(part) for part in _all("anywhere")), re.IGNORECASE)
        self._words = frozenset(_all("word"))
        self._last = frozenset(_all("last"))
        extra = tuple(dict.fromkeys(sensitive))
        self._extra = _whole_names(extra)
        self._keep = _whole_names(keep)
        self._hidden: set[str] = set()
        self.harmless: set[str] = set()
        """Names that were asked for and are not sensitive; not all of them."""
        self.probes = _probes(extra)

    def sensitive(self, name: str) -> bool:
        """Tell whether what stands under this name is masked."""
        if name in self.harmless:
            return False
        if name in self._hidden:
            return True
        if len(name) > _MAX_NAME_CHARACTERS:  # hardly a name; what makes it sensitive is near one of its ends
            return self._decide(decoded(name[:_MAX_NAME_CHARACTERS] + " " + name[-_MAX_NAME_CHARACTERS:]))
        sensitive = self._decide(decoded(name))
        if len(self.harmless) + len(self._hidden) < _MAX_KNOWN:
            (self._hidden if sensitive else self.harmless).add(name)
        return sensitive

    def _decide(self, name: str) -> bool:
        if self._keep.fullmatch(name) or _EXCEPTION.fullmatch(name):
            return False
        if self._anywhere.search(name) or self._extra.fullmatch(name):
            return True
        words = [word.lower() for word in _WORD.findall(name)]
        singular = [word.removesuffix("s") for word in words]
        if not self._words.isdisjoint(words) or not self._words.isdisjoint(singular):
            return True
        return bool(words) and (words[-1] in self._last or singular[-1] in self._last)


def decoded(name: str) -> str:
    """Return a name as it is meant: without escapes of JSON and URLs, also when they were applied twice."""
    if "\\" in name:
        name = unescape_all(name)
    return undo_percent(name).replace("+", " ")


def counter(name: str) -> bool:
    """Tell whether a name is one of a language model's token counts (`COUNTERS`)."""
    return name.replace("_", "").replace("-", "").lower() in COUNTERS


def _all(kind: str) -> list[str]:
    return [entry for row in DEFAULT_NAMES for entry in getattr(row, kind)]


def _with_separators(entry: str) -> str:
    return SEPARATORS.join(re.escape(piece) for piece in entry.split("_"))


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
    """A sensitive name, wherever it stands and whatever follows."""
    labelled: str
    """A sensitive name that is itself a value: `{"name": "password", "value": …}`, `["password", …]`, or part of the
    place that a validation error names: `{"loc": ["body", "password"], "input": …}`."""


# What may separate the words of a name; what a word may begin behind (a letter there can be part of an escape); and
# what belongs to the same string.
_BETWEEN = r"[-_. +]*"
_BEFORE = r"(?:[^A-Za-z]|\\[bfnrt])"
_WITHIN = r"[^\"'`<>{}:=]"


def _probes(extra: Iterable[str]) -> Probes:
    # Repetitions are not counted in these: an automaton with many counters no longer fits into the engine's cache, and
    # is a thousand times slower.
    words = "|".join(_all("word") + _all("last"))
    cased = "|".join(form for word in words.split("|") for form in (word.capitalize(), word.upper()))
    anywhere = "|".join(
        (
            *(_BETWEEN.join(map(_literal, entry.split("_"))) for entry in _all("anywhere")),
            *(f"{_WITHIN}*".join(_BETWEEN.join(map(_literal, part)) for part in _pieces(name)) for name in extra),
        )
    )
    after = "[sS]?(?:[^a-z]|$)"
    inner = f"(?i:{anywhere})|(?:{_BEFORE}(?i:{words})|{cased}){after}"  # where something stands before it
    first = f"(?i:{words}){after}"
    label = rf"(?i:[\"'](?:{'|'.join(LABELS)})\\*[\"'])\s*:\s*"
    place = r"[\"']loc\\*[\"']\s*:\s*\[[^\[\]]*"
    return Probes(
        mentioned=f"{inner}|^{first}",
        labelled=rf"(?:{label}|\[\s*|{place})\\*[\"'](?:{_WITHIN}*(?:{inner})|{first})",
    )


def _literal(text: str) -> str:
    """Quote a text for the probe's regular expressions, whose escapes are not Python's."""
    return "".join(_literal_character(char) for char in text)


def _literal_character(char: str) -> str:
    if char.isascii():
        return char if char.isalnum() else f"\\x{{{ord(char):x}}}"
    cases = sorted({char, char.lower(), char.upper()})
    utf16 = ("".join(f"\\\\+u{unit:04x}" for unit in memoryview(case.encode("utf-16-le")).cast("H")) for case in cases)
    return f"(?:\\x{{{ord(char):x}}}|{'|'.join(utf16)})"


def names_table() -> str:
    """Return the table of sensitive names as Markdown, for the documentation."""
    lines = ["| what | anywhere in the name | as a word of the name | as its last word |", "|---|---|---|---|"]
    for row in DEFAULT_NAMES:
        cells = (", ".join(f"`{entry}`" for entry in entries) for entries in (row.anywhere, row.word, row.last))
        lines.append(f"| {row.what} | {' | '.join(cells)} |")
    return "\n".join(lines)
