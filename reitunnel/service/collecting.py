"""
How often Python looks for garbage while a program runs.
"""

from __future__ import annotations

import gc
from typing import Final

from twisted.application.service import Service

SELDOM: Final = 10_000
"""
New objects after which the youngest are looked through. Python's own 700 is reached
with every second or third visitor, of whom next to nothing is left in cycles.
"""


class SeldomCollections(Service):
    """
    Has the process look for garbage less often while it runs: that is worth a twentieth
    of the processor for each visitor. What somebody has set to be less often still, or
    never, stays.
    """

    def __init__(self) -> None:
        self._before: tuple[int, int, int] | None = None

    def startService(self) -> None:
        """
        Begin.
        """
        super().startService()  # type: ignore[no-untyped-call]
        youngest, middle, oldest = gc.get_threshold()
        if 0 < youngest < SELDOM:
            self._before = (youngest, middle, oldest)
            gc.set_threshold(SELDOM, middle, oldest)

    def stopService(self) -> None:
        """
        Have it as it was.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        before, self._before = self._before, None
        if before is not None:
            gc.set_threshold(*before)
