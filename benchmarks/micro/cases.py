"""
What a micro-benchmark is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple


class Case(NamedTuple):
    """
    Something that is timed.

    @ivar run: does it so many times.
    @ivar operations: how many operations once is.
    """

    run: Callable[[int], None]
    operations: int = 1


Cases = Mapping[str, Case]


def repeat(action: Callable[[], object], operations: int = 1) -> Case:
    """
    Time a function, and the call of it.
    """

    def run(times: int) -> None:
        for _ in range(times):
            action()

    return Case(run, operations)
