"""
Whose place a visitor takes that is gone, while its session cannot settle its stream.
"""

from __future__ import annotations

from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.config.settings import (
    ClientTimeouts,
    Limits,
    ServerTimeouts,
    TunnelSettings,
)
from reitunnel.server.session import ServerSession
from tests.pair import LINK_PORT, TARGET_PORT, Pair, client_config, server_config

AWAY = "127.0.0.2"
OTHER = 6001
"""The public port of the other session."""
PLACES = 8


class PlacesTests(SynchronousTestCase):
    """
    Two sessions, and room for as many visitors as either may have alone.
    """

    def setUp(self) -> None:
        server = server_config(
            listen=(f"tcp://0.0.0.0:{LINK_PORT}",),
            insecure_plaintext=True,
            limits=Limits(max_conns=PLACES, max_streams_per_client=PLACES),
            timeouts=ServerTimeouts(drain=20.0),
        )
        client = client_config(
            server=f"tcp://{AWAY}:{LINK_PORT}",
            timeouts=ClientTimeouts(),
            carrier="mux",
        )
        self.pair = Pair(server=server, client=client).start()
        self.addCleanup(lambda: self.assertEqual([], self.pair.stop()))
        tunnel = TunnelSettings(port=OTHER, target=f"127.0.0.1:{TARGET_PORT}")
        self.pair.start_another(client_config(client_id="other", tunnels=(tunnel,)))
        first, _ = self.pair.server.sessions
        self.session = cast("ServerSession", first)

    def lose_link(self) -> None:
        self.pair.reactor.unreachable.add(AWAY)
        self.pair.link_connections[0].cut()
        self.pair.reactor.settle()
        self.assertFalse(self.session.link_up)

    def find_link(self) -> None:
        self.pair.reactor.unreachable.clear()
        self.pair.reactor.advance(35)
        self.assertTrue(self.session.link_up)

    @property
    def taken(self) -> tuple[int, int]:
        """
        The places taken on the server, and of the session.
        """
        return self.pair.server.visitors.used, self.session.streams_gauge.used

    def test_left(self) -> None:
        """
        Those whose streams are open leave: only the session owes them anything.
        """
        streams = [self.pair.open_stream() for _ in range(PLACES)]
        self.assertTrue(self.pair.visit(OTHER).reset)
        self.lose_link()
        for visitor, _ in streams:
            visitor.abort()
        self.pair.reactor.settle()
        self.assertEqual((0, PLACES), self.taken)
        self.assertTrue(self.pair.visit().reset)
        others = [self.pair.visit(OTHER) for _ in range(PLACES)]
        self.assertFalse(any(each.reset for each in others))
        self.assertTrue(self.pair.visit(OTHER).reset)
        self.assertIn(f"{2 * PLACES} streams", self.pair.server.status)
        self.find_link()
        self.assertEqual((PLACES, 0), self.taken)
        for each in others:
            each.abort()
        self.pair.reactor.settle()
        self.assertEqual((0, 0), self.taken)
        self.assertIn(" 0 streams", self.pair.server.status)

    def test_came_and_left(self) -> None:
        """
        Nothing is kept of those who come meanwhile, and the client does not hear of
        them.
        """
        self.lose_link()
        session = self.session.mux.session
        queued, targets = session.control_queued, len(self.pair.targets.all)
        self.pair.told_server.take()
        for _ in range(3 * PLACES):
            visitor = self.pair.visit()
            self.assertFalse(visitor.reset)
            visitor.say(b"x" * 5000)
            self.pair.reactor.settle()
            visitor.abort()
            self.pair.reactor.settle()
            self.assertEqual((0, 0), self.taken)
        self.assertEqual(queued, session.control_queued)
        self.assertEqual({}, session.streams)
        self.assertFalse(session.wants_to_send and not queued)
        closes = [
            line for line in self.pair.told_server.take() if line.startswith("stream-")
        ]
        self.assertEqual(3 * PLACES, len(closes))
        for line in closes:
            self.assertIn("ABORTED (5000/0)", line)
        self.find_link()
        self.assertEqual(targets, len(self.pair.targets.all))
        self.assertFalse(self.pair.visit().reset)

    def test_waited_too_long(self) -> None:
        """
        Nothing is kept of those who are turned away after C{timeouts.stream_open}.
        """
        self.lose_link()
        visitors = [self.pair.visit() for _ in range(PLACES)]
        self.assertTrue(self.pair.visit(OTHER).reset)
        self.pair.reactor.advance(30)
        self.assertTrue(all(each.reset for each in visitors))
        self.assertEqual((0, 0), self.taken)
        self.assertEqual({}, self.session.mux.session.streams)
        self.assertFalse(self.pair.visit(OTHER).reset)

    def test_session_ends(self) -> None:
        """
        A place is given back once.
        """
        streams = [self.pair.open_stream() for _ in range(PLACES)]
        self.lose_link()
        for visitor, _ in streams[:3]:
            visitor.abort()
        self.pair.reactor.settle()
        self.assertEqual((PLACES - 3, PLACES), self.taken)
        self.session.close()
        self.pair.reactor.settle()
        self.assertEqual((0, 0), self.taken)

    def test_drain(self) -> None:
        """
        A server that stops waits for a stream whose visitor has left.
        """
        visitor, target = self.pair.open_stream()
        other, _ = self.pair.open_stream()
        target.transport.pauseProducing()
        visitor.say(bytes(370 << 10))
        visitor.hang_up()
        target.finish()
        self.pair.reactor.settle()
        other.abort()
        self.pair.reactor.settle()
        self.assertEqual((0, 1), self.taken)
        self.pair.server.stopService()
        self.pair.reactor.settle()
        target.transport.resumeProducing()
        self.pair.reactor.settle()
        self.assertEqual(370 << 10, len(target.received))
        self.assertFalse(target.reset)
