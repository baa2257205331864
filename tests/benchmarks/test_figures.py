"""
Tests of L{benchmarks.figures}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.figures import (
    Spread,
    differences,
    fairness,
    growth,
    number,
    percentile,
    ratios,
    spread,
)


class SpreadTests(SynchronousTestCase):
    def test_median_and_ends(self) -> None:
        self.assertEqual(Spread(2.0, 1.0, 9.0), spread([9.0, 1.0, 2.0]))

    def test_what_failed_does_not_count(self) -> None:
        self.assertEqual(Spread(2.0, 1.0, 3.0), spread([None, 1.0, 3.0]))

    def test_nothing(self) -> None:
        self.assertIsNone(spread([]))
        self.assertIsNone(spread([None]))


class PairTests(SynchronousTestCase):
    def test_ratios_are_of_the_same_round(self) -> None:
        """
        Not of the medians, which would be 1 here.
        """
        self.assertEqual([0.5, 1.0, 2.0], ratios([1.0, 2.0, 4.0], [2.0, 2.0, 2.0]))

    def test_rounds_that_lack_one_are_left_out(self) -> None:
        self.assertEqual([3.0], ratios([None, 6.0, 8.0], [1.0, 2.0]))
        self.assertEqual([], ratios([1.0], [None]))
        self.assertEqual([], ratios([1.0], [0.0]))

    def test_differences(self) -> None:
        self.assertEqual([1.0, 0.0], differences([3.0, None, 2.0], [2.0, 2.0, 2.0]))
        self.assertEqual([1.0], differences([1.0], [0.0]))


class PercentileTests(SynchronousTestCase):
    def test_nearest_rank(self) -> None:
        values = [float(value) for value in range(100, 0, -1)]
        self.assertEqual(50.0, percentile(values, 0.5))
        self.assertEqual(99.0, percentile(values, 0.99))
        self.assertEqual(100.0, percentile(values, 1.0))
        self.assertEqual(1.0, percentile(values, 0.0))

    def test_one(self) -> None:
        self.assertEqual(7.0, percentile([7.0], 0.99))


class FairnessTests(SynchronousTestCase):
    def test_ends(self) -> None:
        self.assertAlmostEqual(1.0, fairness([5, 5, 5, 5]))
        self.assertAlmostEqual(0.25, fairness([9, 0, 0, 0]))

    def test_between(self) -> None:
        self.assertAlmostEqual(0.9, fairness([1, 2]))


class GrowthTests(SynchronousTestCase):
    def test_the_start_does_not_count(self) -> None:
        self.assertEqual(0.0, growth([1, 50, 50, 50, 40, 50, 50, 50, 50, 50]))

    def test_growth(self) -> None:
        self.assertEqual(8.0, growth(list(range(10))))

    def test_few_samples(self) -> None:
        self.assertEqual(0.0, growth([5]))
        self.assertEqual(2.0, growth([5, 7]))


class NumberTests(SynchronousTestCase):
    def test_digits(self) -> None:
        for value, text in (
            (12345.6, "12,346"),
            (123.4, "123"),
            (12.34, "12.3"),
            (0.01234, "0.0123"),
            (0, "0"),
            (-5.0, "-5"),
        ):
            self.assertEqual(text, number(value))
