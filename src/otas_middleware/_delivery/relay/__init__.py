"""Delivery through another process: the host hands each request over in one packet, the relay builds and sends.

`delivery` is the host's side (`client`, `link`, `batch`), `server` the relay's (`tenant`); `packets`, `frames` and
`hello` are what both speak, `trust` says whom either believes, `start` finds or starts a host's relay.
"""
