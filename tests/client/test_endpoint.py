"""
Tests of the server endpoint that listens at a Reitunnel server.
"""

from __future__ import annotations

from typing import Any

from twisted.application.internet import StreamServerEndpointService
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel import (
    Client,
    Code,
    ConfigError,
    Refused,
    SessionRefused,
    TransportError,
    TunnelPort,
    TunnelRefused,
    TunnelServerEndpoint,
)
from reitunnel.config.settings import TunnelSettings
from reitunnel.interfaces import ISession
from tests.ledger import Decider
from tests.memory import Caller, MemoryReactor, Peer, Peers
from tests.pair import Pair, client_config

PORT = 6000
CONFIG = client_config(tunnels=(), client_id=None)


class EndpointCase(SynchronousTestCase):
    """
    A server, and endpoints that listen there.
    """

    def setUp(self) -> None:
        self.use(Pair(client=CONFIG))

    def use(self, pair: Pair) -> None:
        self.pair = pair.start_server()
        self.reactor = pair.reactor
        self.peers = Peers()
        self.addCleanup(lambda: self.assertEqual([], self.pair.stop()))

    def endpoint(self, *arguments: Any, **keywords: Any) -> TunnelServerEndpoint:
        return TunnelServerEndpoint(self.reactor, *arguments, **keywords)

    def listen(self, *arguments: Any, **keywords: Any) -> Deferred[IListeningPort]:
        listening = self.endpoint(*arguments, **keywords).listen(self.peers)
        self.reactor.settle()
        return listening

    def port(self, *arguments: Any, **keywords: Any) -> TunnelPort:
        port = self.successResultOf(self.listen(*arguments, **keywords))
        assert isinstance(port, TunnelPort)
        return port

    def stop(self, port: IListeningPort) -> None:
        stopping = port.stopListening()
        self.reactor.settle()
        assert stopping is not None
        self.successResultOf(stopping)


class OwnClientTests(EndpointCase):
    """
    The endpoint has a configuration, and each port a client of its own.
    """

    def test_provides(self) -> None:
        verifyObject(IStreamServerEndpoint, self.endpoint(CONFIG))
        port = self.port(CONFIG)
        verifyObject(IListeningPort, port)
        self.stop(port)

    def test_visitor(self) -> None:
        """
        The protocol's peer is the visitor, and its host the public address. The
        visitor has the drain time to end.
        """
        port = self.port(CONFIG, PORT, metadata={"service": "web"})
        self.assertEqual(IPv4Address("TCP", "127.0.0.1", PORT), port.getHost())
        [tunnel] = self.pair.server.tunnels
        self.assertEqual({"service": "web"}, tunnel.metadata)
        self.assertEqual("in process: Peers", tunnel.target)
        visitor = Peer()
        self.reactor.connectTCP(
            "127.0.0.1", PORT, Caller(visitor), bindAddress=("192.0.2.9", 4321)
        )
        visitor_says(self.reactor, visitor, b"hello")
        peer = self.peers.newest
        self.assertEqual(b"hello", peer.received)
        self.assertEqual(
            IPv4Address("TCP", "192.0.2.9", 4321), peer.transport.getPeer()
        )
        self.assertEqual(port.getHost(), peer.transport.getHost())
        stopping = port.stopListening()
        self.reactor.settle()
        self.assertNoResult(stopping)
        peer.say(b"bye")
        peer.hang_up()
        self.reactor.settle()
        self.successResultOf(stopping)
        self.assertEqual((b"bye", False), (visitor.received, visitor.reset))
        self.assertEqual([], list(self.pair.server.sessions))
        self.assertEqual(IPv4Address("TCP", "127.0.0.1", PORT), port.getHost())

    def test_no_local_port(self) -> None:
        before = len(self.reactor.ports)
        port = self.port(CONFIG, PORT)
        self.assertEqual([PORT], self.pair.public_ports)
        self.assertEqual(before + 1, len(self.reactor.ports))
        self.stop(port)
        self.assertEqual([], self.pair.public_ports)

    def test_factory(self) -> None:
        """
        It is started and stopped once, whatever becomes of the link in between.
        """
        port = self.port(CONFIG, PORT)
        self.assertEqual(["start"], self.peers.told)
        self.pair.link.cut()
        self.reactor.settle()
        self.assertEqual([], self.pair.public_ports)
        self.assertEqual(IPv4Address("TCP", "127.0.0.1", PORT), port.getHost())
        self.reactor.advance(5)
        self.assertEqual([PORT], self.pair.public_ports)
        self.assertIs(None, self.pair.visit(PORT).lost)
        self.assertEqual(["start"], self.peers.told)
        self.peers.newest.hang_up()
        self.reactor.settle()
        self.stop(port)
        self.assertEqual(["start", "stop"], self.peers.told)

    def test_another_port_after_a_reconnect(self) -> None:
        """
        With port 0 the address may change, and C{getHost} says so.
        """
        port = self.port(CONFIG)
        first = port.getHost()
        assert isinstance(first, IPv4Address)
        self.pair.link.cut()
        self.reactor.settle()
        taken = self.reactor.listenTCP(first.port, Peers(), interface="127.0.0.1")
        self.reactor.advance(5)
        second = port.getHost()
        assert isinstance(second, IPv4Address)
        self.assertNotEqual(first.port, second.port)
        taken.stopListening()
        self.stop(port)

    def test_server_that_comes_later(self) -> None:
        """
        Listening waits for it.
        """
        pair = Pair(client=CONFIG)
        self.pair.stop()
        self.reactor, self.pair = pair.reactor, pair
        listening = self.listen(CONFIG, PORT)
        self.reactor.advance(60)
        self.assertNoResult(listening)
        pair.start_server()
        self.reactor.advance(60)
        self.stop(self.successResultOf(listening))

    def test_stop_twice(self) -> None:
        """
        Every caller is told when it is over, whatever the others do.
        """
        port = self.port(CONFIG, PORT)
        visitor = self.pair.visit(PORT)
        first, second, third = (port.stopListening() for _ in range(3))
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertNoResult(first)
        visitor.hang_up()
        self.reactor.settle()
        self.successResultOf(first)
        self.successResultOf(third)
        self.successResultOf(port.stopListening())
        self.assertEqual(["start", "stop"], self.peers.told)

    def test_start_listening(self) -> None:
        port = self.port(CONFIG, PORT)
        port.startListening()
        self.stop(port)
        with self.assertRaises(CannotListenError) as caught:
            port.startListening()
        self.assertIn("the tunnel is closed", str(caught.exception))

    def test_listen_again(self) -> None:
        """
        An endpoint can be listened on again.
        """
        endpoint = self.endpoint(CONFIG, PORT)
        for _ in range(2):
            listening = endpoint.listen(self.peers)
            self.reactor.settle()
            self.stop(self.successResultOf(listening))
        self.assertEqual(["start", "stop"] * 2, self.peers.told)

    def test_the_same_client_again(self) -> None:
        """
        A program that is started again with the same port takes it over, while two
        ports of the server's choice have nothing to do with each other.
        """
        before = self.port(CONFIG, PORT)
        again = self.port(CONFIG, PORT)
        self.assertEqual([PORT], self.pair.public_ports)
        others = [self.port(CONFIG), self.port(CONFIG)]
        self.assertEqual(3, len(self.pair.server.sessions))
        for port in (before, again, *others):
            self.stop(port)

    def test_address_asked_for(self) -> None:
        """
        Is for the server's policy to allow.
        """
        port = self.port(CONFIG, PORT, bind="127.0.0.1")
        self.stop(port)
        listening = self.listen(CONFIG, PORT, bind="*")
        self.reactor.settle()
        self.failureResultOf(listening, TunnelRefused)

    def test_tunnels_of_the_configuration(self) -> None:
        """
        Are opened too.
        """
        tunnel = TunnelSettings(port=6001, target="127.0.0.1:8080")
        port = self.port(client_config(tunnels=(tunnel,)), PORT)
        self.assertEqual([PORT, 6001], sorted(self.pair.public_ports))
        self.stop(port)
        self.assertEqual([], self.pair.public_ports)


class FailureTests(EndpointCase):
    """
    Listening fails with the reason, and leaves nothing behind.
    """

    def fails(self, listening: Deferred[IListeningPort], kind: type[Exception]) -> str:
        # A client that is refused has to close its link.
        self.reactor.advance(10)
        error = self.failureResultOf(listening, kind).value
        self.assertEqual([], self.peers.told)
        self.assertEqual([], list(self.pair.server.sessions))
        return str(error)

    def test_taken(self) -> None:
        taken = self.reactor.listenTCP(PORT, Peers(), interface="127.0.0.1")
        reason = self.fails(self.listen(CONFIG, PORT), TunnelRefused)
        self.assertIn("in use", reason)
        taken.stopListening()

    def test_not_allowed(self) -> None:
        self.assertIn("80", self.fails(self.listen(CONFIG, 80), TunnelRefused))

    def test_not_let_in(self) -> None:
        """
        It is not logged besides.
        """

        def refuse(client: ISession) -> None:
            raise Refused("not today")

        self.pair.server.hooks.register(Decider(client=refuse))
        with capturedLogs() as logs:
            reason = self.fails(self.listen(CONFIG, PORT), SessionRefused)
        self.assertEqual("not today", reason)
        self.assertEqual([], [e for e in logs if e["log_level"] >= LogLevel.error])

    def test_no_such_server(self) -> None:
        config = client_config(
            tunnels=(), server="tcp://nowhere.example:7000", insecure_plaintext=True
        )
        self.assertIn(
            "nowhere.example", self.fails(self.listen(config), TransportError)
        )

    def test_what_cannot_be_asked_for(self) -> None:
        self.fails(self.listen(CONFIG, 70000), ValueError)

    def test_configuration(self) -> None:
        """
        What is wrong with it is said before anything is begun.
        """
        config = client_config(server="tcp://tunnel.example:7000")
        with self.assertRaises(ConfigError):
            self.endpoint(config, PORT)

    def test_cancelled(self) -> None:
        """
        Also while there is no link.
        """
        listening = self.endpoint(CONFIG, PORT).listen(self.peers)
        listening.cancel()
        self.fails(listening, CancelledError)
        self.assertEqual([], self.pair.public_ports)

    def test_cancelled_while_the_server_decides(self) -> None:
        self.pair.server.hooks.register(Decider(tunnel=lambda tunnel: Deferred()))
        listening = self.listen(CONFIG, PORT)
        self.assertEqual(1, len(self.pair.server.sessions))
        listening.cancel()
        self.fails(listening, CancelledError)
        self.assertEqual([], self.pair.public_ports)

    def test_service_that_is_stopped_before_it_listens(self) -> None:
        """
        As every program on endpoints stops: it waits for the client to be gone.
        """
        self.reactor.silent.add("127.0.0.1")
        endpoint = self.endpoint(CONFIG, PORT)
        service = StreamServerEndpointService(endpoint, self.peers)
        service.startService()
        self.reactor.advance(1)
        stopping = service.stopService()
        self.reactor.settle()
        self.successResultOf(stopping)
        self.assertEqual([], self.peers.told)

    def test_factory_that_does_not_start(self) -> None:
        class Broken(Factory):
            def doStart(self) -> None:
                raise RuntimeError("on purpose")

        listening = self.endpoint(CONFIG, PORT).listen(Broken())
        self.reactor.settle()
        self.fails(listening, RuntimeError)
        self.assertEqual([], self.pair.public_ports)


class SharedClientTests(EndpointCase):
    """
    The endpoint has a client, which other endpoints may have too.
    """

    def setUp(self) -> None:
        super().setUp()
        self.pair.start_client()
        self.client: Client = self.pair.client

    def test_two_ports(self) -> None:
        first, second = self.port(self.client, PORT), self.port(self.client)
        [session] = self.pair.server.sessions
        self.assertEqual(2, len(session.tunnels))
        self.assertIs(self.client, first.client)
        self.stop(first)
        self.assertEqual(1, len(session.tunnels))
        self.assertEqual(["start"], self.peers.told)
        self.stop(second)
        self.assertEqual(["start", "stop"], self.peers.told)
        self.assertIs(True, bool(self.client.running))

    def test_visitors(self) -> None:
        """
        They are reset, and it is over when they are gone.
        """
        port = self.port(self.client, PORT)
        visitor = self.pair.visit(PORT)
        stopping = port.stopListening()
        self.reactor.settle()
        self.successResultOf(stopping)
        self.assertTrue(visitor.reset)
        self.assertEqual(["start", "stop"], self.peers.told)
        self.assertEqual("127.0.0.1", getattr(port.getHost(), "host", None))

    def test_refused(self) -> None:
        """
        The client and its other tunnels go on.
        """
        port = self.port(self.client, PORT)
        self.failureResultOf(self.listen(self.client, PORT), TunnelRefused)
        self.assertIs(None, self.pair.visit(PORT).lost)
        self.stop(port)

    def test_client_that_has_given_up(self) -> None:
        self.pair.stop()
        self.use(Pair(client=client_config(tunnels=(), client_id="one")))
        self.pair.start_client()
        other = Client(self.reactor, client_config(tunnels=(), client_id="one"))
        other.startService()
        self.reactor.advance(1)
        listening = self.listen(self.pair.client, PORT)
        error = self.failureResultOf(listening, SessionRefused).value
        self.assertIs(Code.TAKEN_OVER, getattr(error, "code", None))
        other.stopService()

    def test_client_that_is_stopped(self) -> None:
        """
        It ends the wait of whoever would listen.
        """
        client = Client(self.reactor, CONFIG)
        listening = self.listen(client, PORT)
        self.assertNoResult(listening)
        client.stopService()
        self.reactor.settle()
        self.failureResultOf(listening, TunnelRefused)

    def test_stopped_after_its_client(self) -> None:
        port = self.port(self.client, PORT)
        self.client.stopService()
        self.reactor.settle()
        self.stop(port)
        self.assertEqual(["start", "stop"], self.peers.told)


def visitor_says(reactor: MemoryReactor, visitor: Peer, data: bytes) -> None:
    """
    Let a visitor that is on its way come, and say something.
    """
    reactor.settle()
    visitor.say(data)
    reactor.settle()
