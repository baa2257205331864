"""
Tests for token buckets.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.hooks.token_buckets import TokenBuckets


@dataclass
class PlainBucket:
    """
    A token bucket as everybody explains it, with exact numbers.
    """

    rate: Fraction
    burst: int
    tokens: Fraction
    at: Fraction

    def take(self, now: Fraction) -> bool:
        added = (now - self.at) * self.rate
        self.tokens = min(Fraction(self.burst), self.tokens + added)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


# Steps and rates that floating point has exactly, so that the answer at an edge is the
# exact one too.
STEPS = st.integers(0, 64).map(lambda step: Fraction(step, 8))
RATES = st.integers(-4, 4).map(lambda power: Fraction(2) ** power)


class TokenBucketTests(SynchronousTestCase):
    @given(
        RATES,
        st.integers(1, 20),
        st.lists(st.tuples(st.sampled_from("abc"), STEPS), max_size=60),
    )
    def test_as_a_plain_bucket(
        self, rate: Fraction, burst: int, moves: list[tuple[str, Fraction]]
    ) -> None:
        buckets = TokenBuckets(float(rate), burst, capacity=10)
        now = Fraction(1000)
        plain = {key: PlainBucket(rate, burst, Fraction(burst), now) for key in "abc"}
        for key, step in moves:
            now += step
            has = buckets.has(key, float(now))
            taken = buckets.take(key, float(now))
            self.assertEqual(has, taken)
            self.assertEqual(plain[key].take(now), taken)

    @given(
        st.floats(0.01, 1000),
        st.floats(1, 100),
        st.lists(st.floats(0, 10), min_size=1, max_size=60),
    )
    def test_never_more(self, rate: float, burst: float, steps: list[float]) -> None:
        """
        Whatever the numbers: in any time, no more than the burst and what the rate
        adds.
        """
        buckets = TokenBuckets(rate, burst, capacity=1)
        now = 0.0
        taken = 0
        for step in steps:
            now += step
            taken += buckets.take("a", now)
            self.assertLessEqual(taken, burst + now * rate + 1e-6 * (1 + now * rate))

    @given(
        st.lists(st.tuples(st.integers(0, 50), st.floats(0, 10)), max_size=100),
        st.integers(1, 5),
    )
    def test_bounded(self, moves: list[tuple[int, float]], capacity: int) -> None:
        buckets = TokenBuckets(1.0, 2, capacity)
        now = 0.0
        for key, step in moves:
            now += step
            buckets.take(key, now)
            self.assertLessEqual(len(buckets), capacity)

    def test_burst_and_rate(self) -> None:
        buckets = TokenBuckets(rate=2.0, burst=3, capacity=10)
        taken = [buckets.take("a", 100.0) for _ in range(5)]
        self.assertEqual([True, True, True, False, False], taken)
        self.assertFalse(buckets.take("a", 100.4))
        self.assertTrue(buckets.take("a", 100.5))
        self.assertFalse(buckets.take("a", 100.5))
        taken = [buckets.take("a", 200.0) for _ in range(4)]
        self.assertEqual([True, True, True, False], taken)

    def test_keys_apart(self) -> None:
        buckets = TokenBuckets(1.0, 1, capacity=10)
        self.assertTrue(buckets.take("a", 0.0))
        self.assertTrue(buckets.take("b", 0.0))
        self.assertFalse(buckets.take("a", 0.0))

    def test_has_takes_nothing(self) -> None:
        buckets = TokenBuckets(1.0, 1, capacity=10)
        for _ in range(3):
            self.assertTrue(buckets.has("a", 0.0))
        self.assertEqual(0, len(buckets))
        self.assertTrue(buckets.take("a", 0.0))
        self.assertFalse(buckets.has("a", 0.0))

    def test_least_recent_is_forgotten(self) -> None:
        buckets = TokenBuckets(0.001, 2, capacity=2)
        buckets.take("a", 0.0)
        buckets.take("b", 0.0)
        buckets.take("a", 0.0)
        buckets.take("c", 0.0)
        self.assertFalse(buckets.take("a", 0.0))
        self.assertEqual(2, len(buckets))

    def test_full_ones_are_forgotten_first(self) -> None:
        """
        What nobody has come back to takes no room for long.
        """
        buckets = TokenBuckets(1.0, 1, capacity=3)
        for key in "abc":
            buckets.take(key, 0.0)
        buckets.take("d", 100.0)
        self.assertEqual(1, len(buckets))

    def test_whole_burst(self) -> None:
        """
        Today's times are large numbers: no token is lost to rounding.
        """
        buckets = TokenBuckets(rate=10.0, burst=20, capacity=10)
        taken = [buckets.take("a", 1_790_000_000.123) for _ in range(21)]
        self.assertEqual([True] * 20 + [False], taken)

    def test_clock_that_goes_back(self) -> None:
        """
        The bucket has what it had, and fills from there.
        """
        buckets = TokenBuckets(rate=1.0, burst=2, capacity=10)
        buckets.take("a", 1_000_000.0)
        buckets.take("a", 1_000_000.0)
        self.assertFalse(buckets.take("a", 10.0))
        self.assertFalse(buckets.take("a", 10.5))
        self.assertTrue(buckets.take("a", 11.0))
        self.assertFalse(buckets.take("a", 11.0))

    def test_numbers_that_make_no_sense(self) -> None:
        for rate, burst, capacity in ((0, 1, 1), (1, 0.5, 1), (1, 1, 0), (-1, 1, 1)):
            self.assertRaises(ValueError, TokenBuckets, rate, burst, capacity)
