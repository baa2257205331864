"""
What a session holds at most while it waits for its client.
"""

from __future__ import annotations

from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.config.settings import ClientTimeouts, Limits
from reitunnel.server.session import ServerSession
from reitunnel.wire.frames import HEADER_SIZE, PING_SIZE, FrameKind
from reitunnel.wire.messages import Resumed, encode_number
from tests.memory import Peer
from tests.pair import LINK_PORT, Pair, client_config, server_config
from tests.server.raw import RawClient
from tests.server.test_resuming import ResumeCase

AWAY = "127.0.0.2"
STREAMS = 8
MUCH = 2 << 20
"""What each visitor sends, in bytes."""
EACH = 128 << 10
"""What is held of each visitor at most: a chunk that waits, and one that was read."""
WORDS = 1024
"""What is said of one stream at most, in bytes: here reasons are short."""


class WaitingTests(SynchronousTestCase):
    def setUp(self) -> None:
        server = server_config(
            listen=(f"tcp://0.0.0.0:{LINK_PORT}",),
            insecure_plaintext=True,
            limits=Limits(max_streams_per_client=STREAMS, max_unacknowledged=1 << 20),
        )
        client = client_config(
            server=f"tcp://{AWAY}:{LINK_PORT}",
            timeouts=ClientTimeouts(),
            carrier="mux",
        )
        self.pair = Pair(server=server, client=client).start()
        self.addCleanup(lambda: self.assertEqual([], self.pair.stop()))
        self.session = cast("ServerSession", self.pair.session)

    def lose_link(self) -> None:
        self.pair.reactor.unreachable.add(AWAY)
        self.pair.link.cut()
        self.pair.reactor.settle()
        self.assertFalse(self.session.link_up)

    def find_link(self) -> None:
        self.pair.reactor.unreachable.clear()
        self.pair.reactor.advance(35)
        self.assertTrue(self.session.link_up)

    def kept(self) -> int:
        journal = self.session.mux.journal
        assert journal is not None
        return journal.sent - journal.acknowledged

    def test_what_visitors_send(self) -> None:
        """
        Little is read of each, and the rest when the link is back.
        """
        streams = [self.pair.open_stream() for _ in range(STREAMS)]
        self.lose_link()
        for visitor, _ in streams:
            visitor.say(bytes(MUCH))
        self.pair.reactor.settle()
        [tunnel] = self.session.tunnels
        self.assertGreater(tunnel.bytes_received, 0)
        self.assertLessEqual(tunnel.bytes_received, STREAMS * EACH)
        self.assertLess(self.kept(), 64 << 10)
        self.find_link()
        for _, target in streams:
            self.assertEqual(MUCH, len(target.received))

    def test_visitors_who_come_and_go(self) -> None:
        """
        However many there are, no more are known than may be at a time.
        """
        self.lose_link()
        visitors: list[Peer] = []
        for _ in range(10 * STREAMS):
            visitor = self.pair.visit()
            visitor.say(b"x" * 5000)
            self.pair.reactor.settle()
            visitor.hang_up()
            self.pair.reactor.settle()
            visitors.append(visitor)
        self.assertLessEqual(self.session.mux.session.control_queued, STREAMS * WORDS)
        self.assertLessEqual(self.session.streams_gauge.used, STREAMS)
        self.assertTrue(all(each.reset for each in visitors[STREAMS:]))
        self.find_link()
        self.assertEqual(0, self.session.streams_gauge.used)
        self.assertFalse(self.pair.visit().reset)


class KeptTests(ResumeCase):
    """
    A client that reads, gives much credit, and acknowledges nothing.
    """

    def limits(self) -> Limits:
        return Limits(max_unacknowledged=1 << 20)

    def test_edge(self) -> None:
        """
        When the bound is reached, no more is sent, nor read from visitors; what is kept
        comes again, however often.
        """
        session = cast("ServerSession", self.pair.session)
        journal = session.mux.journal
        [tunnel] = session.tunnels
        assert journal is not None
        visitor = self.pair.visit(getattr(tunnel.address, "port", 0))
        self.control.write(encode_number(FrameKind.STREAM_ACCEPTED, 2, 8 << 20))
        visitor.say(bytes(8 << 20))
        self.pair.reactor.settle()
        kept = journal.sent - journal.acknowledged
        self.assertGreaterEqual(kept, 1 << 20)
        self.assertLess(kept, (1 << 20) + EACH)
        self.assertLess(tunnel.bytes_received, (1 << 20) + 2 * EACH)
        sent = _data(self.control)
        for _ in range(3):
            self.cut()
            self.assertEqual(kept, journal.sent - journal.acknowledged)
            self.control = self.prove(self.resume(received=0))
            self.control.take(FrameKind.RESUMED, Resumed)
            self.assertEqual(sent, _data(self.control))
            # Besides, the first ping of the new link.
            kept += HEADER_SIZE + PING_SIZE
        self.assertFalse(visitor.reset)


def _data(link: RawClient) -> int:
    return sum(
        len(frame.payload) for frame in link.frames if frame.kind is FrameKind.DATA
    )
