"""
How long a session waits for another link.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Patience:
    """
    Waits so long altogether, from when a link was lost that had worked. Links that come
    meanwhile and bring nothing do not make it longer: without that, two sides whose
    links always break off at the same byte would go on for ever.
    """

    def __init__(
        self, clock: IReactorTime, every: float, meanwhile: Callable[[], None]
    ) -> None:
        """
        @param every: after how many seconds of waiting C{meanwhile} is called, each
            time.
        """
        self._clock = clock
        self._every = every
        self._meanwhile = meanwhile
        self._left: float | None = None
        self._call: IDelayedCall | None = None
        self._next: IDelayedCall | None = None

    @property
    def left(self) -> float:
        """
        For how many seconds there will be waiting.
        """
        if self._call is not None and self._call.active():
            return self._call.getTime() - self._clock.seconds()
        return 0.0

    def begin(self, seconds: float, over: Callable[[], None]) -> None:
        """
        The link is lost.

        @param seconds: how long to wait, the first time.
        @param over: called when the time is over.
        """
        wait = seconds if self._left is None else self._left
        self._call = self._clock.callLater(wait, over)
        self._next = self._clock.callLater(self._every, self._waiting)

    def pause(self) -> None:
        """
        There is a link, or nobody waits any more.
        """
        self._left = self.left
        for call in (self._call, self._next):
            if call is not None and call.active():
                call.cancel()
        self._call = self._next = None

    def renew(self) -> None:
        """
        A link has worked: the next wait is as long as the first one.
        """
        self._left = None

    def _waiting(self) -> None:
        self._next = self._clock.callLater(self._every, self._waiting)
        self._meanwhile()
