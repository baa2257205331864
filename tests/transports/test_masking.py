"""
Tests of L{reitunnel.transports.masking}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.transports.masking import new_masker


def by_the_rfc(data: bytes, mask: bytes) -> bytes:
    """
    RFC 6455, section 5.3, to the letter.
    """
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


class MaskTests(SynchronousTestCase):
    def test_example_of_the_rfc(self) -> None:
        masker = new_masker(b"\x37\xfa\x21\x3d", 5)
        self.assertEqual(b"\x7f\x9f\x4d\x51\x58", masker.process(b"Hello"))

    @given(
        st.lists(st.binary(max_size=20), max_size=5), st.binary(min_size=4, max_size=4)
    )
    def test_pieces(self, pieces: list[bytes], mask: bytes) -> None:
        # Of short frames and of long ones.
        for size in (1, 100_000):
            masker = new_masker(mask, size)
            masked = [masker.process(piece) for piece in pieces]
            self.assertEqual(by_the_rfc(b"".join(pieces), mask), b"".join(masked))
            self.assertEqual([len(p) for p in pieces], [len(m) for m in masked])

    def test_long(self) -> None:
        mask = b"\x01\x80\xff\x00"
        for size in (2047, 2048, 2049, 70001):
            data = (b"\x00\x01\x02\xfd\xfe\xff\x7f" * size)[:size]
            masked = new_masker(mask, size).process(memoryview(data))
            self.assertEqual(by_the_rfc(data, mask), masked)
            self.assertEqual(data, new_masker(mask, size).process(masked))
