"""
Tests of L{reitunnel.transports.layers}.
"""

from __future__ import annotations

from typing import cast

from OpenSSL import SSL
from twisted.internet.interfaces import ITransport
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.transports import base_transport
from reitunnel.transports.contexts import new_context
from reitunnel.transports.layers import LayeredTransport, abort, tls_connection
from tests.transports.support import RecorderFactory


class Layer(LayeredTransport, StringTransport):
    """
    A transport on top of another one.
    """

    def __init__(self, lower: ITransport) -> None:
        LayeredTransport.__init__(self, lower, "x")
        StringTransport.__init__(self)


class TLSLayer(Layer):
    """
    One that pretends to speak TLS.
    """

    def __init__(self, lower: ITransport) -> None:
        super().__init__(lower)
        self.connection = SSL.Connection(new_context(SSL.TLS_CLIENT_METHOD, "1.3"))

    def getHandle(self) -> SSL.Connection:
        return self.connection


def wrapped(transport: StringTransport) -> ITransport:
    """
    A transport with one of Twisted's wrappers on top.
    """
    factory: WrappingFactory[ProtocolWrapper] = WrappingFactory(RecorderFactory())
    wrapper = factory.buildProtocol(transport.getPeer())
    wrapper.makeConnection(transport)
    return cast(ITransport, wrapper)


class BaseTransportTests(SynchronousTestCase):
    def test_nothing_below(self) -> None:
        transport = StringTransport()
        self.assertIs(transport, base_transport(transport))

    def test_layers_and_wrappers(self) -> None:
        transport = StringTransport()
        self.assertIs(transport, base_transport(Layer(wrapped(transport))))


class TLSConnectionTests(SynchronousTestCase):
    def test_none(self) -> None:
        self.assertIsNone(tls_connection(wrapped(StringTransport())))

    def test_handle_that_is_no_tls(self) -> None:
        class WithHandle(StringTransport):
            def getHandle(self) -> int:
                return 1

        self.assertIsNone(tls_connection(WithHandle()))

    def test_connection_that_is_gone(self) -> None:
        class Gone(StringTransport):
            def getHandle(self) -> None:
                raise AttributeError("socket")

        self.assertIsNone(tls_connection(Gone()))

    def test_below_other_layers(self) -> None:
        tls = TLSLayer(StringTransport())
        self.assertIs(tls.connection, tls_connection(Layer(tls)))


class AbortTests(SynchronousTestCase):
    def test_at_once(self) -> None:
        transport = StringTransport()
        abort(transport)
        self.assertTrue(transport.disconnected)

    def test_in_order_where_there_is_no_other_way(self) -> None:
        class Simple:
            lost = False

            def loseConnection(self) -> None:
                self.lost = True

        transport = Simple()
        abort(cast(ITransport, transport))
        self.assertTrue(transport.lost)
