"""
The metrics of the C{metrics} hook for Prometheus. Needs C{prometheus-client}, the extra
C{metrics}.

The rows of tunnels and clients may be many, and are written here: C{prometheus_client}
takes ten times as long, in which the reactor does nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
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
    tunnels, clients = hook.figures()
    lines = [
        *_rows("tunnel", ("client", "tunnel"), tunnels.items()),
        *_rows("client", ("client",), clients.items()),
        "",
    ]
    return "\n".join(lines).encode() + generate_latest(registry)


def _rows(
    of: str, names: tuple[str, ...], rows: Iterable[tuple[tuple[str, ...], Figures]]
) -> Iterator[str]:
    opened = "tunnels" if of == "tunnel" else "sessions"
    labelled = [(*_labels(names, key), figures) for key, figures in rows]
    name = f"reitunnel_{of}_bytes_total"
    yield from _head(name, "counter", f"Bytes of each {of} from visitors and to them")
    for client, rest, figures in labelled:
        yield f'{name}{{{client},direction="received"{rest}}} {figures.received}'
        yield f'{name}{{{client},direction="sent"{rest}}} {figures.sent}'
    name = f"reitunnel_{of}_streams_total"
    yield from _head(name, "counter", f"Streams of each {of} since the start")
    for client, rest, figures in labelled:
        yield f"{name}{{{client}{rest}}} {figures.streams}"
    name = f"reitunnel_{of}_open_streams"
    yield from _head(name, "gauge", f"Open streams of each {of}")
    for client, rest, figures in labelled:
        yield f"{name}{{{client}{rest}}} {figures.open_streams}"
    name = f"reitunnel_{of}_open"
    yield from _head(name, "gauge", f"Open {opened} in each row")
    for client, rest, figures in labelled:
        yield f"{name}{{{client}{rest}}} {figures.open}"


def _head(name: str, kind: str, words: str) -> tuple[str, str]:
    return f"# HELP {name} {words}", f"# TYPE {name} {kind}"


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> tuple[str, str]:
    """
    Give the first label, and the others: labels are in the order of their names.
    """
    first, *others = (
        f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)
    )
    return first, "".join(f",{other}" for other in others)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _histogram(durations: Durations) -> Metric:
    bounds = [*(str(bound) for bound in SECONDS), "+Inf"]
    return HistogramMetricFamily(
        "reitunnel_stream_seconds",
        "How long streams lasted",
        buckets=list(zip(bounds, accumulate(durations.buckets), strict=True)),
        sum_value=durations.total,
    )
