"""
How a server stops.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Code
from reitunnel.config.settings import ServerTimeouts
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.messages import Challenge, Ended, TunnelEnded, known_code
from tests.ledger import Decider
from tests.pair import Pair, server_config
from tests.server.raw import raw_client


class StopCase(SynchronousTestCase):
    def check_stopped(self, pair: Pair, stopping: Deferred[None]) -> None:
        """
        It has stopped, and nothing is left of it.
        """
        self.successResultOf(stopping)
        self.assertEqual([], pair.public_ports)
        self.assertEqual([], list(pair.server.sessions))
        self.assertEqual([], list(pair.server.addresses))
        self.assertEqual("server-", pair.told_server.lines[-1])
        self.assertEqual([], pair.told_server.broken_rules())


class StopTests(StopCase):
    def test_idle(self) -> None:
        pair = Pair().start_server()
        stopping = pair.server.stopService()
        pair.reactor.settle()
        self.check_stopped(pair, stopping)
        self.assertEqual([], pair.reactor.getDelayedCalls())

    def test_session_without_streams(self) -> None:
        """
        There is nothing to wait for.
        """
        pair = Pair().start_server()
        client = raw_client(pair.reactor)
        client.log_in()
        stopping = pair.server.stopService()
        pair.reactor.settle()
        self.check_stopped(pair, stopping)
        ended = client.take(FrameKind.GOAWAY, Ended)
        self.assertEqual(
            (Code.SHUTDOWN, "the server is stopping"),
            (known_code(ended.code), ended.reason),
        )
        self.assertEqual([], pair.reactor.getDelayedCalls())

    def test_handshake(self) -> None:
        """
        Who shakes hands is turned away.
        """
        pair = Pair().start_server()
        client = raw_client(pair.reactor)
        client.hello()
        client.take(FrameKind.CHALLENGE, Challenge)
        stopping = pair.server.stopService()
        pair.reactor.settle()
        self.assertEqual((Code.SHUTDOWN, "the server is stopping"), client.refused())
        self.check_stopped(pair, stopping)
        self.assertEqual([], pair.reactor.getDelayedCalls())

    def test_nothing_is_left_when_it_fires(self) -> None:
        """
        The ports, for links and for visitors, are free then.
        """
        pair = Pair().start()
        left: list[object] = []
        stopping = pair.server.stopService()
        stopping.addCallback(lambda _: left.extend(pair.reactor.ports))
        stopping.addCallback(lambda _: left.append(pair.link.server.connected))
        self.assertNoResult(stopping)
        pair.reactor.settle()
        [target_port, connected] = left
        self.assertEqual((pair.reactor.ports[0], False), (target_port, connected))
        self.check_stopped(pair, stopping)
        self.assertEqual([], pair.stop())

    def test_silent_client(self) -> None:
        """
        A client that does not close its side is cut off.
        """
        pair = Pair().start_server()
        client = raw_client(pair.reactor)
        client.log_in()
        client.transport.pauseProducing()
        stopping = pair.server.stopService()
        pair.reactor.advance(4.9)
        self.assertNoResult(stopping)
        pair.reactor.advance(0.1)
        self.check_stopped(pair, stopping)


class DrainTests(StopCase):
    """
    With a visitor that stays.
    """

    def setUp(self) -> None:
        self.pair = Pair(
            server=server_config(timeouts=ServerTimeouts(drain=20.0))
        ).start()
        self.visitor, self.target = self.pair.open_stream()
        [self.tunnel] = self.pair.server.tunnels
        self.stopping = self.pair.server.stopService()
        self.pair.reactor.settle()

    def tearDown(self) -> None:
        self.check_stopped(self.pair, self.stopping)
        self.assertEqual([], self.pair.stop())

    def test_finishes(self) -> None:
        """
        The stream goes on to its end; then the server stops at once.
        """
        self.assertNoResult(self.stopping)
        self.pair.reactor.advance(19)
        self.visitor.say(b"still here")
        self.pair.reactor.settle()
        self.assertEqual(b"still here", self.target.received)
        self.visitor.hang_up()
        self.pair.reactor.settle()
        self.assertFalse(self.target.reset)

    def test_one_of_two(self) -> None:
        """
        It waits for the last one.
        """
        other = Pair().start()
        first, second = other.visit(), other.visit()
        stopping = other.server.stopService()
        first.hang_up()
        other.reactor.settle()
        self.assertNoResult(stopping)
        self.assertIs(None, second.lost)
        second.hang_up()
        other.reactor.settle()
        self.check_stopped(other, stopping)
        self.assertEqual([], other.stop())
        self.visitor.hang_up()
        self.pair.reactor.settle()

    def test_does_not_finish(self) -> None:
        self.pair.reactor.advance(19.9)
        self.assertNoResult(self.stopping)
        self.assertIs(None, self.visitor.lost)
        self.pair.reactor.advance(0.1)
        self.assertTrue(self.visitor.reset)
        self.assertTrue(self.target.reset)

    def test_takes_nothing_new(self) -> None:
        """
        No visitor, no link, no tunnel.
        """
        self.assertEqual([], self.pair.public_ports)
        self.assertIsNot(None, self.pair.visit().lost)
        self.assertIsNot(None, raw_client(self.pair.reactor).lost)
        refused = self.pair.client.open_tunnel("127.0.0.1:8080")
        self.pair.reactor.settle()
        self.assertNoResult(refused)
        self.assertEqual([], self.pair.public_ports)
        self.visitor.hang_up()
        self.pair.reactor.settle()
        refused.addErrback(lambda _: None)

    def test_tunnel_closed(self) -> None:
        """
        C{ITunnel.close} still resets what is left of a tunnel.
        """
        [stream] = self.tunnel.streams
        stream.tunnel.close(Code.POLICY, "enough")
        self.pair.reactor.settle()
        self.assertTrue(self.visitor.reset)


class UndecidedTests(StopCase):
    def test_tunnel(self) -> None:
        """
        A tunnel on which hooks decide is refused, and never opens.
        """
        decision: Deferred[None] = Deferred()
        pair = Pair(server_hooks=[Decider(tunnel=lambda _: decision)]).start_server()
        client = raw_client(pair.reactor)
        client.log_in()
        client.ask(1, 6000)
        stopping = pair.server.stopService()
        pair.reactor.settle()
        refused = client.take(FrameKind.GOAWAY, Ended)
        answer = client.take(FrameKind.TUNNEL_REFUSED, TunnelEnded)
        self.assertEqual(
            [Code.SHUTDOWN] * 2, [known_code(each.code) for each in (refused, answer)]
        )
        self.check_stopped(pair, stopping)

    def test_visitor(self) -> None:
        """
        A visitor on whom hooks decide is turned away.
        """
        pair = Pair(server_hooks=[Decider(stream=lambda _: Deferred())]).start()
        visitor = pair.visit()
        stopping = pair.server.stopService()
        pair.reactor.settle()
        self.assertTrue(visitor.reset)
        self.check_stopped(pair, stopping)
        self.assertEqual([], pair.stop())


class LeavingClientTests(SynchronousTestCase):
    """
    A client that has said C{GOAWAY}.
    """

    def setUp(self) -> None:
        self.pair = Pair().start_server()
        self.addCleanup(lambda: self.assertEqual([], self.pair.stop()))
        self.client = raw_client(self.pair.reactor)
        self.client.log_in()

    def test_ports_close(self) -> None:
        self.client.ask(1, 6000)
        self.client.send(FrameKind.GOAWAY, Ended(Code.SHUTDOWN, "bye"))
        self.assertEqual([], self.pair.public_ports)
        self.assertEqual(1, len(list(self.pair.server.sessions)))

    def test_asks_for_more(self) -> None:
        """
        It said that it would not.
        """
        self.client.send(FrameKind.GOAWAY, Ended(Code.SHUTDOWN, "bye"))
        self.client.ask(1, 6000)
        answer = self.client.take(FrameKind.TUNNEL_REFUSED, TunnelEnded)
        self.assertEqual(
            (Code.SHUTDOWN, "the client is leaving"),
            (known_code(answer.code), answer.reason),
        )
        self.assertEqual([], self.pair.public_ports)
        self.assertEqual(["server+", "client+"], self.pair.told_server.lines)

    def test_undecided_tunnel(self) -> None:
        pair = Pair(server_hooks=[Decider(tunnel=lambda _: Deferred())]).start_server()
        client = raw_client(pair.reactor)
        client.log_in()
        client.ask(1, 6000)
        client.send(FrameKind.GOAWAY, Ended(Code.SHUTDOWN, "bye"))
        answer = client.take(FrameKind.TUNNEL_REFUSED, TunnelEnded)
        self.assertEqual(
            (Code.SHUTDOWN, "bye"), (known_code(answer.code), answer.reason)
        )
        self.assertEqual([], pair.stop())
