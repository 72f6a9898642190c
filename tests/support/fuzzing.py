"""How long the fuzz tests run: a few hundred examples each, or as many as `OTAS_FUZZ_EXAMPLES` says."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("OTAS_FUZZ_EXAMPLES", "300"))

fuzzing = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
