"""The agent's side: one session per process, its calls outside the domain as events, its tools as events.

Comes in: what the instrumented clients (`_outbound`) tell of their requests, tools, and what the agent itself
describes. Goes out: envelopes, by the pipeline of `_delivery`. May import `_outbound`, `_event`, `_delivery`,
`_capture` and `_config`.

`session` is the outbound policy and holds the rest together; `session_manager` creates and renews the session, by
`uasam`; `clients` makes HTTP clients; `calls` and `tools` are what is recorded, `events` (with `llm`) makes
events of it in the worker; `exporter` delivers, and holds what happened before there was a session.
"""
