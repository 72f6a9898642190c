"""The demo's secrets: values that are sent on purpose, and must not be found in any stored event."""

from __future__ import annotations

import secrets


class Secrets(dict[str, str]):
    """Name → secret. A name that is asked for the first time gets a value that nothing else in the world holds."""

    def __missing__(self, name: str) -> str:
        value = self[name] = secrets.token_hex(12)
        return value

    def learn(self, name: str, value: str) -> None:
        """Add a secret that an application made. The first one of a name keeps it, further ones are numbered."""
        if value not in self.values():
            self[f"{name} {len(self)}" if name in self else name] = value

    def found_in(self, text: str) -> list[str]:
        """Return the names of the secrets that stand in `text`."""
        return [name for name, value in self.items() if value in text]
