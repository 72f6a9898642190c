"""Bytes become the record, in the background.

In comes a finished capture; out goes an `Envelope` with a redacted and fitted `BackendEvent`. It imports `_capture` and
`_config` and nothing of delivery.
"""
