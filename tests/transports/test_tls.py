"""
Tests of L{reitunnel.transports.tls}.
"""

from __future__ import annotations

from typing import cast

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocol, ITransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import TransportError
from reitunnel.transports import ClientTLS, ServerCertificates
from reitunnel.transports.certificates import ServerConnections
from reitunnel.transports.contexts import HTTP_PROTOCOL, LINK_PROTOCOL
from reitunnel.transports.tls import TLSLayer, negotiated
from tests.transports.support import CertificateTestCase, RecorderFactory, Wire
from tests.transports.test_layers import TLSLayer as PretendedTLS
from tests.transports.test_websocket import Pushing


class LayerTests(CertificateTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        servers, clients = RecorderFactory(), RecorderFactory()
        certificates = ServerConnections(ServerCertificates(self.server_pem()))
        dial = ClientTLS(ca_file=self.ca_file()).dial("localhost", 1, LINK_PROTOCOL)
        address = StringTransport().getPeer()
        layers = [
            TLSLayer(certificates, servers, self.clock, 10).buildProtocol(address),
            TLSLayer(dial, clients, self.clock, 10).buildProtocol(address),
        ]
        self.wire = Wire(*(cast(IProtocol, layer) for layer in layers))
        [self.server], [self.client] = servers.built, clients.built
        self.pump()

    def pump(self) -> None:
        self.wire.pump()
        self.clock.advance(0)
        self.wire.pump()

    def test_both_ways(self) -> None:
        self.server.transport.write(b"hello")
        self.client.transport.writeSequence([b"good", b"bye"])
        self.pump()
        self.assertEqual(b"hello", self.client.received)
        self.assertEqual(b"goodbye", self.server.received)

    def test_close(self) -> None:
        self.server.transport.write(b"last words")
        self.server.transport.loseConnection()
        self.pump()
        self.assertEqual(b"last words", self.client.received)
        for protocol in (self.server, self.client):
            [reason] = protocol.lost
            reason.trap(ConnectionDone)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_no_answer(self) -> None:
        end = self.wire.ends[0]
        self.server.transport.write(b"last words")
        self.server.transport.loseConnection()
        self.clock.advance(9.9)
        self.assertFalse(end.disconnecting)
        self.clock.advance(0.2)
        self.assertTrue(end.disconnecting)
        self.assertFalse(end.disconnected)
        self.wire.lose(ConnectionLost())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_a_producer_is_waited_for(self) -> None:
        end = self.wire.ends[0]
        self.server.transport.registerProducer(Pushing(), True)
        self.server.transport.loseConnection()
        self.clock.advance(100)
        self.assertFalse(end.disconnecting)
        self.server.transport.write(b"last words")
        self.server.transport.unregisterProducer()
        self.pump()
        self.assertEqual(b"last words", self.client.received)
        self.assertEqual(1, len(self.server.lost))

    def test_a_producer_is_waited_for_and_then_no_answer(self) -> None:
        end = self.wire.ends[0]
        self.server.transport.registerProducer(Pushing(), True)
        self.server.transport.loseConnection()
        self.server.transport.unregisterProducer()
        self.clock.advance(9.9)
        self.assertFalse(end.disconnecting)
        self.clock.advance(0.2)
        self.assertTrue(end.disconnecting)

    def test_unregister_without_closing(self) -> None:
        self.server.transport.registerProducer(Pushing(), True)
        self.server.transport.unregisterProducer()
        self.assertEqual([], self.clock.getDelayedCalls())


class NegotiatedTests(SynchronousTestCase):
    def check(self, chosen: bytes, *protocols: bytes) -> None:
        class Connection(SSL.Connection):
            def get_alpn_proto_negotiated(self) -> bytes:
                return chosen

        transport = PretendedTLS(StringTransport())
        transport.connection.__class__ = Connection
        negotiated(protocols)(transport)

    def test_right(self) -> None:
        self.check(LINK_PROTOCOL, LINK_PROTOCOL)

    def test_none(self) -> None:
        error = self.assertRaises(TransportError, self.check, b"", LINK_PROTOCOL)
        self.assertEqual("the peer does not speak reitunnel/1 (no ALPN)", str(error))
        self.assertTrue(error.permanent)

    def test_none_where_that_will_do(self) -> None:
        self.check(b"", HTTP_PROTOCOL, b"")

    def test_wrong(self) -> None:
        error = self.assertRaises(TransportError, self.check, b"h2", HTTP_PROTOCOL, b"")
        self.assertEqual("the peer does not speak http/1.1 (only b'h2')", str(error))

    def test_no_tls(self) -> None:
        transport = cast(ITransport, StringTransport())
        self.assertRaises(TransportError, negotiated([LINK_PROTOCOL]), transport)
