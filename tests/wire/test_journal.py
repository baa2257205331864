"""
What a session keeps to send it again.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import RemoteProtocolError
from reitunnel.wire.frames import Frame, FrameKind, FrameReader
from reitunnel.wire.journal import ACK_EVERY, RESERVE, Journal
from reitunnel.wire.messages import decode_total
from tests.wire.search import examples

LIMIT = 64 << 10
KIB = 1 << 10


def letters(text: str) -> bytes:
    """
    Give each letter 1 KiB, so that what is written together is kept by itself.
    """
    return b"".join(letter.encode() * KIB for letter in text)


class KeepingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.journal = Journal(LIMIT)
        for piece in ("abc", "defg", "hi"):
            self.journal.append(letters(piece))

    def replayed(self, total: int, budget: int = 1) -> bytes:
        self.assertTrue(self.journal.can_resume(total))
        self.journal.resume(total)
        data = b""
        while self.journal.replaying:
            data += self.journal.replay(budget)
        return data

    def test_all(self) -> None:
        self.assertEqual(9 * KIB, self.journal.sent)
        self.assertEqual(letters("abcdefghi"), self.replayed(0))

    def test_from_anywhere(self) -> None:
        """
        Wherever the other side has come to, within a piece too.
        """
        everything = letters("abcdefghi")
        for total in (*range(0, 9 * KIB, 500), 3 * KIB, 9 * KIB - 1, 9 * KIB):
            self.setUp()
            self.assertEqual(everything[total:], self.replayed(total))

    def test_again(self) -> None:
        """
        A link that is lost during that makes it begin again.
        """
        self.journal.resume(2 * KIB)
        self.assertEqual(letters("c"), self.journal.replay(1))
        self.assertEqual(letters("cdefghi"), self.replayed(2 * KIB, 100 * KIB))

    def test_acknowledged(self) -> None:
        """
        What is acknowledged is not kept, and cannot be asked for.
        """
        self.journal.hear(5 * KIB)
        self.assertEqual(5 * KIB, self.journal.acknowledged)
        for total in (5 * KIB - 1, 9 * KIB + 1, -1):
            self.assertFalse(self.journal.can_resume(total))
        self.assertEqual(letters("fghi"), self.replayed(5 * KIB))
        self.assertEqual(letters("ghi"), self.replayed(6 * KIB))

    def test_acknowledged_meanwhile(self) -> None:
        """
        What is sent again can be acknowledged before all of it is.
        """
        self.journal.resume(0)
        self.assertEqual(letters("abc"), self.journal.replay(1))
        self.journal.hear(3 * KIB)
        self.assertEqual(letters("defghi"), self.journal.replay(100 * KIB))
        self.journal.hear(9 * KIB)
        self.assertFalse(self.journal.replaying)

    def test_goes_on_after(self) -> None:
        self.replayed(9 * KIB)
        self.journal.append(b"jk")
        self.assertFalse(self.journal.replaying)
        self.assertEqual(b"jk", self.replayed(9 * KIB))

    def test_impossible(self) -> None:
        """
        Nobody has received more than was sent, or less than before.
        """
        error: RemoteProtocolError = self.assertRaises(
            RemoteProtocolError, self.journal.hear, 9 * KIB + 1
        )
        self.assertEqual("ACK: 9217 bytes, of 9216, after 0", error.reason)
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

    def test_room(self) -> None:
        self.journal.append(bytes(LIMIT - 9 * KIB - 1))
        self.assertEqual(1, self.journal.room)
        self.journal.append(bytes(RESERVE))
        self.assertEqual(1 - RESERVE, self.journal.room)
        self.journal.hear(self.journal.sent - LIMIT + 1)
        self.assertEqual(1, self.journal.room)
        self.journal.resume(self.journal.sent)
        self.assertEqual(LIMIT, self.journal.room)

    def test_small(self) -> None:
        """
        Many small writes are kept as few objects, and large ones as they are.
        """
        large = bytes(5000)
        for _ in range(1000):
            self.journal.append(b"0123456789")
        self.journal.append(large)
        self.journal.append(b"end")
        self.journal.resume(0)
        kept = self.journal.replaying
        self.assertLess(len(kept), 20)
        self.assertIs(large, kept[-2])
        wanted = letters("abcdefghi") + b"0123456789" * 1000 + large + b"end"
        self.assertEqual(wanted, b"".join(kept))

    def test_small_meanwhile(self) -> None:
        """
        What is sent while something is sent again is sent once.
        """
        self.journal.append(b"j")
        self.journal.resume(0)
        self.journal.append(b"k")
        self.assertEqual(letters("abcdefghi") + b"j", self.journal.replay(100 * KIB))
        self.assertFalse(self.journal.replaying)
        self.assertEqual(letters("abcdefghi") + b"jk", self.replayed(0))

    def test_cleared(self) -> None:
        self.journal.resume(0)
        self.journal.clear()
        self.assertFalse(self.journal.replaying)

    @examples(300)
    @given(
        st.lists(st.integers(1, 3000), min_size=1, max_size=12),
        st.lists(st.integers(0, 40000), max_size=12),
        st.integers(0, 40000),
    )
    def test_any(self, sizes: list[int], acks: list[int], total: int) -> None:
        """
        Whatever was sent and acknowledged, the rest is what is sent again.
        """
        pieces = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
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
            again += journal.replay(1000)
        self.assertEqual(b"".join(pieces)[total:], again)


class AcknowledgingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.journal = Journal(LIMIT)

    def check_ack(self, total: int) -> None:
        (frame,) = FrameReader().feed(self.journal.acknowledgement())
        self.assertEqual(Frame(FrameKind.ACK, 0, frame.payload), frame)
        self.assertEqual(total, decode_total(frame.payload))

    def due(self) -> bool:
        return self.journal.received >= self.journal.acknowledge_at

    def test_nothing_came(self) -> None:
        self.journal.acknowledge_soon()
        self.assertFalse(self.due())

    def test_much(self) -> None:
        self.journal.received = ACK_EVERY - 1
        self.assertFalse(self.due())
        self.journal.received = ACK_EVERY
        self.assertTrue(self.due())
        self.check_ack(ACK_EVERY)
        self.assertFalse(self.due())

    def test_soon(self) -> None:
        self.journal.received = 1
        self.assertFalse(self.due())
        self.journal.acknowledge_soon()
        self.assertTrue(self.due())
        self.check_ack(1)
        self.journal.received = 2
        self.assertFalse(self.due())

    def test_told_otherwise(self) -> None:
        """
        What is told when the session goes on is not told again.
        """
        self.journal.received = 7
        self.journal.resume(0)
        self.journal.acknowledge_soon()
        self.assertFalse(self.due())
