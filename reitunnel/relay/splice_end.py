"""
One of the two sockets of a splice, as the reactor sees it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorFDSet, IReadWriteDescriptor
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer


class EndLost(ConnectionLost):
    """
    One end of a splice was lost.

    @ivar end: its index.
    """

    def __init__(self, end: int, reason: str = "") -> None:
        super().__init__(*([reason] if reason else []))
        self.end = end


@implementer(IReadWriteDescriptor)
class End:
    """
    A socket whose transport has let go of it, in one direction or in both.

    A reactor has one object for a descriptor. While Twisted's transport keeps one
    direction, this uses a duplicate of the descriptor.

    @ivar index: which end it is.
    @ivar on_readable: called when there is something to read, or the end.
    @ivar on_writable: called when there is room to write.
    @ivar on_lost: told that the socket has failed, or that the reactor stops.
    """

    on_readable: Callable[[], None]
    on_writable: Callable[[], None]
    on_lost: Callable[[EndLost], None]

    def __init__(
        self, reactor: IReactorFDSet, transport: Connection, index: int
    ) -> None:
        self.index = index
        self._reactor = reactor
        self._transport = transport
        self._socket = transport.getHandle()
        self._duplicate: int | None = None
        self._reading = False
        self._writing = False
        self._released = False

    def fileno(self) -> int:
        """
        The descriptor; -1 once the socket is closed.
        """
        return self._socket.fileno() if self._duplicate is None else self._duplicate

    def logPrefix(self) -> str:
        """
        The prefix of log lines.
        """
        return "splice"

    # What the reactor tells.

    def doRead(self) -> None:
        """
        There is something to read, or the end.
        """
        self.on_readable()

    def doWrite(self) -> None:
        """
        There is room to write.
        """
        self.on_writable()

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor has seen the socket fail, or stops.
        """
        self.on_lost(EndLost(self.index))

    # What the splice asks.

    def duplicate(self) -> None:
        """
        Use a descriptor of its own.

        @raise OSError: when there are no descriptors left.
        """
        if self._duplicate is None:
            self._duplicate = os.dup(self._socket.fileno())

    def unify(self) -> None:
        """
        Use the transport's descriptor.
        """
        if self._duplicate is not None:
            reading, writing = self._reading, self._writing
            self._unregister()
            self.want_read(reading)
            self.want_write(writing)

    def want_read(self, wanted: bool) -> None:
        """
        Wait for something to read, or not.
        """
        if wanted is not self._reading and not self._released:
            self._reading = wanted
            if wanted:
                self._reactor.addReader(self)
            else:
                self._reactor.removeReader(self)

    def want_write(self, wanted: bool) -> None:
        """
        Wait for room to write, or not.
        """
        if wanted is not self._writing and not self._released:
            self._writing = wanted
            if wanted:
                self._reactor.addWriter(self)
            else:
                self._reactor.removeWriter(self)

    def release(self) -> None:
        """
        Wait for nothing any more, and have no descriptor of its own.
        """
        self._unregister()
        self._released = True

    def receive(self, size: int) -> bytes | None:
        """
        Read by copying.

        @return: L{None} when there is nothing to read, and nothing at the end.
        @raise EndLost: when the socket is lost.
        """
        try:
            return self._socket.recv(size)
        except BlockingIOError:
            return None
        except OSError as error:
            raise self.lost(error) from error

    def send_fin(self) -> None:
        """
        Send FIN by way of the transport, which has to know of it: to be closed, it
        would try to write otherwise, and find the connection broken.

        @raise EndLost: when the socket is lost.
        """
        # The transport registers itself for a moment.
        self._reactor.removeReader(self)
        self._transport.loseWriteConnection()
        why = self._transport.doWrite()
        if why:
            self._transport.stopWriting()
            raise EndLost(self.index)
        if self._reading:
            self._reactor.addReader(self)

    def lost(self, error: OSError) -> EndLost:
        """
        Name the end that an error comes from.
        """
        return EndLost(self.index, error.strerror or str(error))

    # The parts.

    def _unregister(self) -> None:
        self.want_read(False)
        self.want_write(False)
        duplicate, self._duplicate = self._duplicate, None
        if duplicate is not None:
            os.close(duplicate)
