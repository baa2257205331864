"""
Tests of L{reitunnel.transports.tls}.
"""

from __future__ import annotations

from typing import cast

from OpenSSL import SSL
from twisted.internet.interfaces import IProtocolFactory, ITransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.errors import TransportError
from reitunnel.transports import ClientTLS, ServerCertificates, base_transport
from reitunnel.transports.certificates import ServerConnections
from reitunnel.transports.contexts import HTTP_PROTOCOL, LINK_PROTOCOL
from reitunnel.transports.tls import TLSLayer, negotiated
from tests.transports.support import (
    CertificateTestCase,
    NothingFactory,
    RecorderFactory,
    connected,
)
from tests.transports.test_layers import TLSLayer as PretendedTLS


class LayerTests(CertificateTestCase):
    def layer(self, factory: IProtocolFactory, *, client: bool) -> TLSLayer:
        """
        Make the layer of one side.
        """
        if client:
            dial = ClientTLS(ca_file=self.ca_file()).dial("localhost", 1, LINK_PROTOCOL)
            return TLSLayer(dial, factory, Clock(), 10)
        certificates = ServerConnections(ServerCertificates(self.server_pem()))
        return TLSLayer(certificates, factory, Clock(), 10)

    def test_interface(self) -> None:
        layer = self.layer(RecorderFactory(), client=True)
        verifyObject(IProtocolFactory, layer)

    def test_sides(self) -> None:
        for client in (True, False):
            factory = RecorderFactory()
            address = StringTransport().getPeer()
            protocol = self.layer(factory, client=client).buildProtocol(address)
            assert protocol is not None
            self.assertEqual([address], factory.addresses)
            transport = connected(protocol)
            # A client begins.
            self.assertIs(client, transport.value() != b"")
            self.assertIs(transport, base_transport(factory.built[0].transport))

    def test_no_protocol(self) -> None:
        layer = self.layer(NothingFactory(), client=False)
        self.assertIsNone(layer.buildProtocol(StringTransport().getPeer()))

    def test_start_and_stop(self) -> None:
        factory = RecorderFactory()
        layer = self.layer(factory, client=False)
        layer.doStart()
        self.assertEqual(1, factory.started)
        layer.doStop()
        self.assertEqual(0, factory.started)


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
