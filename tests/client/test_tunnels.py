"""
Tunnels as programs open them: C{open_tunnel}, and what becomes of them over
reconnects.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import ClientTunnel, Code, Refused, TunnelRefused
from reitunnel.config.settings import Limits, Policy, TunnelSettings
from reitunnel.config.values import PortRange
from reitunnel.interfaces import ITunnel
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.messages import StreamOpen, TunnelEnded, TunnelOpen, TunnelOpened
from tests.client.rogue import RogueServer
from tests.ledger import Decider
from tests.pair import (
    PUBLIC_PORT,
    TARGET_PORT,
    Pair,
    client_config,
    server_config,
)

TARGET = f"127.0.0.1:{TARGET_PORT}"


class TunnelCase(SynchronousTestCase):
    def pair(self, pair: Pair | None = None) -> Pair:
        """
        Start a pair; when the test is over it must stop in order.
        """
        pair = (pair or Pair(client=client_config(tunnels=()))).start()
        self.addCleanup(lambda: self.assertEqual([], pair.stop()))
        return pair

    def refused(self, pair: Pair, opening: Deferred[ClientTunnel]) -> TunnelRefused:
        pair.reactor.settle()
        error = self.failureResultOf(opening, TunnelRefused).value
        assert isinstance(error, TunnelRefused)
        return error


class OpenTests(TunnelCase):
    def test_open(self) -> None:
        pair = self.pair()
        opening = pair.client.open_tunnel(TARGET, 6000, metadata={"service": "web"})
        self.assertNoResult(opening)
        pair.reactor.settle()
        tunnel = self.successResultOf(opening)
        assert tunnel.address is not None
        self.assertEqual(
            ("127.0.0.1", 6000), (tunnel.address.host, tunnel.address.port)
        )
        self.assertEqual(TARGET, tunnel.target)
        self.assertEqual([tunnel.tunnel], list(pair.client.tunnels))
        [there] = pair.server.tunnels
        self.assertEqual({"service": "web"}, there.metadata)
        self.assertEqual((TARGET, "tcp", 6000), (there.target, there.type, there.port))
        self.assertIs(tunnel, self.successResultOf(tunnel.when_open()))

    def test_port_of_the_servers_choice(self) -> None:
        pair = self.pair()
        tunnel = pair.open_tunnel(TARGET)
        assert tunnel.address is not None
        self.assertEqual([tunnel.address.port], pair.public_ports)
        self.assertIs(None, pair.visit(tunnel.address.port).lost)

    def test_before_the_start(self) -> None:
        """
        It waits for a session.
        """
        pair = Pair(client=client_config(tunnels=()))
        opening = pair.client.open_tunnel(TARGET, 6000)
        pair.reactor.settle()
        self.assertNoResult(opening)
        self.pair(pair)
        self.successResultOf(opening)

    def test_in_when_connected(self) -> None:
        """
        It is asked for once, whoever comes first.
        """
        pair = Pair(client=client_config(tunnels=()))
        opening: list[Deferred[ClientTunnel]] = []
        pair.client.when_connected().addCallback(
            lambda _: opening.append(pair.client.open_tunnel(TARGET, 6000))
        )
        self.pair(pair)
        self.successResultOf(opening[0])
        self.assertEqual(["client+", "tunnel+ 1"], pair.told_client.lines)

    def test_refused(self) -> None:
        pair = self.pair()
        error = self.refused(pair, pair.client.open_tunnel(TARGET, 80))
        self.assertEqual(
            (Code.POLICY, "port 80 is not allowed"), (error.code, error.reason)
        )
        self.assertEqual([], pair.client.wanted)
        pair.reactor.advance(60)
        self.assertEqual(["client+", "tunnel+ 1"], pair.told_client.lines[:2])
        self.assertEqual(3, len(pair.told_client.lines))

    def test_refused_for_a_passing_reason(self) -> None:
        """
        The program is told, and decides.
        """
        pair = self.pair(Pair())
        error = self.refused(pair, pair.client.open_tunnel(TARGET, PUBLIC_PORT))
        self.assertEqual(Code.ADDRESS_IN_USE, error.code)
        self.assertEqual(1, len(pair.client.wanted))
        before = len(pair.told_client.lines)
        pair.reactor.advance(60)
        self.assertEqual(before, len(pair.told_client.lines))

    def test_refused_by_own_hook(self) -> None:
        """
        The server is not even asked. In the next session, the hook is.
        """
        allowed = [False]

        def decide(tunnel: ITunnel) -> None:
            if not allowed[0]:
                raise Refused("not this one")

        pair = Pair(client_hooks=[Decider(tunnel=decide)])
        self.pair(pair)
        [wanted] = pair.client.wanted
        self.assertIs(None, wanted.tunnel)
        error = self.refused(pair, pair.client.open_tunnel(TARGET, 6001))
        self.assertEqual((Code.REFUSED, "not this one"), (error.code, error.reason))
        self.assertEqual([wanted], pair.client.wanted)
        pair.reactor.advance(60)
        self.assertEqual(["server+", "client+"], pair.told_server.lines)
        allowed[0] = True
        pair.link.cut()
        pair.reactor.advance(1)
        self.assertEqual([PUBLIC_PORT], pair.public_ports)

    def test_not_a_target(self) -> None:
        pair = self.pair()
        for target in ("nonsense", "127.0.0.1", ":80", "unix:relative", ""):
            with self.assertRaises(ValueError):
                pair.client.open_tunnel(target)
        with self.assertRaises(ValueError):
            pair.client.open_tunnel(7)  # type: ignore[arg-type]  # that is the point
        self.assertEqual([], pair.client.wanted)

    def test_cannot_be_asked_for(self) -> None:
        """
        What no server would take is refused where it is said.
        """
        pair = self.pair()
        with self.assertRaises(ValueError):
            pair.client.open_tunnel(TARGET, 65536)
        with self.assertRaises(ValueError):
            pair.client.open_tunnel(TARGET, bind="x" * 256)
        with self.assertRaises(ValueError):
            pair.client.open_tunnel(TARGET, metadata={"a": "b\nc"})
        with self.assertRaises(ValueError):
            pair.client.open_tunnel(TARGET, metadata={"a": "b" * 1025})
        self.assertEqual([], pair.client.wanted)
        self.assertIsNot(None, pair.client.session)

    def test_cancel(self) -> None:
        decision: Deferred[None] = Deferred()
        pair = Pair(
            client=client_config(tunnels=()),
            server_hooks=[Decider(tunnel=lambda _: decision)],
        )
        self.pair(pair)
        opening = pair.client.open_tunnel(TARGET, 6000)
        pair.reactor.settle()
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        pair.reactor.settle()
        self.assertEqual([], pair.client.wanted)
        self.assertEqual([], pair.public_ports)

    def test_many(self) -> None:
        pair = self.pair()
        opening = [pair.client.open_tunnel(TARGET, port) for port in range(6000, 6100)]
        pair.reactor.settle()
        for waiting in opening:
            self.successResultOf(waiting)
        self.assertEqual(list(range(6000, 6100)), pair.public_ports)


class CloseTests(TunnelCase):
    def test_close(self) -> None:
        pair = self.pair()
        tunnel = pair.open_tunnel(TARGET, 6000)
        tunnel.close()
        self.assertIs(None, tunnel.address)
        self.assertTrue(tunnel.closed)
        pair.reactor.settle()
        self.assertEqual([], pair.public_ports)
        tunnel.close()
        error = self.refused(pair, tunnel.when_open())
        self.assertEqual(Code.CLOSED, error.code)
        pair.link.cut()
        pair.reactor.advance(1)
        self.assertEqual([], pair.public_ports)

    def test_close_and_open(self) -> None:
        """
        The same port, at once.
        """
        pair = self.pair()
        tunnel = pair.open_tunnel(TARGET, 6000)
        tunnel.close()
        again = pair.open_tunnel(TARGET, 6000)
        assert again.address is not None
        self.assertEqual(6000, again.address.port)

    def test_close_while_opening(self) -> None:
        pair = self.pair()
        opening = pair.client.open_tunnel(TARGET, 6000)
        [wanted] = pair.client.wanted
        wanted.close()
        error = self.refused(pair, opening)
        self.assertEqual(
            (Code.CLOSED, "the tunnel is closed"), (error.code, error.reason)
        )
        self.assertEqual([], pair.public_ports)

    def test_close_the_record(self) -> None:
        """
        C{ITunnel.close} on the client closes for good too.
        """
        pair = self.pair()
        tunnel = pair.open_tunnel(TARGET, 6000)
        [record] = pair.client.tunnels
        record.close(Code.POLICY, "enough")
        self.assertTrue(tunnel.closed)
        pair.reactor.settle()
        self.assertEqual([], pair.public_ports)
        self.assertEqual([], pair.client.wanted)
        error = self.refused(pair, tunnel.when_open())
        self.assertEqual((Code.POLICY, "enough"), (error.code, error.reason))

    def test_close_an_old_record(self) -> None:
        """
        One of a session that is over means nothing any more.
        """
        pair = self.pair()
        tunnel = pair.open_tunnel(TARGET, 6000)
        [record] = pair.client.tunnels
        pair.link.cut()
        pair.reactor.advance(1)
        record.close()
        pair.reactor.settle()
        self.assertFalse(tunnel.closed)
        self.assertEqual([6000], pair.public_ports)

    def test_closed_by_the_server(self) -> None:
        """
        Only the next session brings it back.
        """
        pair = self.pair()
        tunnel = pair.open_tunnel(TARGET, 6000)
        [there] = pair.server.tunnels
        there.close(Code.POLICY, "enough")
        pair.reactor.advance(60)
        self.assertEqual((None, False), (tunnel.address, tunnel.closed))
        self.assertEqual([], pair.public_ports)
        waiting = tunnel.when_open()
        pair.link.cut()
        pair.reactor.advance(1)
        self.assertIs(tunnel, self.successResultOf(waiting))
        self.assertEqual([6000], pair.public_ports)

    def test_close_the_others(self) -> None:
        """
        Tunnels that close each other while they are told of a session.
        """
        pair = Pair(client=client_config(tunnels=()))
        opening = [pair.client.open_tunnel(TARGET, port) for port in (6000, 6001)]
        first, second = pair.client.wanted

        def close_second(tunnel: ITunnel) -> None:
            second.close()

        pair.client.hooks.register(Decider(tunnel=close_second))
        self.pair(pair)
        self.assertIs(first, self.successResultOf(opening[0]))
        self.failureResultOf(opening[1], TunnelRefused)
        self.assertEqual([6000], pair.public_ports)


class ReconnectTests(TunnelCase):
    def test_same_port(self) -> None:
        """
        What the server chose is asked for again.
        """
        pair = self.pair()
        tunnel = pair.open_tunnel(TARGET)
        assert tunnel.address is not None
        port = tunnel.address.port
        for _ in range(3):
            pair.link.cut()
            pair.reactor.advance(1)
            self.assertEqual(port, tunnel.address.port)
            self.assertEqual([port], pair.public_ports)

    def test_port_taken_in_between(self) -> None:
        """
        Then the server chooses another, and the time after that it is that one.
        """
        pair = self.pair()
        tunnel = pair.open_tunnel(TARGET)
        assert tunnel.address is not None
        port = tunnel.address.port
        pair.link.cut()
        pair.reactor.settle()
        pair.reactor.listenTCP(port, pair.targets, interface="127.0.0.1")
        pair.reactor.advance(1)
        other = tunnel.address.port
        self.assertNotEqual(port, other)
        pair.link.cut()
        pair.reactor.advance(1)
        self.assertEqual(other, tunnel.address.port)

    def test_port_no_longer_allowed(self) -> None:
        """
        A server with another policy chooses among its own ports.
        """
        policy = Policy(ports=(PortRange(6000, 6000),))
        pair = Pair(
            server=server_config(policy=policy), client=client_config(tunnels=())
        )
        opening = pair.client.open_tunnel(TARGET)
        [wanted] = pair.client.wanted
        wanted.granted = 7001
        self.pair(pair)
        tunnel = self.successResultOf(opening)
        assert tunnel.address is not None
        self.assertEqual(6000, tunnel.address.port)

    def test_wanted_port(self) -> None:
        """
        One that was asked for by number is never exchanged for another.
        """
        pair = self.pair(Pair())
        pair.link.cut()
        pair.reactor.settle()
        pair.reactor.listenTCP(PUBLIC_PORT, pair.targets, interface="127.0.0.1")
        pair.told_client.take()
        pair.reactor.advance(0.5)
        self.assertEqual(["client+ 2", "tunnel+ 1"], pair.told_client.take()[:2])
        self.assertEqual([], pair.told_client.take())
        pair.reactor.advance(60)
        self.assertEqual([], list(pair.client.tunnels))
        self.assertEqual([], list(pair.server.tunnels))

    def test_when_open(self) -> None:
        """
        It waits for the next session.
        """
        pair = self.pair()
        tunnel = pair.open_tunnel(TARGET, 6000)
        pair.link.cut()
        pair.reactor.settle()
        waiting = tunnel.when_open()
        self.assertNoResult(waiting)
        pair.reactor.advance(1)
        self.assertIs(tunnel, self.successResultOf(waiting))

    def test_opening_when_the_link_is_lost(self) -> None:
        decision: list[Deferred[None]] = [Deferred()]
        pair = Pair(
            client=client_config(tunnels=()),
            server_hooks=[
                Decider(tunnel=lambda _: decision.pop() if decision else None)
            ],
        )
        self.pair(pair)
        opening = pair.client.open_tunnel(TARGET, 6000)
        pair.reactor.settle()
        pair.link.cut()
        pair.reactor.settle()
        self.assertNoResult(opening)
        pair.reactor.advance(1)
        self.successResultOf(opening)

    def test_server_is_stopping(self) -> None:
        """
        A tunnel that is asked for while the server stops comes with the next.
        """
        pair = self.pair(Pair())
        visitor, target = pair.open_stream()
        stopping = pair.server.stopService()
        opening = pair.client.open_tunnel(TARGET, 6001)
        pair.reactor.settle()
        self.assertNoResult(opening)
        visitor.hang_up()
        pair.reactor.settle()
        self.successResultOf(stopping)
        self.assertFalse(target.reset)
        pair.start_server()
        pair.reactor.advance(36)
        self.successResultOf(opening)

    def test_server_refuses_because_it_stops(self) -> None:
        """
        The same, when the question crosses the server's word.
        """
        pair = Pair(
            client=client_config(tunnels=()),
            server_hooks=[Decider(tunnel=lambda _: waiting.pop() if waiting else None)],
        )
        waiting: list[Deferred[None]] = [Deferred()]
        self.pair(pair)
        opening = pair.client.open_tunnel(TARGET, 6001)
        pair.reactor.settle()
        stopping = pair.server.stopService()
        pair.reactor.settle()
        self.successResultOf(stopping)
        self.assertNoResult(opening)
        pair.start_server()
        pair.reactor.advance(36)
        self.successResultOf(opening)


class RetryTests(TunnelCase):
    """
    Tunnels of the configuration that are refused.
    """

    def asked(self, pair: Pair) -> int:
        return len([line for line in pair.told_client.lines if "tunnel+" in line])

    def test_port_taken(self) -> None:
        """
        It is asked for again: after 1, 2, 4, 8, 16 and then every 30 seconds.
        """
        pair = Pair()
        other = pair.reactor.listenTCP(PUBLIC_PORT, Factory(), interface="127.0.0.1")
        self.pair(pair)
        counts = []
        for seconds in (0, 1, 2, 4, 8, 16, 30, 30):
            pair.reactor.advance(seconds)
            counts.append(self.asked(pair))
        self.assertEqual([1, 2, 3, 4, 5, 6, 7, 8], counts)
        other.stopListening()
        pair.reactor.advance(30)
        self.assertEqual(1, len(list(pair.client.tunnels)))
        pair.reactor.advance(300)
        self.assertEqual(9, self.asked(pair))

    def test_too_many(self) -> None:
        pair = Pair(
            server=server_config(limits=Limits(max_tunnels=1)),
            client=client_config(
                tunnels=tuple(
                    TunnelSettings(port=port, target=TARGET) for port in (6000, 6001)
                )
            ),
        )
        self.pair(pair)
        self.assertEqual([6000], pair.public_ports)
        [first, _] = pair.client.wanted
        first.close()
        pair.reactor.advance(1)
        self.assertEqual([6001], pair.public_ports)

    def test_not_allowed(self) -> None:
        """
        To ask again would not help; the others work.
        """
        pair = Pair(
            client=client_config(
                tunnels=tuple(
                    TunnelSettings(port=port, target=TARGET) for port in (80, 6001)
                )
            ),
        )
        self.pair(pair)
        pair.reactor.advance(300)
        self.assertEqual(2, self.asked(pair))
        self.assertEqual([6001], pair.public_ports)

    def test_closed(self) -> None:
        """
        A tunnel that is closed while it waits is not asked for again.
        """
        pair = Pair()
        pair.reactor.listenTCP(PUBLIC_PORT, pair.targets, interface="127.0.0.1")
        self.pair(pair)
        [wanted] = pair.client.wanted
        before = len(pair.reactor.getDelayedCalls())
        wanted.close()
        self.assertEqual(before - 1, len(pair.reactor.getDelayedCalls()))
        pair.reactor.advance(60)
        self.assertEqual(1, self.asked(pair))

    def test_stopped(self) -> None:
        """
        Nothing is left to be asked.
        """
        pair = Pair()
        pair.reactor.listenTCP(PUBLIC_PORT, pair.targets, interface="127.0.0.1")
        self.pair(pair)
        pair.client.stopService()
        pair.server.stopService()
        pair.reactor.settle()
        self.assertEqual([], pair.reactor.getDelayedCalls())

    def test_link_lost(self) -> None:
        """
        The next session asks at once, and waits anew.
        """
        pair = Pair()
        pair.reactor.listenTCP(PUBLIC_PORT, pair.targets, interface="127.0.0.1")
        self.pair(pair)
        pair.reactor.advance(60)
        before = self.asked(pair)
        pair.link.cut()
        pair.reactor.advance(0.5)
        self.assertEqual(before + 1, self.asked(pair))
        pair.reactor.advance(1)
        self.assertEqual(before + 2, self.asked(pair))


class RogueTests(SynchronousTestCase):
    """
    Servers that say more than one thing in a breath.
    """

    def setUp(self) -> None:
        self.pair = Pair()
        self.server = RogueServer(self.pair.reactor)
        self.pair.start_client()
        self.server.welcome()
        self.server.link.take(FrameKind.TUNNEL_OPEN, TunnelOpen)

    def tearDown(self) -> None:
        stopping = self.pair.client.stopService()
        self.pair.reactor.advance(30)
        self.successResultOf(stopping)
        self.assertEqual([], self.pair.told_client.broken_rules())

    def test_opened_and_closed(self) -> None:
        self.server.link.send(FrameKind.TUNNEL_OPENED, TunnelOpened(1, "127.0.0.1", 9))
        self.server.link.send(FrameKind.TUNNEL_CLOSE, TunnelEnded(1, Code.POLICY, "no"))
        self.pair.reactor.settle()
        self.assertEqual(
            ["client+", "tunnel+ 1", "tunnel- 1 POLICY: no (0/0)"],
            self.pair.told_client.lines,
        )
        self.assertIsNot(None, self.pair.client.session)

    def test_tunnel_closed_between_streams(self) -> None:
        """
        A hook that closes the tunnel because of the first of two visitors: what the
        second one has said already is dropped, and the session lives.
        """

        def close(stream: object) -> None:
            self.pair.client.wanted[0].close()

        self.pair.client.hooks.register(Decider(stream=close))
        link = self.server.link
        link.send(FrameKind.TUNNEL_OPENED, TunnelOpened(1, "127.0.0.1", 9))
        for number in (2, 4):
            link.send(
                FrameKind.STREAM_OPEN, StreamOpen(1, 65536, "192.0.2.1", 7), number
            )
            link.send(FrameKind.DATA, b"hello", number)
            link.send(FrameKind.EOF, b"", number)
        self.pair.reactor.settle()
        self.assertIsNot(None, self.pair.client.session)
        self.assertEqual("stream+ 2", self.pair.told_client.lines[2])
        self.assertNotIn("stream+ 4", self.pair.told_client.lines)

    def test_unknown_visitor(self) -> None:
        """
        A server need not say where a visitor comes from.
        """
        link = self.server.link
        link.send(FrameKind.TUNNEL_OPENED, TunnelOpened(1, "127.0.0.1", 9))
        link.send(FrameKind.STREAM_OPEN, StreamOpen(1, 65536), 2)
        self.pair.reactor.settle()
        self.assertEqual("stream+ 2", self.pair.told_client.lines[-1])
        self.assertEqual(1, len(self.pair.targets.all))
