"""What `otas-middleware doctor` does: check a set-up from its settings to the services; name the cause and the fix."""
