"""For tests of applications that are recorded, and of agents: events in memory, without a thread and a network.

With pytest there is the fixture `otas_events`, which needs no set-up. It works with the test clients of Django, Flask
and Starlette, and with any other way to call a WSGI or ASGI application in the test's own process:

```python
def test_a_refund_is_recorded_without_the_card_number(client, otas_events):
    client.post("/orders/42/refund", json={"card_number": "4111 1111 1111 1111"}, headers=otas_events.headers)

    event = otas_events.one(path="/orders/42/refund", status_code=200)
    assert event.metadata["route"] == "/orders/{order_id}/refund"
    otas_events.assert_no_trace_of("4111 1111 1111 1111")
```

What an `AgentSession` logs is recorded too, without a key and without UASAM: `otas_events.one(source="agent")`.

Elsewhere (`unittest`, Django's `TestCase`), `with record_events() as events:` does the same.
"""

from __future__ import annotations

from otas_middleware._testing import make_token, session_headers
from otas_middleware._testing.expected import Expected
from otas_middleware._testing.recording import RecordedEvents, SwallowedFailureError, record_events

__all__ = ["Expected", "RecordedEvents", "SwallowedFailureError", "make_token", "record_events", "session_headers"]
