"""
Latency: 64 bytes there and back, again and again, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.bench import Bench, Measure, Measured
from benchmarks.contenders import Contender, Opened

_MICRO = 1e6


def measure_latency(bench: Bench) -> None:
    """
    Measure every contender.
    """
    bench.rounds("latency", "64 B", pinging(bench))


def pinging(bench: Bench) -> Measure:
    """
    Give what measures round trips.
    """

    def measure(contender: Contender, opened: Opened) -> Mapping[str, Measured]:
        port = opened.ports[1]
        return round_trips(
            bench.worker().do("ping", port=port, seconds=bench.plan.pings)
        )

    return measure


def round_trips(answer: Mapping[str, Any]) -> dict[str, Measured]:
    """
    What a worker's answer says of round trips.
    """
    return {
        "p50": Measured("µs", answer["p50"] * _MICRO),
        "p99": Measured("µs", answer["p99"] * _MICRO),
    }
