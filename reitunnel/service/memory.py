"""
What the process does with memory that it has freed.
"""

from __future__ import annotations

from typing import Final

_BLOCK: Final = 16 << 20


def keep_freed_memory() -> None:
    """
    Have the C library keep freed memory, up to about 32 MiB, for what is allocated
    next. Otherwise buffers of a bulk transfer that are freed together are given back to
    the kernel, which hands them out again page by page.

    It is what glibc does by itself once a big block was freed (mallopt(3),
    C{M_MMAP_THRESHOLD} and C{M_TRIM_THRESHOLD}). With other C libraries nothing
    happens.
    """
    # It is mapped, never touched, and freed at once.
    bytearray(_BLOCK)
