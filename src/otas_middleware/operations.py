"""What a protocol of your own is made of, for the setting `operation_protocols`.

```python
from otas_middleware.operations import Exchange, Operation


def read_greeting(exchange: Exchange) -> Operation | None:
    if exchange.request_media != "application/x-greeting":
        return None
    operation = Operation("greeting", name=exchange.request_text.partition(" ")[0])
    if exchange.response_text.startswith("refused"):
        operation.fail("refused", exchange.response_text)
    return operation
```

The function runs in the background, for every recorded request; when it raises, or returns what is no
such operation, the event goes without one.
"""

from __future__ import annotations

from otas_middleware._event.operation.exchange import Exchange
from otas_middleware._event.operation.model import Operation, OperationReader, OperationRecord

__all__ = ["Exchange", "Operation", "OperationReader", "OperationRecord"]
