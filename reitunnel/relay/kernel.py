"""
The kernel pump: a socket and a stream's data link, joined by splice(2).

A direction moves here once the stream has switched to the data link, all that came
before is delivered, and both sockets are such that the kernel can do it. Until then,
and elsewhere, L{reitunnel.relay.pump} copies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from twisted.python.failure import Failure

from reitunnel.errors import Code
from reitunnel.relay.addresses import shown
from reitunnel.relay.direct import DirectPath, Receiving, Sending
from reitunnel.relay.handover import can_splice, hand_over
from reitunnel.relay.pipes import Pipes
from reitunnel.relay.pump import SocketEnd
from reitunnel.relay.splice import Splice
from reitunnel.relay.splice_end import EndLost
from reitunnel.relay.stream import StreamTransport

_SOCKET: Final = 0
_LINK: Final = 1
"""The ends of the splice."""


_log = Logger()


class KernelPump:
    """
    Moves one stream's bytes in the kernel, each direction from when it can.

    @ivar out: whether what the socket sends is moved here, or is about to be.
    @ivar back: whether what the socket gets is.
    """

    def __init__(
        self,
        stream: StreamTransport,
        end: SocketEnd,
        path: DirectPath,
        pipes: Pipes,
        socket: Connection,
        link: Connection,
    ) -> None:
        """
        @param socket: the transport of C{end}.
        @param link: the transport of the data link.
        """
        self.out = False
        self.back = False
        self._moving_back = False
        self._stream = stream
        self._end = end
        self._path = path
        self._socket = socket
        self._link = link
        self._delivered = 0
        self._waiting: dict[int, Deferred[None]] = {}
        self._splice = Splice(
            IReactorFDSet(stream.carrier.clock),
            pipes,
            (socket, link),
            on_read=(self._sent, path.count_received),
            on_written=(self._was_delivered, _count_nothing),
            on_eof=self._ended,
            on_over=self._over,
        )

    @property
    def moving(self) -> tuple[bool, bool]:
        """
        See L{reitunnel.relay.direct.KernelMover}.
        """
        return self._splice.moves(_SOCKET), self._splice.moves(_LINK)

    def consider(self) -> None:
        """
        Take the directions that can be moved here now.
        """
        if self._splice.stopped:
            return
        path, end = self._path, self._end
        if path.sending is Sending.LINK and not (self.out or end.finished):
            self.out = end.read_elsewhere = True
            self._take(self._socket, self._link, _SOCKET)
        elif path.sending is Sending.ENDED and end.finished and not self.out:
            # Twisted has brought it to its end. Once that is all written, both ends
            # belong to the other direction, and need no descriptors of their own.
            self.out = True
            self._take(self._socket, self._link, _SOCKET)
        if (
            path.receiving is Receiving.LINK
            and not self.back
            and self._stream.nothing_held
        ):
            self.back = True
            self._take(self._link, self._socket, _LINK)

    def check_total(self) -> bool:
        """
        See whether all that the peer has announced is delivered.

        @return: whether that is for this to say. If not, Twisted still reads, and
            when all has come that way there is nothing to move here.
        """
        if not self._moving_back:
            if self._path.received == self._path.total:
                self._give_up(_LINK)
            return False
        if self._delivered == self._path.total:
            self._path.came()
            self._splice.finish(_SOCKET)
            self._end.peer_finished()
        return True

    def stop(self) -> None:
        """
        Move nothing more.
        """
        self._splice.stop()
        self._give_up(_SOCKET)
        self._give_up(_LINK)

    # What the splice tells.

    def _sent(self, count: int) -> None:
        self._path.sent += count
        self._stream.on_written(count)

    def _was_delivered(self, count: int) -> None:
        self._delivered += count
        self._stream.on_delivered(count)
        self.check_total()

    def _ended(self, index: int) -> None:
        """
        An end sends no more. That of the link counts for nothing: the control link
        tells.
        """
        if index == _SOCKET:
            self._end.readConnectionLost()
        elif self._path.receiving is not Receiving.ENDED:
            self._path.broke_off()

    def _over(self, failure: Failure | None) -> None:
        """
        One end is lost, or there are no descriptors left.
        """
        error = None if failure is None else failure.value
        if isinstance(error, EndLost) and error.end == _SOCKET:
            self._stream.abortConnection()
        elif isinstance(error, EndLost):
            self._path.broke_off()
        elif failure is not None:
            self._stream.abort(Code.INTERNAL, failure.getErrorMessage())

    # The parts.

    def _take(self, source: Connection, sink: Connection, index: int) -> None:
        taking = hand_over(self._stream.carrier.clock, source, sink)
        self._waiting[index] = taking
        taking.addCallback(self._start, index)
        taking.addErrback(self._not_taken)

    def _start(self, _: None, index: int) -> None:
        del self._waiting[index]
        path, stream = self._path, self._stream
        if index == _SOCKET:
            path.data_link.link.writable = True
            if path.sending is not Sending.LINK:
                self._splice.skip(_SOCKET)
                return
        elif not stream.nothing_held:
            # The last that Twisted had read: it is written first.
            stream.resumeProducing()
            self._take(self._link, self._socket, _LINK)
            return
        else:
            self._moving_back = True
            self._delivered = path.received
        self._splice.start(index)
        path.check_total()

    def _give_up(self, index: int) -> None:
        waiting = self._waiting.pop(index, None)
        if waiting is not None:
            waiting.cancel()

    def _not_taken(self, failure: Failure) -> None:
        """
        One of them was lost or closed, which others tell, or there are no
        descriptors left.
        """
        if failure.check(CancelledError, ConnectionClosed) is None:
            self._stream.abort(Code.INTERNAL, failure.getErrorMessage())


def kernel_pump(stream: StreamTransport, end: SocketEnd) -> Callable[[], None]:
    """
    Watch a stream that is joined to a socket, and move it in the kernel when that
    can be.

    @return: to be called when a direction of the stream has switched, or all that
        was held is delivered.
    """

    copied: DirectPath | None = None

    def consider() -> None:
        nonlocal copied
        path, pipes = stream.path, stream.carrier.pipes
        if path is None or path is copied or pipes is None or stream.paced:
            return
        if end.lost or stream.disconnecting:
            return
        pump = path.pump
        if pump is None:
            link: object = path.data_link.link.transport
            socket: object = end.transport
            in_kernel = can_splice(link) and can_splice(socket)
            _log.debug(
                "data link {link}: the stream of {peer} is {how}",
                link=path.data_link.number,
                peer=shown(stream.getPeer()),
                how="moved in the kernel" if in_kernel else "copied",
            )
            if not (can_splice(link) and can_splice(socket)):
                copied = path
                return
            pump = path.pump = KernelPump(stream, end, path, pipes, socket, link)
            end.on_close = pump.stop
        pump.consider()

    return consider


def _count_nothing(count: int) -> None:
    """
    What is written to the data link was counted when it was read.
    """
