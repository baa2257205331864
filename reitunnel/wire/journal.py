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

ACK_EVERY: Final = 256 << 10
"""How many bytes come, at most, before they are acknowledged."""
_RESERVE: Final = 4 << 20
"""
How far beyond the bound frames other than C{DATA} may go. Beyond that only C{ACK} is
sent: without it two sides could wait for each other.
"""


class Journal:
    """
    The bytes of a session in both directions, over all of its links: how many there
    were, and those of them that this side may have to send again.

    @ivar limit: how many bytes that are not acknowledged stop C{DATA}.
    @ivar sent: how many bytes this side has sent.
    @ivar acknowledged: how many of them the peer is known to have.
    @ivar received: how many bytes this side has received; the owner keeps it.
    @ivar due: whether what was received is to be acknowledged soon.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.sent = 0
        self.acknowledged = 0
        self.received = 0
        self.due = False
        self._pieces: deque[bytes] = deque()
        # Where the first of the pieces begins.
        self._start = 0
        self._again: deque[bytes] = deque()
        self._told = 0
        self._heard = 0

    @property
    def full(self) -> bool:
        """
        Whether no more C{DATA} may be sent before more is acknowledged.
        """
        return self.sent - self.acknowledged >= self.limit

    @property
    def choked(self) -> bool:
        """
        Whether nothing but C{ACK} may be sent.
        """
        return self.sent - self.acknowledged >= self.limit + _RESERVE

    @property
    def replaying(self) -> bool:
        """
        Whether something is to be sent again, before anything else.
        """
        return bool(self._again)

    # What this side sends.

    def append(self, data: bytes) -> None:
        """
        Note bytes that are sent now, and keep them.
        """
        self._pieces.append(data)
        self.sent += len(data)

    def acknowledgement(self) -> bytes:
        """
        Give the C{ACK} that is to be sent now, if any: when it is due, or when
        much has come since the last one.
        """
        unsaid = self.received - self._told
        if unsaid < ACK_EVERY and not (self.due and unsaid):
            return b""
        self.due = False
        self._told = self.received
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
        self._told = self.received
        self._again = deque(self._pieces)
        skip = total - self._start
        if skip:
            self._again[0] = self._again[0][skip:]

    def replay(self, budget: int) -> bytes:
        """
        Take what is to be sent again next: about C{budget} bytes.
        """
        pieces: list[bytes] = []
        while self._again and budget > 0:
            piece = self._again.popleft()
            pieces.append(piece)
            budget -= len(piece)
        return b"".join(pieces)

    def clear(self) -> None:
        """
        Keep nothing any more: the session is over.
        """
        self._pieces.clear()
        self._again.clear()

    def _release(self, total: int) -> None:
        if total <= self.acknowledged:
            return
        self.acknowledged = total
        pieces, start = self._pieces, self._start
        while pieces and start + len(pieces[0]) <= total:
            start += len(pieces.popleft())
        self._start = start
