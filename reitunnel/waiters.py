"""
Several who wait for the same thing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

_T = TypeVar("_T")


class Waiters(Generic[_T]):
    """
    Deferreds that fire together, in the order in which they were asked for. Who
    cancels one waits no more; the others do.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[Deferred[_T]] = []

    def __len__(self) -> int:
        """
        How many wait.
        """
        return len(self._waiting)

    def wait(self) -> Deferred[_T]:
        """
        Wait for the next L{tell} or L{fail}.
        """
        waiting: Deferred[_T] = Deferred(self._forget)
        self._waiting.append(waiting)
        return waiting

    def tell(self, result: _T) -> None:
        """
        Give all who wait a result.
        """
        for deferred in self._taken():
            deferred.callback(result)

    def fail(self, reason: Failure | BaseException) -> None:
        """
        Tell all who wait that they wait in vain.
        """
        for deferred in self._taken():
            deferred.errback(reason)

    def _taken(self) -> Iterator[Deferred[_T]]:
        """
        Give those who wait, except one that another cancels when it is told.
        """
        waiting, self._waiting = self._waiting, []
        return (deferred for deferred in waiting if not deferred.called)

    def _forget(self, deferred: Deferred[_T]) -> None:
        if deferred in self._waiting:
            self._waiting.remove(deferred)
