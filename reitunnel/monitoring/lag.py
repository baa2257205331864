"""
Measures how late the reactor is.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

INTERVAL: Final = 0.5
"""How often it is measured, in seconds."""
BOUNDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""The upper bounds of the histogram, in seconds."""
_REMEMBERED: Final = 120
"""Of how many measurements, the newest, L{LagMeter.worst} is the worst."""


class LagMeter:
    """
    Asks to be called at a time, and looks how much later that was.

    @ivar newest: the newest lag, in seconds.
    @ivar total: the sum of all, in seconds.
    @ivar counts: how many were within each of L{BOUNDS} and not within the one
        before it, and how many were above the last.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.newest = 0.0
        self.total = 0.0
        self.counts = [0] * (len(BOUNDS) + 1)
        self._clock = clock
        self._recent: deque[float] = deque(maxlen=_REMEMBERED)
        self._next: IDelayedCall | None = None

    @property
    def worst(self) -> float:
        """
        The worst of the last minute, in seconds.
        """
        return max(self._recent, default=0.0)

    def start(self) -> None:
        """
        Begin to measure.
        """
        due = self._clock.seconds() + INTERVAL
        self._next = self._clock.callLater(INTERVAL, self._measure, due)

    def stop(self) -> None:
        """
        Measure no more. Stopping again does nothing.
        """
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None

    def _measure(self, due: float) -> None:
        # It is less when the clock was set back.
        lag = max(0.0, self._clock.seconds() - due)
        self.newest = lag
        self.total += lag
        self._recent.append(lag)
        place = next((i for i, bound in enumerate(BOUNDS) if lag <= bound), len(BOUNDS))
        self.counts[place] += 1
        self.start()
