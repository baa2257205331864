"""
A client that is stopped, whatever it is doing.
"""

from __future__ import annotations

import gc

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Code, TunnelRefused
from reitunnel.config.settings import ClientTimeouts
from reitunnel.errors import SessionRefused
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.messages import Ended, known_code
from tests.client.rogue import RogueServer
from tests.ledger import Decider
from tests.pair import Pair, client_config


class StopCase(SynchronousTestCase):
    def check_stopped(self, pair: Pair, stopping: Deferred[None]) -> None:
        """
        It has stopped, nothing is left of it, and it stays so.
        """
        self.successResultOf(stopping)
        self.assertIs(None, pair.client.session)
        self.assertEqual([], list(pair.client.tunnels))
        self.assertEqual([], pair.told_client.broken_rules())
        before = len(pair.reactor.connections)
        pair.reactor.advance(3600)
        self.assertEqual(before, len(pair.reactor.connections))


class StateTests(StopCase):
    def stop(self, pair: Pair) -> Deferred[None]:
        stopping = pair.client.stopService()
        pair.reactor.settle()
        return stopping

    def test_never_started(self) -> None:
        pair = Pair()
        with capturedLogs() as logs:
            self.check_stopped(pair, self.stop(pair))
        self.assertEqual([], logs)

    def test_connecting(self) -> None:
        pair = Pair(
            client=client_config(server="tcp://192.0.2.1:7000", insecure_plaintext=True)
        )
        pair.reactor.silent.add("192.0.2.1")
        pair.start_client()
        pair.reactor.advance(1)
        stopping = self.stop(pair)
        self.assertEqual([], pair.reactor.getDelayedCalls())
        self.check_stopped(pair, stopping)
        self.assertEqual([], pair.told_client.errors)

    def test_handshaking(self) -> None:
        pair = Pair()
        server = RogueServer(pair.reactor)
        pair.start_client()
        stopping = self.stop(pair)
        self.assertIsNot(None, server.link.lost)
        self.assertEqual([], pair.reactor.getDelayedCalls())
        self.check_stopped(pair, stopping)
        self.assertEqual([], pair.told_client.errors)

    def test_waiting_to_retry(self) -> None:
        pair = Pair()
        pair.start_client()
        pair.reactor.advance(0.2)
        stopping = self.stop(pair)
        self.assertEqual([], pair.reactor.getDelayedCalls())
        self.check_stopped(pair, stopping)

    def test_hooks_decide(self) -> None:
        pair = Pair(client_hooks=[Decider(client=lambda _: Deferred())]).start()
        self.check_stopped(pair, self.stop(pair))
        self.assertEqual([], list(pair.server.sessions))
        self.assertEqual([], pair.stop())

    def test_connected(self) -> None:
        pair = Pair().start()
        with capturedLogs() as logs:
            self.check_stopped(pair, self.stop(pair))
        own = [
            e for e in logs if e["log_namespace"] == "reitunnel.client.client.Client"
        ]
        self.assertEqual(["stopped"], [formatEvent(event) for event in own])
        self.assertEqual([], list(pair.server.sessions))
        self.assertEqual([], pair.stop())

    def test_about_to_give_up(self) -> None:
        """
        In the turn between the failure and what follows from it.
        """
        pair = Pair(
            client=client_config(
                server="tcp://nowhere.example:7000", insecure_plaintext=True
            )
        )
        over = pair.client.when_over()
        pair.client.startService()
        stopping = self.stop(pair)
        self.assertEqual([], pair.reactor.getDelayedCalls())
        self.check_stopped(pair, stopping)
        self.successResultOf(over)

    def test_given_up(self) -> None:
        pair = Pair(
            client=client_config(
                server="tcp://nowhere.example:7000", insecure_plaintext=True
            )
        )
        over = pair.client.when_over()
        pair.start_client()
        self.failureResultOf(over)
        self.check_stopped(pair, self.stop(pair))

    def test_by_a_hook(self) -> None:
        """
        A hook that stops the client that asks it.
        """
        stopping: list[Deferred[None]] = []
        pair = Pair(
            client_hooks=[
                Decider(client=lambda _: stopping.append(pair.client.stopService()))
            ]
        )
        pair.start()
        [stopped] = stopping
        self.check_stopped(pair, stopped)
        self.assertEqual([], list(pair.server.sessions))
        self.assertEqual([], pair.stop())

    def test_by_a_hook_that_waits(self) -> None:
        decision: Deferred[None] = Deferred()
        stopping: list[Deferred[None]] = []

        async def stop(_: object) -> None:
            await decision
            stopping.append(pair.client.stopService())

        pair = Pair(client_hooks=[Decider(client=stop)])
        pair.start()
        decision.callback(None)
        pair.reactor.settle()
        [stopped] = stopping
        self.check_stopped(pair, stopped)
        self.assertEqual([], list(pair.server.sessions))
        self.assertEqual([], pair.stop())

    def test_silent_server(self) -> None:
        """
        A server that does not close its side is cut off.
        """
        pair = Pair(client=client_config(tunnels=()))
        server = RogueServer(pair.reactor)
        pair.start_client()
        server.welcome()
        server.link.transport.pauseProducing()
        stopping = self.stop(pair)
        pair.reactor.advance(4.9)
        self.assertNoResult(stopping)
        pair.reactor.advance(0.1)
        self.check_stopped(pair, stopping)
        server.link.transport.abortConnection()

    def test_as_soon_as_it_is_connected(self) -> None:
        """
        By who has waited for the session. Nothing is said of it that was not expected.
        """
        self.stop_when_connected()
        # A Deferred's error that nobody has taken is logged when it goes away.
        gc.collect()
        self.assertEqual([], self.flushLoggedErrors())

    def stop_when_connected(self) -> None:
        pair = Pair(client=client_config(tunnels=()))
        stopping: list[Deferred[None]] = []
        pair.client.when_connected().addCallback(
            lambda _: stopping.append(pair.client.stopService())
        )
        pair.start()
        pair.reactor.settle()
        [stopped] = stopping
        self.check_stopped(pair, stopped)
        [begun, over] = pair.told_client.lines
        self.assertEqual("client+", begun)
        self.assertEqual("client- SHUTDOWN: the client is stopping", over)
        self.assertEqual([], list(pair.server.sessions))
        self.assertEqual([], pair.stop())

    def test_waiters(self) -> None:
        """
        Who waits for a session or a tunnel waits in vain.
        """
        pair = Pair()
        pair.start_client()
        connected = pair.client.when_connected()
        opening = pair.client.open_tunnel("127.0.0.1:8080")
        self.check_stopped(pair, self.stop(pair))
        error = self.failureResultOf(connected, SessionRefused).value
        assert isinstance(error, SessionRefused)
        self.assertEqual(Code.SHUTDOWN, error.code)
        refused = self.failureResultOf(opening, TunnelRefused).value
        self.assertEqual("the client is stopping", str(refused))
        self.assertEqual(1, len(pair.client.wanted))


class DrainTests(StopCase):
    """
    With a visitor that stays.
    """

    def setUp(self) -> None:
        self.pair = Pair(
            client=client_config(timeouts=ClientTimeouts(drain=20, resume=0.0))
        ).start()
        self.visitor, self.target = self.pair.open_stream()
        self.stopping = self.pair.client.stopService()
        self.pair.reactor.settle()

    def tearDown(self) -> None:
        self.check_stopped(self.pair, self.stopping)
        self.assertEqual([], self.pair.stop())

    def test_finishes(self) -> None:
        self.pair.reactor.advance(19)
        self.assertNoResult(self.stopping)
        self.target.say(b"the rest")
        self.target.hang_up()
        self.pair.reactor.settle()
        self.assertEqual(b"the rest", self.visitor.received)
        self.assertFalse(self.visitor.reset)

    def test_does_not_finish(self) -> None:
        self.pair.reactor.advance(19.9)
        self.assertNoResult(self.stopping)
        self.pair.reactor.advance(0.1)
        self.assertTrue(self.visitor.reset)
        self.assertTrue(self.target.reset)

    def test_one_of_two(self) -> None:
        """
        It waits for the last one.
        """
        other = Pair().start()
        first, second = other.visit(), other.visit()
        stopping = other.client.stopService()
        first.hang_up()
        other.reactor.settle()
        self.assertNoResult(stopping)
        self.assertIs(None, second.lost)
        second.hang_up()
        other.reactor.settle()
        self.check_stopped(other, stopping)
        self.assertEqual([], other.stop())
        self.target.hang_up()
        self.pair.reactor.settle()

    def test_link_lost(self) -> None:
        """
        It does not dial again.
        """
        self.pair.link.cut()
        self.pair.reactor.settle()

    def test_no_more_visitors(self) -> None:
        self.assertEqual([], self.pair.public_ports)
        self.target.hang_up()
        self.pair.reactor.settle()


class CrossingTests(StopCase):
    """
    A visitor that comes while the client says that it is leaving.
    """

    def test_crossing_stream(self) -> None:
        """
        The stream is reset at once, and its reset, which the server answers late,
        holds nothing up.
        """
        pair = Pair().start()
        visitor, target = pair.open_stream()
        crossing = pair.arrive()
        stopping = pair.client.stopService()
        target.hang_up()
        pair.reactor.settle()
        self.assertFalse(visitor.reset)
        self.assertIsNot(None, crossing.lost)
        self.check_stopped(pair, stopping)
        self.assertEqual([], pair.stop())

    def test_server_says_goodbye(self) -> None:
        """
        What the server hears.
        """
        pair = Pair(client=client_config(tunnels=()))
        server = RogueServer(pair.reactor)
        pair.start_client()
        server.welcome()
        stopping = pair.client.stopService()
        pair.reactor.settle()
        ended = server.link.take(FrameKind.GOAWAY, Ended)
        self.assertEqual(
            (Code.SHUTDOWN, "the client is stopping"),
            (known_code(ended.code), ended.reason),
        )
        self.check_stopped(pair, stopping)
