"""
The C{bandwidth} hook: how near to the rates that it is told streams are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.bench import Bench, Measured
from benchmarks.contenders import Opened, Site
from benchmarks.contenders.reitunnel import Reitunnel
from benchmarks.rows.bulk import rate
from benchmarks.rows.long_path import MEGABITS
from benchmarks.rows.variants import chosen

ROW = "bandwidth"
KINDS = ("tcp mux", "tcp direct")
OFF = "off by"
"""By how much a rate is missed, whichever way."""

_FAST = 1000
"""In Mbit/s: streams that are measured one after the other; slower ones have next to
nothing to do, and are measured at the same time."""
_SHORTER = 4
"""Fast ones need not be measured as long: there are more pieces in a second."""
_START = 0.1
"""How long the start is, which is not counted, for the time that is."""
_PATIENCE = 20.0


@dataclass(frozen=True)
class Paced:
    """
    A contender whose tunnel has a rate for what visitors get, in Mbit/s.
    """

    contender: Reitunnel
    rate: int

    def open(self, site: Site, target: int) -> Opened:
        """
        Open it.
        """
        hook = {"name": "bandwidth", "tunnel": {"sent": self.rate}}
        name = f"{self.rate} Mbit/s"
        return self.contender.varied(name, {"hooks": [hook]}, {}).open(site, [target])


def case_of(rate: int) -> str:
    """
    Name the case of a rate, in Mbit/s.
    """
    return f"{rate:,} Mbit/s"


def measure_bandwidth(bench: Bench) -> None:
    """
    Measure each rate.
    """
    contenders = chosen(bench, *KINDS)
    paced = [Paced(each, most) for most in bench.plan.rates for each in contenders]
    slow = [each for each in paced if each.rate < _FAST]
    if slow:
        _attempt(bench, slow, bench.plan.paced)
    for each in paced:
        if each.rate >= _FAST:
            _attempt(bench, [each], bench.plan.paced / _SHORTER)


def _attempt(bench: Bench, group: Sequence[Paced], seconds: float) -> None:
    def once() -> None:
        with bench.new_site() as site:
            _measure(bench, site, group, seconds)

    bench.attempt(ROW, group[0].contender, once)


def _measure(bench: Bench, site: Site, group: Sequence[Paced], seconds: float) -> None:
    """
    Measure some at the same time.
    """
    opened = [each.open(site, bench.bulk_target.port) for each in group]
    start = seconds * _START
    for place, tunnel in enumerate(opened):
        bench.worker(place).begin(
            "down",
            port=tunnel.ports[0],
            number=bench.new_number(),
            skip=start,
            until=start + seconds,
        )
    for place, each in enumerate(group):
        moved = bench.worker(place).hear(start + seconds + _PATIENCE)
        found = rate(moved) * MEGABITS
        bench.record(
            ROW,
            case_of(each.rate),
            each.contender.name,
            {
                "rate": Measured("Mbit/s", found),
                OFF: Measured("%", 100 * abs(found / each.rate - 1)),
            },
        )
