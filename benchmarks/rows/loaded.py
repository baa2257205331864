"""
Latency under load: keystrokes of one visitor while another has a bulk stream in the
same session.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.bench import Bench, Measure, Measured, pause
from benchmarks.contenders import Contender, Opened
from benchmarks.rows.bulk import DIRECTIONS, rate
from benchmarks.rows.latency import round_trips

_INTERVAL = 0.005


def measure_loaded(bench: Bench) -> None:
    """
    Measure every contender, with bulk in either direction.
    """
    for direction in DIRECTIONS:
        measure = pinging_beside(bench, direction)
        bench.rounds("loaded", direction, measure, count=bench.plan.loaded_rounds)


def pinging_beside(bench: Bench, direction: str, seconds: float = 0.0) -> Measure:
    """
    Give what measures round trips beside a bulk stream.

    @param seconds: how long that is; as the plan has it if left out.
    """
    seconds = seconds or bench.plan.loaded

    def measure(contender: Contender, opened: Opened) -> Mapping[str, Measured]:
        bulk, echo = opened.ports
        number = bench.new_number()
        other = bench.worker(1)
        other.begin(
            direction, port=bulk, number=number, seconds=seconds, skip=seconds / 4
        )
        pause(seconds / 4)
        found = round_trips(
            bench.worker().do(
                "ping", port=echo, seconds=seconds / 2, interval=_INTERVAL
            )
        )
        seen = other.hear()
        reported = bench.bulk_target.report(number)
        moved = seen if direction == "down" else reported
        return {**found, "rate": Measured("Gbit/s", rate(moved))}

    return measure
