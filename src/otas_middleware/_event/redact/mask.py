"""What stands where a secret stood."""

MASK = "[REDACTED]"

UNREADABLE = "[REDACTED: could not be looked through]"
"""Stands where redaction itself failed: the whole field is dropped, never the mask."""
