"""
A long path: 100 ms there and back between server and client.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.bench import Bench, Measure, Measured
from benchmarks.contenders import Contender, Opened
from benchmarks.load.starting import start_delay
from benchmarks.rows.bulk import DIRECTIONS, move, rate
from benchmarks.rows.fresh import ours

ROW = "long path"
ONE_WAY = 0.05
CASE = "100 ms"

_NO_PEERS = ("none",)
_PEERS = (*_NO_PEERS, "socat", "stunnel", "ssh -R")
_PINGS = 0.5
_MILLI = 1e3
MEGABITS = 1e3
"""In a Gbit/s."""


class LongPath:
    """
    Puts a long path in front of ports.
    """

    def __init__(self, bench: Bench, delay: float = ONE_WAY) -> None:
        """
        @param delay: of one way, in seconds.
        """
        self._bench = bench
        self._delay = delay

    def put(self, port: int) -> int:
        """
        Put one in front of a port.
        """
        return start_delay(self._bench.site.programs, port, self._delay).port


def measure_long_path(bench: Bench) -> None:
    """
    Measure each carrier and some peers, next to a connection without a tunnel. The
    path's own limit is that of the same program without a delay.
    """
    peers = _NO_PEERS if bench.plan.few else _PEERS
    contenders = [
        *(each for each in bench.contenders if each.name in peers),
        *ours(bench),
    ]
    path = LongPath(bench).put

    for direction in DIRECTIONS:
        bench.rounds(
            ROW,
            f"{CASE}, {direction}",
            streaming_far(bench, direction),
            contenders=contenders,
            count=1,
            via=path,
        )

    def measure_round_trip(
        contender: Contender, opened: Opened
    ) -> Mapping[str, Measured]:
        answer = bench.worker().do("ping", port=opened.ports[1], seconds=_PINGS)
        return {"p50": Measured("ms", answer["p50"] * _MILLI)}

    bench.rounds(
        ROW,
        f"{CASE}, 64 B",
        measure_round_trip,
        contenders=contenders,
        count=1,
        via=path,
    )
    measure_limit(bench)


def streaming_far(
    bench: Bench, direction: str, *, seconds: float = 0.0, skip: float | None = None
) -> Measure:
    """
    Give what measures one bulk stream that is cut off in the end.

    @param seconds: how long it is; as the plan has it if left out.
    @param skip: how long its start is, which is not counted; the same.
    """
    seconds = seconds or bench.plan.path_bulk
    ramp = bench.plan.path_ramp if skip is None else skip

    def measure(contender: Contender, opened: Opened) -> Mapping[str, Measured]:
        moved = move(
            bench, opened.ports[0], direction, seconds=seconds, skip=ramp, cut=True
        )
        return {"rate": Measured("Mbit/s", rate(moved) * MEGABITS)}

    return measure


def measure_limit(bench: Bench) -> None:
    """
    Measure the program that is the path, without its delay.
    """
    for direction in DIRECTIONS:

        def measure(
            contender: Contender, opened: Opened, direction: str = direction
        ) -> Mapping[str, Measured]:
            seconds = bench.plan.bulk + bench.plan.ramp
            skip = bench.plan.ramp
            moved = move(bench, opened.ports[0], direction, seconds=seconds, skip=skip)
            return {"rate": Measured("Mbit/s", rate(moved) * MEGABITS)}

        contenders = [each for each in bench.contenders if each.name == "none"]
        bench.rounds(
            ROW,
            f"the path itself, {direction}",
            measure,
            contenders=contenders,
            count=1,
            via=LongPath(bench, 0.0).put,
        )
