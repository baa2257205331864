"""
When tunnels that were refused are asked for again.
"""

from __future__ import annotations

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Client, ClientTunnel
from reitunnel.client.retries import Retries
from tests.pair import client_config


class RetriesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = MemoryReactorClock()
        self.asked: list[float] = []
        [self.wanted] = Client(self.clock, client_config()).wanted
        self.retries = Retries(self.clock, self.ask)

    def ask(self, wanted: ClientTunnel) -> None:
        self.assertIs(self.wanted, wanted)
        self.asked.append(self.clock.seconds())

    def test_later_each_time(self) -> None:
        delays = []
        for _ in range(7):
            self.retries.wait(self.wanted)
            [call] = self.clock.getDelayedCalls()
            delays.append(call.getTime() - self.clock.seconds())
            self.clock.advance(30)
        self.assertEqual([1, 2, 4, 8, 16, 30, 30], delays)
        self.assertEqual(7, len(self.asked))

    def test_once(self) -> None:
        """
        One that is refused again before it was asked for again waits once.
        """
        self.retries.wait(self.wanted)
        self.retries.wait(self.wanted)
        self.assertEqual(1, len(self.clock.getDelayedCalls()))
        self.clock.advance(30)
        self.assertEqual(1, len(self.asked))

    def test_forgotten(self) -> None:
        """
        It begins anew.
        """
        self.retries.wait(self.wanted)
        self.retries.forget(self.wanted)
        self.retries.forget(self.wanted)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.retries.wait(self.wanted)
        self.clock.advance(1)
        self.assertEqual([1], self.asked)

    def test_stopped(self) -> None:
        self.retries.wait(self.wanted)
        self.retries.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
