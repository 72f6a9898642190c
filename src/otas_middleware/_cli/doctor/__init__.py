"""What `otas-middleware doctor` does: check a set-up from its settings to the services; name the cause and the fix."""

TOKEN_VARIABLE = "X_OTAS_AGENT_SESSION_TOKEN"  # noqa: S105  # a variable's name
"""Where the session token for a test event may be."""
