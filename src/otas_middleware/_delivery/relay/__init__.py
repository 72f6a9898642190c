"""Delivery through another process: the host hands each request over in one packet, the relay builds and sends.

`delivery` is the host's side (`host_link`, `client`, `batch`), `server` the relay's (`tenant`, `connection`); `packets`
and `frames` are what both speak, `place` and `start` how a host finds or starts its relay.
"""
