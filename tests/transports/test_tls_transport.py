"""
Tests of L{reitunnel.transports.tls_transport}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from OpenSSL import SSL
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHandshakeListener,
    IPushProducer,
    ISystemHandle,
)
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from reitunnel.interfaces import ILinkTransport
from reitunnel.transports import ClientTLS, ServerCertificates
from reitunnel.transports.certificates import ServerConnections
from reitunnel.transports.contexts import LINK_PROTOCOL
from reitunnel.transports.failures import tls_problem
from reitunnel.transports.records import RECORD
from reitunnel.transports.tls import TLSLayer
from reitunnel.transports.tls_transport import LONE_WRITES, TLSTransport
from tests.certificates import CertificateAuthority
from tests.producers import Producer
from tests.transports.support import (
    CertificateTestCase,
    Recorder,
    RecorderFactory,
    Wire,
    connected,
)
from tests.transports.test_records import lengths


@implementer(IHandshakeListener)
class Listener(Recorder):
    """
    A recorder that is told when the handshake is over.

    @ivar shaken: how many times it was told.
    @ivar on_made: what it does when it is connected.
    @ivar on_shaken: what it does when the handshake is over.
    @ivar on_data: what it does after it has got something.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shaken = 0
        self.on_made: Callable[[], object] = lambda: None
        self.on_shaken: Callable[[], object] = lambda: None
        self.on_data: Callable[[], object] = lambda: None

    def connectionMade(self) -> None:
        super().connectionMade()
        self.on_made()

    def handshakeCompleted(self) -> None:
        self.shaken += 1
        self.on_shaken()

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.on_data()


def taken(end: StringTransport) -> bytes:
    """
    Take what was written to a transport.
    """
    data: bytes = end.value()
    end.clear()
    return data


class PairTestCase(CertificateTestCase):
    """
    A test of a server's and a client's transport.

    @ivar server_end: what the server's sends to; likewise C{client_end}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.pair()
        self.pump()

    def build(self, ca: CertificateAuthority | None = None) -> list[TLSTransport]:
        """
        Make the transports of a server and of a client that trusts an authority.
        """
        certificates = ServerConnections(ServerCertificates(self.server_pem()))
        trusted = (ca or self.authority).write(self.directory / "trusted.pem")
        dial = ClientTLS(ca_file=trusted).dial("localhost", 1, LINK_PROTOCOL)
        factories = RecorderFactory(Listener), RecorderFactory(Listener)
        layers = [
            TLSLayer(certificates, factories[0], self.clock, 10),
            TLSLayer(dial, factories[1], self.clock, 10),
        ]
        address = StringTransport().getPeer()
        built = [layer.buildProtocol(address) for layer in layers]
        self.server, self.client = (
            cast(Listener, factory.built[0]) for factory in factories
        )
        return [transport for transport in built if transport is not None]

    def pair(self, ca: CertificateAuthority | None = None) -> None:
        """
        Connect a server and a client.
        """
        self.wire = Wire(*self.build(ca))
        self.server_end, self.client_end = self.wire.ends

    def pump(self) -> None:
        """
        Move bytes, and let the reactor's turn end.
        """
        self.wire.pump()
        self.clock.advance(0)
        self.wire.pump()

    def sealed(self, data: bytes) -> bytes:
        """
        What the server sends when it writes.
        """
        self.server.transport.write(data)
        self.clock.advance(0)
        return taken(self.server_end)

    def give_client(self, sealed: bytes) -> None:
        """
        One read of the client.
        """
        self.wire.protocols[1].dataReceived(sealed)


class HandshakeTests(PairTestCase):
    def test_interfaces(self) -> None:
        transport = self.server.transport
        for interface in (ILinkTransport, ISystemHandle):
            verifyObject(interface, transport)
        self.assertIsInstance(transport, TLSTransport)

    def test_told(self) -> None:
        for side in (self.server, self.client):
            self.assertEqual((1, 1), (side.made, side.shaken))
            transport = cast(TLSTransport, side.transport)
            handle = transport.getHandle()
            self.assertEqual("TLSv1.3", handle.get_protocol_version_name())
            self.assertEqual(LINK_PROTOCOL, handle.get_alpn_proto_negotiated())

    def test_addresses(self) -> None:
        self.assertEqual(self.server_end.getPeer(), self.server.transport.getPeer())
        self.assertEqual(self.server_end.getHost(), self.server.transport.getHost())

    def test_early_use(self) -> None:
        self.pair()
        transport = self.server.transport
        self.assertRaises(RuntimeError, transport.write, b"x")
        self.assertRaises(RuntimeError, transport.registerProducer, Producer(), True)
        transport.resumeProducing()
        self.pump()
        self.assertEqual(1, self.server.shaken)

    def test_writes_as_soon_as_it_may(self) -> None:
        self.pair()
        self.client.on_shaken = lambda: self.client.transport.write(b"first")
        self.server.on_shaken = lambda: self.server.transport.write(bytes(RECORD))
        self.pump()
        self.assertEqual(b"first", self.server.received)
        self.assertEqual(bytes(RECORD), self.client.received)

    def test_bytes_in_the_same_read(self) -> None:
        """
        The peer's first bytes come together with the end of its handshake.
        """
        self.pair()
        self.client.on_shaken = lambda: self.client.transport.write(bytes(RECORD))
        self.wire.protocols[0].dataReceived(taken(self.client_end))
        self.wire.protocols[1].dataReceived(taken(self.server_end))
        self.wire.protocols[0].dataReceived(taken(self.client_end))
        self.assertEqual(1, self.server.shaken)
        self.assertEqual([RECORD], [len(piece) for piece in self.server.pieces])

    def test_refused_when_it_is_over(self) -> None:
        self.pair()
        self.server.on_shaken = self.server.transport.abortConnection
        self.client.on_shaken = lambda: self.client.transport.write(bytes(RECORD))
        self.pump()
        self.assertTrue(self.server_end.disconnected)
        self.assertEqual(b"", self.server.received)
        self.server.lost[0].trap(ConnectionLost)

    def test_aborted_before_it_begins(self) -> None:
        [_, client] = self.build()
        self.client.on_made = client.abortConnection
        transport = connected(client)
        self.assertTrue(transport.disconnected)
        self.assertEqual(b"", transport.value())

    def test_closed_during_it(self) -> None:
        self.pair()
        self.client.transport.loseConnection()
        self.assertTrue(self.client_end.disconnected)
        self.client.transport.write(b"x")
        self.pump()
        self.assertEqual((0, 0), (self.client.shaken, self.server.shaken))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_not_trusted(self) -> None:
        self.pair(CertificateAuthority("somebody else"))
        self.pump()
        for side, said in (
            (self.client, "the peer's certificate is not trusted"),
            (self.server, "the peer does not trust the certificate"),
        ):
            [reason] = side.lost
            self.assertEqual(0, side.shaken)
            self.assertEqual(said, str(tls_problem(cast(SSL.Error, reason.value))))

    def test_lost_during_it(self) -> None:
        self.pair()
        self.wire.lose(ConnectionDone())
        for side in (self.server, self.client):
            self.assertIs(ConnectionLost, side.lost[0].type)
            self.assertEqual(1, len(side.lost))


class WritingTests(PairTestCase):
    def test_both_ways(self) -> None:
        self.server.transport.write(b"hello")
        self.client.transport.writeSequence([b"good", memoryview(b"bye")])
        self.pump()
        self.assertEqual(b"hello", self.client.received)
        self.assertEqual(b"goodbye", self.server.received)

    def test_small_writes_are_gathered(self) -> None:
        self.server_end.clear()
        for number in range(100):
            self.server.transport.write(b"%02d" % number)
        self.assertEqual(b"", self.server_end.value())
        self.clock.advance(0)
        self.assertEqual(1, len(lengths(self.server_end.value())))
        self.pump()
        self.assertEqual(
            b"".join(b"%02d" % n for n in range(100)), self.client.received
        )
        self.assertEqual(1, len(self.client.pieces))

    def test_large_writes_are_not_held_back(self) -> None:
        self.server.transport.write(b"ab")
        self.server.transport.write(bytes(RECORD))
        self.assertEqual(2, len(lengths(self.server_end.value())))
        self.server.transport.write(b"cd")
        self.pump()
        self.assertEqual(b"ab" + bytes(RECORD) + b"cd", self.client.received)

    def test_small_writes_that_come_alone_are_not_held_back(self) -> None:
        self.sealed(b"alone")
        for number in range(LONE_WRITES):
            self.server.transport.write(b"%d" % number)
            self.assertEqual(number + 1, len(lengths(self.server_end.value())))
        self.server_end.clear()
        self.server.transport.write(b"gathered again")
        self.assertEqual(b"", self.server_end.value())

    def test_writes_that_come_together_stay_together(self) -> None:
        for _ in range(3):
            self.server_end.clear()
            self.server.transport.write(b"a")
            self.server.transport.write(b"b")
            self.assertEqual(b"", self.server_end.value())
            self.clock.advance(0)
            self.assertEqual(1, len(lengths(self.server_end.value())))

    def test_nothing(self) -> None:
        self.server_end.clear()
        self.server.transport.write(b"")
        self.server.transport.writeSequence([])
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(b"", self.server_end.value())

    def test_anything_but_bytes(self) -> None:
        self.assertRaises(TypeError, self.server.transport.write, "text")

    def test_what_cannot_be_sealed(self) -> None:
        """
        The connection is closed, and the protocol is told why.
        """
        producer = Producer()
        self.server.transport.registerProducer(producer, True)
        cast(TLSTransport, self.server.transport).getHandle().shutdown()
        self.server.transport.write(bytes(RECORD))
        self.assertEqual(["stop"], producer.told)
        self.assertIsNone(self.server_end.producer)
        self.assertTrue(self.server_end.disconnecting)
        self.server.transport.write(bytes(RECORD))
        self.pump()
        self.server.lost[0].trap(SSL.Error)

    def test_what_cannot_be_sealed_at_the_end(self) -> None:
        self.server.transport.write(b"gathered")
        cast(TLSTransport, self.server.transport).getHandle().shutdown()
        self.server.transport.loseConnection()
        self.pump()
        self.server.lost[0].trap(SSL.Error)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_nothing_comes_in_between(self) -> None:
        """
        What is sealed first is sent first, even if that makes a producer write.
        """

        class Narrow(StringTransport):
            def write(self, data: bytes) -> None:
                super().write(data)
                cast(IPushProducer, self.producer).pauseProducing()

        class Reckless(Producer):
            def pauseProducing(self) -> None:
                super().pauseProducing()
                if len(self.told) == 1:
                    transport.write(b"in between")

        transport = self.server.transport
        self.server_end.__class__ = Narrow
        transport.registerProducer(Reckless(), True)
        transport.write(bytes(20 * RECORD))
        self.pump()
        self.assertEqual(bytes(20 * RECORD) + b"in between", self.client.received)

    def test_producers_pass_through(self) -> None:
        for streaming in (True, False):
            producer = Producer()
            self.server.transport.registerProducer(producer, streaming)
            self.assertIs(producer, self.server_end.producer)
            self.assertIs(streaming, self.server_end.streaming)
            self.assertRaises(
                RuntimeError, self.server.transport.registerProducer, producer, True
            )
            self.server.transport.unregisterProducer()
            self.server.transport.unregisterProducer()
            self.assertIsNone(self.server_end.producer)
        self.assertEqual([], self.clock.getDelayedCalls())


class ReadingTests(PairTestCase):
    def test_one_read_one_delivery(self) -> None:
        self.give_client(self.sealed(b"a") + self.sealed(bytes(100_000)))
        self.assertEqual([100_001], [len(piece) for piece in self.client.pieces])

    def test_half_a_record(self) -> None:
        sealed = self.sealed(b"ab")
        self.give_client(sealed[:7])
        self.assertEqual([], self.client.pieces)
        self.give_client(sealed[7:])
        self.assertEqual([b"ab"], self.client.pieces)

    def test_paused(self) -> None:
        self.client.transport.pauseProducing()
        self.assertEqual("paused", self.client_end.producerState)
        self.give_client(self.sealed(b"ab"))
        self.give_client(self.sealed(b"cd"))
        self.assertEqual([], self.client.pieces)
        self.client.transport.resumeProducing()
        self.assertEqual([b"abcd"], self.client.pieces)
        self.assertEqual("producing", self.client_end.producerState)

    def test_paused_from_inside(self) -> None:
        self.client.on_data = self.client.transport.pauseProducing
        self.give_client(self.sealed(b"ab"))
        self.give_client(self.sealed(b"cd"))
        self.assertEqual([b"ab"], self.client.pieces)
        self.client.transport.resumeProducing()
        self.assertEqual([b"ab", b"cd"], self.client.pieces)
        self.assertEqual("paused", self.client_end.producerState)

    def test_paused_and_resumed_from_inside(self) -> None:
        """
        The protocol is not called while it is called; what comes meanwhile comes
        after.
        """
        more = [self.sealed(data) for data in (b"ab", b"cd", b"ef")]

        def fickle() -> None:
            pieces = len(self.client.pieces)
            self.client.transport.pauseProducing()
            if more:
                # As a transport below does that has more, and is resumed.
                self.give_client(more.pop(0))
            self.client.transport.resumeProducing()
            self.assertEqual(pieces, len(self.client.pieces))

        self.client.on_data = fickle
        self.give_client(more.pop(0))
        self.assertEqual([b"ab", b"cd", b"ef"], self.client.pieces)
        self.assertEqual("producing", self.client_end.producerState)

    def test_writes_from_inside(self) -> None:
        self.client.on_data = lambda: self.client.transport.write(b"echo")
        for _ in range(3):
            self.give_client(self.sealed(b"a"))
        self.pump()
        self.assertEqual(b"echo" * 3, self.server.received)

    def test_failure_of_the_protocol(self) -> None:
        """
        It is the transport below that closes then.
        """

        def fail() -> None:
            raise ZeroDivisionError("on purpose")

        self.client.on_data = fail
        self.assertRaises(ZeroDivisionError, self.give_client, self.sealed(b"a"))
        self.wire.lose(ConnectionLost())
        self.assertEqual(1, len(self.client.lost))

    def test_broken_record(self) -> None:
        bad = bytearray(self.sealed(b"bad"))
        bad[-1] ^= 1
        producer = Producer()
        self.client.transport.registerProducer(producer, True)
        self.give_client(bytes(bad))
        self.assertEqual(["stop"], producer.told)
        self.pump()
        self.assertEqual(b"", self.client.received)
        self.client.lost[0].trap(SSL.Error)
        [reason] = self.server.lost
        self.assertIn("bad record mac", str(tls_problem(cast(SSL.Error, reason.value))))
        self.assertEqual([], self.clock.getDelayedCalls())


class ClosingTests(PairTestCase):
    def lost(self) -> tuple[type, type]:
        """
        Why the server and the client were lost.
        """
        [server], [client] = self.server.lost, self.client.lost
        return type(server.value), type(client.value)

    def test_close(self) -> None:
        self.server.transport.write(b"last words")
        self.server.transport.loseConnection()
        self.server.transport.write(b"too late")
        self.assertFalse(self.server_end.disconnecting)
        self.pump()
        self.assertEqual(b"last words", self.client.received)
        self.assertEqual((ConnectionDone, ConnectionDone), self.lost())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_both_at_once(self) -> None:
        for side in (self.server, self.client):
            side.transport.write(b"last words")
            side.transport.loseConnection()
        self.pump()
        self.assertEqual((ConnectionDone, ConnectionDone), self.lost())
        # Whoever has closed is not interested any more.
        self.assertEqual((b"", b""), (self.server.received, self.client.received))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_what_comes_after_it_is_dropped(self) -> None:
        self.client.transport.loseConnection()
        self.give_client(self.sealed(b"a"))
        self.assertEqual([], self.client.pieces)
        self.assertFalse(self.client_end.disconnecting)

    def test_what_was_gathered_goes_before_the_answer(self) -> None:
        self.client_end.clear()
        self.client.transport.write(b"gathered")
        self.server.transport.loseConnection()
        self.give_client(taken(self.server_end))
        self.assertTrue(self.client_end.disconnecting)
        gathered, answer = lengths(self.client_end.value())
        self.assertGreater(gathered, answer)
        self.pump()
        self.assertEqual((ConnectionDone, ConnectionDone), self.lost())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_peer_closes_while_there_is_a_producer(self) -> None:
        producer = Producer()
        self.client.transport.registerProducer(producer, True)
        self.server.transport.loseConnection()
        self.wire.pump()
        self.assertEqual(["stop"], producer.told)
        self.assertIsNone(self.client_end.producer)
        late = Producer()
        self.client.transport.registerProducer(late, True)
        self.assertEqual(["stop"], late.told)
        self.assertEqual((ConnectionDone, ConnectionDone), self.lost())

    def test_while_paused(self) -> None:
        """
        The peer's answer is read all the same.
        """
        self.client.transport.pauseProducing()
        self.give_client(self.sealed(b"a"))
        self.client.transport.loseConnection()
        self.assertEqual("producing", self.client_end.producerState)
        self.client.transport.pauseProducing()
        self.pump()
        self.assertEqual([], self.client.pieces)
        self.assertEqual((ConnectionDone, ConnectionDone), self.lost())

    def test_by_the_peer_while_paused(self) -> None:
        """
        The end waits, as on TCP.
        """
        self.client.on_data = self.client.transport.pauseProducing
        self.server.transport.write(b"last words")
        self.server.transport.loseConnection()
        self.wire.pump()
        self.assertEqual(b"last words", self.client.received)
        self.assertEqual([], self.client.lost)
        self.client.transport.resumeProducing()
        self.wire.pump()
        self.assertEqual((ConnectionDone, ConnectionDone), self.lost())

    def test_no_answer(self) -> None:
        self.server.transport.write(b"last words")
        self.server.transport.loseConnection()
        self.clock.advance(9.9)
        self.assertFalse(self.server_end.disconnecting)
        self.clock.advance(0.2)
        self.assertTrue(self.server_end.disconnecting)
        self.assertFalse(self.server_end.disconnected)
        self.wire.lose(ConnectionDone())
        self.assertEqual((ConnectionLost, ConnectionLost), self.lost())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_a_producer_is_waited_for(self) -> None:
        self.server.transport.registerProducer(Producer(), True)
        self.server.transport.loseConnection()
        self.clock.advance(100)
        self.assertFalse(self.server_end.disconnecting)
        self.server.transport.write(b"last words")
        self.server.transport.unregisterProducer()
        self.pump()
        self.assertEqual(b"last words", self.client.received)
        self.assertEqual((ConnectionDone, ConnectionDone), self.lost())

    def test_a_producer_is_waited_for_and_then_no_answer(self) -> None:
        self.server.transport.registerProducer(Producer(), True)
        self.server.transport.loseConnection()
        self.server.transport.unregisterProducer()
        self.clock.advance(9.9)
        self.assertFalse(self.server_end.disconnecting)
        self.clock.advance(0.2)
        self.assertTrue(self.server_end.disconnecting)

    def test_twice(self) -> None:
        self.server.transport.loseConnection()
        said = self.server_end.value()
        self.server.transport.loseConnection()
        cast(IPushProducer, self.server.transport).stopProducing()
        self.assertEqual(said, self.server_end.value())

    def test_stop_producing(self) -> None:
        cast(IPushProducer, self.server.transport).stopProducing()
        self.pump()
        self.assertEqual((ConnectionDone, ConnectionDone), self.lost())

    def test_cut_off(self) -> None:
        """
        The connection ends in order, but TLS does not: somebody may have cut it.
        """
        self.server.transport.write(b"gathered")
        self.wire.lose(ConnectionDone())
        self.assertEqual((ConnectionLost, ConnectionLost), self.lost())
        self.assertEqual([], self.clock.getDelayedCalls())
        self.server.transport.write(b"x")
        self.server.transport.loseConnection()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_lost(self) -> None:
        reason = Failure(ConnectionAborted())
        self.wire.protocols[0].connectionLost(reason)
        self.assertEqual([reason], self.server.lost)

    def test_lost_while_paused(self) -> None:
        """
        What has come is delivered first.
        """
        self.client.transport.pauseProducing()
        self.give_client(self.sealed(b"ab"))
        self.server.transport.loseConnection()
        self.give_client(self.server_end.value())
        self.wire.protocols[1].connectionLost(Failure(ConnectionDone()))
        self.assertEqual([b"ab"], self.client.pieces)
        self.client.lost[0].trap(ConnectionDone)
        self.assertEqual(1, len(self.client.lost))

    def test_abort(self) -> None:
        self.client.transport.write(b"gathered")
        self.client.transport.abortConnection()
        self.assertTrue(self.client_end.disconnected)
        self.give_client(self.sealed(b"a"))
        self.client.transport.write(b"x")
        self.client.transport.resumeProducing()
        self.client.transport.pauseProducing()
        self.pump()
        self.assertEqual(b"", self.client.received)
        self.assertEqual((ConnectionLost, ConnectionLost), self.lost())
        self.assertEqual([], self.clock.getDelayedCalls())
