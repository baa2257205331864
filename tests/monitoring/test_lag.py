"""
Tests of L{reitunnel.monitoring.lag}.
"""

from __future__ import annotations

from twisted.internet.base import DelayedCall
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.monitoring.lag import BOUNDS, INTERVAL, LagMeter


class LagTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.meter = LagMeter(self.clock)
        self.meter.start()

    def test_on_time(self) -> None:
        for _ in range(3):
            self.clock.advance(INTERVAL)
        self.assertEqual((0.0, 0.0), (self.meter.newest, self.meter.worst))
        self.assertEqual([3] + [0] * len(BOUNDS), self.meter.counts)

    def test_late(self) -> None:
        """
        The reactor is as late as its calls.
        """
        self.clock.advance(INTERVAL + 0.25)
        self.clock.advance(INTERVAL + 7)
        self.clock.advance(INTERVAL)
        self.assertAlmostEqual(7.25, self.meter.total)
        self.assertAlmostEqual(7.0, self.meter.worst)
        self.assertAlmostEqual(0.0, self.meter.newest)
        counted = dict(zip((*BOUNDS, None), self.meter.counts, strict=True))
        self.assertEqual(1, counted[0.5])
        self.assertEqual(1, counted[None])
        self.assertEqual(1, counted[BOUNDS[0]])

    def test_worst_is_of_the_last_minute(self) -> None:
        self.clock.advance(INTERVAL + 3)
        for _ in range(120):
            self.clock.advance(INTERVAL)
        self.assertAlmostEqual(0.0, self.meter.worst)

    def test_stop(self) -> None:
        self.meter.stop()
        self.meter.stop()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_clock_is_set_back(self) -> None:
        """
        That is no lag, and takes nothing from the sum.
        """
        self.clock.advance(INTERVAL + 0.25)
        [call] = self.clock.getDelayedCalls()
        assert isinstance(call, DelayedCall)
        call.func(*call.args)
        self.assertEqual((0.0, 0.25), (self.meter.newest, self.meter.total))
