"""
A bulk stream with none, with one and with many hooks that are told of each piece.
"""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.rows.bulk import streaming
from benchmarks.rows.variants import chosen, on_both, variants

ROW = "data hooks"
KINDS = ("tcp mux", "tcp direct")
NONE = "no hook"
COUNTS = (1, 5, 20)

HOOK = {"name": "logging", "events": ["data_received", "data_sent"]}
"""The hook: a line in the log for every 1,000 pieces, which is what it does unless it
is told otherwise."""


def measure_data_hooks(bench: Bench) -> None:
    """
    Measure a stream with so many hooks on the server, and as many on the client.
    """
    choices = {NONE: on_both({"hooks": []})}
    for count in COUNTS:
        name = f"{count} hook{'' if count == 1 else 's'}"
        choices[name] = on_both({"hooks": [HOOK] * count})
    with bench.opening():
        bench.rounds(
            ROW,
            "down",
            streaming(bench, "down"),
            contenders=variants(chosen(bench, *KINDS), choices),
            count=bench.plan.pairs,
            warm_up=bench.plan.warm_up,
        )
