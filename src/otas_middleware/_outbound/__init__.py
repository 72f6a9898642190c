"""Calls that leave this process: which hosts may get the session token, and the taps in HTTP client libraries.

`otas_middleware.agent` and `otas_middleware.propagate` share it. A `Gate` decides; the taps of httpx
and requests ask it for each request as it is about to be sent, redirects and retries included.
"""
