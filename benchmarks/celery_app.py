"""The Celery application that part "sending" publishes through."""

from __future__ import annotations

import importlib
import os
from typing import Any, cast

from benchmarks.broker import BROKER

_celery = cast("Any", importlib.import_module("celery"))  # it has no types
app = _celery.Celery("benchmark", broker=os.environ[BROKER])
