"""
Tests of L{reitunnel.transports.websocket}.
"""

from __future__ import annotations

from typing import cast

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPullProducer, IReactorTime
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from reitunnel.interfaces import ILinkTransport
from reitunnel.transports import WebSocketTransport, link_facts
from reitunnel.transports.websocket_frames import MAX_MESSAGE
from tests.producers import Producer
from tests.transports.support import Recorder


class FakeChannel:
    """
    Keeps what it is asked to do.
    """

    def __init__(self) -> None:
        self.ticks = Clock()
        self.clock = cast(IReactorTime, self.ticks)
        self.sent: list[bytes] = []
        self.closed = 0
        self.resumed = 0

    def send(self, data: bytes | memoryview) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.closed += 1

    def resume(self) -> None:
        self.resumed += 1


@implementer(IPullProducer)
class Pulling:
    """
    Writes a number each time it is asked.
    """

    def __init__(self, transport: WebSocketTransport, amount: int) -> None:
        self.transport = transport
        self.amount = amount
        self.stopped = False

    def resumeProducing(self) -> None:
        self.amount -= 1
        self.transport.write(b"%d" % self.amount)
        if not self.amount:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.stopped = True


class TransportTestCase(SynchronousTestCase):
    """
    A test of the transport alone.
    """

    def setUp(self) -> None:
        self.lower = StringTransport()
        self.channel = FakeChannel()
        self.protocol = Recorder()
        self.transport = WebSocketTransport(
            cast(ILinkTransport, self.lower), self.channel, self.protocol
        )


class WriteTests(TransportTestCase):
    def test_interface(self) -> None:
        verifyObject(ILinkTransport, self.transport)

    def test_one_message_each(self) -> None:
        self.transport.write(b"ab")
        self.transport.write(memoryview(b"c"))
        self.transport.writeSequence([b"d", memoryview(b"e")])
        self.assertEqual([b"ab", b"c", b"de"], self.channel.sent)

    def test_nothing(self) -> None:
        self.transport.write(b"")
        self.transport.writeSequence([])
        self.assertEqual([], self.channel.sent)

    def test_large(self) -> None:
        data = bytes(range(256)) * (MAX_MESSAGE // 128) + b"x"
        self.transport.write(data)
        self.assertEqual(
            [MAX_MESSAGE, MAX_MESSAGE, 1], [len(piece) for piece in self.channel.sent]
        )
        self.assertEqual(data, b"".join(self.channel.sent))

    def test_largest_in_one(self) -> None:
        self.transport.write(bytes(MAX_MESSAGE))
        self.assertEqual(1, len(self.channel.sent))

    def test_addresses(self) -> None:
        self.assertEqual(self.lower.getPeer(), self.transport.getPeer())
        self.assertEqual(self.lower.getHost(), self.transport.getHost())

    def test_plain(self) -> None:
        self.assertIsNone(self.transport.getPeerCertificate())
        self.assertEqual("ws", link_facts(self.transport).scheme)


class CloseTests(TransportTestCase):
    def test_once(self) -> None:
        self.transport.loseConnection()
        self.transport.loseConnection()
        self.assertEqual(1, self.channel.closed)
        self.assertTrue(self.transport.disconnecting)

    def test_nothing_is_written_after_it(self) -> None:
        self.transport.loseConnection()
        self.transport.write(b"x")
        self.assertEqual([], self.channel.sent)

    def test_nothing_is_delivered_after_it(self) -> None:
        self.transport.loseConnection()
        self.transport.deliver(b"x")
        self.assertEqual([], self.protocol.pieces)

    def test_the_answer_is_read(self) -> None:
        self.transport.pauseProducing()
        self.transport.loseConnection()
        self.assertFalse(self.transport.paused)
        self.assertEqual(1, self.channel.resumed)
        self.transport.pauseProducing()
        self.assertFalse(self.transport.paused)

    def test_a_producer_is_waited_for(self) -> None:
        self.transport.registerProducer(Producer(), True)
        self.transport.loseConnection()
        self.transport.write(b"last")
        self.assertEqual(0, self.channel.closed)
        self.transport.unregisterProducer()
        self.assertEqual(1, self.channel.closed)
        self.assertEqual([b"last"], self.channel.sent)

    def test_stop_producing(self) -> None:
        self.transport.stopProducing()
        self.assertEqual(1, self.channel.closed)

    def test_abort(self) -> None:
        self.transport.abortConnection()
        self.assertTrue(self.lower.disconnected)
        self.transport.loseConnection()
        self.assertEqual(0, self.channel.closed)

    def test_lost(self) -> None:
        reason = Failure(ConnectionDone())
        self.transport.lost(reason)
        self.assertEqual([reason], self.protocol.lost)
        self.transport.write(b"x")
        self.transport.loseConnection()
        self.assertEqual(([], 0), (self.channel.sent, self.channel.closed))


class ReadTests(TransportTestCase):
    def test_delivered(self) -> None:
        self.transport.deliver(b"ab")
        self.assertEqual([b"ab"], self.protocol.pieces)

    def test_pause(self) -> None:
        self.transport.pauseProducing()
        self.assertTrue(self.transport.paused)
        self.assertEqual("paused", self.lower.producerState)
        self.transport.resumeProducing()
        self.assertFalse(self.transport.paused)
        self.assertEqual(1, self.channel.resumed)


class ProducerTests(TransportTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.producer = Producer()

    def test_told(self) -> None:
        self.transport.registerProducer(self.producer, True)
        self.transport.congested()
        self.transport.cleared()
        self.assertEqual(["pause", "resume"], self.producer.told)
        self.transport.unregisterProducer()
        self.transport.congested()
        self.assertEqual(["pause", "resume"], self.producer.told)

    def test_told_at_once(self) -> None:
        self.transport.congested()
        self.transport.registerProducer(self.producer, True)
        self.assertEqual(["pause"], self.producer.told)

    def test_one_at_a_time(self) -> None:
        self.transport.registerProducer(self.producer, True)
        self.assertRaises(
            RuntimeError, self.transport.registerProducer, Producer(), True
        )

    def test_stopped(self) -> None:
        self.transport.registerProducer(self.producer, True)
        self.transport.lost(Failure(ConnectionDone()))
        self.assertEqual(["stop"], self.producer.told)

    def test_too_late(self) -> None:
        self.transport.lost(Failure(ConnectionDone()))
        self.transport.registerProducer(self.producer, True)
        self.assertEqual(["stop"], self.producer.told)

    def test_unregister_none(self) -> None:
        self.transport.unregisterProducer()


class PullTests(TransportTestCase):
    def pump(self) -> None:
        for _ in range(10):
            self.channel.ticks.advance(0)

    def test_until_done(self) -> None:
        self.transport.registerProducer(Pulling(self.transport, 3), False)
        self.pump()
        self.assertEqual([b"2", b"1", b"0"], self.channel.sent)
        self.assertEqual([], self.channel.ticks.getDelayedCalls())

    def test_only_while_there_is_room(self) -> None:
        self.transport.congested()
        self.transport.registerProducer(Pulling(self.transport, 1), False)
        self.pump()
        self.transport.cleared()
        self.transport.congested()
        self.pump()
        self.assertEqual([], self.channel.sent)
        self.transport.cleared()
        self.transport.cleared()
        self.pump()
        self.assertEqual([b"0"], self.channel.sent)

    def test_close_after_it(self) -> None:
        self.transport.registerProducer(Pulling(self.transport, 2), False)
        self.transport.loseConnection()
        self.pump()
        self.assertEqual([b"1", b"0"], self.channel.sent)
        self.assertEqual(1, self.channel.closed)

    def test_stopped(self) -> None:
        producer = Pulling(self.transport, 2)
        self.transport.registerProducer(producer, False)
        self.transport.lost(Failure(ConnectionDone()))
        self.pump()
        self.assertTrue(producer.stopped)
        self.assertEqual([], self.channel.sent)
