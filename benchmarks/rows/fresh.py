"""
Rows whose subject is Reitunnel alone: a new server and client for each, so that what
was there before does not count.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.bench import Bench
from benchmarks.contenders import Opened
from benchmarks.contenders.reitunnel import Reitunnel

MeasureFresh = Callable[[Bench, Reitunnel, Opened], None]


def ours(bench: Bench) -> list[Reitunnel]:
    """
    Those of the plan's contenders that are Reitunnel as it is run, over the plan's
    transports.
    """
    few = bench.plan.few
    return [
        each
        for each in bench.contenders
        if isinstance(each, Reitunnel)
        and each.transport in bench.plan.transports
        and not each.module
        and (not few or each.kind in few)
    ]


def measure_fresh(
    bench: Bench, row: str, contender: Reitunnel, measure: MeasureFresh
) -> None:
    """
    Open a tunnel for one measurement, to the target of bulk and to the echo.
    """

    def once() -> None:
        targets = (bench.bulk_target.port, bench.echo_target.port)
        with bench.new_site() as site:
            measure(bench, contender, contender.open(site, targets))

    bench.attempt(row, contender, once)
