"""
Bulk: one stream, as fast as it goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.bench import Bench, Measure, Measured
from benchmarks.contenders import Contender, Opened
from benchmarks.errors import BenchmarkError

DIRECTIONS = ("down", "up")
"""From the target to the visitor, and from the visitor to the target."""

GIGABIT = 125_000_000
_GB = 10**9
_PATIENCE = 20.0


def measure_bulk(bench: Bench) -> None:
    """
    Measure every contender in both directions.
    """
    for direction in DIRECTIONS:
        bench.rounds("bulk", direction, streaming(bench, direction))


def streaming(bench: Bench, direction: str) -> Measure:
    """
    Give what measures one bulk stream.
    """

    def measure(contender: Contender, opened: Opened) -> Mapping[str, Measured]:
        before = opened.cpu_seconds()
        moved = move(
            bench,
            opened.ports[0],
            direction,
            seconds=bench.plan.bulk + bench.plan.ramp,
            skip=bench.plan.ramp,
        )
        used = opened.cpu_seconds() - before
        found = {"rate": Measured("Gbit/s", rate(moved))}
        if opened.relays:
            found["cpu"] = Measured("s/GB", used * _GB / moved["bytes"])
        return found

    return measure


def move(
    bench: Bench,
    port: int,
    direction: str,
    *,
    seconds: float,
    skip: float,
    cut: bool = False,
) -> Mapping[str, Any]:
    """
    Move a stream, and see that no byte is lost.

    @param skip: how long its start is, which is not counted.
    @param cut: whether the receiver cuts it off in the end, instead of waiting for
        what is on its way.
    @return: what the receiver got.
    """
    number = bench.new_number()
    seen = bench.worker().do(
        direction,
        timeout=_PATIENCE + seconds,
        port=port,
        number=number,
        # The sender goes on until it is cut off.
        seconds=None if cut else seconds,
        skip=skip,
        until=seconds if cut else None,
    )
    reported = bench.bulk_target.report(number)
    if not cut and seen["bytes"] != reported["bytes"]:
        raise BenchmarkError(
            f"the visitor's {seen['bytes']} bytes are {reported['bytes']} at the target"
        )
    return seen if direction == "down" else reported


def rate(moved: Mapping[str, Any]) -> float:
    """
    How fast a receiver was served, in Gbit/s.

    @raise BenchmarkError: if it was not served long enough to tell.
    """
    if moved["seconds"] <= 0 or moved["counted"] <= 0:
        raise BenchmarkError("nothing came after the start")
    gigabits: float = moved["counted"] / moved["seconds"] / GIGABIT
    return gigabits
