"""
What a client keeps at most for a server that acknowledges nothing.
"""

from __future__ import annotations

from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Client
from reitunnel.client.session import ClientSession
from reitunnel.config.settings import ClientLimits, ClientTimeouts
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.messages import RESUME, StreamOpen, TunnelOpened, encode_total
from tests.client.rogue import RogueLink, RogueServer
from tests.memory import MemoryReactor, Peers
from tests.pair import TARGET_PORT, client_config

BOUND = 2 << 20
MUCH = 8 << 20
EACH = 128 << 10
"""What is held of a target besides, at most: a chunk that waits, and one that was
read."""


class KeptTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.server = RogueServer(self.reactor)
        self.targets = Peers()
        self.reactor.listenTCP(TARGET_PORT, self.targets, interface="127.0.0.1")
        config = client_config(
            carrier="mux",
            timeouts=ClientTimeouts(),
            limits=ClientLimits(max_unacknowledged=BOUND),
        )
        self.client = Client(self.reactor, config)
        self.client.startService()
        self.reactor.settle()
        self.addCleanup(self.stop)
        self.server.welcome(capabilities=[RESUME], resume=60.0)
        self.control.send(FrameKind.TUNNEL_OPENED, TunnelOpened(1, "192.0.2.1", 6000))
        self.reactor.settle()

    def stop(self) -> None:
        self.client.stopService()
        self.reactor.advance(120)

    @property
    def control(self) -> RogueLink:
        return self.server.links[0]

    def visit(self, number: int) -> None:
        """
        Open a stream, with much credit.
        """
        opened = StreamOpen(1, MUCH, "192.0.2.7", 1)
        self.control.send(FrameKind.STREAM_OPEN, opened, number)
        self.reactor.settle()

    def came(self, number: int) -> int:
        """
        How many bytes of a stream have come.
        """
        return sum(
            len(frame.payload)
            for frame in self.control.frames
            if frame.kind is FrameKind.DATA and frame.stream == number
        )

    def test_edge(self) -> None:
        """
        When the bound is reached, no more is sent, nor read from targets. What goes
        the other way goes on, and so does everything once it is acknowledged.
        """
        session = cast("ClientSession", self.client.session)
        journal = session.mux.journal
        assert journal is not None
        self.visit(2)
        target = self.targets.newest
        target.say(bytes(MUCH))
        self.reactor.settle()
        kept = journal.sent - journal.acknowledged
        self.assertGreaterEqual(kept, BOUND)
        self.assertLess(kept, BOUND + EACH)
        self.assertLess(self.came(2), BOUND + EACH)
        [tunnel] = session.tunnels
        self.assertLess(tunnel.bytes_sent, BOUND + 2 * EACH)
        self.visit(4)
        other = self.targets.newest
        self.assertIsNot(target, other)
        self.control.send(FrameKind.DATA, b"question", 4)
        self.reactor.settle()
        self.assertEqual(b"question", other.received)
        other.say(b"answer")
        self.reactor.settle()
        self.assertEqual(0, self.came(4))
        while self.came(2) < MUCH:
            before = journal.sent
            self.control.transport.write(encode_total(FrameKind.ACK, 0, before))
            self.reactor.settle()
            self.assertGreater(journal.sent, before)
        self.assertEqual(len(b"answer"), self.came(4))
