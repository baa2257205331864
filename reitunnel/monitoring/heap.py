"""
Who has allocated the memory that is in use, as C{tracemalloc} knows it.

Every allocation costs time and memory while it is traced, so that ends by itself.
"""

from __future__ import annotations

import tracemalloc
from typing import Any, ClassVar, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from reitunnel.monitoring.pages import Answer, Arguments, PageError, as_json

MOST_FRAMES: Final = 25
LONGEST: Final = 3600.0
MOST_SHOWN: Final = 500
_FILTERS: Final = (
    tracemalloc.Filter(False, tracemalloc.__file__),
    tracemalloc.Filter(False, "<frozen importlib._bootstrap>"),
)


class Heap:
    """
    The pages of the heap.

    @cvar tracing: who has begun to trace what is traced now: there is one trace in a
        process, which may have several monitors.
    """

    tracing: ClassVar[Heap | None] = None

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._mark: tracemalloc.Snapshot | None = None
        self._end: IDelayedCall | None = None

    async def start(self, arguments: Arguments) -> Answer:
        """
        Trace allocations from now on, for C{seconds}, with C{frames} of the stack.
        """
        seconds = arguments.number("seconds", 600, 1, LONGEST)
        frames = int(arguments.number("frames", 1, 1, MOST_FRAMES))
        if tracemalloc.is_tracing():
            raise PageError(409, "allocations are traced already")
        tracemalloc.start(frames)
        Heap.tracing = self
        self._end = self._clock.callLater(seconds, self._ended)
        return as_json({"traced": True, "seconds": seconds})

    async def mark(self, arguments: Arguments) -> Answer:
        """
        Remember what there is now.
        """
        self._mark = self._snapshot()
        return as_json({"marked": True})

    async def stop(self, arguments: Arguments) -> Answer:
        """
        Trace no more, and forget what was traced.
        """
        if not tracemalloc.is_tracing():
            raise PageError(409, "allocations are not traced")
        self.close()
        if Heap.tracing is not None:
            Heap.tracing.close()
        tracemalloc.stop()
        return as_json({"traced": False})

    async def top(self, arguments: Arguments) -> Answer:
        """
        Show the places that hold the most memory.
        """
        most = int(arguments.number("top", 25, 1, MOST_SHOWN))
        statistics = self._snapshot().statistics(_grouping())
        return as_json(
            {
                **_traced(),
                "top": [
                    {"bytes": each.size, "count": each.count, **_place(each)}
                    for each in statistics[:most]
                ],
            }
        )

    async def difference(self, arguments: Arguments) -> Answer:
        """
        Show what has changed most since the mark.
        """
        most = int(arguments.number("top", 25, 1, MOST_SHOWN))
        if self._mark is None:
            raise PageError(409, "nothing to compare with: POST /debug/heap/mark first")
        now = self._snapshot()
        return as_json(
            {
                **_traced(),
                "difference": [
                    {
                        "more_bytes": each.size_diff,
                        "bytes": each.size,
                        "more_count": each.count_diff,
                        "count": each.count,
                        **_place(each),
                    }
                    for each in now.compare_to(self._mark, _grouping())[:most]
                ],
            }
        )

    def close(self) -> None:
        """
        End what goes on. What was traced is forgotten.
        """
        self._mark = None
        if self._end is not None:
            if self._end.active():
                self._end.cancel()
            self._end = None
        if Heap.tracing is self:
            Heap.tracing = None
            tracemalloc.stop()

    def _ended(self) -> None:
        self.close()

    def _snapshot(self) -> tracemalloc.Snapshot:
        if not tracemalloc.is_tracing():
            raise PageError(409, "allocations are not traced: POST /debug/heap/start")
        return tracemalloc.take_snapshot().filter_traces(_FILTERS)


def _grouping() -> str:
    return "traceback" if tracemalloc.get_traceback_limit() > 1 else "lineno"


def _traced() -> dict[str, Any]:
    size, peak = tracemalloc.get_traced_memory()
    return {
        "traced_bytes": size,
        "peak_bytes": peak,
        "own_bytes": tracemalloc.get_tracemalloc_memory(),
    }


def _place(each: tracemalloc.Statistic | tracemalloc.StatisticDiff) -> dict[str, Any]:
    # The innermost frame first.
    frames = [f"{frame.filename}:{frame.lineno}" for frame in reversed(each.traceback)]
    place: dict[str, Any] = {"place": frames[0]}
    if len(frames) > 1:
        place["called_from"] = frames[1:]
    return place
