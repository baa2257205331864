"""
The benchmarks: one module each, which measures and keeps what it finds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.bench import Bench
from benchmarks.rows.bulk import measure_bulk
from benchmarks.rows.crowd import measure_crowd
from benchmarks.rows.handshakes import measure_handshakes
from benchmarks.rows.latency import measure_latency
from benchmarks.rows.loaded import measure_loaded
from benchmarks.rows.long_path import measure_long_path
from benchmarks.rows.memory import measure_memory
from benchmarks.rows.micro import measure_micro
from benchmarks.rows.sharing import measure_sharing
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
    "micro": measure_micro,
}
"""Every benchmark, in the order in which they run."""
