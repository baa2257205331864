"""
Waiting for streams to end, before a server or a client stops.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger


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
