"""The errors that this package raises on purpose."""


class OtasError(Exception):
    """Base of every error that `otas_middleware` raises."""

    @property
    def problem_and_fix(self) -> str:
        """The message without the package's name before it, for whoever says that anyway."""
        return str(self).removeprefix("otas_middleware: ")


class ConfigurationError(OtasError, ValueError):
    """A setting cannot be used. The message names the setting, the problem and the fix, never a secret's value."""


class MissingExtraError(OtasError, ImportError):
    """A feature needs an optional package. The message holds the `pip install` line that brings it."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs a package that is not installed; run: pip install 'otas-middleware[{extra}]'"
        )
        self.extra = extra
