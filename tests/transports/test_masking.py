"""
Tests of L{reitunnel.transports.masking}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.transports.masking import apply_mask, mask_after


def by_the_rfc(data: bytes, mask: bytes) -> bytes:
    """
    RFC 6455, section 5.3, to the letter.
    """
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


class MaskTests(SynchronousTestCase):
    def masked(self, data: bytes, mask: bytes, start: int = 0) -> bytes:
        """
        Mask bytes that stand at C{start} among others, which stay as they are.
        """
        buffer = bytearray(b"<" * start + data + b">")
        apply_mask(mask, memoryview(buffer)[start:-1])
        self.assertEqual(b"<" * start, buffer[:start])
        self.assertEqual(b">", buffer[-1:])
        return bytes(buffer[start:-1])

    def test_example_of_the_rfc(self) -> None:
        masked = self.masked(b"Hello", b"\x37\xfa\x21\x3d")
        self.assertEqual(b"\x7f\x9f\x4d\x51\x58", masked)

    @given(
        st.lists(st.binary(max_size=300), max_size=5),
        st.binary(min_size=4, max_size=4),
    )
    def test_pieces(self, pieces: list[bytes], mask: bytes) -> None:
        wanted = by_the_rfc(b"".join(pieces), mask)
        masked = []
        for piece in pieces:
            masked.append(self.masked(piece, mask))
            mask = mask_after(mask, len(piece))
        self.assertEqual(wanted, b"".join(masked))

    def test_sizes_and_places(self) -> None:
        mask = b"\x01\x80\xff\x00"
        for size in (0, 1, 127, 128, 129, 2047, 70001):
            data = (b"\x00\x01\x02\xfd\xfe\xff\x7f" * size)[:size]
            for start in (0, 1, 6, 14):
                masked = self.masked(data, mask, start)
                self.assertEqual(by_the_rfc(data, mask), masked)
                self.assertEqual(data, self.masked(masked, mask, start))
