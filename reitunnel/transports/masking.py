"""
The masks of WebSocket frames (RFC 6455, section 5.3).
"""

from __future__ import annotations

import sys
from typing import Any, Final, Protocol

from autobahn.websocket import xormasker

Buffer = bytes | memoryview

_new_native: Final[Any] = xormasker.create_xor_masker  # type: ignore[attr-defined]  # autobahn passes it on
_IS_NATIVE: Final = _new_native.__module__.startswith("autobahn.nvx")
"""Whether autobahn's masker is its compiled one. The other works byte by byte."""

_SHORT: Final = 2048
"""Below this many bytes Python's own arithmetic is quicker than the compiled
masker, which costs about 2.5 microseconds to make."""


class Masker(Protocol):
    """
    Masks the bytes of one frame, or takes the mask off again.
    """

    def process(self, data: Buffer) -> bytes:
        """
        Mask the next bytes.
        """


class _ArithmeticMasker:
    """
    Masks with Python's own arithmetic.
    """

    __slots__ = ("_mask",)

    def __init__(self, mask: bytes) -> None:
        self._mask = mask

    def process(self, data: Buffer) -> bytes:
        """
        Mask the next bytes.
        """
        size, order = len(data), sys.byteorder
        key = (self._mask * (size // 4 + 1))[:size]
        masked = int.from_bytes(data, order) ^ int.from_bytes(key, order)
        shift = size & 3
        self._mask = self._mask[shift:] + self._mask[:shift]
        return masked.to_bytes(size, order)


def new_masker(mask: bytes, size: int) -> Masker:
    """
    Make what masks one frame.

    @param mask: four bytes.
    @param size: how many bytes the frame has.
    """
    if _IS_NATIVE and size >= _SHORT:
        native: Masker = _new_native(mask, size)
        return native
    return _ArithmeticMasker(mask)
