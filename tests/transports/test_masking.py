"""
Tests of L{reitunnel.transports.masking}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.transports.masking import apply_mask


def by_the_rfc(data: bytes, mask: bytes, offset: int) -> bytes:
    """
    RFC 6455, section 5.3, to the letter.
    """
    return bytes(byte ^ mask[(i + offset) % 4] for i, byte in enumerate(data))


class MaskTests(SynchronousTestCase):
    def test_example_of_the_rfc(self) -> None:
        masked = apply_mask(b"Hello", b"\x37\xfa\x21\x3d")
        self.assertEqual(b"\x7f\x9f\x4d\x51\x58", masked)

    @given(
        st.binary(max_size=40), st.binary(min_size=4, max_size=4), st.integers(0, 2**40)
    )
    def test_short(self, data: bytes, mask: bytes, offset: int) -> None:
        self.assertEqual(by_the_rfc(data, mask, offset), apply_mask(data, mask, offset))

    def test_long(self) -> None:
        mask = b"\x01\x80\xff\x00"
        for size in (2047, 2048, 2049, 70001):
            data = (b"\x00\x01\x02\xfd\xfe\xff\x7f" * size)[:size]
            for offset in range(5):
                masked = apply_mask(memoryview(data), mask, offset)
                self.assertEqual(by_the_rfc(data, mask, offset), masked)
                self.assertEqual(data, apply_mask(masked, mask, offset))
