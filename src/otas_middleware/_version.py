"""The one place that holds the package version (hatchling and `metadata.sdk` read it), and where its documents are."""

__version__ = "0.2.0"

DOCS_URL = "https://github.com/otas-middleware/otas-middleware/blob/main"
"""Where the documents of this package are; messages point there."""
SETTINGS_URL = f"{DOCS_URL}/docs/settings.md"
