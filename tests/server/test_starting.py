"""
How a server starts, or does not.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Factory
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel import Code, Refused, Server
from reitunnel.auth import new_token
from reitunnel.config.settings import AuthSettings, Limits
from reitunnel.errors import ConfigError, TransportError
from reitunnel.interfaces import IServer, ISession, IStream, ITunnel
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.messages import TunnelOpened
from tests.auth.support import write_token_file
from tests.ledger import Decider, Ledger
from tests.memory import Caller, MemoryReactor, Peer
from tests.pair import Pair, server_config
from tests.server.raw import RawClient, raw_client

LISTEN = IPv4Address("TCP", "127.0.0.1", 7000)


class StartCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.ledger = Ledger()

    def server(self, *hooks: object, **changes: object) -> Server:
        server = Server(self.reactor, server_config(**changes), [self.ledger, *hooks])

        def stop() -> None:
            server.stopService()
            self.reactor.advance(30)
            self.assertEqual([], self.ledger.broken_rules())
            self.assertEqual([], self.reactor.getDelayedCalls())

        self.addCleanup(stop)
        return server

    def start(self, server: Server) -> None:
        server.privilegedStartService()
        server.startService()
        self.reactor.settle()


class ListeningTests(StartCase):
    def test_listening(self) -> None:
        server = self.server()
        early = server.when_listening()
        self.assertNoResult(early)
        self.start(server)
        self.assertEqual((LISTEN,), self.successResultOf(early))
        self.assertEqual((LISTEN,), self.successResultOf(server.when_listening()))
        self.assertEqual((LISTEN,), server.addresses)
        self.assertEqual(["server+"], self.ledger.lines)

    def test_privileged(self) -> None:
        """
        The ports are had while there are privileges.
        """
        server = self.server()
        server.privilegedStartService()
        self.successResultOf(server.when_listening())
        server.startService()
        self.assertEqual(1, len(self.reactor.ports))

    def test_without_privileges(self) -> None:
        """
        A program that embeds it just starts it.
        """
        server = self.server()
        server.startService()
        self.assertEqual((LISTEN,), self.successResultOf(server.when_listening()))
        self.assertTrue(server.running)
        server.stopService()
        self.assertFalse(server.running)

    def test_several(self) -> None:
        """
        In the order of the configuration, with the ports that they really got.
        """
        server = self.server(
            listen=("tcp://127.0.0.1:7001", "tcp://127.0.0.1:0", "tcp://[::1]:7001")
        )
        with capturedLogs() as logs:
            self.start(server)
        addresses = self.successResultOf(server.when_listening())
        self.assertEqual(
            [
                IPv4Address("TCP", "127.0.0.1", 7001),
                IPv4Address("TCP", "127.0.0.1", 40001),
                IPv6Address("TCP", "::1", 7001),
            ],
            list(addresses),
        )
        [line] = [event for event in logs if "addresses" in event]
        self.assertEqual(
            "tcp://127.0.0.1:7001, tcp://127.0.0.1:40001, tcp://[::1]:7001",
            line["addresses"],
        )

    def test_undecided(self) -> None:
        """
        Nobody listens while hooks decide.
        """
        decision: Deferred[None] = Deferred()
        server = self.server(Decider(server=lambda _: decision))
        listening = server.when_listening()
        self.start(server)
        self.assertEqual([], self.reactor.ports)
        decision.callback(None)
        self.successResultOf(listening)
        self.assertEqual(1, len(self.reactor.ports))

    def test_unsafe(self) -> None:
        with self.assertRaises(ConfigError):
            Server(self.reactor, server_config(insecure_no_auth=False))


class FailureTests(StartCase):
    def test_port_taken(self) -> None:
        """
        One line, nothing left listening, and the hooks are told the end.
        """
        other = self.reactor.listenTCP(7001, Factory(), interface="127.0.0.1")
        server = self.server(listen=("tcp://127.0.0.1:7000", "tcp://127.0.0.1:7001"))
        listening = server.when_listening()
        self.start(server)
        error = self.failureResultOf(listening, TransportError).value
        self.assertEqual(
            "tcp://127.0.0.1:7001: cannot listen: Address already in use", str(error)
        )
        self.assertEqual([other], self.reactor.ports)
        self.assertEqual((), server.addresses)
        self.assertEqual(["server+", "server-"], self.ledger.lines)
        self.failureResultOf(server.when_listening(), TransportError)

    def test_refused_by_hook(self) -> None:
        def refuse(_: IServer) -> None:
            raise Refused("not today")

        server = self.server(Decider(server=refuse))
        listening = server.when_listening()
        self.start(server)
        error = self.failureResultOf(listening, Refused).value
        self.assertEqual("not today", str(error))
        self.assertEqual([], self.reactor.ports)
        self.assertEqual(["server+", "server-"], self.ledger.lines)

    def test_hook_time_out(self) -> None:
        server = self.server(Decider(server=lambda _: Deferred()))
        listening = server.when_listening()
        self.start(server)
        self.reactor.advance(5)
        self.failureResultOf(listening, Refused)
        self.assertEqual(["server+", "server-"], self.ledger.lines)

    def test_stopped_while_hooks_decide(self) -> None:
        server = self.server(Decider(server=lambda _: Deferred()))
        listening = server.when_listening()
        self.start(server)
        stopping = server.stopService()
        self.successResultOf(stopping)
        self.failureResultOf(listening, TransportError)
        self.assertEqual(["server+", "server-"], self.ledger.lines)
        self.assertEqual([], self.reactor.ports)

    def test_started_again_while_hooks_decide(self) -> None:
        """
        What the first start came to is forgotten.
        """
        decisions: list[Deferred[None]] = []

        def decide(_: IServer) -> Deferred[None]:
            decisions.append(Deferred())
            return decisions[-1]

        server = self.server(Decider(server=decide))
        first = server.when_listening()
        self.start(server)
        self.successResultOf(server.stopService())
        self.failureResultOf(first, TransportError)
        self.start(server)
        second = server.when_listening()
        self.assertNoResult(second)
        decisions[-1].callback(None)
        self.assertEqual((LISTEN,), self.successResultOf(second))

    def test_restarted_after_failure(self) -> None:
        other = self.reactor.listenTCP(7000, Factory(), interface="127.0.0.1")
        server = self.server()
        listening = server.when_listening()
        self.start(server)
        self.failureResultOf(listening, TransportError)
        self.successResultOf(server.stopService())
        other.stopListening()
        self.reactor.settle()
        self.start(server)
        self.successResultOf(server.when_listening())

    def test_nobody_waits(self) -> None:
        """
        Then the log has it.
        """
        self.reactor.listenTCP(7000, Factory(), interface="127.0.0.1")
        server = self.server()
        with capturedLogs() as logs:
            self.start(server)
        [reason] = [event["reason"] for event in logs if "reason" in event]
        self.assertIn("cannot listen", reason)


class RestartTests(StartCase):
    def test_restart(self) -> None:
        """
        The same server can be started again.
        """
        server = self.server()
        for _ in range(2):
            self.start(server)
            self.successResultOf(server.when_listening())
            client = raw_client(self.reactor)
            client.log_in()
            stopping = server.stopService()
            self.reactor.settle()
            self.successResultOf(stopping)
            self.assertIsNot(None, client.lost)
            self.assertEqual([], self.reactor.ports)
        shutdown = "SHUTDOWN: the server is stopping"
        self.assertEqual(
            [
                "server+",
                "client+",
                f"client- {shutdown}",
                "server-",
                "server+",
                "client+ 2",
                f"client- 2 {shutdown}",
                "server-",
            ],
            self.ledger.lines,
        )

    def test_never_started(self) -> None:
        self.successResultOf(self.server().stopService())


class _Give(ClientFactory):
    noisy = False

    def __init__(self, client: RawClient) -> None:
        self._client = client

    def buildProtocol(self, addr: object) -> RawClient:
        return self._client


class EmbeddingTests(StartCase):
    """
    Links that come by another way than the server's own listeners.
    """

    def connect(self, server: Server, bind: str = "127.0.0.1") -> RawClient:
        factory = server.link_factory(bind)
        port = self.reactor.listenTCP(9000, factory, interface="127.0.0.1")
        client = RawClient(self.reactor)
        self.reactor.connectTCP("127.0.0.1", 9000, _Give(client))
        self.reactor.settle()
        port.stopListening()
        self.reactor.settle()
        return client

    def test_link_factory(self) -> None:
        server = self.server(listen=())
        self.start(server)
        self.assertEqual((), self.successResultOf(server.when_listening()))
        client = self.connect(server)
        client.log_in()
        client.ask(1, 6000)
        answer = client.take(FrameKind.TUNNEL_OPENED, TunnelOpened)
        self.assertEqual("127.0.0.1", answer.host)

    def test_default_bind(self) -> None:
        server = self.server(listen=())
        self.start(server)
        client = self.connect(server, "0.0.0.0")
        client.log_in()
        client.ask(1, 6000)
        answer = client.take(FrameKind.TUNNEL_OPENED, TunnelOpened)
        self.assertEqual("0.0.0.0", answer.host)

    def test_not_started(self) -> None:
        """
        A server that does not run takes no links.
        """
        client = self.connect(self.server(listen=()))
        self.assertIsNot(None, client.lost)

    def test_stopped(self) -> None:
        server = self.server(listen=())
        self.start(server)
        server.stopService()
        self.reactor.settle()
        client = self.connect(server)
        self.assertIsNot(None, client.lost)

    def test_stopping(self) -> None:
        """
        Nor does one that waits for its last streams.
        """
        server = self.server(listen=())
        self.start(server)
        client = self.connect(server)
        client.log_in()
        client.ask(1, 6000)
        visitor = Peer()
        self.reactor.connectTCP("127.0.0.1", 6000, Caller(visitor))
        self.reactor.settle()
        stopping = server.stopService()
        self.reactor.settle()
        self.assertNoResult(stopping)
        self.assertIsNot(None, self.connect(server).lost)
        self.assertIs(None, client.lost)

    def test_admission(self) -> None:
        """
        The limits of handshakes hold for them too.
        """
        server = self.server(listen=(), limits=Limits(max_handshakes=1))
        self.start(server)
        first, second = self.connect(server), self.connect(server)
        self.assertEqual((True, False), (first.lost is None, second.lost is None))
        first.log_in()
        self.assertIs(None, self.connect(server).lost)

    def test_no_mechanism(self) -> None:
        """
        A link that has nothing to bind a token to, where that is required.
        """
        path = Path(self.mktemp())
        write_token_file(path, new_token("web")[1])
        auth = AuthSettings(tokens=path, channel_binding="require")
        server = self.server(listen=(), insecure_no_auth=False, auth=auth)
        self.start(server)
        client = self.connect(server)
        client.hello()
        self.assertEqual(
            (Code.POLICY, "this server takes no clients on such a link"),
            client.refused(),
        )

    def test_refused_start(self) -> None:
        """
        A hook that does not let it start does not let links in.
        """

        def refuse(_: IServer) -> None:
            raise Refused("not today")

        server = self.server(Decider(server=refuse), listen=())
        listening = server.when_listening()
        self.start(server)
        self.failureResultOf(listening, Refused)
        client = self.connect(server)
        self.assertIsNot(None, client.lost)


class ProvidesTests(SynchronousTestCase):
    """
    What hooks and embedding programs are given.
    """

    def test_objects(self) -> None:
        pair = Pair().start()
        pair.visit()
        verifyObject(IServer, pair.server)
        for sessions in ([pair.session], [pair.client.session]):
            [session] = sessions
            assert session is not None
            verifyObject(ISession, session)
            [tunnel] = session.tunnels
            verifyObject(ITunnel, tunnel)
            [stream] = tunnel.streams
            verifyObject(IStream, stream)
            self.assertIs(session, tunnel.session)
            self.assertIs(tunnel, stream.tunnel)
        self.assertEqual(list(pair.session.tunnels), list(pair.server.tunnels))
        self.assertEqual([], pair.stop())
        self.assertEqual([], [*pair.server.sessions, *pair.server.tunnels])
