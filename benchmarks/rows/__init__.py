"""
The benchmarks: one module each, which measures and keeps what it finds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.bench import Bench
from benchmarks.plan import Group
from benchmarks.rows.bandwidth import measure_bandwidth
from benchmarks.rows.bulk import measure_bulk
from benchmarks.rows.crowd import measure_crowd
from benchmarks.rows.data_hooks import measure_data_hooks
from benchmarks.rows.handshakes import measure_handshakes
from benchmarks.rows.latency import measure_latency
from benchmarks.rows.loaded import measure_loaded
from benchmarks.rows.long_path import measure_long_path
from benchmarks.rows.memory import measure_memory
from benchmarks.rows.metrics import measure_metrics
from benchmarks.rows.micro import measure_micro
from benchmarks.rows.monitoring import measure_monitoring
from benchmarks.rows.resumption import measure_resumption
from benchmarks.rows.sharing import measure_sharing
from benchmarks.rows.tuning import TUNING_ROWS
from benchmarks.rows.tunnels import measure_tunnels
from benchmarks.rows.visits import measure_visits

ROWS: Mapping[str, Callable[[Bench], None]] = {
    "bulk": measure_bulk,
    "latency": measure_latency,
    "loaded": measure_loaded,
    "visits": measure_visits,
    "sharing": measure_sharing,
    "crowd": measure_crowd,
    "tunnels": measure_tunnels,
    "memory": measure_memory,
    "handshakes": measure_handshakes,
    "long path": measure_long_path,
    "resumption": measure_resumption,
    "data hooks": measure_data_hooks,
    "bandwidth": measure_bandwidth,
    "metrics": measure_metrics,
    "monitoring": measure_monitoring,
    "micro": measure_micro,
}
"""The benchmarks of the results, in the order in which they run."""

GROUPS: Mapping[Group, Mapping[str, Callable[[Bench], None]]] = {
    "results": ROWS,
    "tuning": TUNING_ROWS,
}
"""Every benchmark, by the page that it is on."""

EVERY = {**ROWS, **TUNING_ROWS}
