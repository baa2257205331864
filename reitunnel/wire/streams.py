"""
Streams: their states, credit and queues.

docs/protocol.md, "Streams", is the specification.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from reitunnel.errors import Code, LocalProtocolError, RemoteProtocolError
from reitunnel.wire.frames import Buffer, FrameKind

EARLY_CREDIT: Final = 16 << 10
"""Bytes that the opener may send before the stream is accepted."""
MAX_CREDIT: Final = (1 << 31) - 1
"""Credit never exceeds this many bytes."""


class Half(Enum):
    """
    What one side has said about a stream so far.
    """

    PENDING = "pending"
    """It has not accepted the stream yet."""
    OPEN = "open"
    """It sends data."""
    SWITCHED = "switched"
    """It sends data on a data link."""
    FINISHED = "finished"
    """It has sent C{EOF}."""
    ENDED = "ended"
    """It has said its last word: C{STREAM_CLOSE} or C{STREAM_RESET}."""


MOVES: Final[Mapping[tuple[Half, FrameKind], Half]] = MappingProxyType(
    {
        (Half.PENDING, FrameKind.STREAM_ACCEPTED): Half.OPEN,
        (Half.PENDING, FrameKind.STREAM_RESET): Half.ENDED,
        (Half.OPEN, FrameKind.DATA): Half.OPEN,
        (Half.OPEN, FrameKind.WINDOW): Half.OPEN,
        (Half.OPEN, FrameKind.EOF): Half.FINISHED,
        (Half.OPEN, FrameKind.STREAM_RESET): Half.ENDED,
        (Half.OPEN, FrameKind.SWITCH): Half.SWITCHED,
        (Half.SWITCHED, FrameKind.WINDOW): Half.SWITCHED,
        (Half.SWITCHED, FrameKind.EOF): Half.FINISHED,
        (Half.SWITCHED, FrameKind.STREAM_RESET): Half.ENDED,
        (Half.FINISHED, FrameKind.WINDOW): Half.FINISHED,
        (Half.FINISHED, FrameKind.SWITCH): Half.FINISHED,
        (Half.FINISHED, FrameKind.STREAM_CLOSE): Half.ENDED,
        (Half.FINISHED, FrameKind.STREAM_RESET): Half.ENDED,
    }
)
"""
The legal moves of one side. Besides, C{STREAM_CLOSE} needs the C{EOF} of the other
side; and C{SWITCH} after C{EOF}, with which nothing moves, must be the first word
about a data link: it gives the link to the other side alone.
"""


class Stream:
    """
    One side's view of one stream.

    Two halves are kept, what this side has said and what the peer has said.
    The stream is over when both have said their last word, and only then is its
    number free again.

    @ivar number: the stream's number.
    @ivar tunnel: the number of its tunnel.
    @ivar opener: whether this side opened it.
    @ivar opening: the session's own number of the C{STREAM_OPEN} that this side says.
    @ivar local: what this side has said.
    @ivar remote: what the peer has said.
    @ivar send_credit: bytes that this side may still send.
    @ivar receive_credit: bytes that the peer may still send.
    @ivar unread: bytes received and not yet consumed.
    @ivar window: the credit that this side aims to give, in bytes.
    @ivar granted_at: when this side last gave credit, in the owner's seconds.
    @ivar queued: bytes that wait to be sent.
    @ivar link: the data link that the server has given the stream, as far as this
        side knows, or 0.
    @ivar switch_queued: the data link that C{SWITCH} names once the queue is empty,
        or 0.
    @ivar blocked: whether the writer was told to wait for the queue to drain.
    @ivar listed: whether the scheduler holds it.
    @ivar deficit: bytes that it may still send in this turn.
    """

    __slots__ = (
        "blocked",
        "close_queued",
        "deficit",
        "eof_queued",
        "granted_at",
        "link",
        "listed",
        "local",
        "local_code",
        "local_reason",
        "number",
        "opener",
        "opening",
        "peer_finished",
        "queue",
        "queued",
        "receive_credit",
        "remote",
        "remote_code",
        "remote_reason",
        "said_eof",
        "send_credit",
        "switch_queued",
        "tunnel",
        "unread",
        "window",
    )

    def __init__(
        self, number: int, tunnel: int, *, opener: bool, send_credit: int, window: int
    ) -> None:
        self.number = number
        self.tunnel = tunnel
        self.opener = opener
        self.opening = 0
        self.local = Half.OPEN if opener else Half.PENDING
        self.remote = Half.PENDING if opener else Half.OPEN
        self.send_credit = send_credit
        self.receive_credit = window
        self.window = window
        self.granted_at = 0.0
        self.unread = 0
        self.queue: deque[Buffer] = deque()
        self.queued = 0
        self.eof_queued = False
        self.close_queued = False
        self.switch_queued = 0
        self.link = 0
        self.said_eof = False
        self.peer_finished = False
        self.blocked = False
        self.listed = False
        self.deficit = 0
        self.local_code = Code.NONE
        self.local_reason = ""
        self.remote_code = Code.NONE
        self.remote_reason = ""

    @property
    def over(self) -> bool:
        """
        Whether both sides have said their last word.
        """
        return self.local is Half.ENDED and self.remote is Half.ENDED

    @property
    def ready(self) -> bool:
        """
        Whether something of it can be sent now.
        """
        if self.queued:
            return self.send_credit > 0
        return self.eof_queued or bool(self.switch_queued)

    @property
    def finishable(self) -> bool:
        """
        Whether this side may say C{STREAM_CLOSE} now.
        """
        return self.local is Half.FINISHED and self.peer_finished

    @property
    def end(self) -> tuple[Code, str]:
        """
        How the stream ended, the same on both sides: in order, or with the code
        of the side that reset it; if both did, of the side that opened it.
        """
        mine = (self.local_code, self.local_reason)
        theirs = (self.remote_code, self.remote_reason)
        first, second = (mine, theirs) if self.opener else (theirs, mine)
        return second if first[0] is Code.NONE else first

    def say(self, kind: FrameKind) -> None:
        """
        Make a move on this side.

        @raise LocalProtocolError: when the move is not legal now.
        """
        move = self._move(self.local, kind, self.peer_finished)
        if move is None:
            raise LocalProtocolError(
                f"{kind.name} on stream {self.number}: this side is {self.local.value}"
            )
        self.local = move
        if kind is FrameKind.EOF:
            self.said_eof = True

    def hear(self, kind: FrameKind) -> None:
        """
        Take a move of the peer.

        @raise RemoteProtocolError: when the move is not legal now.
        """
        move = self._move(self.remote, kind, self.said_eof)
        if move is None:
            raise RemoteProtocolError(
                f"{kind.name} on stream {self.number}: the peer is {self.remote.value}"
            )
        self.remote = move
        if kind is FrameKind.EOF:
            self.peer_finished = True

    def drop_queue(self) -> None:
        """
        Forget what waits to be sent.
        """
        self.queue.clear()
        self.queued = 0
        self.eof_queued = False
        self.close_queued = False
        self.switch_queued = 0

    def take(self, limit: int) -> tuple[int, list[Buffer]]:
        """
        Take what the next C{DATA} frame carries.

        @param limit: the most bytes that the frame may carry.
        @return: the number of bytes, and the pieces that make them up.
        """
        room = size = min(limit, self.queued, self.send_credit)
        queue = self.queue
        pieces: list[Buffer] = []
        while room:
            piece = queue.popleft()
            length = len(piece)
            if length > room:
                view = memoryview(piece)
                queue.appendleft(view[room:])
                piece, length = view[:room], room
            pieces.append(piece)
            room -= length
        self.queued -= size
        self.send_credit -= size
        return size, pieces

    def _move(self, half: Half, kind: FrameKind, other_finished: bool) -> Half | None:
        """
        Find where a move of one side leads.
        """
        if kind is FrameKind.STREAM_CLOSE and not other_finished:
            return None
        if kind is FrameKind.SWITCH and half is Half.FINISHED and self.link:
            return None
        return MOVES.get((half, kind))
