"""Secrets out, as the last step before an event leaves the process.

In come the texts and values of an event (`Masker`, one for each event; `Redactor`, one for each set of settings); out
they go with the secrets masked. A value is masked because of the name that it stands under, or of its own shape. Each
rule stands once, among those of its kind:

| rules of this kind | are in |
|---|---|
| names that are sensitive, that only sound so, and that say what form their value has | `sensitive_names` |
| forms of values that stay readable under such names | `forms` |
| keys that are known by how they begin, by a pattern, by a path | `service_keys` |
| other shapes of secrets: private keys, tokens, credentials in URLs and headers, cards | `shapes` |
| messages, SQL, command lines by their programs, files | `messages` |
| what stands between name and value but `:` and `=`: options, calls, directives, prose | `arguments` |

The rest looks for names and values by these rules: `name_rules` says what a name means; `named` finds names in any
text, `named_value` what belongs to them, `spans` where that ends; `labels`, `markup` and `tables` know
where names and values stand otherwise; `values` walks objects. Texts in texts are undone by `encodings` (escapes,
percent-encoding, base64, JSON Web Tokens) and `json_text`.

One probe of the whole text (`_event.patterns`) tells whether there is anything to look for; only then is it looked
through. It imports little else of the package: the settings, the event's model, what has members by name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

from otas_middleware._errors import report_internal_error
from otas_middleware._event.redact.redactor import Redactor, redactor_for
from otas_middleware._event.redact.spans import MASK, UNREADABLE, behind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["MASK", "UNREADABLE", "UNTOUCHED", "Masker", "Redactor", "Untouched", "redactor_for"]

T = TypeVar("T")

_SHORTEST_PIECE = 16
_FINGERPRINT = re.compile("[0-9a-f]{16}")
_SESSION_KEYS = ("fingerprint", "verified")


class Masker:
    """Masks the fields of one event: its session token is hidden too, and no failure lets a field through.

    Each method returns its argument with the secrets masked, or `UNREADABLE` in place of what could not be looked
    through; such a failure is counted (`otas_middleware.stats()`, `internal_errors`).

    Args:
        redactor: Knows what is sensitive.
        token: The raw session token, which an application may have echoed; empty when there is none.
    """

    __slots__ = ("_head", "_redactor", "_suspicious", "_token")

    def __init__(self, redactor: Redactor, token: str) -> None:
        self._redactor = redactor
        self._token = token
        self._head = token[:_SHORTEST_PIECE]
        self._suspicious = token.startswith("eyJ")  # as nearly all tokens are: by what they begin with

    def finds_nothing(self, texts: Iterable[str]) -> bool:
        """Tell quickly that there is nothing to mask in any of the texts; False says nothing."""
        try:
            joined = "\n".join(texts)
            found = self._head and not self._suspicious and self._head in joined
            return not found and self._redactor.finds_nothing(joined)
        except Exception:  # whatever it was
            report_internal_error("redact")
            return False

    def text(self, text: str, *, cut: bool = False) -> str:
        """Mask a text of any format; of a cut one the end is missing."""
        if self._suspicious:
            return text and _fail_closed(lambda: self._redactor.text(text, cut=cut, hide=self._hide))
        return text and _fail_closed(lambda: self._redactor.text(self._hide(text), cut=cut))

    def pairs(self, text: str) -> str:
        """Mask a query string or urlencoded form."""
        return text and _fail_closed(lambda: self._redactor.pairs(self._hide(text)))

    def table(self, text: str) -> str:
        """Mask a table of comma- or tab-separated values."""
        return text and _fail_closed(lambda: self._redactor.table(self._hide(text)))

    def path(self, text: str) -> str:
        """Mask a path."""
        return _fail_closed(lambda: self._redactor.path(self._hide(text)))

    def value(self, value: Any, **bounds: int) -> Any:
        """Mask a Python value of any kind, and make it plain JSON; `bounds` are those of `values.Walk`."""
        return _fail_closed(lambda: self._redactor.walk(self._leaf, **bounds).value(value))

    def members(self, value: dict[str, Any]) -> dict[str, Any]:
        """Mask an object, and make it plain JSON; an object again also when it could not be looked through."""
        masked: Any = self.value(value)
        return {"value": masked} if masked == UNREADABLE else masked

    def fields(self, fields: dict[str, Any]) -> None:
        """Mask all fields of an event, in place; for events that hold text already."""
        form = "urlencoded" in fields["request_content_type"]
        fields["path"] = self.path(fields["path"])
        fields["query_params"] = self.pairs(fields["query_params"])
        fields["post_data"] = self.pairs(fields["post_data"])
        fields["request_body"] = self.pairs(fields["request_body"]) if form else self.text(fields["request_body"])
        for name in (
            "method",
            "request_headers",
            "response_headers",
            "response_body",
            "request_content_type",
            "response_content_type",
            "error",
            "project_id",
        ):
            fields[name] = self.text(fields[name])
        metadata: dict[str, Any] = fields["metadata"]
        session: dict[str, Any] = metadata.get("session", {})
        operation: dict[str, Any] = metadata.get("operation", {})
        for name in ("custom_properties", "metadata"):
            fields[name] = self.members(fields[name])
        if type(session) is dict and tuple(session) == _SESSION_KEYS:  # ours: only its name looks sensitive
            fields["metadata"]["session"] = {key: self.value(session[key]) for key in _SESSION_KEYS}
        if type(operation) is dict and _FINGERPRINT.fullmatch(str(operation.get("session"))):  # as above
            fields["metadata"]["operation"]["session"] = operation["session"]

    def _leaf(self, text: str) -> str:
        return self._redactor.text(self._hide(text))

    def _hide(self, text: str) -> str:
        """Mask the session token, also when a body was cut off within it."""
        if not self._head or self._head not in text:
            return text
        text = text.replace(self._token, MASK)
        start = text.rfind(self._head, behind(len(text), len(self._token)))
        if start >= 0 and self._token.startswith(text[start:]):
            text = text[:start] + MASK
        return text


def _fail_closed(mask: Callable[[], T]) -> T | str:
    try:
        return mask()
    except Exception:  # whatever it was
        report_internal_error("redact")
        return UNREADABLE


class Untouched:
    """Stands in for a masker where it is known that there is nothing to mask."""

    def text(self, text: str, *, cut: bool = False) -> str:  # noqa: ARG002  # the masker's signature
        """Return the text."""
        return text

    pairs = path = table = text

    def value(self, value: Any) -> Any:
        """Return the value, which must be plain JSON."""
        return value


UNTOUCHED = Untouched()
