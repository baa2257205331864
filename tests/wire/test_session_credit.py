"""
Tests of L{reitunnel.wire.books}: the credit of streams, through a session.
"""

from __future__ import annotations

from reitunnel.errors import Code, LocalProtocolError
from reitunnel.wire.events import (
    DataReceived,
)
from reitunnel.wire.frames import FrameKind, encode_frame
from reitunnel.wire.messages import (
    encode_number,
)
from reitunnel.wire.session import SessionLimits
from reitunnel.wire.streams import EARLY_CREDIT, MAX_CREDIT
from tests.wire.peers import Peers
from tests.wire.session_case import SessionTestCase, sent

KIB = 1024


class CreditTests(SessionTestCase):
    def client_limits(self) -> SessionLimits:
        return SessionLimits(max_window=64 * KIB)

    def test_window_is_kept(self) -> None:
        """
        More is sent only when bytes were consumed.
        """
        mine, theirs = self.peers.open_stream()
        self.server.session.send(theirs, bytes(1000 * KIB))
        total = 0
        for _ in range(20):
            self.peers.settle()
            for event in self.client.events():
                assert isinstance(event, DataReceived)
                total += len(event.data)
            self.assertEqual(64 * KIB, mine.unread)
            self.client.session.consumed(mine, 40 * KIB)
            total -= 40 * KIB
            self.assertEqual(total, mine.unread)

    def test_little_is_not_given_back(self) -> None:
        """
        A grant is at least half of the window.
        """
        mine, theirs = self.peers.open_stream()
        self.server.session.send(theirs, bytes(64 * KIB))
        self.peers.settle()
        self.client.session.consumed(mine, 32 * KIB - 1)
        self.assertEqual([], sent(self.client))
        self.client.session.consumed(mine, 1)
        self.assertEqual(
            encode_number(FrameKind.WINDOW, 2, 32 * KIB),
            b"".join(self.client.session.data_to_send(0)),
        )

    def test_no_credit_left(self) -> None:
        """
        Data beyond the credit is refused, to the byte.
        """
        self.peers.open_stream()
        self.client.hear(encode_frame(FrameKind.DATA, 2, bytes(64 * KIB)))
        self.assertEqual(
            "DATA on stream 2: no credit left",
            self.refuse(self.client, encode_frame(FrameKind.DATA, 2, b"x")),
        )

    def test_no_credit_left_before_accepting(self) -> None:
        self.peers.offer_stream()
        self.client.hear(encode_frame(FrameKind.DATA, 2, bytes(16 * KIB)))
        self.refuse(self.client, encode_frame(FrameKind.DATA, 2, b"x"))

    def test_no_credit_left_after_reset(self) -> None:
        """
        A stream that this side has reset costs the peer its credit all the same.
        """
        mine, _ = self.peers.open_stream()
        self.client.session.reset(mine, Code.ABORTED)
        self.client.hear(encode_frame(FrameKind.DATA, 2, bytes(64 * KIB)))
        self.assertEqual([], self.client.events())
        self.assertEqual(0, self.client.session.promised)
        self.refuse(self.client, encode_frame(FrameKind.DATA, 2, b"x"))

    def test_early_bytes_consumed_before_accepting(self) -> None:
        """
        Their credit comes back when the stream is accepted.
        """
        mine, theirs = self.peers.offer_stream()
        self.server.session.send(theirs, bytes(100 * KIB))
        self.peers.settle()
        self.client.session.consumed(mine, EARLY_CREDIT)
        self.client.session.accept_stream(mine)
        self.assertEqual(
            64 * KIB, self.client.session.promised, "the whole window is open"
        )
        self.peers.settle()
        self.assertEqual(64 * KIB, mine.unread)

    def test_accepting_after_eof_gives_no_credit(self) -> None:
        mine, theirs = self.peers.offer_stream()
        self.server.session.send(theirs, b"all")
        self.server.session.send_eof(theirs)
        self.peers.settle()
        self.client.session.accept_stream(mine)
        self.assertEqual(
            encode_number(FrameKind.STREAM_ACCEPTED, 2, 0),
            b"".join(self.client.session.data_to_send(0)),
        )
        self.assertEqual(3, self.client.session.promised)

    def test_consumed_more_than_received(self) -> None:
        mine, theirs = self.peers.open_stream()
        self.server.session.send(theirs, b"abc")
        self.peers.settle()
        self.assertRaises(LocalProtocolError, self.client.session.consumed, mine, 4)
        self.assertRaises(LocalProtocolError, self.client.session.consumed, mine, -1)
        self.client.session.consumed(mine, 3)
        self.assertEqual(0, mine.unread)

    def test_no_grant_after_eof(self) -> None:
        mine, theirs = self.peers.open_stream()
        self.server.session.send(theirs, bytes(60 * KIB))
        self.server.session.send_eof(theirs)
        self.peers.settle()
        self.client.session.consumed(mine, 60 * KIB)
        self.assertEqual([], sent(self.client))
        self.assertEqual(0, self.client.session.promised)

    def test_grant_of_nothing(self) -> None:
        self.peers.open_stream()
        self.assertEqual(
            "WINDOW on stream 2: no bytes",
            self.refuse(self.client, encode_number(FrameKind.WINDOW, 2, 0)),
        )

    def test_too_much(self) -> None:
        """
        Credit has a bound, 2 GiB less one byte.
        """
        mine, _ = self.peers.open_stream()
        rest = MAX_CREDIT - mine.send_credit
        self.client.hear(encode_number(FrameKind.WINDOW, 2, rest))
        self.assertEqual(
            "WINDOW on stream 2: too much",
            self.refuse(self.client, encode_number(FrameKind.WINDOW, 2, 1)),
        )

    def test_too_much_on_accepting(self) -> None:
        _, theirs = self.peers.offer_stream()
        more = MAX_CREDIT - EARLY_CREDIT + 1
        self.assertEqual(
            "STREAM_ACCEPTED on stream 2: too much",
            self.refuse(
                self.server,
                encode_number(FrameKind.STREAM_ACCEPTED, theirs.number, more),
            ),
        )

    def test_each_stream_has_its_own(self) -> None:
        """
        A stream whose target does not read stalls no other.
        """
        _, slow = self.peers.open_stream()
        quick, fast = self.peers.open_stream()
        self.server.session.send(slow, bytes(200 * KIB))
        self.peers.settle()
        self.client.events()
        self.server.session.send(fast, b"quick")
        self.peers.settle()
        self.assertEqual(DataReceived(quick, b"quick"), self.client.event(DataReceived))


class TotalTests(SessionTestCase):
    """
    The credit of all streams together has a bound.
    """

    def client_limits(self) -> SessionLimits:
        return SessionLimits(max_window=256 * KIB, max_session_bytes=1024 * KIB)

    def server_limits(self) -> SessionLimits:
        return self.client_limits()

    def test_many_streams(self) -> None:
        """
        Beyond the bound a stream gets the least, and still moves.
        """
        pairs = [self.peers.open_stream() for _ in range(100)]
        for peer in self.peers.both:
            promised = peer.session.promised
            self.assertTrue(promised <= (1024 + 16 * 100) * KIB, promised)
        mine, theirs = pairs[-1]
        self.server.session.send(theirs, bytes(100 * KIB))
        self.peers.settle()
        self.assertEqual(16 * KIB, mine.unread)
        self.client.session.consumed(mine, 16 * KIB)
        self.peers.settle()
        self.assertEqual(16 * KIB, mine.unread)

    def test_windows_give_way(self) -> None:
        """
        What a stream has consumed, and another stream was given meanwhile, it
        does not get back before there is room again.
        """
        limits = SessionLimits(max_window=512 * KIB, max_session_bytes=8192 * KIB)
        self.peers = Peers(limits, limits)
        self.client, self.server = self.peers.both
        self.peers.open_tunnel()
        first = [self.peers.open_stream() for _ in range(40)]
        for mine, theirs in first:
            self.server.session.send(theirs, bytes(theirs.send_credit))
            self.peers.settle()
            self.client.events()
            self.client.session.consumed(mine, mine.window // 2 - 1)
        rest = [self.peers.open_stream() for _ in range(40)]
        for mine, _ in first:
            self.client.session.consumed(mine, mine.unread)
        promised = self.client.session.promised
        self.assertTrue(promised <= (8192 + 16 * 80) * KIB, promised)
        for mine, _ in rest:
            self.client.session.reset(mine, Code.ABORTED)
        self.peers.settle()
        for mine, theirs in first:
            self.server.session.send(theirs, bytes(theirs.send_credit))
            self.peers.settle()
            self.client.session.consumed(mine, mine.unread)
            self.assertEqual(mine.window, mine.receive_credit)
