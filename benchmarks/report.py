"""
Writes what was measured as Markdown: C{python -m benchmarks.report FILE}.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks import budgets, results
from benchmarks.contenders.reitunnel import kind_of, variant_name, variant_of
from benchmarks.figures import TIMES, Spread, number, ratios, spread
from benchmarks.pages import PAGES, Page, Table, page_of
from benchmarks.plot import plot
from benchmarks.results import Key, Run
from benchmarks.rows.memory import SAMPLES

_DASH = "\N{EN DASH}"


def page_text(run: Run, page: Page, picture: str = "") -> str:
    """
    Write the page of a run.

    @param picture: the path of its plot, from the page.
    """
    introduction = (
        f"`{page.command}` writes this page. [What each row means](README.md). "
        f"Plan `{run.plan}`, {run.started}, {run.seconds / 60:.0f} minutes. "
        "Ratios are formed pair by pair, within each round. Of several rounds the "
        "median is shown, with the least and the most in parentheses."
    )
    parts = [
        f"# {page.title}",
        introduction,
        *([f"![{page.picture}]({picture})"] if picture else []),
        "## Machine",
        _table(("", ""), run.machine.items()),
        *sections(run, page.tables, budgets.judge(run) if page.budgets else ()),
    ]
    return "\n\n".join(parts) + "\n"


def terminal(run: Run) -> str:
    """
    Write what a terminal shows of a run: what was measured.
    """
    judged = [each for each in budgets.judge(run) if each.found is not None]
    tables = itertools.chain.from_iterable(page.tables for page in PAGES.values())
    return "\n\n".join(sections(run, tables, judged))


def sections(
    run: Run, tables: Iterable[Table], judged: Sequence[budgets.Judgement] = ()
) -> Iterator[str]:
    """
    Write the budgets, the rows, and what was left out.
    """
    if judged:
        yield "## Budgets"
        yield _table(("what", "budget", "measured", ""), map(_budget, judged))
    for table in tables:
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
        quantities = [name for name, _ in columns]
        compared = _ratio_columns(table, quantities, contenders)
        head = (
            "",
            *(f"{name}, {unit}" if unit else name for name, unit in columns),
            *(each.head for each in compared),
        )
        if case:
            yield f"### {case}"
        yield _table(
            head,
            (
                _row(run, table.row, case, contender, quantities, compared)
                for contender in contenders
            ),
        )


class Ratio(NamedTuple):
    """
    A column of ratios.

    @ivar head: its head.
    @ivar quantity: what is divided.
    @ivar reference: by whose: it gives a contender's own.
    """

    head: str
    quantity: str
    reference: Callable[[str], str]


def _ratio_columns(
    table: Table, quantities: Sequence[str], contenders: Sequence[str]
) -> list[Ratio]:
    """
    Give the columns of ratios that a table has.
    """
    if table.base:
        own = partial(_of_its_kind, table.base)
        return [
            Ratio(f"{quantity}, {TIMES} {table.base}", quantity, own)
            for quantity in table.compared
            if quantity in quantities
        ]
    found = [
        Ratio(f"{TIMES} {name}", table.main, partial(_always, name))
        for name in table.references
        if name in contenders
    ]
    words = dict.fromkeys(filter(None, map(variant_of, contenders)))
    for word in words if table.main else ():
        own = partial(variant_name, variant=word)
        found.append(Ratio(f"{TIMES} {word}", table.main, own))
    return found


def _always(name: str, contender: str) -> str:
    return name


def _of_its_kind(variant: str, contender: str) -> str:
    return variant_name(kind_of(contender), variant)


def _row(
    run: Run,
    row: str,
    case: str,
    contender: str,
    quantities: Sequence[str],
    compared: Sequence[Ratio],
) -> Sequence[str]:
    """
    Write one contender's line.
    """
    cells = [contender]
    for quantity in quantities:
        values = run.values(Key(row, case, contender, quantity))
        cells.append(_spread(spread(values)))
    for each in compared:
        reference = each.reference(contender)
        own = run.values(Key(row, case, contender, each.quantity))
        other = run.values(Key(row, case, reference, each.quantity))
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


def publish(run: Run, page: Page, to: Path, latest: Path) -> None:
    """
    Write the page of a run, and keep the run and its plot for the page.

    @param to: the page's path.
    @param latest: where the run is kept; the plot comes beside it.
    """
    results.save(run, latest)
    drawing = latest.with_suffix(".svg")
    shown = ""
    if page.picture and plot(run, drawing):
        shown = str(drawing.resolve().relative_to(to.resolve().parent))
    to.write_text(page_text(run, page, shown))
    print(f"wrote {to}")


def main() -> None:
    """
    Run.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report", description=__doc__
    )
    parser.add_argument("run", type=Path, help="a run's file")
    parser.add_argument(
        "--page", type=Path, help="what is written [the page of the run's plan]"
    )
    parser.add_argument(
        "--latest",
        type=Path,
        help="where the run is kept, and its plot beside it [that of the page]",
    )
    asked = parser.parse_args()
    run = results.load(asked.run)
    page = page_of(run)
    publish(run, page, asked.page or page.path, asked.latest or page.latest)


if __name__ == "__main__":
    main()
