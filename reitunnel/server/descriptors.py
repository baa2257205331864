"""
Accepts no visitors while the process has few file descriptors left, and no links
while it has hardly any.
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
One in L{_SHARE} descriptors is kept for what no visitor is: links, log and token files,
pipes, the next public port. Of these, links may take half.
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


class _Ports:
    """
    Ports that are paused and resumed together.

    @ivar paused: whether they are.
    """

    def __init__(self) -> None:
        self.paused = False
        self._ports: dict[IListeningPort, None] = {}

    def add(self, port: IListeningPort) -> None:
        """
        Take a port in.
        """
        self._ports[port] = None
        if self.paused:
            _pause(port)

    def discard(self, port: IListeningPort) -> None:
        """
        Let go of a port, if it is here.
        """
        self._ports.pop(port, None)

    def pause(self) -> None:
        """
        Stop to read them.
        """
        self.paused = True
        for port in self._ports:
            _pause(port)

    def resume(self) -> None:
        """
        Read them again.
        """
        if self.paused:
            self.paused = False
            for port in self._ports:
                _resume(port)


class Descriptors:
    """
    Watches the numbers of accepted connections' descriptors: the system gives the
    lowest that is free, so a high one tells that few are left. Then no public port is
    read until there are enough: who comes meanwhile waits in the system's queue, as
    long as that has room. Without this, connections beyond the last descriptor
    would be closed as if they had ended in order. The ports for links are read on, for
    sessions that go on over another link and for other clients, until hardly any are
    left.
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
        self._public = _Ports()
        self._links = _Ports()
        self._said: set[str] = set()
        self._call: IDelayedCall | None = None

    def watch(self, port: IListeningPort, *, links: bool = False) -> None:
        """
        Stop to read a port, too, when few are left.

        @param links: whether it is one for links.
        """
        _accept_few(port)
        (self._links if links else self._public).add(port)

    def forget(self, port: IListeningPort) -> None:
        """
        A port is closed, or about to be.
        """
        self._public.discard(port)
        self._links.discard(port)

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
        if self._links.paused:
            return
        most = self._most()
        reserve = _reserve(most)
        number = IFileDescriptor(transport).fileno()
        if number >= most - reserve and not self._public.paused:
            self._public.pause()
            self._say(
                "few file descriptors are left of {most}: new visitors wait", most
            )
            self._again(_LOOK, self._look)
        if number >= most - reserve // 2:
            self._links.pause()
            self._say("hardly any of {most} are left: new links wait, too", most)

    def stop(self) -> None:
        """
        Watch no more.
        """
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        self._said.clear()
        self._public, self._links = _Ports(), _Ports()

    # The parts.

    def _say(self, text: str, most: int) -> None:
        if text not in self._said:
            self._said.add(text)
            self._log.warn(text + " until others are closed", most=most)

    def _look(self) -> None:
        most = self._most()
        reserve, used = _reserve(most), self._used()
        # Half as many again, so that it does not begin anew with the next one.
        if used <= most - reserve // 2 * 3 // 2:
            self._links.resume()
        if used > most - reserve * 3 // 2:
            self._again(_LOOK, self._look)
            return
        self._public.resume()
        self._again(_QUIET, self._calm)

    def _calm(self) -> None:
        self._said.clear()
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
    is no more than half of L{_LEAST}.
    """
    if hasattr(port, "numberAccepts"):
        port.numberAccepts = 1


def _pause(port: IListeningPort) -> None:
    if IPushProducer.providedBy(port):
        IPushProducer(port).pauseProducing()


def _resume(port: IListeningPort) -> None:
    if IPushProducer.providedBy(port):
        IPushProducer(port).resumeProducing()
