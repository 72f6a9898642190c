"""The request path: one request's bounded copy, and who may be recorded.

In come what the adapters see of a request; out goes a finished `Capture`. Nothing here imports delivery, rendering or a
framework, and nothing here blocks.
"""
