"""
Tests of L{reitunnel.transports.websocket_frames}.
"""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.transports.websocket_frames import (
    MAX_MESSAGE,
    Head,
    NoHead,
    make_head,
    read_head,
)

MASK = b"mask"


class MakeTests(SynchronousTestCase):
    def test_sizes(self) -> None:
        for size, head in (
            (0, b"\x82\x00"),
            (125, b"\x82\x7d"),
            (126, b"\x82\x7e\x00\x7e"),
            (65535, b"\x82\x7e\xff\xff"),
            (65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        ):
            self.assertEqual(head, make_head(size))
            masked = bytes([head[0], head[1] | 0x80]) + head[2:] + MASK
            self.assertEqual(masked, make_head(size, MASK))


class ReadTests(SynchronousTestCase):
    @given(st.integers(0, MAX_MESSAGE), st.booleans(), st.binary(max_size=5))
    def test_what_was_made(self, size: int, masked: bool, before: bytes) -> None:
        mask = MASK if masked else b""
        head = make_head(size, mask)
        data = before + head
        self.assertEqual(
            Head(len(data), size, mask), read_head(data, len(before), masked=masked)
        )
        for length in range(1, len(head)):
            self.assertIs(
                NoHead.INCOMPLETE,
                read_head(data[: len(before) + length], len(before), masked=masked),
            )
        if len(head) > 1:
            self.assertIs(NoHead.OTHER, read_head(data, len(before), masked=not masked))

    def test_other_kinds(self) -> None:
        for first in range(256):
            if first != 0x82:
                found = read_head(bytes([first, 0]), 0, masked=False)
                self.assertIs(NoHead.OTHER, found)

    def test_size_in_too_many_bytes(self) -> None:
        for data in (
            struct.pack("!BBH", 0x82, 126, 125),
            struct.pack("!BBQ", 0x82, 127, 65535),
        ):
            self.assertIs(NoHead.OTHER, read_head(data, 0, masked=False))

    def test_too_large(self) -> None:
        for size in (MAX_MESSAGE + 1, 2**63, 2**64 - 1):
            data = struct.pack("!BBQ", 0x82, 127, size)
            self.assertIs(NoHead.OTHER, read_head(data, 0, masked=False))
