"""Import paths of the user's own, written `package.module:name`."""

from __future__ import annotations

import importlib

from otas_middleware._errors import ConfigurationError


def load(path: str, what: str) -> object:
    """Import what a path names.

    Args:
        path: Such as `shop.telemetry:Archive`.
        what: What it is to be, for the error.

    Raises:
        ConfigurationError: It leads nowhere.
    """
    module, _, name = path.partition(":")
    try:
        found: object = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"otas_middleware: the {what} {path!r} cannot be imported ({type(error).__name__}); "
            "write it as package.module:name."
        ) from error
    return found
