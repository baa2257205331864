"""
The direct carrier: a stream that goes on on a data link of its own.

docs/protocol.md, "Data links", is the specification.
"""

from __future__ import annotations

from enum import Enum
from typing import Final
from typing import Protocol as Structural

from twisted.python.failure import Failure

from reitunnel.errors import Code
from reitunnel.relay.data_link import DataLink

_TOO_MANY: Final = "more bytes than were announced"


class Sending(Enum):
    """
    Where this side sends.
    """

    ASKED = "asked"
    """On the control link goes what was queued; what is written waits."""
    LINK = "link"
    """On the data link."""
    ENDED = "ended"
    """Nothing any more, or nothing that the data link carries."""


class Receiving(Enum):
    """
    Where the peer sends. It says that it goes on on the data link on both links, and
    either word may come first.
    """

    MUX = "mux"
    """On the control link."""
    TOLD = "told"
    """All of the control link has come."""
    BEGUN = "begun"
    """The bytes of the data link have begun; some of the control link may be late."""
    LINK = "link"
    """On the data link."""
    ENDED = "ended"
    """Nothing any more: all that it has sent has come."""


class DirectStream(Structural):
    """
    What a stream's transport does with its data link.
    """

    def link_data(self, data: bytes) -> None:
        """
        Bytes came on the data link, after all that came on the control link.
        """

    def link_began(self) -> None:
        """
        This side sends on the data link now.
        """

    def link_opened(self) -> None:
        """
        The peer sends on the data link now: read from it as long as what comes is
        wanted.
        """

    def link_full(self) -> None:
        """
        The data link has no room.
        """

    def link_writable(self) -> None:
        """
        The data link has room again.
        """

    def ended(self) -> None:
        """
        All that the peer has sent has come.
        """

    def abort(self, code: Code, reason: str = "") -> None:
        """
        Reset the stream with a code.
        """


class KernelMover(Structural):
    """
    What moves a path's bytes in the kernel.

    @ivar back: whether it moves what the peer sends, or is about to.
    """

    back: bool

    @property
    def moving(self) -> tuple[bool, bool]:
        """
        Whether it moves what this side sends, and what the peer does.
        """

    def consider(self) -> None:
        """
        Take the directions that can be moved in the kernel now.
        """

    def check_total(self) -> bool:
        """
        See whether all that the peer has announced is delivered.

        @return: whether that is for the kernel's mover to say.
        """

    def stop(self) -> None:
        """
        Move nothing more.
        """


class DirectPath:
    """
    The two directions of one stream on its data link, each of which switches on
    its own.

    The end of a direction is said on the control link, with the number of bytes
    that the data link has carried: a link that breaks off cannot be taken for an
    end.

    @ivar data_link: the data link.
    @ivar sending: where this side sends.
    @ivar receiving: where the peer sends.
    @ivar sent: bytes sent on the data link.
    @ivar received: bytes received on the data link.
    @ivar total: the bytes that the peer has announced, once it has finished.
    @ivar pump: what moves the bytes in the kernel, if it can be done.
    """

    def __init__(
        self,
        stream: DirectStream,
        data_link: DataLink,
        *,
        goes_on: bool,
        peer_finished: bool,
    ) -> None:
        """
        @param goes_on: whether this side is to go on on the data link; if not, it
            has said its end on the control link, or is about to.
        @param peer_finished: whether the peer has.
        """
        self.data_link = data_link
        self.sending = Sending.ASKED if goes_on else Sending.ENDED
        self.receiving = Receiving.ENDED if peer_finished else Receiving.MUX
        self.sent = 0
        self.received = 0
        self._stream = stream
        self._waiting: list[bytes] = []
        self._early: list[bytes] = []
        self.total: int | None = None
        self.pump: KernelMover | None = None

    @property
    def in_kernel(self) -> tuple[bool, bool]:
        """
        Whether the kernel moves what this side sends, and what the peer does.
        """
        return (False, False) if self.pump is None else self.pump.moving

    # What this side does.

    def write(self, data: bytes) -> None:
        """
        Send bytes, or keep them until the switch has gone out.
        """
        if self.sending is Sending.LINK:
            self.sent += len(data)
            self.data_link.link.send(data)
        elif self.sending is Sending.ASKED:
            self._waiting.append(data)

    def went_out(self) -> None:
        """
        The switch has gone out on the control link.
        """
        if self.sending is not Sending.ASKED:
            return
        self.sending = Sending.LINK
        self.data_link.begin()
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self.write(data)
        self._stream.link_began()

    def end(self) -> None:
        """
        This side sends no more.
        """
        self.sending = Sending.ENDED

    def drop(self) -> None:
        """
        The stream is closed: nothing more goes either way. The data link stays until
        L{close}, so that its end cannot overtake the word on the control link that
        says why.
        """
        self._stop_pump()
        self.sending = Sending.ENDED
        self.receiving = Receiving.ENDED
        self._waiting.clear()
        self._early.clear()
        self.data_link.link.pause_reading()

    def close(self, *, in_order: bool) -> None:
        """
        The stream is over on both sides: close the data link, after L{drop}.
        """
        if in_order:
            self.data_link.close()
        else:
            self.data_link.abort()

    # What the control link tells.

    def peer_switched(self) -> None:
        """
        The peer has said on the control link that it goes on here.
        """
        match self.receiving:
            case Receiving.MUX:
                self.receiving = Receiving.TOLD
            case Receiving.BEGUN:
                self._open()

    def peer_finished(self, total: int | None) -> None:
        """
        The peer sends no more.

        @param total: the bytes that it has sent here; L{None} if it has not
            switched.
        """
        if total is not None:
            self.total = total
            self.check_total()
        elif self.receiving is Receiving.MUX:
            self._finish()
        elif self.receiving is Receiving.BEGUN:
            self._stream.abort(Code.PROTOCOL, "an end on another link than the bytes")

    # What the data link tells.

    def raw_began(self) -> None:
        """
        The peer goes on here.
        """
        match self.receiving:
            case Receiving.MUX:
                self.receiving = Receiving.BEGUN
            case Receiving.TOLD:
                self._open()

    def raw_received(self, data: bytes) -> None:
        """
        Bytes of the stream came.
        """
        match self.receiving:
            case Receiving.LINK:
                self._take(data)
            case Receiving.BEGUN:
                self._early.append(data)
                self.data_link.link.pause_reading()
            case _:
                self._stream.abort(Code.PROTOCOL, _TOO_MANY)

    def raw_lost(self, reason: Failure) -> None:
        """
        The data link is gone: that matters unless all that it had to carry was
        carried.
        """
        self.broke_off()

    def broke_off(self) -> None:
        """
        The data link is gone, or of no more use.
        """
        if (self.sending, self.receiving) != (Sending.ENDED, Receiving.ENDED):
            self._stream.abort(Code.LINK_LOST, "the data link was lost")

    def came(self) -> None:
        """
        All that the peer has sent has come, and was delivered in the kernel.
        """
        self.receiving = Receiving.ENDED

    def raw_full(self) -> None:
        """
        The data link has no room.
        """
        if self.sending is Sending.LINK:
            self._stream.link_full()

    def raw_writable(self) -> None:
        """
        The data link has room again.
        """
        if self.sending is Sending.LINK:
            self._stream.link_writable()

    def count_received(self, size: int) -> None:
        """
        Count bytes that came.
        """
        self.received += size
        if self.total is not None and self.received > self.total:
            self._stream.abort(Code.PROTOCOL, _TOO_MANY)

    # The parts.

    def _open(self) -> None:
        # In one piece: in between, the link would be resumed, and some transports
        # bring more from inside that.
        early = b"".join(self._early)
        self._early.clear()
        self.receiving = Receiving.LINK
        if early:
            self._take(early)
        self._stream.link_opened()

    def _take(self, data: bytes) -> None:
        self.count_received(len(data))
        # Unless there were too many.
        if self.receiving is Receiving.LINK:
            self._stream.link_data(data)
            self.check_total()

    def check_total(self) -> None:
        """
        See whether all that the peer has sent has come.
        """
        if self.total is None or self.receiving is Receiving.ENDED:
            return
        if self.received > self.total:
            self._stream.abort(Code.PROTOCOL, _TOO_MANY)
        elif self.pump is not None and self.pump.back and self.pump.check_total():
            return
        elif self.received == self.total:
            self._finish()

    def _stop_pump(self) -> None:
        if self.pump is not None:
            self.pump.stop()

    def _finish(self) -> None:
        self.receiving = Receiving.ENDED
        self._stream.ended()
