"""
Connections in memory have the manners of TCP.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableDescriptor,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.interfaces import IHalfCloseTransport
from reitunnel.testing import Caller, MemoryReactor, Peer, Peers
from reitunnel.testing.connection import CAPACITY
from tests.producers import Producer


class Plain(Protocol):
    """
    Knows nothing of half-close.
    """

    def __init__(self) -> None:
        self.received = b""
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class Failing(Plain):
    """
    Cannot take anything.
    """

    def dataReceived(self, data: bytes) -> None:
        raise ZeroDivisionError


class Give(Factory):
    """
    Gives a protocol.
    """

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return self._protocol


class ConnectionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.peers = Peers()
        self.reactor.listenTCP(8080, self.peers, interface="127.0.0.1")
        self.here = Peer()
        self.here.follows = False
        self.reactor.connectTCP("127.0.0.1", 8080, Caller(self.here))
        self.reactor.settle()
        self.there = self.peers.newest
        self.there.follows = False

    def test_provides(self) -> None:
        verifyObject(IHalfCloseTransport, self.here.transport)
        verifyObject(IHalfCloseableDescriptor, self.here.transport)

    def test_addresses(self) -> None:
        here, there = self.here.transport, self.there.transport
        self.assertEqual(here.getHost(), there.getPeer())
        self.assertEqual(here.getPeer(), there.getHost())

    def test_bytes(self) -> None:
        """
        They come in a later turn, in order.
        """
        self.here.say(b"one")
        self.here.say(b"two")
        self.assertEqual(b"", self.there.received)
        self.reactor.settle()
        self.assertEqual(b"onetwo", self.there.received)

    def test_paused(self) -> None:
        """
        The kernel holds so much and no more.
        """
        self.there.transport.pauseProducing()
        producer = Producer()
        self.here.transport.registerProducer(producer, True)
        self.here.say(b"x" * (CAPACITY + 65536))
        self.assertEqual(["pause"], producer.told)
        self.reactor.settle()
        self.assertEqual(b"", self.there.received)
        self.assertEqual(["pause"], producer.told)
        self.there.transport.resumeProducing()
        self.reactor.settle()
        self.assertEqual(CAPACITY + 65536, len(self.there.received))
        self.assertEqual(["pause", "resume"], producer.told)

    def test_pull_producer(self) -> None:
        producer = Producer()
        self.here.transport.registerProducer(producer, False)
        self.assertEqual(["resume"], producer.told)
        self.here.say(b"x")
        self.reactor.settle()
        self.assertEqual(["resume", "resume"], producer.told)

    def test_stopped_producer(self) -> None:
        producer = Producer()
        self.here.transport.registerProducer(producer, True)
        self.there.abort()
        self.reactor.settle()
        self.assertEqual(["stop"], producer.told)

    def test_close(self) -> None:
        self.here.say(b"last")
        self.here.hang_up()
        self.here.say(b"words")
        self.reactor.settle()
        self.assertEqual(b"lastwords", self.there.received)
        assert self.here.lost is not None
        self.assertIsInstance(self.here.lost.value, ConnectionDone)
        self.assertEqual((True, None), (self.there.finished, self.there.lost))

    def test_half_close(self) -> None:
        self.here.finish()
        self.reactor.settle()
        self.assertTrue(self.there.finished)
        self.there.say(b"still")
        self.reactor.settle()
        self.assertEqual(b"still", self.here.received)
        self.here.say(b"too late")
        self.there.hang_up()
        self.reactor.settle()
        self.assertEqual(b"", self.there.received)
        self.assertTrue(self.here.finished)

    def test_close_after_half_close(self) -> None:
        """
        At once, as Twisted's transports do.
        """
        self.here.finish()
        self.reactor.settle()
        self.here.hang_up()
        self.assertIsNot(None, self.here.lost)

    def test_abort(self) -> None:
        self.here.say(b"lost")
        self.here.abort()
        self.assertIs(None, self.here.lost)
        self.reactor.settle()
        self.assertEqual(b"", self.there.received)
        assert self.there.lost is not None
        self.assertIsInstance(self.there.lost.value, ConnectionLost)
        self.assertTrue(self.here.reset)

    def test_abort_of_paused(self) -> None:
        """
        Who does not read does not hear of it, until it writes.
        """
        self.there.transport.pauseProducing()
        self.here.abort()
        self.reactor.settle()
        self.assertIs(None, self.there.lost)
        self.there.say(b"hello?")
        self.reactor.settle()
        self.assertTrue(self.there.reset)

    def test_close_with_unread_bytes(self) -> None:
        """
        That is a reset.
        """
        self.there.transport.pauseProducing()
        self.here.say(b"unread")
        self.reactor.settle()
        self.there.hang_up()
        self.reactor.settle()
        self.assertTrue(self.here.reset)
        self.assertFalse(self.there.reset)

    def test_write_to_closed(self) -> None:
        self.there.hang_up()
        self.reactor.settle()
        self.assertEqual((True, None), (self.here.finished, self.here.lost))
        self.here.say(b"anybody?")
        self.reactor.settle()
        self.assertIs(None, self.here.lost)
        self.here.say(b"anybody?")
        self.reactor.settle()
        self.assertTrue(self.here.reset)

    def test_silence(self) -> None:
        self.reactor.connections[0].silence()
        self.here.say(b"x" * 2 * CAPACITY)
        self.reactor.settle()
        self.assertEqual(b"", self.there.received)
        self.here.hang_up()
        self.reactor.settle()
        self.assertIs(None, self.here.lost)
        self.here.abort()
        self.reactor.settle()
        self.assertIsNot(None, self.here.lost)
        self.assertEqual((False, None), (self.there.finished, self.there.lost))

    def test_cut(self) -> None:
        self.reactor.connections[0].cut()
        self.reactor.settle()
        self.assertTrue(self.here.reset)
        self.assertTrue(self.there.reset)

    def test_failing_protocol(self) -> None:
        """
        What it raises is logged, and it loses the connection.
        """

        failing = Failing()
        self.reactor.listenTCP(8081, Give(failing), interface="127.0.0.1")
        peer = Peer()
        self.reactor.connectTCP("127.0.0.1", 8081, Caller(peer))
        self.reactor.settle()
        peer.say(b"x")
        self.reactor.settle()
        assert failing.lost is not None
        self.assertIsInstance(failing.lost.value, ZeroDivisionError)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_not_bytes(self) -> None:
        with self.assertRaises(TypeError):
            self.here.transport.write(memoryview(b"x"))

    def test_no_half_close(self) -> None:
        """
        To a protocol that knows nothing of it, a FIN is the end.
        """
        plain = Plain()
        self.reactor.listenTCP(8081, Give(plain), interface="127.0.0.1")
        peer = Peer()
        self.reactor.connectTCP("127.0.0.1", 8081, Caller(peer))
        self.reactor.settle()
        peer.say(b"x")
        peer.finish()
        self.reactor.settle()
        assert plain.lost is not None
        self.assertEqual(b"x", plain.received)
        self.assertIsInstance(plain.lost.value, ConnectionDone)
