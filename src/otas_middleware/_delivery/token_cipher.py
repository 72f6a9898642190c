"""Encryption of the session token in the spool, by Fernet (extra `encryption`)."""

from __future__ import annotations

import base64
import importlib.util
from typing import TYPE_CHECKING

from otas_middleware._errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet


class UnsealError(Exception):
    """The text was sealed with another key, or it was changed."""


class TokenCipher:
    """Encrypts with the first key, decrypts with any.

    Args:
        keys: Fernet keys separated by commas: 32 bytes each, in URL-safe base64. Put a new one in front to change it.

    Raises:
        ConfigurationError: A key is not a Fernet key. The message does not hold it.
        MissingExtraError: The package `cryptography` is not installed.
    """

    def __init__(self, keys: str) -> None:
        self._keys = [key.strip() for key in keys.split(",") if key.strip()]
        for key in self._keys:
            _check(key)
        if importlib.util.find_spec("cryptography") is None:
            raise MissingExtraError("OTAS_SPOOL_KEY", "encryption")
        self._fernet: MultiFernet | None = None

    def cipher(self, text: str) -> bytes:
        """Encrypt."""
        return self._open().encrypt(text.encode())

    def unseal(self, data: bytes) -> str:
        """Decrypt.

        Raises:
            UnsealError: None of the keys fits.
        """
        from cryptography.fernet import InvalidToken  # noqa: PLC0415  # in the worker only

        try:
            return self._open().decrypt(data).decode()
        except InvalidToken:
            raise UnsealError from None

    def _open(self) -> MultiFernet:
        if self._fernet is None:
            from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415  # in the worker only

            self._fernet = MultiFernet([Fernet(key) for key in self._keys])
        return self._fernet


def _check(key: str) -> None:
    try:
        good = len(base64.urlsafe_b64decode(key)) == 32
    except ValueError:
        good = False
    if not good:
        raise ConfigurationError(
            "otas_middleware: OTAS_SPOOL_KEY is not a Fernet key; make one with "
            'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
        ) from None
