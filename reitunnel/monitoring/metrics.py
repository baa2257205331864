"""
The metrics of a server or a client for Prometheus. Needs C{prometheus-client}, the
extra C{metrics}.

No label has more values than there are hooks, events and schemes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import accumulate
from statistics import median
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from twisted.logger import Logger

from reitunnel.hooks import innermost
from reitunnel.interfaces import IMetricsSource
from reitunnel.monitoring.lag import BOUNDS, LagMeter
from reitunnel.monitoring.totals import Totals
from reitunnel.monitoring.watched import (
    Watched,
    in_kernel,
    sessions_of,
    side_of,
    transport_of,
)

_SCHEMES: Final = frozenset({"tcp", "tls", "ws", "wss"})
_FIGURES: Final = (
    ("calls", "Calls of hooks"),
    ("seconds", "Time that hooks kept the reactor"),
    ("waited", "Time that decisions of hooks took besides"),
    ("background", "Time that hooks took in threads"),
    ("refusals", "Refusals by hooks"),
    ("failures", "Failures of hooks"),
    ("drops", "Calls of hooks that were not made because too many waited"),
)
_NAMES: Final = {"waited": "waited_seconds", "background": "background_seconds"}
_log = Logger()


class MetricsReport:
    """
    Writes the metrics.
    """

    def __init__(self, watched: Watched, totals: Totals, lag: LagMeter) -> None:
        self._watched = watched
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Tunnels(watched, totals, lag))
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def exposition(self) -> bytes:
        """
        Give the metrics as they are now, in the text format 0.0.4: those of the
        process, then those of hooks that have their own.
        """
        parts = [generate_latest(self._registry)]
        for hook in innermost(self._watched.hooks.hooks):
            if IMetricsSource.providedBy(hook):
                with _log.failuresHandled(
                    "hook {hook} gives no metrics", hook=type(hook).__name__
                ):
                    parts.append(hook.exposition())
        return b"".join(parts)


class _Tunnels(Collector):
    """
    What is measured of tunnels, links, hooks and the reactor.
    """

    def __init__(self, watched: Watched, totals: Totals, lag: LagMeter) -> None:
        self._watched = watched
        self._totals = totals
        self._lag = lag

    def collect(self) -> Iterable[Metric]:
        """
        Measure.
        """
        yield GaugeMetricFamily(
            "reitunnel_ready",
            "Whether it is of use: a server listens, a client has its tunnels",
            value=float(not self._watched.unready),
        )
        info = GaugeMetricFamily(
            "reitunnel_info", "What runs", labels=["side", "version"]
        )
        info.add_metric([side_of(self._watched), version("reitunnel")], 1)
        yield info
        yield from self._sessions()
        yield from self._totalled()
        yield from self._hooks()
        yield from self._reactor()

    def _sessions(self) -> Iterator[Metric]:
        sessions = list(sessions_of(self._watched))
        links = [session.data_links for session in sessions]
        tunnels = [tunnel for session in sessions for tunnel in session.tunnels]
        streams = [stream for tunnel in tunnels for stream in tunnel.streams]
        transports = [t for stream in streams if (t := transport_of(stream))]
        direct = sum(transport.path is not None for transport in transports)
        trips = [
            trip
            for session in sessions
            if (trip := session.mux.heartbeat.round_trip) is not None
        ]
        schemes = Counter(
            scheme if (scheme := session.facts.scheme) in _SCHEMES else "other"
            for session in sessions
        )
        yield _by("reitunnel_sessions", "Sessions by transport", "scheme", schemes)
        yield GaugeMetricFamily("reitunnel_tunnels", "Open tunnels", len(tunnels))
        yield _by(
            "reitunnel_streams",
            "Open streams by carrier",
            "carrier",
            {"mux": len(streams) - direct, "direct": direct},
        )
        yield GaugeMetricFamily(
            "reitunnel_streams_in_kernel",
            "Open streams that the kernel moves, in one direction or both",
            sum(any(in_kernel(stream)) for stream in streams),
        )
        yield _by(
            "reitunnel_data_links",
            "Data links",
            "state",
            {"idle": sum(i for i, _ in links), "used": sum(u for _, u in links)},
        )
        yield GaugeMetricFamily(
            "reitunnel_links_full",
            "Control links that take nothing more at the moment",
            sum(
                session.link_up and not session.mux.link.writable
                for session in sessions
            ),
        )
        yield GaugeMetricFamily(
            "reitunnel_links_lost",
            "Sessions that wait for another control link",
            sum(not session.link_up for session in sessions),
        )
        yield _by(
            "reitunnel_round_trip_seconds",
            "Newest round trip of the control links",
            "of",
            {"median": median(trips), "most": max(trips)} if trips else {},
        )
        yield _by(
            "reitunnel_buffered_bytes",
            "Bytes of streams on control links that wait here",
            "where",
            {
                "queued": sum(transport.stream.queued for transport in transports),
                "unread": sum(transport.stream.unread for transport in transports),
            },
        )

    def _totalled(self) -> Iterator[Metric]:
        totals = self._totals
        yield CounterMetricFamily(
            "reitunnel_sessions_begun", "Sessions so far", totals.sessions
        )
        yield CounterMetricFamily(
            "reitunnel_tunnels_asked", "Tunnels so far", totals.tunnels
        )
        moved = CounterMetricFamily(
            "reitunnel_bytes", "Bytes from and to visitors", labels=["direction"]
        )
        moved.add_metric(["received"], totals.bytes_received)
        moved.add_metric(["sent"], totals.bytes_sent)
        yield moved

    def _hooks(self) -> Iterator[Metric]:
        statistics = self._watched.hooks.statistics()
        for figure, meaning in _FIGURES:
            name = f"reitunnel_hook_{_NAMES.get(figure, figure)}"
            family = CounterMetricFamily(name, meaning, labels=["hook", "event"])
            for each in statistics:
                family.add_metric([each.hook, each.event], getattr(each, figure))
            yield family
        longest = GaugeMetricFamily(
            "reitunnel_hook_longest_seconds",
            "The longest call of hooks so far",
            labels=["hook", "event"],
        )
        for each in statistics:
            longest.add_metric([each.hook, each.event], each.longest)
        yield longest

    def _reactor(self) -> Iterator[Metric]:
        lag = self._lag
        names = [*(str(bound) for bound in BOUNDS), "+Inf"]
        counts = list(accumulate(lag.counts))
        yield HistogramMetricFamily(
            "reitunnel_reactor_lag_seconds",
            "How much later than asked for the reactor makes timed calls",
            buckets=list(zip(names, counts, strict=True)),
            sum_value=lag.total,
        )
        yield GaugeMetricFamily(
            "reitunnel_reactor_worst_lag_seconds",
            "The worst lag of the last minute",
            lag.worst,
        )


def _by(
    name: str, meaning: str, label: str, values: dict[str, float] | Counter[str]
) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for value, amount in values.items():
        family.add_metric([value], amount)
    return family
