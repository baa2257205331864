"""
The reactor in memory: time, ports and attempts to connect.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import (
    CannotListenError,
    ConnectError,
    ConnectingCancelledError,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TimeoutError,
)
from twisted.internet.interfaces import (
    IConnector,
    IHostnameResolver,
    IListeningPort,
    IProtocol,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
    IReactorUNIX,
)
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.testing import Caller, MemoryReactor, Peer, Peers


class TimeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.told: list[object] = []

    def test_order(self) -> None:
        """
        All that follows from a call is done before the next one's time.
        """

        def first() -> None:
            self.told.append(("first", self.reactor.seconds()))
            self.reactor.soon(lambda: self.told.append("soon"))
            self.reactor.callLater(0, self.told.append, "later")

        self.reactor.callLater(2, self.told.append, "last")
        self.reactor.callLater(1, first)
        self.reactor.advance(5)
        self.assertEqual([("first", 1.0), "soon", "later", "last"], self.told)
        self.assertEqual(5, self.reactor.seconds())

    def test_cancelled_in_the_same_turn(self) -> None:
        """
        A call that is due can still be cancelled, or put off, by one before it.
        """

        def first() -> None:
            second.cancel()
            third.reset(10)

        self.reactor.callLater(1, first)
        second = self.reactor.callLater(1, self.told.append, "second")
        third = self.reactor.callLater(1, self.told.append, "third")
        self.reactor.advance(2)
        self.assertEqual([], self.told)
        self.reactor.advance(10)
        self.assertEqual(["third"], self.told)

    def test_no_rest(self) -> None:
        def again() -> None:
            self.reactor.soon(again)

        again()
        with self.assertRaises(AssertionError):
            self.reactor.settle()


class PortTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactor()

    def listen(self, port: int, interface: str = "") -> IListeningPort:
        return self.reactor.listenTCP(port, Factory(), interface=interface)

    def cannot(self, port: int, interface: str = "") -> str:
        with self.assertRaises(CannotListenError) as caught:
            self.listen(port, interface)
        return str(caught.exception.socketError.strerror)

    def test_provides(self) -> None:
        for interface in (
            IReactorTCP,
            IReactorUNIX,
            IReactorTime,
            IReactorPluggableNameResolver,
        ):
            verifyObject(interface, self.reactor)
        verifyObject(IHostnameResolver, self.reactor.nameResolver)
        verifyObject(IListeningPort, self.listen(8080))
        connector = self.reactor.connectTCP("127.0.0.1", 1, Caller(Peer()))
        verifyObject(IConnector, connector)

    def test_taken(self) -> None:
        self.listen(8080, "127.0.0.1")
        taken = "Address already in use"
        self.assertEqual(taken, self.cannot(8080, "127.0.0.1"))
        self.assertEqual(taken, self.cannot(8080, "0.0.0.0"))
        self.listen(8080, "127.0.0.2")
        self.listen(8080, "::1")
        self.assertEqual(taken, self.cannot(8080, "::"))

    def test_not_to_be_had(self) -> None:
        self.assertEqual("Permission denied", self.cannot(80))
        self.assertEqual(
            "Cannot assign requested address", self.cannot(8080, "192.0.2.1")
        )
        self.reactor.local.add("192.0.2.1")
        self.assertEqual(
            IPv4Address("TCP", "192.0.2.1", 8080),
            self.listen(8080, "192.0.2.1").getHost(),
        )

    def test_chosen(self) -> None:
        first, second = self.listen(0), self.listen(0, "::1")
        self.assertEqual(IPv4Address("TCP", "0.0.0.0", 40001), first.getHost())
        self.assertEqual(IPv6Address("TCP", "::1", 40002), second.getHost())

    def test_stop(self) -> None:
        """
        The port is free a turn later, and takes nobody in between.
        """
        peers = Peers()
        port = self.reactor.listenTCP(8080, peers)
        stopping = port.stopListening()
        assert stopping is not None
        peer = Peer()
        self.reactor.connectTCP("127.0.0.1", 8080, Caller(peer))
        self.assertEqual("Address already in use", self.cannot(8080))
        self.assertNoResult(stopping)
        self.reactor.settle()
        self.successResultOf(stopping)
        self.assertTrue(peer.reset)
        self.assertEqual([], peers.all)
        self.listen(8080)

    def test_stop_given_up(self) -> None:
        """
        As with Twisted's ports, whoever cancels this leaves the port behind.
        """
        stopping = self.listen(8080).stopListening()
        assert stopping is not None
        stopping.cancel()
        self.failureResultOf(stopping)
        self.reactor.settle()
        self.assertEqual("Address already in use", self.cannot(8080))

    def test_factories(self) -> None:
        """
        They are started and stopped.
        """
        peers = Peers()
        port = self.reactor.listenTCP(8080, peers)
        self.assertEqual(["start"], peers.told)
        port.stopListening()
        self.reactor.settle()
        self.assertEqual(["start", "stop"], peers.told)


class ConnectTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.peers = Peers()

    def connect(self, host: str, port: int = 8080) -> Deferred[IProtocol]:
        endpoint = HostnameEndpoint(self.reactor, host, port, timeout=10)
        return endpoint.connect(Peers())

    def test_names(self) -> None:
        self.reactor.listenTCP(8080, self.peers, interface="127.0.0.1")
        self.reactor.listenTCP(8080, self.peers, interface="::1")
        self.reactor.names["both.example"] = ["::1", "127.0.0.1"]
        for host in ("localhost", "127.0.0.1", "::1", "both.example"):
            connecting = self.connect(host)
            self.reactor.settle()
            self.successResultOf(connecting)
        self.assertEqual(4, len(self.peers.all))

    def test_failures(self) -> None:
        self.reactor.unreachable.add("192.0.2.1")
        self.reactor.silent.add("192.0.2.2")
        for host, kind in (
            ("127.0.0.1", ConnectionRefusedError),
            ("192.0.2.1", NoRouteError),
            ("192.0.2.2", TimeoutError),
            ("nowhere.example", DNSLookupError),
        ):
            connecting = self.connect(host)
            self.reactor.advance(9.9)
            self.reactor.advance(0.2)
            self.failureResultOf(connecting, kind)
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_given_up(self) -> None:
        self.reactor.silent.add("192.0.2.2")
        connecting = self.connect("192.0.2.2")
        connecting.cancel()
        self.failureResultOf(connecting, ConnectingCancelledError)
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_unix_socket(self) -> None:
        self.reactor.listenUNIX("/run/x", self.peers)
        peer, other = Peer(), Peer()
        self.reactor.connectUNIX("/run/x", Caller(peer))
        self.reactor.connectUNIX("/run/y", Caller(other))
        self.reactor.settle()
        self.assertEqual((1, None), (len(self.peers.all), peer.lost))
        assert other.lost is not None
        self.assertIsInstance(other.lost.value, ConnectError)

    def test_nobody_is_built(self) -> None:
        """
        A listener that wants nobody closes the connection.
        """

        class Unwilling(Factory):
            def buildProtocol(self, addr: object) -> None:
                return None

        self.reactor.listenTCP(8080, Unwilling())
        peer = Peer()
        self.reactor.connectTCP("127.0.0.1", 8080, Caller(peer))
        self.reactor.settle()
        self.assertTrue(peer.reset)

    def test_source(self) -> None:
        self.reactor.listenTCP(8080, self.peers)
        self.reactor.connectTCP(
            "127.0.0.1", 8080, Caller(Peer()), bindAddress=("192.0.2.9", 0)
        )
        self.reactor.settle()
        self.assertEqual(
            IPv4Address("TCP", "192.0.2.9", 40001),
            self.peers.newest.transport.getPeer(),
        )
