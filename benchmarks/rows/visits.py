"""
New visitors: each connects, says 64 bytes, hears them back and goes.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.bench import Bench, Measure, Measured
from benchmarks.contenders import Contender, Opened

AT_ONCE = 16
"""How many there are at a time."""

_MILLI = 1e3


def measure_visits(bench: Bench) -> None:
    """
    Measure every contender.
    """
    bench.rounds("visits", "", visiting(bench))


def visiting(bench: Bench) -> Measure:
    """
    Give what measures visits.
    """

    def measure(contender: Contender, opened: Opened) -> Mapping[str, Measured]:
        seconds = bench.plan.visits
        before = opened.cpu_seconds()
        answer = bench.worker().do(
            "visits",
            port=opened.ports[1],
            at_once=AT_ONCE,
            seconds=seconds,
            skip=seconds / 5,
        )
        used = opened.cpu_seconds() - before
        found = {
            "rate": Measured("/s", answer["a_second"]),
            "p50": Measured("ms", answer["p50"] * _MILLI),
            "p99": Measured("ms", answer["p99"] * _MILLI),
        }
        if opened.relays:
            found["cpu"] = Measured("ms each", used / answer["all"] * _MILLI)
        return found

    return measure
