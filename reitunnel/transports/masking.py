"""
The masks of WebSocket frames (RFC 6455, section 5.3).
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Final

try:
    # Autobahn's own masker copies what it masks three times, and takes longer to make
    # than a read to mask. What it is made of does it in place.
    _compiled: Any = import_module("_nvx_xormasker")
except ImportError:  # Autobahn has it compiled where it can.
    _compiled = None

_SHORT: Final = 128
"""Below this many bytes Python's own arithmetic is quicker."""


def apply_mask(mask: bytes, data: memoryview) -> None:
    """
    Mask bytes where they are, or take the mask off again.

    @param mask: four bytes, of which the first is for the first byte.
    """
    size = len(data)
    if _compiled is None or size < _SHORT:
        order = sys.byteorder
        key = (mask * (size // 4 + 1))[:size]
        masked = int.from_bytes(data, order) ^ int.from_bytes(key, order)
        data[:] = masked.to_bytes(size, order)
        return
    native = _compiled.lib
    masker = native.nvx_xormask_new(mask)
    native.nvx_xormask_process(masker, _compiled.ffi.from_buffer(data), size)
    native.nvx_xormask_free(masker)


def mask_after(mask: bytes, size: int) -> bytes:
    """
    Give the mask of what follows C{size} bytes.
    """
    shift = size & 3
    return mask[shift:] + mask[:shift]
