"""Prometheus metrics of delivery (extra `prometheus`), under the names of `otas_middleware.stats()`.

```python
import otas_middleware.prometheus

otas_middleware.prometheus.register()          # into prometheus_client's default registry
```

Metrics of delivery have the label `destination`; `otas_dropped_total` and `otas_failures_total` have the label `reason`
too. `otas_refused_total` and `otas_skipped_total` have `reason`, `otas_internal_errors_total` has `place`. The figures
are those of one process. `prometheus_client`'s multi-process mode does not collect from collectors such as this one;
with several workers, expose each worker's own, or log the figures (`OTAS_STATS_INTERVAL`).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from otas_middleware import _internal_errors
from otas_middleware._delivery import Pipeline
from otas_middleware._delivery import process as _process
from otas_middleware._errors import MissingExtraError
from otas_middleware._recorder import recorders

try:
    from prometheus_client.core import REGISTRY, CounterMetricFamily, GaugeMetricFamily
except ModuleNotFoundError as error:  # pragma: no cover  # without the extra
    raise MissingExtraError("otas_middleware.prometheus", "prometheus") from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import CollectorRegistry, Metric

__all__ = ["OtasCollector", "register"]

_COUNTERS = {
    "captured": "Events that came in.",
    "delivered": "Events that the destination took.",
    "retries": "Attempts after the first one of an event.",
    "possible_duplicates": "Events sent again although an earlier attempt may have been stored.",
}
_COUNTERS_BY_REASON = {"dropped": "Events lost.", "failures": "Attempts that did not succeed."}
_GAUGES = {
    "spooled": "Events written to disk less events that left it through this process; may be negative.",
    "queued": "Events in memory, those being sent included.",
    "queued_bytes": "Bytes that the events in memory hold, estimated.",
    "in_flight": "Events being sent.",
    "connections": "How many requests may be under way.",
}


_RELAY: dict[str, tuple[type[CounterMetricFamily | GaugeMetricFamily], str]] = {
    "acknowledged": (CounterMetricFamily, "Events that the relay has delivered or put on disk."),
    "returned": (CounterMetricFamily, "Events that a relay had when it ended, and that this process delivers."),
    "kept": (GaugeMetricFamily, "Events that the relay has and this process keeps until they are settled."),
}
_RELAY_BY_REASON = {
    "fell_back": "Events that the relay did not take.",
    "dropped": "Events that the relay took and dropped.",
}


class OtasCollector:
    """Collects the counters of all pipelines of this process, summed by destination."""

    def collect(self) -> Iterator[Metric]:
        """Return the metrics; called at each scrape."""
        sums, by_reason, up = self._gather()
        for names, family in ((_COUNTERS, CounterMetricFamily), (_GAUGES, GaugeMetricFamily)):
            for name, text in names.items():
                metric = family(f"otas_{name}", text, labels=("destination",))
                for destination, values in sums.items():
                    metric.add_metric((destination,), values[name])
                yield metric
        for name, text in _COUNTERS_BY_REASON.items():
            metric = CounterMetricFamily(f"otas_{name}", text, labels=("destination", "reason"))
            for (destination, kind, reason), count in by_reason.items():
                if kind == name:
                    metric.add_metric((destination, reason), count)
            yield metric
        state = GaugeMetricFamily("otas_up", "1 while the destination takes events, else 0.", labels=("destination",))
        for destination, is_up in up.items():
            state.add_metric((destination,), is_up)
        yield state
        yield from _recording_metrics()
        yield from _relay_metrics()

    @staticmethod
    def _gather() -> tuple[dict[str, Counter[str]], Counter[tuple[str, str, str]], dict[str, int]]:
        sums: dict[str, Counter[str]] = {}
        by_reason: Counter[tuple[str, str, str]] = Counter()
        up: dict[str, int] = {}
        for pipeline in _process.registered():
            if not isinstance(pipeline, Pipeline):
                continue
            for destination, stats in pipeline.stats_by_destination().items():
                values = sums.setdefault(destination, Counter())
                for name in (*_COUNTERS, *_GAUGES):
                    values[name] += stats[name]
                for kind in _COUNTERS_BY_REASON:
                    for reason, count in stats[kind].items():
                        by_reason[destination, kind, reason] += count
                up[destination] = min(up.get(destination, 1), int(stats["state"] == "ok"))
        return sums, by_reason, up


def _recording_metrics() -> Iterator[Metric]:
    """Return what was not recorded, and what failed on our side; the same for all destinations."""
    refused: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    failed = dict(_internal_errors.counts)  # a copy, as another thread may add to them meanwhile
    for recorder in recorders():
        refused += recorder.gate.refused
        skipped += recorder.selection.skipped
    for name, text, label, counts in (
        ("refused", "Requests whose session token was not admitted.", "reason", refused),
        ("skipped", "Requests that the settings leave out.", "reason", skipped),
        ("internal_errors", "Failures of ours, and of functions of yours, by place.", "place", failed),
    ):
        metric = CounterMetricFamily(f"otas_{name}", text, labels=(label,))
        for value, count in counts.items():
            metric.add_metric((value,), count)
        yield metric


def _relay_metrics() -> Iterator[Metric]:
    """Return what went to the relay (`OTAS_RELAY`), summed; nothing where no relay is used."""
    deliveries = [found for found in map(_relay_of, _process.registered()) if found is not None]
    if not deliveries:
        return
    for name, (family, text) in _RELAY.items():
        yield family(f"otas_relay_{name}", text, value=sum(stats[name] for stats in deliveries))
    for name, text in _RELAY_BY_REASON.items():
        metric = CounterMetricFamily(f"otas_relay_{name}", text, labels=("reason",))
        sums: Counter[str] = Counter()
        for stats in deliveries:
            sums.update(stats[name])
        for reason, count in sums.items():
            metric.add_metric((reason,), count)
        yield metric


def _relay_of(delivery: object) -> dict[str, Any] | None:
    relay_stats: Callable[[], dict[str, Any]] | None = getattr(delivery, "relay_stats", None)
    return None if relay_stats is None else relay_stats()


def register(registry: CollectorRegistry = REGISTRY) -> OtasCollector:
    """Add the metrics to a registry, and return the collector for `registry.unregister`.

    Args:
        registry: Where the metrics are exposed; prometheus_client's default one when left out.
    """
    collector = OtasCollector()
    registry.register(collector)
    return collector
