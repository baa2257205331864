"""
Accepts no connections while the process has few file descriptors left.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterable
from typing import Final

from twisted.internet.interfaces import (
    IDelayedCall,
    IFileDescriptor,
    IListeningPort,
    IPushProducer,
    IReactorTime,
    ITransport,
)
from twisted.logger import Logger

_SHARE: Final = 16
_LEAST: Final = 40
_MOST: Final = 256
"""
One in L{_SHARE} descriptors is kept for what is not accepted: log and token files,
pipes, the next public port.
"""
_LOOK: Final = 0.5
"""How long nothing is accepted before it is looked again, in seconds."""
_QUIET: Final = 60.0
"""How long there must have been enough before it is said again that there are few."""


def most_descriptors() -> int:
    """
    How many descriptors the process may have.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1 << 30


def open_descriptors() -> int:
    """
    How many it has.
    """
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        # To look takes one: there is none.
        return most_descriptors()


class Descriptors:
    """
    Watches the numbers of accepted connections' descriptors: the system gives the
    lowest that is free, so a high one tells that few are left. Then no port is read
    until there are enough: who comes meanwhile waits in the system's queue, as
    long as that has room. Without this, connections beyond the last descriptor
    would be closed as if they had ended in order.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        most: Callable[[], int] = most_descriptors,
        used: Callable[[], int] = open_descriptors,
    ) -> None:
        """
        @param most: tells how many descriptors there may be.
        @param used: tells how many there are.
        """
        self._clock = clock
        self._most = most
        self._used = used
        self._ports: dict[IListeningPort, None] = {}
        self._paused = False
        self._said = False
        self._call: IDelayedCall | None = None

    def watch(self, port: IListeningPort) -> None:
        """
        Stop to read a port, too, when few are left.
        """
        self._ports[port] = None
        _accept_few(port)
        if self._paused:
            _pause(port)

    def forget(self, port: IListeningPort) -> None:
        """
        A port is closed, or about to be.
        """
        self._ports.pop(port, None)

    async def close(self, ports: Iterable[IListeningPort]) -> None:
        """
        Close ports, one after the other.
        """
        for port in ports:
            self.forget(port)
            stopped = port.stopListening()
            if stopped is not None:
                await stopped

    def accepted(self, transport: ITransport) -> None:
        """
        A connection was accepted.

        @param transport: what the kernel accepted; it may be none of the kernel's.
        """
        if not IFileDescriptor.providedBy(transport):
            return
        _accept_few(getattr(transport, "server", None))
        if self._paused:
            return
        most = self._most()
        if IFileDescriptor(transport).fileno() < most - _reserve(most):
            return
        self._paused = True
        if not self._said:
            self._said = True
            self._log.warn(
                "few file descriptors are left of {most}: new connections wait until "
                "others are closed",
                most=most,
            )
        for port in self._ports:
            _pause(port)
        self._again(_LOOK, self._look)

    def stop(self) -> None:
        """
        Watch no more.
        """
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        self._paused = self._said = False
        self._ports.clear()

    # The parts.

    def _look(self) -> None:
        most = self._most()
        # Half as many again, so that it does not begin anew with the next one.
        if self._used() > most - _reserve(most) * 3 // 2:
            self._again(_LOOK, self._look)
            return
        self._paused = False
        for port in self._ports:
            _resume(port)
        self._again(_QUIET, self._calm)

    def _calm(self) -> None:
        self._said = False
        self._log.info("there are enough file descriptors again")

    def _again(self, seconds: float, call: Callable[[], None]) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = self._clock.callLater(seconds, call)


def _reserve(most: int) -> int:
    return max(_LEAST, min(_MOST, most // _SHARE))


def _accept_few(port: object) -> None:
    """
    Have one of Twisted's ports accept about twenty connections in a turn at most: it
    goes on with those that it has begun with, also when it is paused meanwhile. That
    is fewer than L{_LEAST}.
    """
    if hasattr(port, "numberAccepts"):
        port.numberAccepts = 1


def _pause(port: IListeningPort) -> None:
    if IPushProducer.providedBy(port):
        IPushProducer(port).pauseProducing()


def _resume(port: IListeningPort) -> None:
    if IPushProducer.providedBy(port):
        IPushProducer(port).resumeProducing()
