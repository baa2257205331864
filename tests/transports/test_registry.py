"""
Tests of L{reitunnel.transports.registry}, L{reitunnel.transports.plugins},
L{reitunnel.transports.endpoints} and L{reitunnel.transports.websocket_endpoints},
as far as they need no network.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    CannotListenError,
    ConnectError,
    ConnectionDone,
    ConnectionRefusedError,
)
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IResolutionReceiver,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

import twisted.plugins
from reitunnel.errors import CertificateError, TransportError
from reitunnel.interfaces import ITunnelTransport
from reitunnel.transports import (
    ClientTransportSettings,
    LinkURL,
    ServerTransportSettings,
    client_endpoint,
    server_endpoint,
    transport_for,
)
from reitunnel.transports.endpoints import LinkServerEndpoint
from tests.transports.support import RecorderFactory

PLUGIN = """
from twisted.plugin import IPlugin
from zope.interface import implementer
from reitunnel.interfaces import ITunnelTransport

@implementer(IPlugin, ITunnelTransport)
class Pigeons:
    secure = True
    def __init__(self, scheme):
        self.scheme = scheme
    def server_endpoint(self, reactor, url, settings):
        return ("server", url)
    def client_endpoint(self, reactor, url, settings):
        return ("client", url)

pigeons = Pigeons("pigeon")
{more}
"""


@implementer(IHostnameResolver)
class Resolver:
    """
    Finds no address for any name.
    """

    def __init__(self, *, done: bool = True) -> None:
        self.done = done

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        resolution = Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        if self.done:
            resolutionReceiver.resolutionComplete()
        return resolution


@implementer(IHostResolution)
class Resolution:
    """
    The search for the addresses of a name.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        pass


class BuiltInTests(SynchronousTestCase):
    def test_every_transport(self) -> None:
        for text, secure in (
            ("tcp://h:1", False),
            ("tls://h:1", True),
            ("ws://h", False),
            ("wss://h", True),
            ("unix:/x", False),
        ):
            url = LinkURL.parse(text)
            transport = transport_for(url)
            verifyObject(ITunnelTransport, transport)
            self.assertEqual(url.scheme, transport.scheme)
            self.assertEqual(secure, transport.secure)

    def test_unknown(self) -> None:
        url = LinkURL(scheme="gone", host="h", port=1, path="/", text="gone://h")
        error = self.assertRaises(ValueError, transport_for, url)
        self.assertIn("gone://", str(error))


class PluginTests(SynchronousTestCase):
    def install(self, more: str = "") -> None:
        """
        Put a plugin where Twisted finds it.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "pigeon_plugin.py").write_text(PLUGIN.format(more=more))
        path = list(twisted.plugins.__path__)
        twisted.plugins.__path__ = [str(directory), *path]

        def restore() -> None:
            twisted.plugins.__path__ = path
            sys.modules.pop("twisted.plugins.pigeon_plugin", None)

        self.addCleanup(restore)

    def test_found(self) -> None:
        self.install()
        url = LinkURL.parse("pigeon://Loft.example/3")
        self.assertEqual(("loft.example", 0, "/3"), (url.host, url.port, url.path))
        reactor = MemoryReactorClock()
        self.assertEqual(
            ("server", url), server_endpoint(reactor, url, ServerTransportSettings())
        )
        self.assertEqual(
            ("client", url), client_endpoint(reactor, url, ClientTransportSettings())
        )

    def test_built_in_ones_stay(self) -> None:
        self.install('other = Pigeons("tcp")')
        transport = transport_for(LinkURL.parse("tcp://h:1"))
        self.assertNotIn("Pigeons", type(transport).__name__)

    def test_same_scheme_twice(self) -> None:
        self.install('other = Pigeons("pigeon")')
        with capturedLogs() as events:
            LinkURL.parse("pigeon://h")
        messages = [str(formatEvent(event)) for event in events]
        self.assertTrue(any("two plugins provide pigeon://" in m for m in messages))


class ServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()

    def listen(self, text: str) -> None:
        url = LinkURL.parse(text)
        settings = ServerTransportSettings(backlog=7)
        endpoint = server_endpoint(self.reactor, url, settings)
        verifyObject(IStreamServerEndpoint, endpoint)
        self.successResultOf(endpoint.listen(RecorderFactory()))

    def test_address(self) -> None:
        self.listen("tcp://127.0.0.1:7000")
        port, _, backlog, interface = self.reactor.tcpServers[0]
        self.assertEqual((7000, 7, "127.0.0.1"), (port, backlog, interface))

    def test_ipv6(self) -> None:
        self.listen("ws://[::1]:7000")
        self.assertEqual("::1", self.reactor.tcpServers[0][3])

    def test_unix(self) -> None:
        self.listen("unix:/run/x.sock")
        self.assertEqual("/run/x.sock", self.reactor.unixServers[0][0])

    def test_no_certificate(self) -> None:
        for text in ("tls://127.0.0.1:1", "wss://127.0.0.1"):
            self.assertRaises(
                CertificateError,
                server_endpoint,
                self.reactor,
                LinkURL.parse(text),
                ServerTransportSettings(),
            )

    def test_no_such_endpoint(self) -> None:
        for make, settings in (
            (server_endpoint, ServerTransportSettings()),
            (client_endpoint, ClientTransportSettings()),
        ):
            for text in ("nonesuch:1", "example.com", "tcp:port=x:y=z"):
                error = self.assertRaises(
                    TransportError, make, self.reactor, LinkURL.parse(text), settings
                )
                self.assertTrue(str(error).startswith(f"{text}: this is neither a URL"))
                self.assertTrue(error.permanent)

    def test_cannot_listen(self) -> None:
        url = LinkURL.parse("tcp://127.0.0.1:7000")

        @implementer(IStreamServerEndpoint)
        class Taken:
            def listen(
                self, protocolFactory: IProtocolFactory
            ) -> Deferred[IListeningPort]:
                taken = OSError(98, "Address already in use")
                listening: Deferred[IListeningPort] = Deferred()
                listening.errback(CannotListenError("127.0.0.1", 7000, taken))
                return listening

        endpoint = LinkServerEndpoint(url, Taken(), lambda factory: factory)
        failure = self.failureResultOf(
            endpoint.listen(RecorderFactory()), TransportError
        )
        self.assertEqual(
            "tcp://127.0.0.1:7000: cannot listen: Address already in use",
            str(failure.value),
        )

    def test_other_failures_stay(self) -> None:
        @implementer(IStreamServerEndpoint)
        class Broken:
            def listen(
                self, protocolFactory: IProtocolFactory
            ) -> Deferred[IListeningPort]:
                listening: Deferred[IListeningPort] = Deferred()
                listening.errback(ZeroDivisionError())
                return listening

        endpoint = LinkServerEndpoint(LinkURL.parse("x:y"), Broken(), lambda f: f)
        self.failureResultOf(endpoint.listen(RecorderFactory()), ZeroDivisionError)


class ClientTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.factory = RecorderFactory()

    def connect(self, text: str) -> Deferred[IProtocol]:
        url = LinkURL.parse(text)
        endpoint = client_endpoint(self.reactor, url, ClientTransportSettings())
        verifyObject(IStreamClientEndpoint, endpoint)
        return endpoint.connect(self.factory)

    def assert_failed(
        self, connecting: Deferred[IProtocol], message: str, *, permanent: bool
    ) -> None:
        error = self.failureResultOf(connecting, TransportError).value
        self.assertEqual(message, str(error))
        self.assertEqual(permanent, error.permanent)
        self.assertEqual([], self.reactor.getDelayedCalls())

    def refuse(self, error: Exception) -> None:
        """
        Have the attempt fail.
        """
        factory = self.reactor.tcpClients[0][2]
        connector = self.reactor.connectors[0]
        factory.clientConnectionFailed(connector, Failure(error))
        # Twisted looks for another address.
        self.reactor.advance(1)

    def reach(self) -> tuple[IProtocol, StringTransport]:
        """
        Have the attempt succeed.
        """
        host, port, factory = self.reactor.tcpClients[0][:3]
        protocol = factory.buildProtocol(IPv4Address("TCP", host, port))
        assert protocol is not None
        transport = StringTransport()
        protocol.makeConnection(transport)
        return cast(IProtocol, protocol), transport

    def test_connected(self) -> None:
        connecting = self.connect("tcp://127.0.0.1:7000")
        self.assertNoResult(connecting)
        self.reach()
        self.assertIs(self.factory.built[0], self.successResultOf(connecting))
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_refused(self) -> None:
        connecting = self.connect("tcp://127.0.0.1:7000")
        self.refuse(ConnectionRefusedError())
        self.assert_failed(
            connecting,
            "tcp://127.0.0.1:7000: the connection was refused",
            permanent=False,
        )

    def test_unreachable(self) -> None:
        connecting = self.connect("ws://127.0.0.1:7000")
        self.refuse(ConnectError(113, "x"))
        self.assert_failed(
            connecting,
            "ws://127.0.0.1:7000: cannot connect: No route to host",
            permanent=False,
        )

    def test_silence(self) -> None:
        for text in ("tcp://127.0.0.1:7000", "wss://127.0.0.1:7000"):
            connecting = self.connect(text)
            self.reactor.advance(29.9)
            self.assertNoResult(connecting)
            self.reactor.advance(0.2)
            self.assert_failed(
                connecting, f"{text}: no answer within 30 s", permanent=False
            )
            self.assertTrue(self.reactor.connectors[-1].stoppedConnecting)

    def test_cancelled(self) -> None:
        for text in ("tcp://127.0.0.1:7000", "wss://127.0.0.1:7000"):
            connecting = self.connect(text)
            connecting.cancel()
            self.failureResultOf(connecting, CancelledError)
            self.assertTrue(self.reactor.connectors[-1].stoppedConnecting)
            self.assertEqual([], self.reactor.getDelayedCalls())

    def test_cancelled_in_tls(self) -> None:
        for text in ("tls://127.0.0.1:7000", "wss://127.0.0.1:7000"):
            self.reactor.tcpClients.clear()
            connecting = self.connect(text)
            protocol, transport = self.reach()
            self.assertNoResult(connecting)
            connecting.cancel()
            self.failureResultOf(connecting, CancelledError)
            self.assertTrue(transport.disconnected)
            protocol.connectionLost(Failure(ConnectionDone()))
            self.assertEqual([], self.reactor.getDelayedCalls())

    def test_cancelled_in_websocket(self) -> None:
        connecting = self.connect("ws://127.0.0.1:7000")
        protocol, transport = self.reach()
        self.assertNoResult(connecting)
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertTrue(transport.disconnected)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_silence_in_tls(self) -> None:
        connecting = self.connect("tls://127.0.0.1:7000")
        self.reach()
        self.reactor.advance(10)
        self.assert_failed(
            connecting,
            "tls://127.0.0.1:7000: no TLS handshake within 10 s",
            permanent=False,
        )

    def test_silence_in_websocket(self) -> None:
        connecting = self.connect("ws://127.0.0.1:7000")
        self.reach()
        self.reactor.advance(10)
        self.assert_failed(
            connecting,
            "ws://127.0.0.1:7000: no WebSocket handshake within 10 s",
            permanent=False,
        )

    def test_unresolvable(self) -> None:
        self.reactor.nameResolver = Resolver()
        for text in ("tls://nobody.example:7000", "ws://nobody.example"):
            self.assert_failed(
                self.connect(text),
                f"{text}: the name 'nobody.example' cannot be resolved",
                permanent=True,
            )

    def test_cancelled_while_the_name_is_resolved(self) -> None:
        self.reactor.nameResolver = Resolver(done=False)
        connecting = self.connect("tls://nobody.example:7000")
        self.assertNoResult(connecting)
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_name_that_takes_too_long(self) -> None:
        self.reactor.nameResolver = Resolver(done=False)
        connecting = self.connect("tls://nobody.example:7000")
        self.reactor.advance(30)
        self.assert_failed(
            connecting,
            "tls://nobody.example:7000: no answer within 30 s",
            permanent=False,
        )

    def test_no_port(self) -> None:
        error = self.assertRaises(TransportError, self.connect, "tcp://127.0.0.1:0")
        self.assertIn("port 0", str(error))

    def test_unix(self) -> None:
        connecting = self.connect("unix:/run/x.sock")
        self.assertEqual("/run/x.sock", self.reactor.unixClients[0][0])
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
