"""
Targets: where visitors are taken, and what is said when that fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from reitunnel import Code
from reitunnel.config.settings import ClientTimeouts
from reitunnel.errors import StreamRefused
from tests.memory import Peer, Peers
from tests.pair import TARGET_PORT, Pair, client_config

UNIX = "/run/target.sock"


class TargetCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.pair = Pair(client=client_config(tunnels=())).start()
        self.addCleanup(lambda: self.assertEqual([], self.pair.stop()))

    def carries(self, target: Any, targets: Peers) -> None:
        """
        A visitor of a tunnel to C{target} ends up there.
        """
        self.pair.open_tunnel(target, 6000)
        visitor = self.pair.visit(6000)
        visitor.say(b"hello")
        self.pair.reactor.settle()
        targets.newest.say(b"world")
        self.pair.reactor.settle()
        self.assertEqual(
            (b"world", b"hello"), (visitor.received, targets.newest.received)
        )


class KindTests(TargetCase):
    """
    Everything that can be a target.
    """

    def test_ipv4(self) -> None:
        self.carries(f"127.0.0.1:{TARGET_PORT}", self.pair.targets)

    def test_name(self) -> None:
        self.carries(f"localhost:{TARGET_PORT}", self.pair.targets)

    def test_ipv6(self) -> None:
        self.pair.reactor.listenTCP(9000, self.pair.targets, interface="::1")
        self.carries("[::1]:9000", self.pair.targets)

    def test_unix_socket(self) -> None:
        self.pair.reactor.listenUNIX(UNIX, self.pair.targets)
        self.carries(f"unix:{UNIX}", self.pair.targets)

    def test_endpoint(self) -> None:
        endpoint = TCP4ClientEndpoint(self.pair.reactor, "127.0.0.1", TARGET_PORT)
        self.carries(endpoint, self.pair.targets)

    def test_in_process(self) -> None:
        """
        No port lies in between.
        """
        targets = Peers()
        self.carries(targets, targets)
        self.assertEqual([], self.pair.targets.all)
        transport = targets.newest.transport
        public = IPv4Address("TCP", "127.0.0.1", 6000)
        visitor = self.pair.reactor.connection_to(6000).client
        self.assertEqual(
            (visitor.getHost(), public), (transport.getPeer(), transport.getHost())
        )

    def test_shown(self) -> None:
        """
        What the server is told of a target.
        """
        reactor = self.pair.reactor
        self.pair.open_tunnel("[0:0::1]:80", 6001)
        self.pair.open_tunnel(f"unix:{UNIX}", 6002)
        self.pair.open_tunnel(Peers(), 6003)
        self.pair.open_tunnel(TCP4ClientEndpoint(reactor, "127.0.0.1", 80), 6004)
        self.assertEqual(
            [
                "[0:0::1]:80",
                f"unix:{UNIX}",
                "in process: Peers",
                "endpoint: TCP4ClientEndpoint",
            ],
            [tunnel.target for tunnel in self.pair.server.tunnels],
        )


class FailureTests(TargetCase):
    """
    Targets that fail in their own ways.
    """

    def reason(self, target: Any, act: Callable[[], None] | None = None) -> str:
        """
        Why the stream of a visitor ends.
        """
        self.pair.open_tunnel(target, 6000)
        visitor = self.pair.visit(6000)
        if act is not None:
            act()
        self.pair.reactor.settle()
        self.assertTrue(visitor.reset)
        line = self.pair.told_client.lines[-1]
        self.assertEqual(line, self.pair.told_server.lines[-1])
        return line.removeprefix("stream- 2 ").removesuffix(" (0/0)")

    def test_no_unix_socket(self) -> None:
        self.assertEqual(
            "TARGET_UNREACHABLE: No such file or directory",
            self.reason(f"unix:{UNIX}"),
        )

    def test_endpoint_that_fails(self) -> None:
        @implementer(IStreamClientEndpoint)
        class Failing:
            def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
                raise ValueError("it was not to be")

        self.assertEqual("TARGET_UNREACHABLE: it was not to be", self.reason(Failing()))

    def test_endpoint_without_end(self) -> None:
        """
        C{timeouts.target} holds for every kind.
        """

        @implementer(IStreamClientEndpoint)
        class Endless:
            def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
                return Deferred()

        self.assertEqual(
            "TARGET_TIMEOUT: no answer in time",
            self.reason(Endless(), lambda: self.pair.reactor.advance(10)),
        )

    def test_factory_that_fails(self) -> None:
        class Failing(Factory):
            def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
                raise ZeroDivisionError("secret")

        self.assertEqual("INTERNAL: the client failed", self.reason(Failing()))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_protocol_that_fails(self) -> None:
        class Failing(Protocol):
            def connectionMade(self) -> None:
                raise ZeroDivisionError("secret")

        reason = self.reason(Factory.forProtocol(Failing))
        self.assertIn("INTERNAL", reason)
        self.assertNotIn("secret", reason)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_error_hook(self) -> None:
        self.reason(f"unix:{UNIX}")
        [(error, context)] = self.pair.told_client.errors
        assert isinstance(error, StreamRefused)
        self.assertEqual(Code.TARGET_UNREACHABLE, error.code)
        self.assertEqual("tunnel 1 of anonymous/laptop: a visitor", context)

    def leaves_at_once(self, leave: Callable[[Peer], None]) -> str:
        """
        What becomes of a visitor whose target leaves as soon as it is there.
        """

        class Brief(Peer):
            def connectionMade(self) -> None:
                leave(self)

        reactor = self.pair.reactor
        port = reactor.listenTCP(
            9000, Factory.forProtocol(Brief), interface="127.0.0.1"
        )
        self.pair.open_tunnel("127.0.0.1:9000", 6000)
        visitor = self.pair.visit(6000)
        port.stopListening()
        self.assertIsNot(None, visitor.lost)
        line = self.pair.told_client.lines[-1]
        self.assertEqual(line, self.pair.told_server.lines[-1])
        return line

    def test_closes_at_once(self) -> None:
        """
        That is not to refuse.
        """
        self.assertEqual(
            "stream- 2 NONE (0/0)",
            self.leaves_at_once(lambda target: target.hang_up()),
        )

    def test_aborts_at_once(self) -> None:
        self.assertEqual(
            "stream- 2 ABORTED (0/0)",
            self.leaves_at_once(lambda target: target.abort()),
        )


class DownTests(SynchronousTestCase):
    """
    What the log says of a target that is not there.
    """

    def setUp(self) -> None:
        self.pair = Pair().start()
        self.addCleanup(lambda: self.assertEqual([], self.pair.stop()))

    def said(self, act: Callable[[], object]) -> list[str]:
        """
        What is logged of the target.
        """
        with capturedLogs() as logs:
            act()
        return [
            str(event["log_format"]).split(":")[0]
            for event in logs
            if str(event.get("log_format", "")).startswith("target ")
        ]

    def test_once(self) -> None:
        """
        Once when it goes down, and once when it is back, not for each visitor.
        """
        self.pair.close_target()
        self.assertEqual(["target {target} is down"], self.said(self.pair.visit))
        self.assertEqual([], self.said(self.pair.visit))
        self.assertEqual([], self.said(self.pair.visit))
        self.pair.open_target()
        self.assertEqual(["target {target} is back"], self.said(self.pair.visit))
        self.assertEqual([], self.said(self.pair.visit))
        self.pair.close_target()
        self.assertEqual(["target {target} is down"], self.said(self.pair.visit))

    def test_visitor_leaves(self) -> None:
        """
        A visitor who does not wait says nothing of the target.
        """
        pair = Pair(
            client=client_config(tunnels=(), timeouts=ClientTimeouts(target=1000.0))
        ).start()
        self.addCleanup(lambda: self.assertEqual([], pair.stop()))
        pair.reactor.silent.add("192.0.2.1")
        pair.open_tunnel("192.0.2.1:80", 6000)

        def come_and_go() -> None:
            visitor = pair.visit(6000)
            visitor.abort()
            pair.reactor.settle()

        self.assertEqual([], self.said(come_and_go))
        self.assertEqual([], pair.told_client.errors)

    def test_visitor_leaves_while_resolving(self) -> None:
        """
        Name resolution has no way to be given up, and says that the name is not
        known.
        """
        pair = Pair(client=client_config(tunnels=())).start()
        self.addCleanup(lambda: self.assertEqual([], pair.stop()))
        pair.open_tunnel("slow.example:80", 6000)
        pair.reactor.installNameResolver(_NeverResolves())

        def come_and_go() -> None:
            visitor = pair.visit(6000)
            visitor.abort()
            pair.reactor.settle()

        self.assertEqual([], self.said(come_and_go))
        self.assertEqual([], pair.told_client.errors)


@implementer(IHostnameResolver)
class _NeverResolves:
    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        return _Endless(hostName)


@implementer(IHostResolution)
class _Endless:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        pass


class LifeTests(SynchronousTestCase):
    """
    Factories as targets are started and stopped, as by a port.
    """

    def test_life(self) -> None:
        pair = Pair(client=client_config(tunnels=())).start()
        self.addCleanup(lambda: self.assertEqual([], pair.stop()))
        targets = Peers()
        tunnel = pair.open_tunnel(targets, 6000)
        self.assertEqual(["start"], targets.told)
        pair.visit(6000)
        pair.link.cut()
        pair.reactor.settle()
        self.assertEqual(["start", "stop"], targets.told)
        pair.reactor.advance(1)
        self.assertEqual(["start", "stop", "start"], targets.told)
        visitor = pair.visit(6000)
        tunnel.close()
        pair.reactor.settle()
        self.assertTrue(visitor.reset)
        self.assertEqual(["start", "stop", "start", "stop"], targets.told)

    def test_visitors_are_told(self) -> None:
        """
        Every protocol loses its connection, and before the factory is stopped.
        """
        pair = Pair(client=client_config(tunnels=())).start()
        self.addCleanup(lambda: self.assertEqual([], pair.stop()))
        lost: list[bool] = []

        class Targets(Peers):
            def stopFactory(self) -> None:
                lost.extend(peer.lost is not None for peer in self.all)

        pair.open_tunnel(Targets(), 6000)
        for _ in range(3):
            pair.visit(6000)
        pair.link.cut()
        pair.reactor.settle()
        self.assertEqual([True] * 3, lost)
