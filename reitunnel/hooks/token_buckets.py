"""
Token buckets, one for each key: how often something may happen.
"""

from __future__ import annotations

from collections.abc import Hashable


class TokenBuckets:
    """
    A bucket for each key, all of the same size and rate. A bucket begins full, with
    C{burst} tokens, and gets C{rate} tokens a second until it is full again.

    A bucket that is full need not be kept. Above C{capacity} buckets, the one that was
    taken from least recently is forgotten, and so is full again.

    Time is given by the caller. If it goes back, buckets get nothing for that.
    """

    def __init__(self, rate: float, burst: float, capacity: int) -> None:
        """
        @param rate: tokens a second, more than 0.
        @param burst: how many tokens a full bucket has, at least 1.
        @param capacity: how many buckets are kept, at least 1.
        @raise ValueError: if they are less.
        """
        if not rate > 0 or not burst >= 1 or capacity < 1:
            raise ValueError("rate must be more than 0, burst and capacity at least 1")
        self._rate = rate
        self._burst = burst
        self._capacity = capacity
        # How many tokens there were, and when. What was taken from least recently is
        # first.
        self._buckets: dict[Hashable, tuple[float, float]] = {}

    def __len__(self) -> int:
        """
        How many buckets are kept.
        """
        return len(self._buckets)

    def has(self, key: Hashable, now: float) -> bool:
        """
        Whether a bucket has a token.

        @param now: the time, in seconds.
        """
        return self._tokens(key, now) >= 1

    def take(self, key: Hashable, now: float) -> bool:
        """
        Take a token from a bucket, if it has one.

        @param now: the time, in seconds.
        @return: whether it had one.
        """
        tokens = self._tokens(key, now)
        if tokens < 1:
            return False
        self._buckets.pop(key, None)
        self._buckets[key] = (tokens - 1, now)
        if len(self._buckets) > self._capacity:
            self._make_room(now)
        return True

    def _tokens(self, key: Hashable, now: float) -> float:
        kept = self._buckets.get(key)
        if kept is None:
            return self._burst
        tokens, then = kept
        if now < then:
            self._buckets[key] = (tokens, now)
            return tokens
        return min(self._burst, tokens + (now - then) * self._rate)

    def _make_room(self, now: float) -> None:
        """
        Forget the bucket that was taken from least recently, and those after it that
        are full.
        """
        del self._buckets[next(iter(self._buckets))]
        while self._buckets:
            oldest = next(iter(self._buckets))
            if self._tokens(oldest, now) < self._burst:
                return
            del self._buckets[oldest]
