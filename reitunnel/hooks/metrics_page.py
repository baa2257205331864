"""
The metrics of the C{metrics} hook for Prometheus. Needs C{prometheus-client}, the extra
C{metrics}.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from reitunnel.hooks.metric_rows import SECONDS, Durations

if TYPE_CHECKING:
    from reitunnel.hooks.metrics import Figures, MetricsHook


class _Collector(Collector):
    """
    Makes metrics of what a hook has counted.
    """

    def __init__(self, hook: MetricsHook) -> None:
        self._hook = hook

    def collect(self) -> Iterable[Metric]:
        """
        Give them as they are now.
        """
        hook = self._hook
        tunnels, clients = hook.figures()
        yield from _figures("tunnel", ["client", "tunnel"], tunnels)
        yield from _figures("client", ["client"], clients)
        ended = CounterMetricFamily(
            "reitunnel_ended", "What has ended, and why", labels=["what", "code"]
        )
        for what, kinds in hook.ended.items():
            for code, count in kinds.counts.items():
                ended.add_metric([what, code], count)
        yield ended
        errors = CounterMetricFamily(
            "reitunnel_errors", "Failures by their exception", labels=["kind"]
        )
        for kind, count in hook.errors.counts.items():
            errors.add_metric([kind], count)
        yield errors
        yield _histogram(hook.durations)


def page(hook: MetricsHook) -> bytes:
    """
    Give the metrics in the text format 0.0.4.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(hook))
    return generate_latest(registry)


def _figures(of: str, labels: list[str], rows: dict[Any, Figures]) -> Iterator[Metric]:
    opened = "tunnels" if of == "tunnel" else "sessions"
    moved = CounterMetricFamily(
        f"reitunnel_{of}_bytes",
        f"Bytes of each {of} from visitors and to them",
        labels=[*labels, "direction"],
    )
    streams = CounterMetricFamily(
        f"reitunnel_{of}_streams",
        f"Streams of each {of} since the start",
        labels=labels,
    )
    now = GaugeMetricFamily(
        f"reitunnel_{of}_open_streams", f"Open streams of each {of}", labels=labels
    )
    used = GaugeMetricFamily(
        f"reitunnel_{of}_open", f"Open {opened} in each row", labels=labels
    )
    for key, figures in rows.items():
        moved.add_metric([*key, "received"], figures.received)
        moved.add_metric([*key, "sent"], figures.sent)
        streams.add_metric(key, figures.streams)
        now.add_metric(key, figures.open_streams)
        used.add_metric(key, figures.open)
    yield from (moved, streams, now, used)


def _histogram(durations: Durations) -> Metric:
    bounds = [*(str(bound) for bound in SECONDS), "+Inf"]
    return HistogramMetricFamily(
        "reitunnel_stream_seconds",
        "How long streams lasted",
        buckets=list(zip(bounds, accumulate(durations.buckets), strict=True)),
        sum_value=durations.total,
    )
