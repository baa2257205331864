"""
Tests of L{reitunnel.transports.websocket_messages}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.transports.websocket_frames import make_head
from reitunnel.transports.websocket_messages import MessageReader
from tests.transports.websocket_support import frame

TEXT = b"\x81\x02hi"
"""What a reader leaves to others."""


class MessageTests(SynchronousTestCase):
    def test_several(self) -> None:
        """
        All that is there is taken at once.
        """
        reader = MessageReader(masked=False)
        data = make_head(5) + b"hello" + make_head(0) + make_head(6) + b" world"
        self.assertEqual((b"hello world", b"", False), reader.take(data))
        self.assertEqual(0, reader.missing)

    def test_begun(self) -> None:
        """
        The rest of a message is known by its size, whatever it looks like.
        """
        reader = MessageReader(masked=False)
        self.assertEqual((b"he", b"", False), reader.take(make_head(6) + b"he"))
        self.assertEqual(4, reader.missing)
        self.assertEqual((TEXT, b"", False), reader.take(TEXT))

    def test_half_a_head(self) -> None:
        reader = MessageReader(masked=False)
        head = make_head(300)
        self.assertEqual((b"x", head[:3], False), reader.take(b"\x82\x01x" + head[:3]))
        self.assertEqual((b"y", b"", False), reader.take(head + b"y"))

    def test_something_else(self) -> None:
        """
        It stays where it is, and is not looked at.
        """
        reader = MessageReader(masked=False)
        self.assertEqual((b"x", TEXT, True), reader.take(b"\x82\x01x" + TEXT))
        self.assertEqual((b"", TEXT, True), reader.take(TEXT))

    def test_mask_of_the_wrong_side(self) -> None:
        bare = make_head(1) + b"x"
        masked = frame(b"x")
        for reader, wrong in (
            (MessageReader(masked=True), bare),
            (MessageReader(masked=False), masked),
        ):
            self.assertEqual((b"", wrong, True), reader.take(wrong))

    @given(
        st.lists(st.binary(max_size=300), max_size=5),
        st.lists(st.integers(1, 40), min_size=1),
        st.binary(min_size=4, max_size=4) | st.none(),
    )
    def test_in_pieces(
        self, messages: list[bytes], sizes: list[int], mask: bytes | None
    ) -> None:
        """
        However it is read, the same comes out.
        """
        sent = b"".join(frame(message, mask=mask) for message in messages)
        reader = MessageReader(masked=mask is not None)
        read, left = b"", b""
        for size in sizes * (len(sent) // sum(sizes) + 1):
            piece, sent = sent[:size], sent[size:]
            payload, left, foreign = reader.take(left + piece)
            self.assertFalse(foreign)
            read += payload
        self.assertEqual(b"".join(messages), read)
        self.assertEqual((b"", 0), (left, reader.missing))
