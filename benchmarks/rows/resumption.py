"""
What resumption costs while nothing fails: the same with it and without.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.bench import Bench, Measure, Measured
from benchmarks.contenders import Contender, Opened
from benchmarks.rows.bulk import DIRECTIONS, streaming
from benchmarks.rows.long_path import CASE as FAR
from benchmarks.rows.long_path import LongPath, streaming_far
from benchmarks.rows.variants import Keys, chosen, on_both, variants
from benchmarks.running.procfs import forget_peak, peak

ROW = "resumption"
KINDS = ("tcp mux", "tls mux")
ON, OFF = "resumption", "no resumption"

_MIB = 1 << 20


def measure_resumption(bench: Bench) -> None:
    """
    Measure both ways near by, and one over a long path, where more is on its way and
    kept until the other side has it.
    """
    choices = {ON: Keys(), OFF: on_both({"timeouts.resume": 0})}
    contenders = variants(chosen(bench, *KINDS), choices)
    with bench.opening():
        for direction in DIRECTIONS:
            bench.rounds(
                ROW,
                direction,
                with_memory(streaming(bench, direction)),
                contenders=contenders,
                count=bench.plan.fine_pairs,
                warm_up=bench.plan.warm_up,
            )
        bench.rounds(
            ROW,
            f"{FAR}, down",
            with_memory(streaming_far(bench, "down")),
            contenders=contenders,
            count=1,
            via=LongPath(bench).put,
        )


def with_memory(measure: Measure) -> Measure:
    """
    Give what measures the same, and how much memory both sides held at most meanwhile.
    """

    def measuring(contender: Contender, opened: Opened) -> Mapping[str, Measured]:
        server, client = (relay.pid for relay in opened.relays)
        forget_peak(server)
        forget_peak(client)
        return {
            **measure(contender, opened),
            "server most": Measured("MiB", peak(server) / _MIB),
            "client most": Measured("MiB", peak(client) / _MIB),
        }

    return measuring
