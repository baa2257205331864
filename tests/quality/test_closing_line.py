"""
Tests of L{tests.quality.closing_line}.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from unittest import SkipTest

from twisted.trial.reporter import TreeReporter
from twisted.trial.unittest import SynchronousTestCase, TestSuite

from tests.quality.closing_line import main, read_result


class _Sample(SynchronousTestCase):
    """
    One test of each outcome. Trial does not run it: no method is named test.
    """

    def passes(self) -> None:
        pass

    def fails(self) -> None:
        self.fail("on purpose")

    def errs(self) -> None:
        raise ValueError("on purpose")

    def skips(self) -> None:
        raise SkipTest("on purpose")

    def fails_as_expected(self) -> None:
        self.fail("on purpose")

    fails_as_expected.todo = "on purpose"  # type: ignore[attr-defined]

    def passes_unexpectedly(self) -> None:
        pass

    passes_unexpectedly.todo = "on purpose"  # type: ignore[attr-defined]


def trial_output(*names: str) -> str:
    """
    What trial prints when it runs the named tests.
    """
    stream = io.StringIO()
    reporter = TreeReporter(stream)
    TestSuite([_Sample(name) for name in names]).run(reporter)
    reporter.done()
    return stream.getvalue()


class ClosingLineTests(SynchronousTestCase):
    def closing(self, output: str) -> tuple[int, str, str]:
        """
        The exit code and what is printed for some output.
        """
        log = Path(self.mktemp())
        log.write_text(output)
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        return main([str(log)]), out.getvalue(), err.getvalue()

    def run_of(self, *names: str) -> tuple[int, str]:
        """
        The exit code and the closing line for a run of the named tests.
        """
        code, out, err = self.closing(trial_output(*names))
        # The reports of errors are not this test's.
        self.flushLoggedErrors(ValueError)
        self.assertEqual("", err)
        return code, out

    def test_all_pass(self) -> None:
        self.assertEqual((0, "2 passed, 0 failed\n"), self.run_of("passes", "passes"))

    def test_skips_are_counted(self) -> None:
        self.assertEqual(
            (0, "1 passed, 0 failed, 2 skipped\n"),
            self.run_of("passes", "skips", "skips"),
        )

    def test_failures_and_errors(self) -> None:
        self.assertEqual(
            (1, "1 passed, 2 failed\n"), self.run_of("passes", "fails", "errs")
        )

    def test_expected_failure_passes(self) -> None:
        self.assertEqual((0, "1 passed, 0 failed\n"), self.run_of("fails_as_expected"))

    def test_unexpected_success_fails(self) -> None:
        self.assertEqual(
            (1, "1 passed, 1 failed\n"), self.run_of("passes", "passes_unexpectedly")
        )

    def test_nothing_ran(self) -> None:
        output = trial_output()
        self.assertIn("PASSED", output)
        self.assertEqual((1, "", "trial ran no test\n"), self.closing(output))

    def test_only_skips(self) -> None:
        self.assertEqual((1, "0 passed, 0 failed, 1 skipped\n"), self.run_of("skips"))

    def test_no_trial(self) -> None:
        self.assertEqual(
            (1, "", "trial ran no test\n"),
            self.closing("make: *** [Makefile:1: lint] Error 1\n"),
        )

    def test_runs_together(self) -> None:
        output = trial_output("passes", "skips") + trial_output("passes") + "and more\n"
        closing = "2 passed, 0 failed, 1 skipped\n"
        self.assertEqual((0, closing, ""), self.closing(output))

    def test_one_of_two_runs_failed(self) -> None:
        output = trial_output("fails") + trial_output("passes")
        self.assertEqual((1, "1 passed, 1 failed\n", ""), self.closing(output))

    def test_failed_run_has_a_failure(self) -> None:
        """
        A verdict that the counts do not explain still counts as a failure.
        """
        output = "Ran 1 tests in 0.1s\n\nFAILED (successes=1)\n"
        result = read_result(output)
        self.assertIsNotNone(result)
        self.assertEqual((1, "1 passed, 1 failed\n", ""), self.closing(output))
