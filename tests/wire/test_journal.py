"""
What a session keeps to send it again.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import RemoteProtocolError
from reitunnel.wire.frames import Frame, FrameKind, FrameReader
from reitunnel.wire.journal import ACK_EVERY, Journal
from reitunnel.wire.messages import decode_total
from tests.wire.search import examples

LIMIT = 100
RESERVE = 4 << 20


class KeepingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.journal = Journal(LIMIT)
        for piece in (b"abc", b"defg", b"hi"):
            self.journal.append(piece)

    def replayed(self, total: int, budget: int = 1) -> bytes:
        self.assertTrue(self.journal.can_resume(total))
        self.journal.resume(total)
        data = b""
        while self.journal.replaying:
            data += self.journal.replay(budget)
        return data

    def test_all(self) -> None:
        self.assertEqual(9, self.journal.sent)
        self.assertEqual(b"abcdefghi", self.replayed(0))

    def test_from_anywhere(self) -> None:
        """
        Wherever the other side has come to, within a piece too.
        """
        for total in range(10):
            self.setUp()
            self.assertEqual(b"abcdefghi"[total:], self.replayed(total))

    def test_again(self) -> None:
        """
        A link that is lost during that makes it begin again.
        """
        self.journal.resume(2)
        self.assertEqual(b"c", self.journal.replay(1))
        self.assertEqual(b"cdefghi", self.replayed(2, 100))

    def test_acknowledged(self) -> None:
        """
        What is acknowledged is not kept, and cannot be asked for.
        """
        self.journal.hear(5)
        self.assertEqual(5, self.journal.acknowledged)
        for total in (4, 10, -1):
            self.assertFalse(self.journal.can_resume(total))
        self.assertEqual(b"fghi", self.replayed(5))
        self.assertEqual(b"ghi", self.replayed(6))

    def test_acknowledged_meanwhile(self) -> None:
        """
        What is sent again can be acknowledged before all of it is.
        """
        self.journal.resume(0)
        self.assertEqual(b"abc", self.journal.replay(1))
        self.journal.hear(3)
        self.assertEqual(b"defghi", self.journal.replay(100))
        self.journal.hear(9)
        self.assertFalse(self.journal.replaying)

    def test_goes_on_after(self) -> None:
        self.replayed(9)
        self.journal.append(b"jk")
        self.assertFalse(self.journal.replaying)
        self.assertEqual(b"jk", self.replayed(9))

    def test_impossible(self) -> None:
        """
        Nobody has received more than was sent, or less than before.
        """
        error: RemoteProtocolError = self.assertRaises(
            RemoteProtocolError, self.journal.hear, 10
        )
        self.assertEqual("ACK: 10 bytes, of 9, after 0", error.reason)
        self.journal.hear(5)
        self.journal.hear(5)
        self.assertRaises(RemoteProtocolError, self.journal.hear, 4)

    def test_late(self) -> None:
        """
        An C{ACK} that was lost with a link comes again, and says nothing new.
        """
        self.journal.hear(2)
        self.journal.resume(8)
        self.journal.hear(5)
        self.assertEqual(8, self.journal.acknowledged)
        self.assertRaises(RemoteProtocolError, self.journal.hear, 4)

    def test_full(self) -> None:
        self.journal.append(b"x" * (LIMIT - 10))
        self.assertFalse(self.journal.full)
        self.journal.append(b"x")
        self.assertEqual((True, False), (self.journal.full, self.journal.choked))
        self.journal.append(b"x" * RESERVE)
        self.assertEqual((True, True), (self.journal.full, self.journal.choked))
        self.journal.hear(self.journal.sent - LIMIT + 1)
        self.assertEqual((False, False), (self.journal.full, self.journal.choked))

    def test_cleared(self) -> None:
        self.journal.resume(0)
        self.journal.clear()
        self.assertFalse(self.journal.replaying)

    @examples(300)
    @given(
        st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=12),
        st.lists(st.integers(0, 100), max_size=12),
        st.integers(0, 100),
    )
    def test_any(self, pieces: list[bytes], acks: list[int], total: int) -> None:
        """
        Whatever was sent and acknowledged, the rest is what is sent again.
        """
        journal, told = Journal(LIMIT), 0
        for number, piece in enumerate(pieces):
            journal.append(piece)
            if number < len(acks):
                told = max(told, acks[number] % (journal.sent + 1))
                journal.hear(told)
        total = max(told, total % (journal.sent + 1))
        journal.resume(total)
        again = b""
        while journal.replaying:
            again += journal.replay(5)
        self.assertEqual(b"".join(pieces)[total:], again)


class AcknowledgingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.journal = Journal(LIMIT)

    def check_ack(self, total: int) -> None:
        (frame,) = FrameReader().feed(self.journal.acknowledgement())
        self.assertEqual(Frame(FrameKind.ACK, 0, frame.payload), frame)
        self.assertEqual(total, decode_total(frame.payload))

    def test_nothing_came(self) -> None:
        self.journal.due = True
        self.assertEqual(b"", self.journal.acknowledgement())

    def test_much(self) -> None:
        self.journal.received = ACK_EVERY - 1
        self.assertEqual(b"", self.journal.acknowledgement())
        self.journal.received = ACK_EVERY
        self.check_ack(ACK_EVERY)
        self.assertEqual(b"", self.journal.acknowledgement())

    def test_due(self) -> None:
        self.journal.received = 1
        self.assertEqual(b"", self.journal.acknowledgement())
        self.journal.due = True
        self.check_ack(1)
        self.assertFalse(self.journal.due)
        self.journal.received = 2
        self.assertEqual(b"", self.journal.acknowledgement())

    def test_told_otherwise(self) -> None:
        """
        What is told when the session goes on is not told again.
        """
        self.journal.received = 7
        self.journal.resume(0)
        self.journal.due = True
        self.assertEqual(b"", self.journal.acknowledgement())
