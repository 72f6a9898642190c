"""Secrets out, as the last step before an event leaves the process."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otas_middleware._event import BackendEvent
    from otas_middleware._settings import OtasSettings

MASK = "[REDACTED]"
_STEMS = (
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "token",
    "authorization",
    "authentication",
    "credential",
    "apikey",
    "accesskey",
    "privatekey",
    "cookie",
    "sessionid",
    "csrf",
    "xsrf",
    "jwt",
    "cardnumber",
    "cvv",
    "cvc",
    "iban",
    "otp",
    "ssn",
    "signature",
    "otassdkkey",
    "otasagentkey",
)
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4}")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}")
_KEY = re.compile(r"\b(?:otas|agent)_[A-Za-z0-9]+_[A-Za-z0-9_-]+")
_PAIR = re.compile(r"([A-Za-z0-9_.%\[\]-]++)([\"'\\]*+\s*+[:=]\s*+)(\"(?:[^\"\\]|\\.)*+\"?|[^\s&\"'<>,;}]++)")


class Redactor:
    """Masks secrets by name and by shape."""

    def __init__(self, settings: OtasSettings) -> None:
        self._extra = {_normal(name) for name in settings.sensitive_headers}
        self._known: dict[str, bool] = {}

    def sensitive(self, name: str) -> bool:
        """Tell whether a value under this name is masked."""
        known = self._known.get(name)
        if known is None:
            plain = _normal(name)
            known = plain in self._extra or any(stem in plain for stem in _STEMS)
            if len(self._known) < 10_000:
                self._known[name] = known
        return known

    def headers(self, headers: Mapping[str, str | list[str]]) -> str:
        """Return a header block as JSON, masked."""
        if not headers:
            return ""
        return json.dumps(self.value(headers), ensure_ascii=False)

    def value(self, value: Any) -> Any:
        """Return a masked copy of any JSON value."""
        if isinstance(value, dict):
            return {str(k): MASK if self.sensitive(str(k)) else self.value(v) for k, v in value.items()}
        if isinstance(value, list | tuple | set):
            return [self.value(item) for item in value]
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.text(str(value))

    def text(self, text: str) -> str:
        """Return a text with secrets masked."""
        text = _KEY.sub(MASK, _BEARER.sub(MASK, _JWT.sub(MASK, text)))
        return _PAIR.sub(self._pair, text)

    def _pair(self, match: re.Match[str]) -> str:
        name, separator, value = match.groups()
        if not self.sensitive(name):
            return match[0]
        return name + separator + (f'"{MASK}"' if value.startswith('"') else MASK)

    def event(self, event: BackendEvent, token: str) -> BackendEvent:
        """Return a masked copy of an event."""
        changes: dict[str, Any] = {}
        for name in type(event).model_fields:
            value = getattr(event, name)
            if isinstance(value, str):
                changes[name] = self.text(value.replace(token, MASK) if token else value)
            elif isinstance(value, dict):
                changes[name] = self.value(value)
        return event.model_copy(update=changes)


def _normal(name: str) -> str:
    return "".join(char for char in name.lower() if char.isalnum())


@lru_cache(maxsize=32)
def redactor_for(settings: OtasSettings) -> Redactor:
    """Return the redactor of these settings."""
    return Redactor(settings)
