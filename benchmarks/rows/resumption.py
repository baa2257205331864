"""
What resumption costs while nothing fails: the same with it and without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.bench import Bench, Measured
from benchmarks.contenders import Contender, Opened
from benchmarks.rows.bulk import DIRECTIONS, streaming
from benchmarks.rows.long_path import CASE as FAR
from benchmarks.rows.long_path import LongPath, streaming_far
from benchmarks.rows.variants import Keys, chosen, on_both, variants
from benchmarks.running.procfs import peak

ROW = "resumption"
KINDS = ("tcp mux", "tls mux")
ON, OFF = "resumption", "no resumption"
NEAR = "memory"

_MIB = 1 << 20


def measure_resumption(bench: Bench) -> None:
    """
    Measure both ways, and how much memory the processes have held when all is over.
    """
    choices = {ON: Keys(), OFF: on_both({"timeouts.resume": 0})}
    contenders = variants(chosen(bench, *KINDS), choices)
    with bench.opening():
        for direction in DIRECTIONS:
            bench.rounds(
                ROW,
                direction,
                streaming(bench, direction),
                contenders=contenders,
                count=bench.plan.pairs,
                warm_up=bench.plan.warm_up,
            )
        bench.rounds(ROW, NEAR, memory, contenders=contenders, count=1)
        _measure_far(bench, contenders)


def _measure_far(bench: Bench, contenders: Sequence[Contender]) -> None:
    """
    Over a long path more is on its way, and kept until it is acknowledged.
    """
    stream = streaming_far(bench, "down")

    def measure(contender: Contender, opened: Opened) -> Mapping[str, Measured]:
        return {**stream(contender, opened), **memory(contender, opened)}

    path = LongPath(bench).put
    case = f"{FAR}, down"
    bench.rounds(ROW, case, measure, contenders=contenders, count=1, via=path)


def memory(contender: Contender, opened: Opened) -> Mapping[str, Measured]:
    """
    See how much memory both sides have held at most.
    """
    server, client = opened.relays
    return {
        "server most": Measured("MiB", peak(server.pid) / _MIB),
        "client most": Measured("MiB", peak(client.pid) / _MIB),
    }
