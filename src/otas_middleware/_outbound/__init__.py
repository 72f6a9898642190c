"""Calls that leave this process: which hosts may get the session token; instrumentation of HTTP client libraries.

Comes in: requests as a library is about to send them, redirects and retries included. Goes out: the same requests, with
or without a token, and the record of each that is to be recorded. May import `_capture` and `_config`.

An `OutboundPolicy` (`policy`) decides; `httpx_transport`, `requests_adapter` and `aiohttp_middleware` ask it.
`otas_middleware.agent` and `otas_middleware.propagate` share them.
"""
