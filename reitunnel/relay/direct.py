"""
The direct carrier: a stream that goes on on a data link of its own.

docs/protocol.md, "Data links", is the specification.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol as Structural

from twisted.python.failure import Failure

from reitunnel.errors import Code
from reitunnel.relay.data_link import DataLink


class Sending(Enum):
    """
    Where this side sends.
    """

    MUX = "mux"
    """On the control link."""
    ASKED = "asked"
    """On the control link goes what was queued; what is written waits."""
    LINK = "link"
    """On the data link."""
    ENDED = "ended"
    """Nothing any more."""


class DirectStream(Structural):
    """
    What a stream's transport does with its data link.
    """

    def link_data(self, data: bytes) -> None:
        """
        Bytes came on the data link, after all that came on the control link.
        """

    def link_eof(self) -> None:
        """
        All that the peer has sent on the data link has come.
        """

    def link_full(self) -> None:
        """
        The data link has no room.
        """

    def link_writable(self) -> None:
        """
        The data link has room again.
        """

    def link_began(self) -> None:
        """
        This side sends on the data link now.
        """

    def abort(self, code: Code, reason: str = "") -> None:
        """
        Reset the stream with a code.
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
    @ivar receiving: whether the peer has switched, and said so on both links.
    @ivar sent: bytes sent on the data link.
    @ivar received: bytes received on the data link.
    """

    def __init__(self, stream: DirectStream, data_link: DataLink) -> None:
        self.data_link = data_link
        self.sending = Sending.MUX
        self.sent = 0
        self.received = 0
        self._stream = stream
        self._told = False
        self._begun = False
        self._waiting: list[bytes] = []
        self._early: list[bytes] = []
        self._total: int | None = None
        self._complete = False

    @property
    def receiving(self) -> bool:
        """
        Whether the peer has switched, and said so on both links.
        """
        return self._told and self._begun

    @property
    def takes_writes(self) -> bool:
        """
        Whether this side's bytes go here, and not to the control link.
        """
        return self.sending is not Sending.MUX

    # What this side does.

    def write(self, data: bytes) -> None:
        """
        Send bytes, or keep them until the switch has gone out.
        """
        if self.sending is Sending.LINK:
            self.sent += len(data)
            self.data_link.link.transport.write(data)
        elif self.sending is Sending.ASKED:
            self._waiting.append(data)

    def went_out(self) -> None:
        """
        The switch has gone out on the control link.
        """
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

    def close(self, *, in_order: bool) -> None:
        """
        The stream is over.
        """
        self.sending = Sending.ENDED
        self._complete = True
        if in_order:
            self.data_link.close()
        else:
            self.data_link.abort()

    # What the control link tells.

    def peer_switched(self) -> None:
        """
        The peer has said on the control link that it goes on here.
        """
        self._told = True
        self._deliver_early()

    def peer_finished(self, total: int) -> None:
        """
        The peer sends no more, and has sent C{total} bytes here.
        """
        self._total = total
        self._check_total()

    # What the data link tells.

    def raw_began(self) -> None:
        """
        The peer goes on here.
        """
        self._begun = True
        self._deliver_early()

    def raw_received(self, data: bytes) -> None:
        """
        Bytes of the stream came.
        """
        if not self._told:
            self._early.append(data)
            self.data_link.link.pause_reading()
            return
        self.count_received(len(data))
        self._stream.link_data(data)
        self._check_total()

    def raw_lost(self, reason: Failure) -> None:
        """
        The data link is gone: that matters unless all that it had to carry was
        carried.
        """
        if self._complete and self.sending is Sending.ENDED:
            return
        self._stream.abort(Code.LINK_LOST, "the data link was lost")

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
        if self._total is not None and self.received > self._total:
            self._stream.abort(Code.PROTOCOL, "more bytes than were announced")

    # The parts.

    def _deliver_early(self) -> None:
        if self.receiving and self._early:
            early, self._early = self._early, []
            self.data_link.link.resume_reading()
            for data in early:
                self.raw_received(data)

    def _check_total(self) -> None:
        if self._total == self.received and not self._complete:
            self._complete = True
            self._stream.link_eof()
