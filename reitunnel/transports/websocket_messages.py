"""
Takes binary messages off the bytes that were read from a WebSocket.
"""

from __future__ import annotations

from reitunnel.transports.masking import apply_mask, mask_after
from reitunnel.transports.websocket_frames import NoHead, read_head

Buffer = bytes | memoryview


class MessageReader:
    """
    Reads whole binary messages, in one pass over all that is there. Whatever else a
    peer may send is left to others.

    @ivar missing: how many bytes of the message that has begun have not come yet.
    @ivar mask: their mask; empty if they have none.
    """

    __slots__ = ("_masked", "mask", "missing")

    def __init__(self, *, masked: bool) -> None:
        """
        @param masked: whether the peer masks what it sends: clients do.
        """
        self.missing = 0
        self.mask = b""
        self._masked = masked

    def take(self, data: bytes) -> tuple[bytes, bytes, bool]:
        """
        Take messages, and pieces of them, off what was read.

        @return: all that is in them; what is left of C{data}; and whether there is
            something else in front of that, which is not a binary message, or is
            wrong. If not, more has to come before anything can be said of it.
        """
        view = memoryview(data)
        size = len(data)
        position = 0
        pieces: list[Buffer] = []
        masked, foreign = self._masked, False
        while position < size:
            if not self.missing:
                head = read_head(data, position, masked=masked)
                if isinstance(head, NoHead):
                    foreign = head is not NoHead.INCOMPLETE
                    break
                position, self.missing, self.mask = head
            stop = min(size, position + self.missing)
            piece = view[position:stop]
            pieces.append(self.unmask(piece) if masked else piece)
            self.missing -= stop - position
            position = stop
        return b"".join(pieces), data[position:], foreign

    def unmask(self, data: Buffer) -> bytes:
        """
        Take the mask off the next bytes of a message.
        """
        plain = bytearray(data)
        apply_mask(self.mask, memoryview(plain))
        self.mask = mask_after(self.mask, len(plain))
        return bytes(plain)
