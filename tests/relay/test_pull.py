"""
Tests of L{reitunnel.relay.pull}.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from reitunnel.relay.pull import PullAdapter


@implementer(IPullProducer)
class Producer:
    """
    Counts what it is told.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.stopped = 0
        self.on_asked: Callable[[], None] = lambda: None

    def resumeProducing(self) -> None:
        self.asked += 1
        self.on_asked()

    def stopProducing(self) -> None:
        self.stopped += 1


class PullAdapterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.producer = Producer()
        self.failures = 0
        self.adapter = PullAdapter(self.producer, self.clock, self._count_failure)

    def _count_failure(self) -> None:
        self.failures += 1

    def test_interface(self) -> None:
        verifyObject(IPushProducer, self.adapter)

    def test_asks_in_turns(self) -> None:
        self.adapter.resumeProducing()
        self.assertEqual(0, self.producer.asked)
        self.producer.on_asked = self.adapter.pauseProducing
        self.clock.advance(0)
        self.assertEqual(1, self.producer.asked)
        self.clock.advance(0)
        self.assertEqual(1, self.producer.asked)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_goes_on(self) -> None:
        def pause_at_three() -> None:
            if self.producer.asked == 3:
                self.adapter.pauseProducing()

        self.producer.on_asked = pause_at_three
        self.adapter.resumeProducing()
        self.clock.advance(0)
        self.assertEqual(3, self.producer.asked)

    def test_resumed_twice(self) -> None:
        self.adapter.resumeProducing()
        self.adapter.resumeProducing()
        self.assertEqual(1, len(self.clock.getDelayedCalls()))

    def test_pause_before_it_is_asked(self) -> None:
        self.adapter.resumeProducing()
        self.adapter.pauseProducing()
        self.adapter.pauseProducing()
        self.clock.advance(0)
        self.assertEqual(0, self.producer.asked)

    def test_stop(self) -> None:
        self.adapter.resumeProducing()
        self.adapter.stopProducing()
        self.clock.advance(0)
        self.assertEqual((0, 1), (self.producer.asked, self.producer.stopped))

    def test_failure(self) -> None:
        """
        A producer that raises is asked again only if nobody stops it.
        """

        def fail() -> None:
            raise ValueError

        def stop() -> None:
            self.failures += 1
            adapter.pauseProducing()

        adapter = PullAdapter(self.producer, self.clock, stop)
        self.producer.on_asked = fail
        adapter.resumeProducing()
        self.clock.advance(0)
        self.assertEqual((1, 1), (self.producer.asked, self.failures))
        self.assertEqual([], self.clock.getDelayedCalls())
