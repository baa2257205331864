"""
Visitors on the server: what they cost, and that it is given back.
"""

from __future__ import annotations

import gc
from typing import Any
from weakref import ref

from twisted.internet.interfaces import IListeningPort
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Code
from reitunnel.config.settings import Limits
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.messages import TunnelEnded, known_code
from tests.memory import MemoryReactor
from tests.pair import Pair, server_config
from tests.server.raw import raw_client


class GaugeTests(SynchronousTestCase):
    """
    Visitors who are turned away because of one limit count for none.
    """

    def check(self, limits: Limits, room_for: int) -> None:
        """
        Turn many visitors away at the first tunnel; then the second has room.
        """
        pair = Pair(server=server_config(limits=limits)).start()
        pair.open_tunnel("127.0.0.1:8080", 6001)
        self.assertIs(None, pair.visit(6000).lost)
        for _ in range(20):
            self.assertTrue(pair.visit(6000).reset)
        taken = [pair.visit(6001).lost is None for _ in range(room_for + 1)]
        self.assertEqual([True] * room_for + [False], taken)
        self.assertEqual([], pair.stop())

    def test_of_the_tunnel(self) -> None:
        self.check(Limits(max_streams_per_tunnel=1, max_conns=10), room_for=1)
        self.check(
            Limits(max_streams_per_tunnel=1, max_streams_per_client=10), room_for=1
        )

    def test_of_the_client(self) -> None:
        """
        Another client has its own.
        """
        limits = Limits(max_streams_per_client=1, max_conns=2)
        pair = Pair(server=server_config(limits=limits)).start()
        self.assertIs(None, pair.visit().lost)
        for _ in range(20):
            self.assertTrue(pair.visit().reset)
        other = raw_client(pair.reactor)
        other.log_in()
        other.ask(1, 6001)
        self.assertIs(None, pair.visit(6001).lost)
        self.assertTrue(pair.visit(6001).reset)
        self.assertEqual([], pair.stop())


class TraceTests(SynchronousTestCase):
    """
    What is left of streams that are over: nothing.
    """

    def check(self, pair: Pair) -> None:
        streams: list[Any] = []
        for side in (pair.server, pair.client):
            [tunnel] = side.tunnels
            streams += map(ref, tunnel.streams)
        self.assertEqual(2, len(streams))
        pair.targets.newest.hang_up()
        pair.reactor.settle()
        gc.collect()
        self.assertEqual([None, None], [each() for each in streams])

    def test_objects(self) -> None:
        pair = Pair(ledgers=False).start()
        pair.visit()
        self.check(pair)
        self.assertEqual([], pair.stop())

    def test_tunnels(self) -> None:
        pair = Pair(ledgers=False).start()
        [wanted] = pair.client.wanted
        tunnels: list[Any] = [
            ref(tunnel)
            for side in (pair.server, pair.client)
            for tunnel in side.tunnels
        ]
        self.assertEqual(2, len(tunnels))
        wanted.close()
        pair.reactor.settle()
        gc.collect()
        self.assertEqual([None, None], [each() for each in tunnels])
        self.assertEqual([], pair.stop())

    def test_timers(self) -> None:
        """
        A stream that is over has none, whether it was accepted or not.
        """
        pair = Pair().start()
        before = len(pair.reactor.getDelayedCalls())
        pair.visit().hang_up()
        pair.reactor.settle()
        pair.close_target()
        self.assertTrue(pair.visit().reset)
        self.assertEqual(before, len(pair.reactor.getDelayedCalls()))
        self.assertEqual([], pair.stop())


class BrokenReactor(MemoryReactor):
    """
    Cannot listen on one port, in a way that nobody expects.
    """

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """
        Listen, or not.
        """
        if port == 6001:
            raise ZeroDivisionError
        return super().listenTCP(port, factory, backlog, interface)


class DefectTests(SynchronousTestCase):
    def test_tunnel(self) -> None:
        """
        A defect costs the tunnel, and nothing else.
        """
        pair = Pair(reactor=BrokenReactor()).start_server()
        client = raw_client(pair.reactor)
        client.log_in()
        client.ask(1, 6001)
        answer = client.take(FrameKind.TUNNEL_CLOSE, TunnelEnded)
        self.assertEqual(
            (Code.INTERNAL, "the server failed"),
            (known_code(answer.code), answer.reason),
        )
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertEqual(
            ["tunnel+ 1", "tunnel- 1 INTERNAL: the server failed (0/0)"],
            pair.told_server.lines[-2:],
        )
        client.ask(2, 6002)
        self.assertEqual([6002], pair.public_ports)
        self.assertEqual([], pair.stop())
