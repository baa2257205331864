"""
Waiting for streams to end, before a server or a client stops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

FAREWELL: Final = 1.0
"""
How long, in seconds, who stops in a hurry waits for the other side to hear of it. One
that only saw its link break off would wait for another one.
"""


class Draining:
    """
    Waits for the last stream, for so long and no longer.
    """

    def __init__(self, clock: IReactorTime, log: Logger) -> None:
        """
        @param log: the log of whoever stops.
        """
        self._clock = clock
        self._log = log
        self._over: Deferred[None] | None = None
        self._cutting: tuple[IDelayedCall, Callable[[], None]] | None = None

    async def wait(self, count: int, seconds: float) -> None:
        """
        Wait until L{end} is called.

        @param count: how many streams there are.
        @param seconds: for how long.
        """
        if not (count and seconds):
            return
        self._log.info(
            "waiting up to {seconds:g} s for {count} {streams}",
            seconds=seconds,
            count=count,
            streams="stream" if count == 1 else "streams",
        )
        over: Deferred[None] = Deferred()
        self._over = over
        patience = self._clock.callLater(seconds, self.end)
        await over
        if patience.active():
            patience.cancel()

    def end(self) -> None:
        """
        Wait no longer: the last stream is over, or somebody is in a hurry.
        """
        over, self._over = self._over, None
        if over is not None:
            over.callback(None)

    def hurry(self, cut: Callable[[], None]) -> None:
        """
        Wait no longer for streams, and L{FAREWELL} seconds for the other sides to hear
        that it is over. Called again, wait for nothing.

        @param cut: cuts off those who have not heard it by then. L{stop} spares them.
        """
        if self._cutting is None:
            self._cutting = self._clock.callLater(FAREWELL, self._cut), cut
            self.end()
        else:
            self._cut()

    def stop(self) -> None:
        """
        Everyone has heard it.
        """
        cutting, self._cutting = self._cutting, None
        if cutting is not None and cutting[0].active():
            cutting[0].cancel()

    def _cut(self) -> None:
        assert self._cutting is not None
        call, cut = self._cutting
        if call.active():
            call.cancel()
        cut()
