"""Where events go: one module per service."""
