"""
The journal of a session: what it has sent and the peer may not have received, so that
it can be sent again on another link.

docs/protocol.md, "Resumption", is the specification.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from reitunnel.errors import RemoteProtocolError
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.messages import encode_total

ACK_EVERY: Final = 1 << 20
"""How many bytes come, at most, before they are acknowledged."""
RESERVE: Final = 4 << 20
"""
How far beyond the bound frames other than C{DATA} may go. Beyond that only C{ACK} is
sent: without it two sides could wait for each other.
"""
_SMALL: Final = 1 << 10
"""Fewer bytes than these are kept together with others."""


class Journal:
    """
    The bytes of a session in both directions, over all of its links: how many there
    were, and those of them that this side may have to send again.

    @ivar sent: how many bytes this side has sent.
    @ivar acknowledged: how many of them the peer is known to have.
    @ivar room: how many more bytes of C{DATA} may be sent before more is acknowledged.
        Without room other frames may be sent until L{RESERVE} is used up too, and
        C{ACK} always.
    @ivar replaying: what is to be sent again, before anything else: L{replay} gives it.
    @ivar received: how many bytes this side has received; the owner keeps it.
    @ivar acknowledge_at: when so many are received, L{acknowledgement} is to be sent.
    """

    def __init__(self, limit: int) -> None:
        """
        @param limit: how many bytes that are not acknowledged stop C{DATA}.
        """
        self.sent = 0
        self.acknowledged = 0
        self.room = limit
        self.replaying: deque[bytes] = deque()
        self.received = 0
        self.acknowledge_at = ACK_EVERY
        self._pieces: deque[bytes] = deque()
        # Where the first of the pieces begins.
        self._start = 0
        self._told = 0
        self._heard = 0

    # What this side sends.

    def append(self, data: bytes) -> None:
        """
        Note bytes that are sent now, and keep them.
        """
        size, pieces = len(data), self._pieces
        if size < _SMALL and pieces and len(pieces[-1]) < _SMALL:
            # Many objects of few bytes would take several times as much memory.
            pieces[-1] += data
        else:
            pieces.append(data)
        self.sent += size
        self.room -= size

    def acknowledge_soon(self) -> None:
        """
        Acknowledge what is received, as soon as it is more than the peer was told.
        """
        self.acknowledge_at = self._told + 1

    def acknowledgement(self) -> bytes:
        """
        Give the C{ACK} of all that is received.
        """
        self._tell()
        return encode_total(FrameKind.ACK, 0, self.received)

    # What the peer has received.

    def hear(self, total: int) -> None:
        """
        Take an C{ACK} of the peer. One that was said before the link was lost may
        come after the peer has said more on the next one.

        @raise RemoteProtocolError: when the peer cannot have received so much, or
            has said before that it has received more.
        """
        if not self._heard <= total <= self.sent:
            raise RemoteProtocolError(
                f"ACK: {total} bytes, of {self.sent}, after {self._heard}"
            )
        self._heard = total
        self._release(total)

    def can_resume(self, total: int) -> bool:
        """
        Whether this side can go on after the peer's first C{total} bytes.
        """
        return self.acknowledged <= total <= self.sent

    def resume(self, total: int) -> None:
        """
        Go on, on another link, after the first C{total} bytes, for which
        L{can_resume} holds. The peer is told elsewhere how many this side has received.
        """
        self._release(total)
        self._tell()
        self.replaying = deque(self._pieces)
        skip = total - self._start
        if skip:
            self.replaying[0] = self.replaying[0][skip:]

    def replay(self, budget: int) -> bytes:
        """
        Take what is to be sent again next: about C{budget} bytes.
        """
        pieces: list[bytes] = []
        while self.replaying and budget > 0:
            piece = self.replaying.popleft()
            pieces.append(piece)
            budget -= len(piece)
        return b"".join(pieces)

    def clear(self) -> None:
        """
        Keep nothing any more: the session is over.
        """
        self._pieces.clear()
        self.replaying.clear()

    def _tell(self) -> None:
        self._told = self.received
        self.acknowledge_at = self._told + ACK_EVERY

    def _release(self, total: int) -> None:
        if total <= self.acknowledged:
            return
        self.room += total - self.acknowledged
        self.acknowledged = total
        pieces, start = self._pieces, self._start
        while pieces and start + len(pieces[0]) <= total:
            start += len(pieces.popleft())
        self._start = start
