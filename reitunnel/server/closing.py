"""
Public ports that are being closed.
"""

from __future__ import annotations

from collections import Counter

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

from reitunnel.waiters import Waiters


class ClosingPorts:
    """
    Closes public ports, and knows when they are free. The reactor closes a port's
    socket a turn after it was told to, and until then nobody else can have the port:
    not even the client that comes back, or that closed the tunnel to open another.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._closing: Counter[int] = Counter()
        self._next: Waiters[None] = Waiters()

    def close(self, port: IListeningPort, number: int) -> None:
        """
        Close a port.

        @param number: its number, which a port cannot tell any more once the reactor
            has stopped.
        """
        self._closing[number] += 1
        stopped: Deferred[object] = maybeDeferred(port.stopListening)
        stopped.addErrback(self._failed)
        stopped.addCallback(lambda _: self._closed(number))

    async def freed(self, number: int) -> None:
        """
        Wait until no port of this number is being closed.
        """
        while self._closing[number]:
            await self._next.wait()

    async def all_freed(self) -> None:
        """
        Wait until no port is being closed.
        """
        while self._closing.total():
            await self._next.wait()

    def _closed(self, number: int) -> None:
        self._closing[number] -= 1
        if not self._closing[number]:
            del self._closing[number]
        self._next.tell(None)

    def _failed(self, failure: Failure) -> None:
        self._log.failure("cannot close a public port", failure=failure)
