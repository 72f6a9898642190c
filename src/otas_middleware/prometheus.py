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

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from otas_middleware import _errors
from otas_middleware._delivery import Pipeline
from otas_middleware._delivery import process as _process
from otas_middleware._errors import MissingExtraError
from otas_middleware._recorder import recorders

try:
    from prometheus_client.core import REGISTRY, CounterMetricFamily, GaugeMetricFamily
except ModuleNotFoundError as error:  # pragma: no cover  # without the extra
    raise MissingExtraError("otas_middleware.prometheus", "prometheus") from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.core import CollectorRegistry, Metric

    Labels = tuple[str, ...]
    Described = tuple[type[CounterMetricFamily | GaugeMetricFamily], str, Labels]
    """A metric's kind, its help text, and the names of its labels."""

__all__ = ["OtasCollector", "register"]

_COUNT, _GAUGE = CounterMetricFamily, GaugeMetricFamily
_DELIVERY: dict[str, Described] = {
    "captured": (_COUNT, "Events that came in.", ("destination",)),
    "delivered": (_COUNT, "Events that the destination took.", ("destination",)),
    "retries": (_COUNT, "Attempts after the first one of an event.", ("destination",)),
    "possible_duplicates": (
        _COUNT,
        "Events sent again although an earlier attempt may have been stored.",
        ("destination",),
    ),
    "spooled": (
        _GAUGE,
        "Events written to disk less events that left it through this process; may be negative.",
        ("destination",),
    ),
    "queued": (_GAUGE, "Events in memory, those being sent included.", ("destination",)),
    "queued_bytes": (_GAUGE, "Bytes that the events in memory hold, estimated.", ("destination",)),
    "in_flight": (_GAUGE, "Events being sent.", ("destination",)),
    "connections": (_GAUGE, "How many requests may be under way.", ("destination",)),
    "dropped": (_COUNT, "Events lost.", ("destination", "reason")),
    "failures": (_COUNT, "Attempts that did not succeed.", ("destination", "reason")),
}
_RECORDING: dict[str, Described] = {
    "up": (_GAUGE, "1 while the destination takes events, else 0.", ("destination",)),
    "refused": (_COUNT, "Requests whose session token was not admitted.", ("reason",)),
    "skipped": (_COUNT, "Requests that the settings leave out.", ("reason",)),
    "internal_errors": (_COUNT, "Failures of ours, and of functions of yours, by place.", ("place",)),
}
_RELAY: dict[str, Described] = {
    "acknowledged": (_COUNT, "Events that the relay has delivered or put on disk.", ()),
    "returned": (_COUNT, "Events that a relay had when it ended, and that this process delivers.", ()),
    "kept": (_GAUGE, "Events that the relay has and this process keeps until they are settled.", ()),
    "fell_back": (_COUNT, "Events that the relay did not take.", ("reason",)),
    "dropped": (_COUNT, "Events that the relay took and dropped.", ("reason",)),
}


class OtasCollector:
    """Collects the counters of all pipelines of this process, summed by destination."""

    def collect(self) -> Iterator[Metric]:
        """Return the metrics; called at each scrape."""
        figures: defaultdict[str, Counter[Labels]] = defaultdict(Counter)
        relayed = False
        for delivery in _process.registered():
            if isinstance(delivery, Pipeline):
                for destination, stats in delivery.stats_by_destination().items():
                    for name in _DELIVERY:
                        _add(figures[name], stats[name], destination)
                    is_up = int(stats["state"] == "ok")
                    figures["up"][destination,] = min(figures["up"].get((destination,), 1), is_up)
            relay_stats: Callable[[], dict[str, Any]] | None = getattr(delivery, "relay_stats", None)
            if relay_stats is not None:
                relayed = True
                of_relay = relay_stats()
                for name in _RELAY:
                    _add(figures[f"relay_{name}"], of_relay[name])
        for recorder in recorders():
            _add(figures["refused"], recorder.gate.refused)
            _add(figures["skipped"], recorder.selection.skipped)
        _add(figures["internal_errors"], dict(_errors.counts))  # a copy: another thread may add to them
        relay = {f"relay_{name}": described for name, described in _RELAY.items()} if relayed else {}
        for name, (family, text, labels) in {**_DELIVERY, **_RECORDING, **relay}.items():
            metric = family(f"otas_{name}", text, labels=labels)
            for values, figure in figures[name].items():
                metric.add_metric(values, figure)
            yield metric


def _add(figures: Counter[Labels], found: int | Mapping[str, int], *labels: str) -> None:
    """Add a figure, or several by reason, to those with the same labels."""
    if isinstance(found, int):
        figures[labels] += found
        return
    for reason, count in found.items():
        figures[*labels, reason] += count


def register(registry: CollectorRegistry = REGISTRY) -> OtasCollector:
    """Add the metrics to a registry, and return the collector for `registry.unregister`.

    Args:
        registry: Where the metrics are exposed; prometheus_client's default one when left out.
    """
    collector = OtasCollector()
    registry.register(collector)
    return collector
