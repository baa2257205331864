"""
Tests for counts of failures.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.hooks.failure_counts import FailureCounts


class FailureCountTests(SynchronousTestCase):
    def test_too_many(self) -> None:
        counts = FailureCounts(3, 10.0, 100)
        self.assertFalse(counts.add("a", 100.0))
        self.assertFalse(counts.add("a", 101.0))
        self.assertTrue(counts.add("a", 109.9))

    def test_one_is_too_many(self) -> None:
        self.assertTrue(FailureCounts(1, 10.0, 100).add("a", 0.0))

    def test_too_long_ago(self) -> None:
        counts = FailureCounts(3, 10.0, 100)
        for now in (100.0, 105.0, 110.0, 115.0, 120.0):
            self.assertFalse(counts.add("a", now))
        self.assertTrue(counts.add("a", 124.9))

    def test_begins_anew(self) -> None:
        counts = FailureCounts(2, 10.0, 100)
        answers = [counts.add("a", 100.0 + n) for n in range(5)]
        self.assertEqual([False, True, False, True, False], answers)

    def test_keys_apart(self) -> None:
        counts = FailureCounts(2, 10.0, 100)
        self.assertFalse(counts.add("a", 0.0))
        self.assertFalse(counts.add("b", 0.0))
        self.assertTrue(counts.add("a", 0.0))

    def test_forget(self) -> None:
        counts = FailureCounts(2, 10.0, 100)
        counts.add("a", 0.0)
        counts.forget("a")
        counts.forget("b")
        self.assertEqual(0, len(counts))
        self.assertFalse(counts.add("a", 0.0))

    def test_bounded(self) -> None:
        counts = FailureCounts(3, 10.0, 2)
        for key in ("a", "b", "a", "c"):
            counts.add(key, 0.0)
        self.assertEqual(2, len(counts))
        self.assertTrue(counts.add("a", 0.0))
        self.assertFalse(counts.add("b", 0.0))
        self.assertFalse(counts.add("b", 0.0))

    def test_old_ones_go_by_themselves(self) -> None:
        counts = FailureCounts(3, 10.0, 100)
        for key in "abc":
            counts.add(key, 0.0)
        counts.add("d", 10.0)
        self.assertEqual(1, len(counts))

    def test_clock_that_goes_back(self) -> None:
        counts = FailureCounts(2, 10.0, 100)
        self.assertFalse(counts.add("a", 1000.0))
        self.assertFalse(counts.add("b", 1000.0))
        self.assertFalse(counts.add("a", 5.0))
        self.assertTrue(counts.add("a", 6.0))

    @given(
        st.integers(1, 5),
        st.integers(1, 20),
        st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 10)), max_size=80),
    )
    def test_as_a_plain_list(
        self, limit: int, window: int, moves: list[tuple[str, int]]
    ) -> None:
        counts = FailureCounts(limit, window, 10)
        plain: dict[str, list[int]] = {key: [] for key in "abc"}
        now = 0
        for key, step in moves:
            now += step
            plain[key].append(now)
            recent = [time for time in plain[key] if time > now - window]
            self.assertEqual(len(recent) >= limit, counts.add(key, now))
            if len(recent) >= limit:
                plain[key] = []
