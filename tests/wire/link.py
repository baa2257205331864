"""
One end of a link, made by hand: it keeps the frames that come, and says what it likes.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, TypeVar

from msgspec import Struct
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from reitunnel.interfaces import ILinkTransport
from reitunnel.wire.frames import Frame, FrameKind, FrameReader, encode_frame
from reitunnel.wire.messages import decode_message, encode_message
from tests.memory import MemoryReactor

_Message = TypeVar("_Message", bound=Struct)


class HandMadeLink(Protocol):
    """
    Sends frames, and keeps those that come.

    @cvar overlooked: the kinds of frames that come at any time and are not looked at.
    @ivar frames: what came and was not yet looked at.
    @ivar lost: why the link is gone; L{None} while it is there.
    """

    transport: ILinkTransport
    overlooked: ClassVar[Collection[FrameKind]] = (FrameKind.PING, FrameKind.PONG)

    def __init__(self, reactor: MemoryReactor) -> None:
        self.frames: list[Frame] = []
        self.lost: Failure | None = None
        self.reactor = reactor
        self._reader = FrameReader()

    def dataReceived(self, data: bytes) -> None:
        """
        Keep the frames.
        """
        self.frames += self._reader.feed(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Remember why.
        """
        self.lost = reason

    def send(
        self, kind: FrameKind, payload: bytes | Struct = b"", stream: int = 0
    ) -> None:
        """
        Send a frame; nothing follows until the reactor runs.
        """
        if isinstance(payload, Struct):
            self.transport.write(encode_message(kind, payload, stream))
        else:
            self.transport.write(encode_frame(kind, stream, payload))

    def take(self, kind: FrameKind, message: type[_Message]) -> _Message:
        """
        Take the next frame that is to be looked at, which is of this kind.
        """
        frame = self.frames.pop(0)
        while frame.kind in self.overlooked:
            frame = self.frames.pop(0)
        if frame.kind is not kind:
            raise AssertionError(f"{frame} came, not {kind.name}")
        return decode_message(message, frame.payload)
