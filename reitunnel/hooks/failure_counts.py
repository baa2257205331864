"""
Who has failed so often lately that it is too often.
"""

from __future__ import annotations

from collections.abc import Hashable


class FailureCounts:
    """
    Counts failures by key, over a time that moves along.

    Above C{capacity} keys, the one that has not failed for longest is forgotten. Time
    is given by the caller.
    """

    def __init__(self, limit: int, window: float, capacity: int) -> None:
        """
        @param limit: how many failures are too many, at least 1.
        @param window: within so many seconds.
        @param capacity: how many keys are kept, at least 1.
        """
        self._limit = limit
        self._window = window
        self._capacity = capacity
        # The times of each key's failures. What has not failed for longest is first.
        self._times: dict[Hashable, list[float]] = {}

    def __len__(self) -> int:
        """
        How many keys are kept.
        """
        return len(self._times)

    def add(self, key: Hashable, now: float) -> bool:
        """
        Count a failure.

        @param now: the time, in seconds.
        @return: whether that makes too many. The key then begins anew.
        """
        before = self._times.pop(key, ())
        times = [time for time in before if self._counts(time, now)]
        times.append(now)
        if len(times) >= self._limit:
            return True
        self._times[key] = times
        self._make_room(now)
        return False

    def forget(self, key: Hashable) -> None:
        """
        Forget a key's failures.
        """
        self._times.pop(key, None)

    def _counts(self, time: float, now: float) -> bool:
        # A time to come is one from before the clock was set back.
        return now - self._window < time <= now

    def _make_room(self, now: float) -> None:
        while True:
            oldest = next(iter(self._times))
            fresh = self._counts(self._times[oldest][-1], now)
            if fresh and len(self._times) <= self._capacity:
                return
            del self._times[oldest]
