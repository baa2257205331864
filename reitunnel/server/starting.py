"""
A server's start: it takes its time, and may fail.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from reitunnel.errors import ReitunnelError, TransportError
from reitunnel.hooks import NOTHING_OPENED, Opened
from reitunnel.waiters import Waiters


class Start:
    """
    Starts a server once, and tells all who ask how that went, also later.

    @ivar owed: the hooks that have allowed it, and are to be told of the stop.
    """

    def __init__(self, clock: IReactorTime, log: Logger) -> None:
        """
        @param log: the server's.
        """
        self.owed: Opened = NOTHING_OPENED
        self._clock = clock
        self._log = log
        self._waiting: Waiters[tuple[IAddress, ...]] = Waiters()
        self._starting: Deferred[Any] | None = None
        self._result: Failure | tuple[IAddress, ...] | None = None
        self._watched = False

    @property
    def begun(self) -> bool:
        """
        Whether the server has begun to start.
        """
        return self._starting is not None

    @property
    def succeeded(self) -> bool:
        """
        Whether the server has started.
        """
        return isinstance(self._result, tuple)

    def begin(
        self, start: Callable[[], Coroutine[Deferred[Any], Any, tuple[IAddress, ...]]]
    ) -> None:
        """
        Start, unless that was done.

        @param start: starts the server, and gives where it listens.
        """
        if self._starting is None:
            self._starting = Deferred.fromCoroutine(start())
            self._starting.addCallbacks(self._succeeded, self._failed)

    def when_over(self) -> Deferred[tuple[IAddress, ...]]:
        """
        Wait for the start. See L{reitunnel.server.Server.when_listening}.
        """
        self._watched = True
        match self._result:
            case None:
                return self._waiting.wait()
            case Failure():
                return fail(self._result)
            case _:
                return succeed(self._result)

    async def cancel(self) -> None:
        """
        Give up a start that is not over yet.
        """
        if self._starting is not None:
            self._starting.cancel()
            await self._starting

    def forget(self) -> None:
        """
        The server has stopped: it can be started again.
        """
        self.owed = NOTHING_OPENED
        self._starting = None
        self._result = None
        self._watched = False

    def _succeeded(self, addresses: tuple[IAddress, ...]) -> None:
        self._result = addresses
        self._waiting.tell(addresses)

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) is not None:
            error = TransportError("the server was stopped before it listened")
            self._result = Failure(error)
            self._waiting.fail(self._result)
            return
        self._result = failure
        self._waiting.fail(failure)
        if not self._watched:
            # Whoever has started it may still ask how that went.
            self._clock.callLater(0, self._say_unwatched, failure)

    def _say_unwatched(self, failure: Failure) -> None:
        if self._watched:
            return
        if failure.check(ReitunnelError) is None:
            self._log.failure("cannot start", failure=failure)
        else:
            self._log.error("cannot start: {reason}", reason=str(failure.value))
