"""
Moving bytes between two sockets inside the kernel, by splice(2).

Bytes go from a socket into a pipe and from the pipe into the other socket; they
never enter this process. docs/performance.md says when this is used.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from socket import SHUT_WR, socket
from typing import Any, Final, NamedTuple

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

PIPE_SIZE: Final = 1 << 20
"""The size asked for each pipe, in bytes: what Linux allows without privileges."""
_TURN: Final = 4 << 20
"""Bytes that a direction may move before other sockets get their turn."""
_FLAGS: Final = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK if hasattr(os, "splice") else 0
_KEPT: Final = 32
"""Empty pipes that are kept for the next use."""


def can_splice() -> bool:
    """
    Whether this platform has splice(2).
    """
    return hasattr(os, "splice")


class Pipe(NamedTuple):
    """
    A pipe, and how many bytes it holds when it is full.
    """

    reading: int
    writing: int
    size: int


class Pipes:
    """
    Pipes for all streams of a process. A direction has one only while bytes are
    in it: Linux lets a user keep 64 MiB of pipes (pipe-user-pages-soft, pipe(7)),
    and an idle stream must not cost descriptors.
    """

    def __init__(self) -> None:
        self._idle: list[Pipe] = []

    def take(self) -> Pipe:
        """
        Take an empty pipe.

        @raise OSError: when the process or the system has no descriptors left.
        """
        if self._idle:
            return self._idle.pop()
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        except OSError:
            # The user's share is used up: the pipe works, only smaller.
            size = fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)
        return Pipe(reading, writing, size)

    def give(self, pipe: Pipe) -> None:
        """
        Give an empty pipe back.
        """
        if len(self._idle) < _KEPT and pipe.size == PIPE_SIZE:
            self._idle.append(pipe)
        else:
            self.destroy(pipe)

    def destroy(self, pipe: Pipe) -> None:
        """
        Close a pipe, with what it holds.
        """
        os.close(pipe.reading)
        os.close(pipe.writing)

    def clear(self) -> None:
        """
        Close the idle pipes.
        """
        while self._idle:
            self.destroy(self._idle.pop())


@implementer(IReadWriteDescriptor)
class _Socket:
    """
    A socket whose transport has let go of it, as the reactor sees it.

    @ivar incoming: the direction that reads from it.
    @ivar outgoing: the direction that writes to it.
    """

    incoming: _Flow
    outgoing: _Flow

    def __init__(
        self, reactor: Any, transport: Any, failed: Callable[[Failure], None]
    ) -> None:
        self._reactor = reactor
        self._socket: socket = transport.getHandle()
        self._fileno = self._socket.fileno()
        self._failed = failed
        self._reading = False
        self._writing = False

    def fileno(self) -> int:
        """
        The socket's descriptor.
        """
        return self._fileno

    def logPrefix(self) -> str:
        """
        The prefix of log lines.
        """
        return "splice"

    def read_wanted(self, wanted: bool) -> None:
        """
        Wait for something to read, or not.
        """
        if wanted is not self._reading:
            self._reading = wanted
            change = self._reactor.addReader if wanted else self._reactor.removeReader
            change(self)

    def write_wanted(self, wanted: bool) -> None:
        """
        Wait for room to write, or not.
        """
        if wanted is not self._writing:
            self._writing = wanted
            change = self._reactor.addWriter if wanted else self._reactor.removeWriter
            change(self)

    def release(self) -> None:
        """
        Wait for nothing.
        """
        self.read_wanted(False)
        self.write_wanted(False)

    def finish(self) -> None:
        """
        Send FIN.
        """
        self._socket.shutdown(SHUT_WR)

    def doRead(self) -> None:
        """
        There is something to read, or the end.
        """
        self._move(self.incoming)

    def doWrite(self) -> None:
        """
        There is room to write.
        """
        self._move(self.outgoing)

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor has seen the socket fail.
        """
        self._failed(Failure(ConnectionLost()))

    def _move(self, flow: _Flow) -> None:
        try:
            flow.move()
        except OSError as error:
            self._failed(Failure(ConnectionLost(str(error))))


class _Flow:
    """
    One direction: what is read from one socket is written to the other.
    """

    def __init__(
        self,
        pipes: Pipes,
        source: _Socket,
        sink: _Socket,
        on_read: Callable[[int], None],
        on_written: Callable[[int], None],
    ) -> None:
        self.source = source
        self.sink = sink
        self.done = False
        self.on_done: Callable[[], None] = _nothing
        self._pipes = pipes
        self._pipe: Pipe | None = None
        self._held = 0
        self._eof = False
        self._on_read = on_read
        self._on_written = on_written

    def move(self) -> None:
        """
        Move what can be moved now, and wait for what is missing: for the source
        while nothing is held, for the sink otherwise. It never waits for both,
        because a pipe can be full with fewer bytes than its size, and the source
        would wake it in vain.

        @raise OSError: when one of the sockets is lost.
        """
        if self.done:
            return
        turn = _TURN
        while turn > 0 and self._fill():
            turn -= self._held
            if not self._drain():
                break
        self._settle()

    def stop(self) -> None:
        """
        Give up what is held.
        """
        self.done = True
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            self._pipes.destroy(pipe)

    def _fill(self) -> bool:
        """
        Read into the empty pipe.

        @return: whether there is something to write.
        """
        if self._held:
            return True
        if self._eof:
            return False
        if self._pipe is None:
            self._pipe = self._pipes.take()
        try:
            read = os.splice(
                self.source.fileno(), self._pipe.writing, self._pipe.size, flags=_FLAGS
            )
        except BlockingIOError:
            return False
        if not read:
            self._eof = True
            return False
        self._held = read
        self._on_read(read)
        return True

    def _drain(self) -> bool:
        """
        Write what the pipe holds.

        @return: whether it is empty.
        """
        assert self._pipe is not None
        while self._held:
            try:
                written = os.splice(
                    self._pipe.reading, self.sink.fileno(), self._held, flags=_FLAGS
                )
            except BlockingIOError:
                return False
            self._held -= written
            self._on_written(written)
        return True

    def _settle(self) -> None:
        if self._held:
            self.source.read_wanted(False)
            self.sink.write_wanted(True)
            return
        self.sink.write_wanted(False)
        if self._pipe is not None:
            self._pipes.give(self._pipe)
            self._pipe = None
        self.source.read_wanted(not self._eof)
        if self._eof:
            self.done = True
            self.sink.finish()
            self.on_done()


def _nothing() -> None:
    """
    Nobody waits for this direction.
    """


class Splice:
    """
    Joins two sockets in both directions, until both have ended or one fails.

    @ivar stopped: whether it moves nothing any more.
    """

    def __init__(
        self,
        reactor: Any,
        pipes: Pipes,
        ends: tuple[Any, Any],
        *,
        on_read: tuple[Callable[[int], None], Callable[[int], None]],
        on_written: tuple[Callable[[int], None], Callable[[int], None]],
        on_over: Callable[[Failure | None], None],
    ) -> None:
        """
        @param reactor: an C{IReactorFDSet}.
        @param ends: two transports of TCP or Unix sockets, with nothing left to
            write and not reading. They are the caller's to close.
        @param on_read: told how many bytes were read from each end.
        @param on_written: told how many bytes were written to each end.
        @param on_over: told, once, that both directions have ended, or the
            failure of one end.
        """
        self.stopped = False
        self._on_over = on_over
        first, second = (
            _Socket(reactor, transport, self._failed) for transport in ends
        )
        self._sockets = (first, second)
        there = _Flow(pipes, first, second, on_read[0], on_written[1])
        back = _Flow(pipes, second, first, on_read[1], on_written[0])
        first.incoming = second.outgoing = there
        second.incoming = first.outgoing = back
        self._flows = (there, back)
        for flow in self._flows:
            flow.on_done = self._flow_done

    def start(self) -> None:
        """
        Begin to move.
        """
        for end in self._sockets:
            if not self.stopped:
                end.doRead()

    def stop(self) -> None:
        """
        Let go of both sockets; what is in the pipes is lost.
        """
        if not self.stopped:
            self.stopped = True
            for end in self._sockets:
                end.release()
            for flow in self._flows:
                flow.stop()

    def _flow_done(self) -> None:
        if all(flow.done for flow in self._flows):
            self.stop()
            self._on_over(None)

    def _failed(self, failure: Failure) -> None:
        if not self.stopped:
            self.stop()
            self._on_over(failure)
