"""
What servers and clients need around a decision: to give it up, and to tell the close
that answers it once, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from inspect import CORO_CLOSED, CORO_RUNNING, getcoroutinestate
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from reitunnel.errors import Code
from reitunnel.hooks.calls import Opened

_T = TypeVar("_T")


class Asking(Generic[_T]):
    """
    A coroutine that asks hooks, and that can be given up from anywhere.

    A Deferred cannot be cancelled from inside the coroutine that it stands for. But
    a hook may well close what it is being asked about, and whoever closes it then
    does not know where the call comes from.

    @ivar result: fires with what the coroutine returns. Cancelling it gives up.
    """

    __slots__ = ("_clock", "_coroutine", "_running", "result")

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, coroutine: Coroutine[Deferred[Any], Any, _T]
    ) -> None:
        """
        Begin.
        """
        self.result: Deferred[_T] = Deferred(lambda _: self.cancel())
        self._clock = clock
        self._coroutine = coroutine
        self._running = Deferred.fromCoroutine(coroutine)
        self._running.addCallbacks(self._returned, self._raised)

    @property
    def over(self) -> bool:
        """
        Whether the coroutine has come to its end.
        """
        return getcoroutinestate(self._coroutine) == CORO_CLOSED

    def cancel(self) -> None:
        """
        Give up: at once, or, if this is called from inside the coroutine, at the
        next turn of the reactor, unless it is over by then.
        """
        if getcoroutinestate(self._coroutine) == CORO_RUNNING:
            self._clock.callLater(0, self.cancel)
        elif not self.over:
            self._running.cancel()

    def _returned(self, value: _T) -> None:
        if not self.result.called:
            self.result.callback(value)

    def _raised(self, failure: Failure) -> None:
        if not self.result.called:
            self.result.errback(failure)
        elif failure.check(CancelledError) is None:
            self._log.failure("failed after it was given up", failure=failure)


def watch(asking: Asking[None], failed: Callable[[Failure], None]) -> Asking[None]:
    """
    See to the failure of a coroutine for which nobody waits. That it was given up is
    none.

    @return: C{asking}.
    """

    def given_up(failure: Failure) -> None:
        failure.trap(CancelledError)

    asking.result.addErrback(given_up)
    asking.result.addErrback(failed)
    return asking


class Owed:
    """
    The close that hooks are owed for one open. It is told once, when both are known:
    who allowed the open, and how it ended. Either may come first: a hook can close
    what it is being asked about.
    """

    __slots__ = ("_decided", "_done", "_end", "_opened", "_tell")

    def __init__(
        self,
        tell: Callable[[Opened, Code, str], None],
        done: Callable[[], None],
    ) -> None:
        """
        @param tell: tells the hooks.
        @param done: called after that, or when there is nobody to be told.
        """
        self._tell = tell
        self._done = done
        self._decided = False
        self._opened: Opened | None = None
        self._end: tuple[Code, str] | None = None

    def decided(self, opened: Opened | None) -> None:
        """
        The hooks have decided.

        @param opened: who allowed it; L{None} if it was refused or given up: the
            manager has told the hooks that then.
        """
        self._decided = True
        self._opened = opened
        self._settle()

    def over(self, code: Code, reason: str) -> None:
        """
        It has ended. What is said of that later does not count.
        """
        if self._end is None:
            self._end = (code, reason)
            self._settle()

    def _settle(self) -> None:
        if self._decided and self._end is not None:
            if self._opened is not None:
                self._tell(self._opened, *self._end)
            self._done()
