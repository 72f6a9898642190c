"""The types that settings are made of: lists, callables, URLs, as people write them in code and in the environment."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from otas_middleware._config.origins import parse


def _split(value: object) -> object:
    """Let a list be written as one comma-separated string, as environment variables need."""
    if isinstance(value, str):
        return tuple(part for part in (raw.strip() for raw in value.split(",")) if part)
    return value


def _lines(value: object) -> object:
    """Let a list of regular expressions be written as lines of one string."""
    if isinstance(value, str):
        return tuple(line for line in (raw.strip() for raw in value.splitlines()) if line)
    return value


def _check_pattern(value: str) -> str:
    try:
        pattern = re.compile(value)
    except re.error as error:
        raise ValueError(f"it is not a regular expression: {error}") from None
    if pattern.search("") is not None:
        raise ValueError("it matches the empty text, and so everywhere; let it match at least one character")
    return value


def import_path(path: str) -> Any:
    """Import what a path names.

    Args:
        path: Such as `shop.telemetry:Archive` or `shop.telemetry.Archive`.

    Raises:
        ValueError: It leads nowhere, or what it imports fails.
    """
    module, separator, name = path.partition(":")
    if not separator:
        module, _, name = path.rpartition(".")
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"it cannot be imported ({type(error).__name__}: {error}); write it as package.module:name"
        ) from error
    except Exception as error:  # the user's code; its message may hold anything
        raise ValueError(
            f"it cannot be imported, because {module} raises {type(error).__name__}; import it in a shell to see where"
        ) from error
    return found


def _import(value: object) -> object:
    """Let a callable be named by its import path, as environment variables need."""
    return import_path(value) if isinstance(value, str) else value


def check_url(value: str) -> str:
    """Return the base URL without its trailing slash (a doubled slash is a 404 in Brain, see the contract).

    Raises:
        ValueError: It is not an `http` or `https` URL with a host, or it carries credentials, a query or a fragment.
    """
    text = value.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        port_ok = parts.port is None or 0 < parts.port < 65536
    except ValueError:
        port_ok = False
        parts = urlsplit("")
    if not port_ok or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("it is not an http(s) URL; write it like https://brain.example.com or http://localhost:8002")
    if parts.username is not None or parts.password is not None:
        raise ValueError("it holds a user name or password; leave them out, OTAS authenticates by keys")
    if parts.query or parts.fragment or any(ord(char) <= 32 or ord(char) == 127 for char in text):
        raise ValueError("it holds a query, a fragment or blanks; only scheme, host, port and path belong here")
    return text


def _check_origin(value: str) -> str:
    parse(value)
    return value


Names = Annotated[tuple[Annotated[str, StringConstraints(min_length=1)], ...], BeforeValidator(_split)]
"""A list of names; in the environment separated by commas."""

Patterns = Annotated[tuple[Annotated[str, AfterValidator(_check_pattern)], ...], BeforeValidator(_lines)]
"""A list of regular expressions; in the environment one a line, since they may hold commas."""

Callback = Annotated[Callable[..., Any], BeforeValidator(_import)]
"""A callable, or its import path `package.module:name`."""

Callbacks = Annotated[tuple[Callback, ...], BeforeValidator(_split)]
"""A list of callables; in the environment import paths separated by commas."""

Origins = Annotated[tuple[Annotated[str, AfterValidator(_check_origin)], ...], BeforeValidator(_split)]
"""A list of patterns of origins (`origins`); in the environment separated by commas."""

BaseUrl = Annotated[str, AfterValidator(check_url)]
"""An `http` or `https` URL without a trailing slash."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A finite number above zero."""
