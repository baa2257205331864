"""
Watches the turns of the reactor, for as long as somebody traces.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

TurnSink = Callable[[str, float, float, float], object]
"""Told of a part of a turn: its name, when it began, its seconds, its CPU seconds."""

_PARTS: Final = {"runUntilCurrent": "timed calls", "doIteration": "wait and events"}
"""The two methods that the main loop of Twisted's reactors calls in each turn."""


class TurnWatcher:
    """
    Stands before the two methods that a reactor's main loop calls, and takes the
    time. A reactor whose loop is another one's, such as asyncio's, has no turns to
    watch.

    @ivar possible: whether the reactor has them.
    """

    def __init__(
        self, reactor: Any, sink: TurnSink, least: float, timer: Callable[[], float]
    ) -> None:
        """
        @param sink: told of the parts of turns that used C{least} seconds of CPU time.
        """
        self._reactor = reactor
        self._sink = sink
        self._least = least
        self._timer = timer
        self._going = False
        self._patches: dict[str, tuple[Any, Any]] = {}
        self.possible = hasattr(reactor, "mainLoop") and not hasattr(
            reactor, "_asyncioEventloop"
        )

    def start(self) -> None:
        """
        Begin.
        """
        if self.possible:
            self._going = True
            for method, name in _PARTS.items():
                former = vars(self._reactor).get(method)
                timed = self._timed(name, getattr(self._reactor, method))
                setattr(self._reactor, method, timed)
                self._patches[method] = (timed, former)

    def stop(self) -> None:
        """
        End: the reactor is as it was. Where somebody else has come to stand before
        it meanwhile, nothing is taken away, and nothing is told.
        """
        self._going = False
        patches, self._patches = self._patches, {}
        for method, (timed, former) in patches.items():
            if vars(self._reactor).get(method) is not timed:
                continue
            if former is None:
                delattr(self._reactor, method)
            else:
                setattr(self._reactor, method, former)

    def _timed(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        timer, sink, least = self._timer, self._sink, self._least

        def timed(*arguments: Any) -> Any:
            begun, cpu = timer(), time.thread_time()
            try:
                return method(*arguments)
            finally:
                used = time.thread_time() - cpu
                if used >= least and self._going:
                    sink(name, begun, timer() - begun, used)

        return timed
