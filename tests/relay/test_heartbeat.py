"""
Tests of L{reitunnel.relay.heartbeat}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.relay.heartbeat import Heartbeat


class HeartbeatTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.pings: list[bytes] = []
        self.silences = 0
        self.heartbeat = Heartbeat(
            self.clock, 10, 30, self.pings.append, self._count_silence
        )

    def _count_silence(self) -> None:
        self.silences += 1

    def test_pings_at_once_and_then_at_intervals(self) -> None:
        self.heartbeat.start()
        self.assertEqual(1, len(self.pings))
        self.clock.advance(9.9)
        self.assertEqual(1, len(self.pings))
        self.clock.advance(0.1)
        self.assertEqual(2, len(self.pings))
        self.clock.advance(10)
        self.assertEqual(3, len(self.pings))

    def test_pings_differ(self) -> None:
        """
        They are of eight bytes, as the wire wants them.
        """
        self.heartbeat.start()
        self.clock.advance(10)
        self.clock.advance(10)
        self.assertEqual(3, len(set(self.pings)))
        self.assertEqual({8}, {len(ping) for ping in self.pings})

    def test_silence(self) -> None:
        """
        It is reported once, and then nothing goes on.
        """
        self.heartbeat.start()
        self.clock.advance(29.9)
        self.assertEqual(0, self.silences)
        self.clock.advance(0.1)
        self.assertEqual(1, self.silences)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_answer_gives_more_time(self) -> None:
        self.heartbeat.start()
        self.clock.advance(9)
        self.heartbeat.answered(self.pings[0])
        self.clock.advance(29)
        self.assertEqual(0, self.silences)
        self.clock.advance(1)
        self.assertEqual(1, self.silences)

    def test_round_trip(self) -> None:
        self.heartbeat.start()
        self.assertIsNone(self.heartbeat.round_trip)
        self.clock.advance(0.25)
        self.heartbeat.answered(self.pings[0])
        self.assertEqual(0.25, self.heartbeat.round_trip)

    def test_round_trip_longer_than_the_interval(self) -> None:
        """
        A slow link is not a silent one: answers count although younger pings are
        on their way.
        """
        self.heartbeat.start()
        for second in range(1, 200):
            self.clock.advance(1)
            if second > 10 and second % 10 == 5:
                self.heartbeat.answered(self.pings[second // 10 - 1])
        self.assertEqual(0, self.silences)
        self.assertEqual(15, self.heartbeat.round_trip)

    def test_not_the_oldest_ping(self) -> None:
        """
        An answer out of order does not count.
        """
        self.heartbeat.start()
        self.clock.advance(10)
        self.heartbeat.answered(self.pings[1])
        self.assertIsNone(self.heartbeat.round_trip)
        self.clock.advance(20)
        self.assertEqual(1, self.silences)

    def test_answered_twice(self) -> None:
        self.heartbeat.start()
        self.heartbeat.answered(self.pings[0])
        self.clock.advance(9)
        self.heartbeat.answered(self.pings[0])
        self.assertEqual(0, self.heartbeat.round_trip)

    def test_stop(self) -> None:
        self.heartbeat.start()
        self.heartbeat.stop()
        self.heartbeat.stop()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_begin_again(self) -> None:
        """
        What was measured on the link before is forgotten, and answers to what was asked
        there are no sign of life. Those on the new link count from the first one.
        """
        self.heartbeat.start()
        self.clock.advance(1)
        self.heartbeat.answered(self.pings[0])
        self.clock.advance(9)
        self.heartbeat.stop()
        self.heartbeat.start()
        self.assertIs(None, self.heartbeat.round_trip)
        self.assertEqual(0.0, self.heartbeat.least_round_trip)
        self.assertFalse(self.heartbeat.late)
        self.clock.advance(9)
        self.heartbeat.answered(self.pings[1])
        self.assertIs(None, self.heartbeat.round_trip)
        self.heartbeat.answered(self.pings[2])
        self.assertEqual(9.0, self.heartbeat.round_trip)
        self.clock.advance(1)
        self.heartbeat.stop()
        self.heartbeat.start()
        self.clock.advance(29)
        self.heartbeat.answered(self.pings[3])
        self.clock.advance(1)
        self.assertEqual(1, self.silences)

    def test_stop_before_start(self) -> None:
        self.heartbeat.stop()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_answer_after_stop(self) -> None:
        self.heartbeat.start()
        self.heartbeat.stop()
        self.heartbeat.answered(self.pings[0])
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_ping_that_stops(self) -> None:
        """
        Whoever sends the ping may find that it is all over.
        """
        heartbeat = Heartbeat(
            self.clock, 10, 30, lambda _: heartbeat.stop(), self._count_silence
        )
        heartbeat.start()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.clock.advance(100)
        self.assertEqual(0, self.silences)
