"""
Tests of L{benchmarks.report}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.figures import TIMES
from benchmarks.report import page, terminal
from benchmarks.results import Key, Run
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
        self.assertEqual([["kernel", "Linux 6"]], cells(page(new_run()), "kernel"))

    def test_values_and_ratios(self) -> None:
        (line,) = cells(page(bulk_run()), "tcp mux")
        self.assertEqual(
            ["tcp mux", "5", "1.5", "0.375 (0.25\N{EN DASH}0.5)", "0.5"], line
        )

    def test_variants(self) -> None:
        """
        Each contender is compared with its own.
        """
        run = bulk_run()
        run.record(Key("bulk", "down", "tcp mux (old)", "rate"), "x", 0, 4.0)
        text = page(run)
        (head,) = [line for line in text.splitlines() if "rate, x" in line]
        self.assertTrue(head.endswith(f"| {TIMES} old |"), head)
        (own,) = cells(text, "tcp mux")
        (other,) = cells(text, "socat")
        self.assertEqual(("1.25", "\N{EN DASH}"), (own[-1], other[-1]))

    def test_what_has_no_value(self) -> None:
        (line,) = cells(page(bulk_run()), "none")
        self.assertEqual(["none", "15 (10\N{EN DASH}20)", "\N{EN DASH}", ""], line[:4])

    def test_budgets(self) -> None:
        (kept, other) = cells(page(bulk_run()), "bulk down, tcp mux")[:1] * 2
        self.assertEqual(f"≥ 0.6 {TIMES} socat", kept[1])
        self.assertEqual([f"0.5 {TIMES}", "**falls short**"], other[2:])

    def test_what_was_left_out(self) -> None:
        run = bulk_run()
        run.note("", "tls direct", "there is none")
        text = page(run)
        self.assertIn("- tls direct: there is none\n", text)
        (line, *_) = cells(text, "bulk down, tls direct")
        self.assertEqual(["there is none", "not measured"], line[2:])

    def test_picture(self) -> None:
        self.assertIn("](results/latest.svg)", page(new_run(), "results/latest.svg"))
        self.assertNotIn("![", page(new_run()))

    def test_samples_are_for_the_plot(self) -> None:
        run = run_with({Key("memory", "1 GB", "tcp mux", "server samples"): [1.0]})
        self.assertNotIn("samples", page(run))


class TerminalTests(SynchronousTestCase):
    def test_only_what_was_measured(self) -> None:
        text = terminal(bulk_run())
        self.assertEqual(1, len(cells(text, "bulk down, tcp mux")))
        self.assertEqual([], cells(text, "bulk down, tls direct"))
