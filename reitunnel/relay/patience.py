"""
How long a session waits for another link.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Patience:
    """
    Waits so long, counted from when a link was lost that had worked. Links that come
    meanwhile and bring nothing do not make it longer: without that, two sides whose
    links always break off at the same byte would go on for ever.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._until: float | None = None
        self._call: IDelayedCall | None = None

    @property
    def left(self) -> float:
        """
        For how many seconds there will be waiting.
        """
        return 0.0 if self._until is None else self._until - self._clock.seconds()

    def begin(self, seconds: float, over: Callable[[], None]) -> None:
        """
        The link is lost.

        @param seconds: how long to wait.
        @param over: called when the time is over.
        """
        now = self._clock.seconds()
        if self._until is None:
            self._until = now + seconds
        self._call = self._clock.callLater(max(0.0, self._until - now), over)

    def pause(self) -> None:
        """
        There is a link, or nobody waits any more.
        """
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def renew(self) -> None:
        """
        A link has worked: the next wait is as long as the first one.
        """
        self._until = None
