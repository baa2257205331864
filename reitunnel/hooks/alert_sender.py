"""
Alerts on their way to a webhook: one at a time, tried again with growing pauses.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from reitunnel.hooks.posting import Poster

FIRST_PAUSE: Final = 1.0
"""Seconds between the first two attempts; twice as many each time after that."""
LONGEST_PAUSE: Final = 300.0
WAITING: Final = 20
"""How many alerts may wait."""


class AlertSender:
    """
    Sends alerts in their order. What cannot be sent is logged in one line and given up.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, poster: Poster, attempts: int) -> None:
        """
        @param attempts: how often an alert is tried.
        """
        self._clock = clock
        self._poster = poster
        self._attempts = attempts
        self._waiting: deque[bytes] = deque()
        self._tried = 0
        self._posting: Deferred[bytes] | None = None
        self._pause: IDelayedCall | None = None
        self._finishing: Deferred[None] | None = None

    def send(self, body: bytes) -> None:
        """
        Send an alert. If too many wait already, it is given up.
        """
        if len(self._waiting) >= WAITING:
            self._log_lost("too many alerts wait")
            return
        self._waiting.append(body)
        if self._posting is None and self._pause is None:
            self._try()

    def finish(self) -> Deferred[None]:
        """
        Try what waits once more, and close the connections.

        @return: fires when that is done. Cancelled, it is done at once.
        """
        finishing: Deferred[None] = Deferred(self._cancel)
        self._finishing = finishing
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._posting is None:
            self._next()
        return finishing

    # The parts.

    def _try(self) -> None:
        self._tried += 1
        self._posting = posting = self._poster.post(self._waiting[0])
        posting.addCallbacks(self._sent, self._failed)

    def _sent(self, answer: bytes) -> None:
        self._posting = None
        self._drop()

    def _failed(self, failure: Failure) -> None:
        self._posting = None
        if failure.check(CancelledError):
            self._log_lost("there is no time left")
            self._waiting.clear()
            self._end()
            return
        if self._finishing is None and self._tried < self._attempts:
            pause = min(FIRST_PAUSE * 2 ** (self._tried - 1), LONGEST_PAUSE)
            self._pause = self._clock.callLater(pause, self._again)
            return
        self._log_lost(failure.getErrorMessage())
        self._drop()

    def _again(self) -> None:
        self._pause = None
        self._try()

    def _drop(self) -> None:
        self._waiting.popleft()
        self._tried = 0
        self._next()

    def _next(self) -> None:
        if self._waiting:
            self._try()
        elif self._finishing is not None:
            closing = Deferred.fromCoroutine(self._poster.close())
            closing.addBoth(lambda _: self._end())

    def _end(self) -> None:
        finishing, self._finishing = self._finishing, None
        if finishing is not None and not finishing.called:
            finishing.callback(None)

    def _cancel(self, finishing: Deferred[None]) -> None:
        if self._posting is not None:
            self._posting.cancel()

    def _log_lost(self, reason: str) -> None:
        self._log.error(
            "cannot send an alert to {where}: {reason}",
            where=self._poster.where,
            reason=reason,
        )
