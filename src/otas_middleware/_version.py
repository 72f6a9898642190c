"""The one place that holds the package version (hatchling and `metadata.sdk` read it)."""

__version__ = "0.2.0"
