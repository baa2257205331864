"""
Writes what was measured as Markdown: C{python -m benchmarks.report FILE}.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import budgets, results
from benchmarks.contenders.reitunnel import variant_of
from benchmarks.figures import TIMES, Spread, number, ratios, spread
from benchmarks.plot import plot
from benchmarks.results import Key, Run
from benchmarks.rows.memory import SAMPLES

_HERE = Path(__file__).resolve().parent
PAGE = _HERE / "RESULTS.md"
LATEST = _HERE / "results" / "latest.json"

_DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class Table:
    """
    How a row is shown.

    @ivar row: its name.
    @ivar title: for people.
    @ivar main: the quantity whose ratios are shown.
    @ivar references: the contenders that it is divided by, besides its own variants.
    """

    row: str
    title: str
    main: str = ""
    references: tuple[str, ...] = ()


TABLES = (
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
    Table("micro", "Parts"),
)


def page(run: Run, picture: str = "") -> str:
    """
    Write the page of a run.

    @param picture: the path of its plot, from the page.
    """
    introduction = (
        "`make bench` writes this page. [What each row means](README.md). "
        f"Plan `{run.plan}`, {run.started}, {run.seconds / 60:.0f} minutes."
    )
    parts = [
        "# Results",
        introduction,
        *([f"![Bulk, round trips and new visitors]({picture})"] if picture else []),
        "## Machine",
        _table(("", ""), run.machine.items()),
        *sections(run, budgets.judge(run)),
    ]
    return "\n\n".join(parts) + "\n"


def terminal(run: Run) -> str:
    """
    Write what a terminal shows of a run: what was measured.
    """
    judged = [each for each in budgets.judge(run) if each.found is not None]
    return "\n\n".join(sections(run, judged))


def sections(run: Run, judged: Sequence[budgets.Judgement]) -> Iterator[str]:
    """
    Write the budgets, the rows, and what was left out.
    """
    if judged:
        yield "## Budgets"
        yield (
            "Ratios are formed pair by pair, within each round: the median, and the "
            "least and the most of them in parentheses."
        )
        yield _table(("what", "budget", "measured", ""), map(_budget, judged))
    for table in TABLES:
        yield from _section(run, table)
    if run.notes:
        yield "## Left out, or not as meant"
        yield "\n".join(
            f"- {', '.join(filter(None, (note.row, note.contender)))}: {note.text}"
            for note in run.notes
        )


def _budget(judgement: budgets.Judgement) -> tuple[str, ...]:
    verdict = judgement.verdict.value
    if judgement.found is None:
        return judgement.what, judgement.budget, judgement.reason, verdict
    if judgement.verdict is budgets.Verdict.MISSED:
        verdict = f"**{verdict}**"
    measured = _spread(judgement.found, judgement.unit)
    return judgement.what, judgement.budget, measured, verdict


def _section(run: Run, table: Table) -> Iterator[str]:
    series = [
        each
        for each in run.series
        if each.row == table.row and not each.quantity.endswith(SAMPLES)
    ]
    if not series:
        return
    yield f"## {table.title}"
    for case in dict.fromkeys(each.case for each in series):
        of_case = [each for each in series if each.case == case]
        # As many columns as are of use: some contenders lack some quantities.
        columns = dict.fromkeys((each.quantity, each.unit) for each in of_case)
        contenders = list(dict.fromkeys(each.contender for each in of_case))
        references = [name for name in table.references if name in contenders]
        variants = list(dict.fromkeys(filter(None, map(variant_of, contenders))))
        if not table.main:
            variants.clear()
        head = (
            "",
            *(f"{name}, {unit}" if unit else name for name, unit in columns),
            *(f"{TIMES} {name}" for name in (*references, *variants)),
        )
        if case:
            yield f"### {case}"
        yield _table(
            head,
            (
                _row(
                    run,
                    table,
                    case,
                    contender,
                    [name for name, _ in columns],
                    [*references, *(f"{contender} ({name})" for name in variants)],
                )
                for contender in contenders
            ),
        )


def _row(
    run: Run,
    table: Table,
    case: str,
    contender: str,
    quantities: Sequence[str],
    references: Sequence[str],
) -> Sequence[str]:
    """
    Write one contender's line.
    """
    cells = [contender]
    for quantity in quantities:
        values = run.values(Key(table.row, case, contender, quantity))
        cells.append(_spread(spread(values)))
    own = run.values(Key(table.row, case, contender, table.main))
    for reference in references:
        other = run.values(Key(table.row, case, reference, table.main))
        same = reference == contender
        cells.append("" if same else _spread(spread(ratios(own, other))))
    return cells


def _spread(found: Spread | None, unit: str = "") -> str:
    """
    Write a median, and the least and the most if there are several.
    """
    if found is None:
        return _DASH
    text = " ".join(filter(None, (number(found.median), unit)))
    if found.least == found.most:
        return text
    return f"{text} ({number(found.least)}{_DASH}{number(found.most)})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def publish(run: Run, to: Path, latest: Path) -> None:
    """
    Write the page of a run, and keep the run and its plot for the page.

    @param to: the page's path.
    @param latest: where the run is kept; the plot comes beside it.
    """
    results.save(run, latest)
    drawing = latest.with_suffix(".svg")
    shown = ""
    if plot(run, drawing):
        shown = str(drawing.resolve().relative_to(to.resolve().parent))
    to.write_text(page(run, shown))
    print(f"wrote {to}")


def main() -> None:
    """
    Run.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report", description=__doc__
    )
    parser.add_argument("run", type=Path, help="a run's file")
    parser.add_argument("--page", type=Path, default=PAGE, help=f"[{PAGE.name}]")
    parser.add_argument(
        "--latest",
        type=Path,
        default=LATEST,
        help="where the run is kept, and its plot beside it",
    )
    asked = parser.parse_args()
    publish(results.load(asked.run), asked.page, asked.latest)


if __name__ == "__main__":
    main()
