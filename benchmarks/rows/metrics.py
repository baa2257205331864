"""
The C{metrics} hook: how much memory it takes to count many tunnels.
"""

from __future__ import annotations

from benchmarks.bench import Bench, Measured
from benchmarks.load.starting import Speaker, start_module

ROW = "metrics"
DEFAULT = 1000
"""How many tunnels the hook tells apart, unless it is told otherwise."""

_MODULE = "benchmarks.micro.metrics_memory"
_MIB = 1 << 20


def measure_metrics(bench: Bench) -> None:
    """
    Measure it when it tells all tunnels apart, and when it sums most of them.
    """
    tunnels = bench.plan.metered
    for apart in dict.fromkeys((tunnels, min(DEFAULT, tunnels))):
        program = start_module(
            bench.site.programs, "the hook", _MODULE, str(tunnels), str(apart)
        )
        found = Speaker(program).hear()
        bench.record(
            ROW,
            f"{tunnels:,} tunnels",
            f"{apart:,} told apart",
            {
                "kept": Measured("MiB", found["kept"] / _MIB),
                "most, when asked": Measured("MiB", found["most"] / _MIB),
            },
        )
