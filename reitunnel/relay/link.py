"""
A control link: a transport that is ready, seen as frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from typing import Protocol as Structural

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.errors import RemoteProtocolError
from reitunnel.interfaces import ILinkTransport
from reitunnel.prompt import prompt_writer
from reitunnel.relay.closing import half_close
from reitunnel.wire.frames import Buffer, Frame, FrameReader

CLOSE_TIMEOUT: Final = 5.0
"""
How long, in seconds, a peer has to take the last bytes of a closing link and to
close its side.
"""


class FrameReceiver(Structural):
    """
    Who gets the frames of a link: a handshake first, then a session.
    """

    def link_ready(self, link: Link) -> None:
        """
        The link is connected.
        """

    def frame_received(self, frame: Frame) -> None:
        """
        A frame, or a piece of C{DATA}, came.

        @raise RemoteProtocolError: when it must not; the link reports it to
            L{link_broken}.
        """

    def batch_received(self) -> None:
        """
        Every frame of what was read was given to L{frame_received}.
        """

    def link_full(self) -> None:
        """
        The link has no room.
        """

    def link_writable(self) -> None:
        """
        The link has room again.
        """

    def link_broken(self, error: RemoteProtocolError) -> None:
        """
        The peer broke the protocol; nothing more is read. Close the link.
        """

    def link_lost(self, reason: Failure) -> None:
        """
        The transport is gone.
        """


@implementer(IPushProducer)
class Link(Protocol):
    """
    Carries frames over a transport that is ready for use.

    Reading: every frame goes to the receiver. Writing: little is queued in the
    transport, so that frames are put in order as late as possible; while
    L{writable} is false, wait for C{link_writable}.

    @ivar receiver: who gets the frames.
    @ivar writable: whether the transport has room.
    @ivar lost: whether the transport is gone.
    @ivar closed: fires when the transport is gone.
    @ivar received: how many bytes came.
    @ivar feeding: whether some of them are not yet given to the receiver.
    """

    _log = Logger()
    transport: ILinkTransport
    _write: Callable[[bytes], None]

    def __init__(
        self, reader: FrameReader, receiver: FrameReceiver, clock: IReactorTime
    ) -> None:
        self.reader = reader
        self.receiver = receiver
        self.writable = True
        self.lost = False
        self.closed: Deferred[None] = Deferred()
        self.received = 0
        self.feeding = False
        self._clock = clock
        self._closing = False
        self._reading = True
        self._raw: Callable[[bytes], None] | None = None
        self._impatience: IDelayedCall | None = None

    def dataReceived(self, data: bytes) -> None:
        """
        Turn bytes into frames. What comes after the link was closed is dropped.
        """
        if self._raw is not None:
            if not self._closing:
                self._raw(data)
        elif not self._closing:
            self.received += len(data)
            self.feeding = True
            try:
                self._read(data)
            except RemoteProtocolError as error:
                self.receiver.link_broken(error)
            finally:
                self.feeding = False

    def connectionMade(self) -> None:
        """
        Learn from the transport when it is full, and tell the receiver.
        """
        self._write = prompt_writer(self.transport, shared=True)
        self.transport.registerProducer(self, True)
        self.receiver.link_ready(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Tell the receiver.
        """
        self.lost = self._closing = True
        self.writable = False
        if self._impatience is not None and self._impatience.active():
            self._impatience.cancel()
        self.receiver.link_lost(reason)
        self.closed.callback(None)

    def write(self, pieces: Sequence[Buffer]) -> None:
        """
        Send pieces of frames.
        """
        # Transports join what they are given anyway, and take nothing but bytes.
        self.send(b"".join(pieces))

    def send(self, data: bytes) -> None:
        """
        Send the bytes of frames.
        """
        self._write(data)

    def close(self) -> None:
        """
        Send what was written, and close. What still comes is dropped. A peer that
        does not take it, or does not close its side, within L{CLOSE_TIMEOUT} is cut
        off.
        """
        if self._closing:
            return
        self._closing = True
        self.writable = False
        self._impatience = self._clock.callLater(CLOSE_TIMEOUT, self.abort)
        self.transport.unregisterProducer()
        self.transport.resumeProducing()
        # Goes on reading, as TLS and WebSocket do until the peer has closed too: a
        # socket that is closed before everything was read from it is reset by the
        # kernel, and the last words may be lost on the way.
        if not half_close(self.transport):
            self.transport.loseConnection()

    def abort(self) -> None:
        """
        Close at once; what was written may be lost.
        """
        if not self.lost:
            self._closing = True
            self.writable = False
            self.transport.abortConnection()

    def read_raw(self, receiver: Callable[[bytes], None]) -> None:
        """
        From here on there are no more frames, but bytes. Call it while the frame
        is received that says so.
        """
        self._raw = receiver

    def read_with(self, reader: FrameReader) -> None:
        """
        Go on with another reader. Call it while the last frame of the handshake is
        received.
        """
        self.reader = reader

    def pause_reading(self) -> None:
        """
        Read no more until L{resume_reading}. A link that is closing reads on.
        """
        if self._reading and not self._closing:
            self._reading = False
            self.transport.pauseProducing()

    def resume_reading(self) -> None:
        """
        Read again.
        """
        if not self._reading and not self._closing:
            self._reading = True
            self.transport.resumeProducing()

    def pauseProducing(self) -> None:
        """
        The transport is full.
        """
        self.writable = False
        self.receiver.link_full()

    def resumeProducing(self) -> None:
        """
        The transport has room.
        """
        if not self._closing:
            self.writable = True
            self.receiver.link_writable()

    def stopProducing(self) -> None:
        """
        The transport is going away; L{connectionLost} follows.
        """
        self.writable = False

    def _read(self, data: bytes) -> None:
        reader = self.reader
        for frame in reader.feed(data):
            if self._closing:
                return
            self.receiver.frame_received(frame)
            if self._raw is not None:
                if rest := reader.take_rest():
                    self._raw(rest)
                return
            if self.reader is not reader:
                self._read(reader.take_rest())
                return
        if not self._closing:
            self.receiver.batch_received()


class _Nobody:
    """
    Receives what still comes of a link that is given up.
    """

    def link_ready(self, link: Link) -> None:
        """
        It was ready before.
        """

    def frame_received(self, frame: Frame) -> None:
        """
        Drop it.
        """

    def batch_received(self) -> None:
        """
        Nothing came of it.
        """

    def link_full(self) -> None:
        """
        Nothing is sent any more.
        """

    def link_writable(self) -> None:
        """
        Nothing is sent any more.
        """

    def link_broken(self, error: RemoteProtocolError) -> None:
        """
        It is aborted anyway.
        """

    def link_lost(self, reason: Failure) -> None:
        """
        That was expected.
        """


NOBODY: Final = _Nobody()
"""The receiver of links that are given up."""


class LinkFactory(Factory):
    """
    Builds links for an endpoint.
    """

    noisy = False

    def __init__(self, build: Callable[[], Link]) -> None:
        self._build = build

    def buildProtocol(self, addr: IAddress | None) -> Link:
        """
        Build a link for a connection.
        """
        return self._build()
