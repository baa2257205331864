"""
Sharing: many bulk streams in one session, and how equal their shares are.
"""

from __future__ import annotations

from benchmarks.bench import Bench, Measured
from benchmarks.contenders import Contender, Direct
from benchmarks.load.starting import Target, start_source_target
from benchmarks.rows.bulk import GIGABIT
from benchmarks.rows.fresh import ours

ROW = "sharing"

_PATIENCE = 60.0


def measure_sharing(bench: Bench) -> None:
    """
    Measure each carrier, and the target's own fairness.
    """
    target = start_source_target(bench.site.programs)
    contenders: list[Contender] = [
        *(each for each in bench.contenders if isinstance(each, Direct)),
        *ours(bench),
    ]
    for contender in contenders:

        def once(contender: Contender = contender) -> None:
            measure_one(bench, contender, target)

        bench.attempt(ROW, contender, once)


def measure_one(bench: Bench, contender: Contender, target: Target) -> None:
    """
    Measure one carrier.
    """
    streams, seconds = bench.plan.streams, bench.plan.sharing
    with bench.new_site() as site:
        opened = contender.open(site, [target.port])
        answer = bench.worker().do(
            "share",
            timeout=2 * seconds + _PATIENCE,
            port=opened.ports[0],
            streams=streams,
            seconds=seconds,
        )
    found = {
        "fairness": Measured("", answer["fairness"]),
        "rate": Measured("Gbit/s", answer["bytes"] / seconds / GIGABIT),
    }
    bench.record(ROW, f"{streams} streams", contender.name, found)
