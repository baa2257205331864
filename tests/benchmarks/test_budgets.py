"""
Tests of L{benchmarks.budgets}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.budgets import Budget, Verdict, budgets, judge
from benchmarks.figures import Spread, differences
from benchmarks.results import Key, Run
from tests.benchmarks.test_results import new_run

OURS = Key("bulk", "down", "tcp direct", "rate")
THEIRS = Key("bulk", "down", "socat", "rate")


def run_with(values: dict[Key, list[float]]) -> Run:
    """
    A run in which this was measured.
    """
    run = new_run()
    for key, measured in values.items():
        for number, value in enumerate(measured):
            run.record(key, "x", number, value)
    return run


class JudgingTests(SynchronousTestCase):
    ratio = Budget("bulk", OURS, 1.15, at_least=True, reference=THEIRS)

    def test_the_median_of_the_pairs_decides(self) -> None:
        for values, verdict in (
            ([10.0, 11.5, 30.0], Verdict.KEPT),
            ([10.0, 11.4, 30.0], Verdict.MISSED),
        ):
            judged = self.ratio.judge(run_with({OURS: values, THEIRS: [10.0] * 3}))
            self.assertIs(verdict, judged.verdict)
            self.assertEqual(Spread(values[1] / 10, 1.0, 3.0), judged.found)

    def test_at_most(self) -> None:
        budget = Budget("x", OURS, 5.0, at_least=False, unit="ms")
        self.assertIs(Verdict.KEPT, budget.judge(run_with({OURS: [5.0]})).verdict)
        self.assertIs(Verdict.MISSED, budget.judge(run_with({OURS: [5.1]})).verdict)
        self.assertEqual("≤ 5 ms", budget.text)

    def test_over_another(self) -> None:
        budget = Budget(
            "x",
            OURS,
            1000,
            at_least=False,
            unit="ms",
            reference=THEIRS,
            compare=differences,
        )
        judged = budget.judge(run_with({OURS: [1500.0], THEIRS: [600.0]}))
        self.assertEqual(Spread(900.0, 900.0, 900.0), judged.found)
        self.assertEqual("≤ 1,000 ms over socat", judged.budget)

    def test_not_measured(self) -> None:
        run = run_with({THEIRS: [1.0]})
        run.note("", "tcp direct", "there is none")
        judged = self.ratio.judge(run)
        self.assertIs(Verdict.UNKNOWN, judged.verdict)
        self.assertEqual("there is none", judged.reason)

    def test_nothing_to_compare_with(self) -> None:
        run = run_with({OURS: [1.0]})
        run.note("", "socat", "not installed")
        judged = self.ratio.judge(run)
        self.assertEqual(
            (Verdict.UNKNOWN, "socat: not installed"), (judged.verdict, judged.reason)
        )


class BudgetTests(SynchronousTestCase):
    def test_every_row(self) -> None:
        """
        Each row of the design's table has a budget here, and those of what came later.
        """
        self.assertEqual(
            {
                *("bulk", "latency", "loaded", "visits", "crowd", "tunnels"),
                *("micro", "long path", "memory", "resumption", "bandwidth"),
            },
            {budget.subject.row for budget in budgets(new_run())},
        )

    def test_none_twice(self) -> None:
        found = [
            (budget.subject, budget.reference, budget.limit)
            for budget in budgets(new_run())
        ]
        self.assertEqual(len(found), len(set(found)))

    def test_sizes_of_the_run(self) -> None:
        """
        A run with fewer visitors is judged too, and says how many they were.
        """
        key = Key("crowd", "500 visitors", "tcp mux", "server memory")
        judged = {each.what: each for each in judge(run_with({key: [41.0]}))}
        found = judged["500 visitors at once: server memory, tcp mux"]
        self.assertIs(Verdict.MISSED, found.verdict)
