"""
Tests of L{reitunnel.hooks.pacing}: rates that flows share.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.hooks.pacing import Flow, Rate
from tests.hooks.fakes import FakeBrake

PIECE = 1000
RATE = 100_000.0
BURST = 0.1


class Stream:
    """
    Moves a piece in each turn, while it has something and is not held.
    """

    def __init__(self, *rates: Rate, left: int = 1 << 60) -> None:
        self.flow = Flow(rates)
        self.brake = FakeBrake(self.flow.moved)
        self.moved = 0
        self.left = left
        self.flow.begin(self.brake)

    def turn(self) -> None:
        size = min(PIECE, self.left)
        if size and not self.brake.held:
            self.left -= size
            self.moved += size
            self.flow.moved(size)


class RateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.forgotten: list[str] = []
        self.rate = self.make()

    def make(self, rate: float = RATE) -> Rate:
        return Rate(self.clock, rate, BURST, lambda: self.forgotten.append("rate"))

    def run_for(self, seconds: float, *streams: Stream, step: float = 0.001) -> int:
        """
        Let time pass.

        @return: how many bytes have moved.
        """
        before = sum(stream.moved for stream in streams)
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            for stream in streams:
                stream.turn()
            self.clock.advance(step)
        return sum(stream.moved for stream in streams) - before

    def assert_near(self, expected: float, actual: float, part: float = 0.01) -> None:
        self.assertApproximates(expected, actual, expected * part)

    def test_one(self) -> None:
        """
        After the burst it moves at the rate.
        """
        stream = Stream(self.rate)
        self.run_for(1, stream)
        self.assert_near(10 * RATE, self.run_for(10, stream))

    def test_clock_is_set_back(self) -> None:
        """
        What is not paid for takes as long as it would have taken.
        """
        self.clock.advance(7200)
        first, second = Stream(self.rate), Stream(self.rate)
        self.run_for(10, first, second)
        # As a time service does it: what is due does not go back.
        self.clock.rightNow -= 3600
        first.flow.moved(PIECE)
        self.assertTrue(first.brake.held)
        self.assert_near(10 * RATE, self.run_for(10, first, second), part=0.02)
        self.clock.rightNow -= 3600
        joined = Stream(self.rate)
        self.assert_near(10 * RATE, self.run_for(10, joined), part=0.02)

    def test_clock_is_set_back_while_it_pays(self) -> None:
        """
        Who comes then does not wait for the hour either.
        """
        self.clock.advance(7200)
        stream = Stream(self.rate)
        self.run_for(1, stream)
        stream.flow.end()
        self.clock.rightNow -= 3600
        self.clock.advance(0)
        late = Stream(self.rate)
        self.assert_near(10 * RATE, self.run_for(10, late), part=0.02)

    def test_burst(self) -> None:
        """
        What was not used for a while can be used at once, and no more of it.
        """
        stream = Stream(self.rate)
        self.clock.advance(3600)
        moved = 0
        while not stream.brake.held:
            stream.turn()
        moved = stream.moved
        self.assertApproximates(RATE * BURST, moved, PIECE)

    def test_under_the_rate(self) -> None:
        """
        Who moves less is never held.
        """
        stream = Stream(self.rate)
        for _ in range(1000):
            stream.turn()
            self.assertFalse(stream.brake.held)
            self.clock.advance(PIECE / RATE * 1.01)

    def test_late_timers(self) -> None:
        """
        What is lost to timers that come late is caught up.
        """
        stream = Stream(self.rate)
        self.run_for(1, stream, step=0.04)
        self.assert_near(
            10 * RATE, self.run_for(10, *[stream] * 40, step=0.04) / 40, 0.05
        )

    def test_fair(self) -> None:
        """
        They share it alike, whoever is asked first.
        """
        streams = [Stream(self.rate) for _ in range(7)]
        self.run_for(1, *streams)
        before = [stream.moved for stream in streams]
        self.assert_near(70 * RATE, self.run_for(70, *streams, step=0.01), 0.02)
        for stream, moved in zip(streams, before, strict=True):
            self.assert_near(10 * RATE, stream.moved - moved, 0.02)

    def test_many_at_once(self) -> None:
        """
        However many wake up at a time, each moves one piece at once, and takes turns
        with the others when all of that is paid for.
        """
        streams = [Stream(self.rate) for _ in range(500)]
        self.run_for(0.2, *streams, step=0.01)
        self.assertEqual({PIECE, 2 * PIECE}, {stream.moved for stream in streams})
        self.run_for(10, *streams, step=0.01)
        self.assert_near(20 * RATE, self.run_for(20, *streams, step=0.01))

    def test_idle_ones_get_their_turn(self) -> None:
        """
        A stream that was silent does not wait for those in the queue.
        """
        busy = [Stream(self.rate) for _ in range(100)]
        silent = Stream(self.rate, left=0)
        self.run_for(10, *busy, step=0.01)
        silent.left = 1
        self.run_for(0.01, *busy, silent, step=0.01)
        self.assertEqual(1, silent.moved)

    def test_short_streams(self) -> None:
        """
        A stream for each few bytes does not pass the rate.
        """
        moved = 0
        for _ in range(1000):
            for _ in range(10):
                stream = Stream(self.rate, left=PIECE)
                moved += self.run_for(0.001, stream)
                stream.flow.end()
        self.assertLess(moved, 1.05 * RATE * self.clock.seconds())

    def test_two_rates(self) -> None:
        """
        The lower one counts; who is not under it gets the rest of the other.
        """
        low = self.make(RATE / 10)
        both, free = Stream(self.rate, low), Stream(self.rate)
        self.run_for(5, both, free)
        before = both.moved
        self.assert_near(20 * RATE, self.run_for(20, both, free), 0.02)
        self.assert_near(2 * RATE, both.moved - before, 0.05)

    def test_late_bytes(self) -> None:
        """
        What comes of a flow that is held, as it was on its way, is paid for too.
        """
        stream = Stream(self.rate)
        for _ in range(50):
            stream.flow.moved(PIECE)
        self.clock.advance(0.3)
        self.assertTrue(stream.brake.held)
        self.clock.advance(0.2)
        self.assertFalse(stream.brake.held)

    def test_released_inside(self) -> None:
        """
        Bytes may move from inside a release.
        """

        class Eager(FakeBrake):
            def release(self) -> None:
                super().release()
                while not self.held:
                    self.moved(PIECE)
                    moved.append(PIECE)

        moved: list[int] = []
        for _ in range(3):
            flow = Flow([self.rate])
            flow.begin(Eager(flow.moved))
            flow.moved(PIECE * 20)
        self.clock.pump([0.01] * 1000)
        self.assert_near(10 * RATE, sum(moved), 0.08)

    def test_forgotten(self) -> None:
        """
        A rate without flows lasts until what has moved is paid for.
        """
        stream = Stream(self.rate)
        stream.flow.moved(int(RATE))
        stream.flow.end()
        self.clock.advance(0.8)
        self.assertEqual([], self.forgotten)
        self.clock.advance(0.2)
        self.assertEqual(["rate"], self.forgotten)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_joined_before_it_is_forgotten(self) -> None:
        """
        Who comes next waits for what is not paid for.
        """
        first = Stream(self.rate)
        first.flow.moved(int(RATE))
        first.flow.end()
        second = Stream(self.rate)
        self.assertTrue(second.brake.held)
        self.clock.advance(1)
        self.assertFalse(second.brake.held)
        self.assertEqual([], self.forgotten)

    def test_ended_while_held(self) -> None:
        """
        Nothing is done to a stream that is gone.
        """
        gone, stays = Stream(self.rate), Stream(self.rate)
        gone.flow.moved(PIECE * 20)
        gone.flow.end()
        self.clock.advance(2)
        self.assertTrue(gone.brake.held)
        self.assertFalse(stays.brake.held)

    def test_stop(self) -> None:
        stream = Stream(self.rate)
        stream.flow.moved(int(RATE))
        self.rate.stop()
        self.assertFalse(stream.brake.held)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_idle_costs_nothing(self) -> None:
        stream = Stream(self.rate)
        stream.flow.moved(PIECE)
        self.assertEqual([], self.clock.getDelayedCalls())
