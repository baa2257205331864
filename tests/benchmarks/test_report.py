"""
Tests of L{benchmarks.report}.
"""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.figures import TIMES
from benchmarks.pages import PAGES, RESULTS, TUNING, page_of
from benchmarks.plan import PLANS
from benchmarks.report import page_text, publish, terminal
from benchmarks.results import Key, Run, load
from benchmarks.rows import GROUPS
from tests.benchmarks.test_budgets import run_with
from tests.benchmarks.test_results import new_run


def cells(text: str, first: str) -> list[list[str]]:
    """
    The lines of tables whose first cell is this.
    """
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    return [line for line in lines if line[0] == first]


def bulk_run() -> Run:
    """
    A run with bulk streams.
    """
    return run_with(
        {
            Key("bulk", "down", "none", "rate"): [10.0, 20.0],
            Key("bulk", "down", "tcp mux", "rate"): [5.0, 5.0],
            Key("bulk", "down", "tcp mux", "cpu"): [1.5, 1.5],
            Key("bulk", "down", "socat", "rate"): [10.0, 10.0],
        }
    )


class PageTests(SynchronousTestCase):
    def test_machine(self) -> None:
        self.assertEqual(
            [["kernel", "Linux 6"]], cells(page_text(new_run(), RESULTS), "kernel")
        )

    def test_values_and_ratios(self) -> None:
        (line,) = cells(page_text(bulk_run(), RESULTS), "tcp mux")
        self.assertEqual(
            ["tcp mux", "5", "1.5", "0.375 (0.25\N{EN DASH}0.5)", "0.5"], line
        )

    def test_variants(self) -> None:
        """
        Each contender is compared with its own.
        """
        run = bulk_run()
        run.record(Key("bulk", "down", "tcp mux (old)", "rate"), "x", 0, 4.0)
        text = page_text(run, RESULTS)
        (head,) = [line for line in text.splitlines() if "rate, x" in line]
        self.assertTrue(head.endswith(f"| {TIMES} old |"), head)
        (own,) = cells(text, "tcp mux")
        (other,) = cells(text, "socat")
        self.assertEqual(("1.25", "\N{EN DASH}"), (own[-1], other[-1]))

    def test_what_has_no_value(self) -> None:
        (line,) = cells(page_text(bulk_run(), RESULTS), "none")
        self.assertEqual(["none", "15 (10\N{EN DASH}20)", "\N{EN DASH}", ""], line[:4])

    def test_budgets(self) -> None:
        (kept, other) = (
            cells(page_text(bulk_run(), RESULTS), "bulk down, tcp mux")[:1] * 2
        )
        self.assertEqual(f"≥ 0.6 {TIMES} socat", kept[1])
        self.assertEqual([f"0.5 {TIMES}", "**falls short**"], other[2:])

    def test_what_was_left_out(self) -> None:
        run = bulk_run()
        run.note("", "tls direct", "there is none")
        text = page_text(run, RESULTS)
        self.assertIn("- tls direct: there is none\n", text)
        (line, *_) = cells(text, "bulk down, tls direct")
        self.assertEqual(["there is none", "not measured"], line[2:])

    def test_picture(self) -> None:
        self.assertIn(
            "](results/latest.svg)", page_text(new_run(), RESULTS, "results/latest.svg")
        )
        self.assertNotIn("![", page_text(new_run(), RESULTS))

    def test_samples_are_for_the_plot(self) -> None:
        run = run_with({Key("memory", "1 GB", "tcp mux", "server samples"): [1.0]})
        self.assertNotIn("samples", page_text(run, RESULTS))


class BaseTests(SynchronousTestCase):
    """
    Tables of variants alone.
    """

    def run_of(self, *kinds: str) -> Run:
        """
        A run in which buffers were compared.
        """
        return run_with(
            {
                Key("buffer_size", case, f"{kind} ({size} KiB)", quantity): values
                for kind in kinds
                for case, quantity, size, values in (
                    ("bulk down", "rate", 64, [10.0, 20.0]),
                    ("bulk down", "rate", 8, [5.0, 5.0]),
                    ("bulk down", "cpu", 64, [1.0, 1.0]),
                    ("bulk down", "cpu", 8, [2.0, 3.0]),
                    ("64 B", "p50", 64, [10.0]),
                    ("64 B", "p50", 8, [20.0]),
                )
            }
        )

    def test_each_by_that_of_its_kind(self) -> None:
        run = self.run_of("tcp mux", "tls mux")
        run.record(Key("buffer_size", "64 B", "tls mux (64 KiB)", "p50"), "x", 0, 5.0)
        text = page_text(run, TUNING)
        for kind, ratio in (("tcp mux", "2"), ("tls mux", "4")):
            bulk, ping = cells(text, f"{kind} (8 KiB)")
            self.assertEqual(
                ["0.375 (0.25\N{EN DASH}0.5)", "2.5 (2\N{EN DASH}3)"], bulk[3:]
            )
            self.assertEqual(["20", ratio], ping[1:])

    def test_the_base_has_no_ratio(self) -> None:
        bulk, _ = cells(page_text(self.run_of("tcp mux"), TUNING), "tcp mux (64 KiB)")
        self.assertEqual(["", ""], bulk[3:])

    def test_heads(self) -> None:
        """
        Only what was measured in a case has a column.
        """
        text = page_text(self.run_of("tcp mux"), TUNING)
        heads = [line for line in text.splitlines() if f"{TIMES} 64 KiB" in line]
        self.assertEqual(
            [
                f"|  | rate, x | cpu, x | rate, {TIMES} 64 KiB | cpu, {TIMES} 64 KiB |",
                f"|  | p50, x | p50, {TIMES} 64 KiB |",
            ],
            heads,
        )

    def test_a_kind_without_its_base(self) -> None:
        run = run_with({Key("nodelay", "64 B", "tcp mux (off)", "p50"): [1.0]})
        (line,) = cells(page_text(run, TUNING), "tcp mux (off)")
        self.assertEqual(["1", "\N{EN DASH}"], line[1:])


class PagesTests(SynchronousTestCase):
    def test_of_plans(self) -> None:
        run = new_run()
        for name, page in (("full", RESULTS), ("tiny", RESULTS), ("tuning", TUNING)):
            run.plan = name
            self.assertIs(page, page_of(run))

    def test_of_a_plan_that_is_no_more(self) -> None:
        run = new_run()
        run.plan = "huge"
        self.assertNotIn(run.plan, PLANS)
        self.assertIs(RESULTS, page_of(run))

    def test_each_row_has_a_table(self) -> None:
        """
        On the page of its group.
        """
        for group, rows in GROUPS.items():
            tables = [table.row for table in PAGES[group].tables]
            self.assertEqual(sorted(rows), sorted(tables))

    def test_only_results_are_judged(self) -> None:
        run = bulk_run()
        self.assertIn("## Budgets", page_text(run, RESULTS))
        self.assertNotIn("## Budgets", page_text(run, TUNING))

    def test_published(self) -> None:
        """
        The page is written, and the run kept; here there is nothing to draw.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        to, latest = directory / "page.md", directory / "kept" / "run.json"
        run = bulk_run()
        with redirect_stdout(StringIO()):
            publish(run, TUNING, to, latest)
        self.assertEqual(page_text(run, TUNING), to.read_text())
        self.assertEqual(run, load(latest))
        self.assertEqual([latest], list(latest.parent.iterdir()))


class TerminalTests(SynchronousTestCase):
    def test_rows_of_every_page(self) -> None:
        run = run_with({Key("nodelay", "64 B", "tcp mux (off)", "p50"): [1.0]})
        text = terminal(run)
        self.assertEqual(1, len(cells(text, "tcp mux (off)")))
        self.assertNotIn("## Budgets", text)

    def test_only_what_was_measured(self) -> None:
        text = terminal(bulk_run())
        self.assertEqual(1, len(cells(text, "bulk down, tcp mux")))
        self.assertEqual([], cells(text, "bulk down, tls direct"))
