"""
Sharing: many bulk streams in one session, and how equal their shares are.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.bench import Bench, Measured
from benchmarks.contenders import Contender, Direct, Opened
from benchmarks.rows.bulk import GIGABIT
from benchmarks.rows.fresh import ours


def measure_sharing(bench: Bench) -> None:
    """
    Measure each carrier, and the target's own fairness.
    """
    streams, seconds = bench.plan.streams, bench.plan.sharing

    def measure(contender: Contender, opened: Opened) -> Mapping[str, Measured]:
        answer = bench.worker().do(
            "share",
            timeout=4 * seconds + 60,
            port=opened.ports[0],
            streams=streams,
            seconds=seconds,
        )
        return {
            "fairness": Measured("", answer["fairness"]),
            "rate": Measured("Gbit/s", answer["bytes"] / answer["seconds"] / GIGABIT),
        }

    contenders: list[Contender] = [
        *(each for each in bench.contenders if isinstance(each, Direct)),
        *ours(bench),
    ]
    case = f"{streams} streams"
    bench.rounds("sharing", case, measure, contenders=contenders, count=1)
