"""The Starlette application as an AWS Lambda function behind Mangum, and a runtime that invokes it as Lambda does.

Lambda freezes the process as soon as the answer is out. What has not been delivered until then waits for the next
invocation, or is lost; hence the `flush` in the handler.
"""

# Not type-checked: the framework may not be installed, and lint must say the same with and without it.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOptionalSubscript=false, reportCallIssue=false, reportReturnType=false

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import mangum

import otas_middleware as otas
from servers.applications import behaviour, on_starlette

adapter = mangum.Mangum(on_starlette.application, lifespan="off")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    try:
        return adapter(event, context)
    finally:
        if not behaviour.BARE:
            otas.flush(timeout=5.0)


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(handler(json.loads(line), None)) + "\n")
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGSTOP)
