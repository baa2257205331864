"""
Which page shows what.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.plan import PLANS, Group
from benchmarks.results import Run
from benchmarks.rows import data_hooks, monitoring, resumption
from benchmarks.rows.tuning import COMPARISONS

_HERE = Path(__file__).resolve().parent
_RESULTS = _HERE / "results"


@dataclass(frozen=True)
class Table:
    """
    How a row is shown.

    @ivar row: its name.
    @ivar title: for people.
    @ivar main: the quantity whose ratios are shown.
    @ivar references: the contenders that it is divided by, besides its own variants.
    @ivar base: if it is of variants alone, the one that the others are divided by, each
        by that of its own kind.
    @ivar compared: the quantities whose ratios to C{base} are shown.
    """

    row: str
    title: str
    main: str = ""
    references: tuple[str, ...] = ()
    base: str = ""
    compared: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """
    A page.

    @ivar path: where it is.
    @ivar latest: where the run that it shows is kept.
    @ivar title: for people.
    @ivar command: what writes it.
    @ivar tables: the rows that it shows, in this order.
    @ivar budgets: whether it has them.
    @ivar picture: what its plot shows; empty if it has none.
    """

    path: Path
    latest: Path
    title: str
    command: str
    tables: tuple[Table, ...]
    budgets: bool = False
    picture: str = ""


_OWN = ("rate", "cpu", "p50", "server most", "client most")

RESULTS = Page(
    _HERE / "RESULTS.md",
    _RESULTS / "latest.json",
    "Results",
    "make bench",
    (
        Table("bulk", "Bulk", "rate", ("none", "socat", "stunnel")),
        Table("latency", "Round trips", "p50", ("none", "socat", "ssh -R")),
        Table("loaded", "Round trips under load", "p50", ("none", "socat", "stunnel")),
        Table("visits", "New visitors", "rate", ("none", "socat", "stunnel")),
        Table("sharing", "Sharing"),
        Table("crowd", "Many visitors"),
        Table("tunnels", "Many tunnels"),
        Table("memory", "Memory"),
        Table("handshakes", "Handshakes"),
        Table("long path", "A long path", "rate", ("none",)),
        Table("resumption", "Resumption", base=resumption.OFF, compared=_OWN),
        Table("data hooks", "Data hooks", base=data_hooks.NONE, compared=_OWN),
        Table("bandwidth", "The bandwidth hook"),
        Table("metrics", "The metrics hook's memory"),
        Table("monitoring", "Monitoring", base=monitoring.NONE, compared=_OWN),
        Table("micro", "Parts"),
    ),
    budgets=True,
    picture="Bulk, round trips and new visitors",
)
TUNING = Page(
    _HERE / "TUNING.md",
    _RESULTS / "tuning.json",
    "Tuning",
    "make bench-tuning",
    tuple(
        Table(each.row, f"`{each.row}`", base=each.base, compared=_OWN)
        for each in COMPARISONS
    ),
)

PAGES: dict[Group, Page] = {"results": RESULTS, "tuning": TUNING}


def page_of(run: Run) -> Page:
    """
    Give the page of a run's plan.
    """
    plan = PLANS.get(run.plan)
    return PAGES["results" if plan is None else plan.group]
