"""Where settings come from: keywords, the framework's configuration and the environment, in this order of strength.

A field `max_body_bytes` is spelled `max_body_bytes=` as a keyword, `OTAS["MAX_BODY_BYTES"]` in Django,
`OTAS_MAX_BODY_BYTES` in Flask's configuration and in the environment. The spellings are derived from the fields.
"""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from pydantic import TypeAdapter, ValidationError

from otas_middleware._config.settings import OtasSettings
from otas_middleware._errors import ConfigurationError
from otas_middleware._runtime import runtime
from otas_middleware._version import SETTINGS_URL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ENV_PREFIX = "OTAS_"


class Origin(NamedTuple):
    """A value that was given for a field, and how the user spelled that field."""

    value: object
    spelling: str


class FrameworkSettings(NamedTuple):
    """The part of a framework's configuration that is ours, and the way a name is spelled there."""

    values: Mapping[str, object]
    """Field names in upper case, without a prefix, to values."""
    spelling: str
    """A format with one `{}` for the upper-case name, such as `OTAS[{!r}]` or `OTAS_{}`."""

    def spelled(self, field: str) -> str:
        """Return how a field is spelled there."""
        return self.spelling.format(field.upper())


NO_FRAMEWORK = FrameworkSettings({}, "{}")

# Kubernetes puts such variables beside a service whose name begins with `otas-`; they are not settings.
_SERVICE_LINK = re.compile(r"OTAS_.*(?:_SERVICE_HOST|_SERVICE_PORT(?:_.*)?|_PORT|_PORT_\d+_(?:TCP|UDP)(?:_.*)?)")


def gather(
    keywords: Mapping[str, object],
    framework: FrameworkSettings = NO_FRAMEWORK,
    environ: Mapping[str, str] | None = None,
) -> dict[str, Origin]:
    """Collect what was set, the strongest source winning: keyword, framework, environment.

    Args:
        keywords: Field names to values.
        framework: The framework's own configuration.
        environ: The environment; `os.environ` when left out. An empty variable counts as not set, and so does one
            that is no setting (`unknown_variables`).

    Returns:
        Field name → value and spelling, for the fields that were set.

    Raises:
        ConfigurationError: A name in code or in the framework's configuration is not a setting.
    """
    environ = os.environ if environ is None else environ
    fields = OtasSettings.model_fields
    found: dict[str, Origin] = {}
    for field in fields:
        text = environ.get(env_name(field))
        if text:
            found[field] = Origin(text, env_name(field))
    for name, value in framework.values.items():
        spelling = framework.spelling.format(name)
        if name.lower() not in fields or name != name.upper():
            raise _unknown(spelling, name, framework.spelled, "the framework's configuration")
        found[name.lower()] = Origin(value, spelling)
    for name, value in keywords.items():
        if name not in fields:
            raise _unknown(_as_keyword(name), name, _as_keyword, "the arguments")
        found[name] = Origin(value, _as_keyword(name))
    return found


def unknown_variables(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return a sentence for each variable that looks like a setting and is none.

    They stop nothing: a release that knows a setting may be rolled back to one that does not.

    Args:
        environ: The environment; `os.environ` when left out.
    """
    environ = os.environ if environ is None else environ
    known = {env_name(field) for field in OtasSettings.model_fields}
    return [
        f"{name} is not a setting and is ignored;{_suggestion(name.removeprefix(ENV_PREFIX), env_name)}"
        for name, text in environ.items()
        if name.startswith(ENV_PREFIX) and text and name not in known and not _SERVICE_LINK.fullmatch(name)
    ]


def env_name(field: str) -> str:
    """Return the environment variable of a field: `max_body_bytes` → `OTAS_MAX_BODY_BYTES`."""
    return ENV_PREFIX + field.upper()


def _as_keyword(field: str) -> str:
    return f"{field}="


def load_settings(
    keywords: Mapping[str, object],
    framework: FrameworkSettings = NO_FRAMEWORK,
    environ: Mapping[str, str] | None = None,
) -> OtasSettings:
    """Build the settings from all sources.

    When `enabled` comes out false, nothing else is looked at: the kill switch works even while another value is bad.
    Unknown names in the environment are one warning.

    Args:
        keywords: Field names to values, the strongest source.
        framework: The framework's own configuration.
        environ: The environment; `os.environ` when left out.

    Raises:
        ConfigurationError: A name in code or in the framework's configuration is unknown, or a value cannot be used;
            the message names the setting and the fix.
    """
    enabled = _enabled(keywords, framework, os.environ if environ is None else environ)
    if not enabled:
        return OtasSettings.model_construct(enabled=False)
    unknown = unknown_variables(environ)
    if unknown:
        text = "\n".join(unknown)
        runtime.log_once(logging.WARNING, f"otas_middleware: {text} All settings are listed at {SETTINGS_URL}")
    found = gather(keywords, framework, environ)
    values = {name: origin.value for name, origin in found.items()}
    return OtasSettings.spelled(values, {name: origin.spelling for name, origin in found.items()})


def _enabled(keywords: Mapping[str, object], framework: FrameworkSettings, environ: Mapping[str, str]) -> bool:
    sources = (keywords.get("enabled"), framework.values.get("ENABLED"), environ.get("OTAS_ENABLED") or None)
    for value in sources:
        if value is not None:
            try:
                return _BOOL.validate_python(value)
            except ValidationError:
                return True  # the full validation names the bad value
    return True


_BOOL: TypeAdapter[bool] = TypeAdapter(bool)


def _unknown(spelling: str, name: str, spelled: Callable[[str], str], place: str) -> ConfigurationError:
    return ConfigurationError(
        f"{spelling} in {place} is not a setting of otas_middleware;{_suggestion(name, spelled)} "
        f"All settings are listed at {SETTINGS_URL}"
    )


def _suggestion(name: str, spelled: Callable[[str], str]) -> str:
    """Return the end of a sentence about an unknown name: the setting that it resembles, if any.

    Args:
        name: The name as it was given, without what all settings have in common (`OTAS_`).
        spelled: Spells a field as the user would.
    """
    import difflib  # noqa: PLC0415  # needed only on the way to an error

    close = difflib.get_close_matches(name.lower(), OtasSettings.model_fields, n=1)
    return f" did you mean {spelled(close[0])}?" if close else " correct or remove it."
