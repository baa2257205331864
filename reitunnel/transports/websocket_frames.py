"""
The heads of WebSocket frames (RFC 6455, section 5.2), of the one kind that links
send: a whole message of bytes in one frame.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import Final, NamedTuple

MAX_MESSAGE: Final = 1024 * 1024
"""The size, in bytes, of the largest message that is sent or taken."""

_WHOLE_BINARY: Final = 0x82
_MASKED: Final = 0x80
_SHORT: Final = struct.Struct("!BB")
_MEDIUM: Final = struct.Struct("!BBH")
_LONG: Final = struct.Struct("!BBQ")


class Head(NamedTuple):
    """
    The head of a frame.

    @ivar end: where the head ends and the payload begins.
    @ivar size: how many bytes of payload there are.
    @ivar mask: four bytes; empty if the payload is not masked.
    """

    end: int
    size: int
    mask: bytes


class NoHead(Enum):
    """
    Why there is no L{Head}.
    """

    INCOMPLETE = "there are not enough bytes yet"
    OTHER = "it is another kind of frame, or not allowed"


def make_head(size: int, mask: bytes = b"") -> bytes:
    """
    Make the head of a frame.

    @param size: how many bytes of payload follow.
    @param mask: four bytes; empty if the payload is not masked.
    """
    bit = _MASKED if mask else 0
    if size < 126:
        return _SHORT.pack(_WHOLE_BINARY, bit | size) + mask
    if size < 0x10000:
        return _MEDIUM.pack(_WHOLE_BINARY, bit | 126, size) + mask
    return _LONG.pack(_WHOLE_BINARY, bit | 127, size) + mask


def read_head(data: bytes, start: int, *, masked: bool) -> Head | NoHead:
    """
    Read the head of a frame.

    @param start: where it begins; there is at least one byte.
    @param masked: whether the payload must be masked; otherwise it must not be.
    """
    if data[start] != _WHOLE_BINARY:
        return NoHead.OTHER
    there = len(data) - start
    if there < 2:
        return NoHead.INCOMPLETE
    second = data[start + 1]
    if (second >= _MASKED) != masked:
        return NoHead.OTHER
    size = second & 0x7F
    length, least = 2, 0
    if size == 126:
        length, least = 4, 126
    elif size == 127:
        length, least = 10, 0x10000
    if there < length:
        return NoHead.INCOMPLETE
    if least:
        size = int.from_bytes(data[start + 2 : start + length], "big")
        if not least <= size <= MAX_MESSAGE:
            return NoHead.OTHER
    end = start + length
    if not masked:
        return Head(end, size, b"")
    if there < length + 4:
        return NoHead.INCOMPLETE
    return Head(end + 4, size, data[end : end + 4])
