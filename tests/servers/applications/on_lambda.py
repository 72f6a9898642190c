"""The Starlette application as an AWS Lambda function behind Mangum, and a runtime that invokes it as Lambda does.

Lambda freezes the process as soon as the answer is out. What has not been delivered until then waits for the next
invocation, or is lost; hence the `flush` in the handler.
"""

# Checked loosely: it may not be installed, and lint is the same with and without it.
# pyright: basic, reportMissingImports=false
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import mangum
from servers.applications import behaviour, on_starlette

import otas_middleware as otas

adapter = mangum.Mangum(on_starlette.application, lifespan="off")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    try:
        return adapter(event, context)
    finally:
        if not behaviour.BARE:
            otas.flush(timeout=5.0)


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(handler(json.loads(line), None)), flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
