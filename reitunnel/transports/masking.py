"""
The masks of WebSocket frames (RFC 6455, section 5.3).
"""

from __future__ import annotations

import sys
from typing import Any, Final

from autobahn.websocket import xormasker

Buffer = bytes | memoryview

_new_masker: Final[Any] = xormasker.create_xor_masker  # type: ignore[attr-defined]  # autobahn passes it on
_IS_NATIVE: Final = _new_masker.__module__.startswith("autobahn.nvx")
"""Whether autobahn's masker is its compiled one. The other works byte by byte."""

_SHORT: Final = 2048
"""Below this many bytes Python's own arithmetic is quicker than the compiled
masker, which costs about 2.5 microseconds a call."""


def apply_mask(data: Buffer, mask: bytes, offset: int = 0) -> bytes:
    """
    Mask bytes, or take the mask off again.

    @param mask: four bytes.
    @param offset: how many bytes of the same frame came before.
    """
    size = len(data)
    shift = offset & 3
    if shift:
        mask = mask[shift:] + mask[:shift]
    if _IS_NATIVE and size >= _SHORT:
        masked: bytes = _new_masker(mask, size).process(data)
        return masked
    key = (mask * (size // 4 + 1))[:size]
    number = int.from_bytes(data, sys.byteorder) ^ int.from_bytes(key, sys.byteorder)
    return number.to_bytes(size, sys.byteorder)
