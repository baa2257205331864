"""
Frames: the header, its limits, and a reader that turns bytes into frames.

docs/protocol.md, "Frames", is the specification.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct as Layout
from typing import Final, NamedTuple, TypeAlias

from reitunnel.errors import RemoteProtocolError

Buffer: TypeAlias = "bytes | memoryview"

_HEADER: Final = Layout(">BBII")
HEADER_SIZE: Final = _HEADER.size
MAX_PAYLOAD: Final = 1 << 20
"""The largest payload of a C{DATA} frame, in bytes."""
MAX_CONTROL_PAYLOAD: Final = 64 << 10
"""The largest payload of any other frame, in bytes."""
MAX_HANDSHAKE_PAYLOAD: Final = 16 << 10
"""The largest payload of any frame before authentication, in bytes."""
PING_SIZE: Final = 8
"""The payload of C{PING} and C{PONG}, in bytes."""


class FrameKind(IntEnum):
    """
    The kinds of frame of version 1.
    """

    HELLO = 0x01
    CHALLENGE = 0x02
    RESPONSE = 0x03
    WELCOME = 0x04
    REFUSED = 0x05
    RESUME = 0x06
    ATTACH = 0x07
    ATTACHED = 0x08
    RESUMED = 0x09

    TUNNEL_OPEN = 0x10
    TUNNEL_OPENED = 0x11
    TUNNEL_REFUSED = 0x12
    TUNNEL_CLOSE = 0x13

    STREAM_OPEN = 0x20
    STREAM_ACCEPTED = 0x21
    STREAM_RESET = 0x22
    STREAM_CLOSE = 0x23
    DATA = 0x24
    WINDOW = 0x25
    EOF = 0x26
    SWITCH = 0x27

    PING = 0x30
    PONG = 0x31
    ACK = 0x32
    GOAWAY = 0x33


class _Shape(NamedTuple):
    """
    What the header of a kind of frame must look like.
    """

    on_stream: bool
    smallest: int
    largest: int


_SHAPES: Final[dict[int, _Shape]] = {
    FrameKind.HELLO: _Shape(False, 1, MAX_HANDSHAKE_PAYLOAD),
    FrameKind.CHALLENGE: _Shape(False, 1, MAX_HANDSHAKE_PAYLOAD),
    FrameKind.RESPONSE: _Shape(False, 1, MAX_HANDSHAKE_PAYLOAD),
    FrameKind.WELCOME: _Shape(False, 1, MAX_HANDSHAKE_PAYLOAD),
    FrameKind.REFUSED: _Shape(False, 1, MAX_HANDSHAKE_PAYLOAD),
    FrameKind.RESUME: _Shape(False, 1, MAX_HANDSHAKE_PAYLOAD),
    FrameKind.ATTACH: _Shape(False, 1, MAX_HANDSHAKE_PAYLOAD),
    FrameKind.ATTACHED: _Shape(False, 1, MAX_HANDSHAKE_PAYLOAD),
    FrameKind.RESUMED: _Shape(False, 1, MAX_HANDSHAKE_PAYLOAD),
    FrameKind.TUNNEL_OPEN: _Shape(False, 1, MAX_CONTROL_PAYLOAD),
    FrameKind.TUNNEL_OPENED: _Shape(False, 1, MAX_CONTROL_PAYLOAD),
    FrameKind.TUNNEL_REFUSED: _Shape(False, 1, MAX_CONTROL_PAYLOAD),
    FrameKind.TUNNEL_CLOSE: _Shape(False, 1, MAX_CONTROL_PAYLOAD),
    FrameKind.STREAM_OPEN: _Shape(True, 1, MAX_CONTROL_PAYLOAD),
    FrameKind.STREAM_ACCEPTED: _Shape(True, 4, 4),
    FrameKind.STREAM_RESET: _Shape(True, 1, MAX_CONTROL_PAYLOAD),
    FrameKind.STREAM_CLOSE: _Shape(True, 0, 0),
    FrameKind.DATA: _Shape(True, 1, MAX_PAYLOAD),
    FrameKind.WINDOW: _Shape(True, 4, 4),
    FrameKind.EOF: _Shape(True, 0, 8),
    FrameKind.SWITCH: _Shape(True, 4, 4),
    FrameKind.PING: _Shape(False, PING_SIZE, PING_SIZE),
    FrameKind.PONG: _Shape(False, PING_SIZE, PING_SIZE),
    FrameKind.ACK: _Shape(False, 8, 8),
    FrameKind.GOAWAY: _Shape(False, 1, MAX_CONTROL_PAYLOAD),
}
_KINDS: Final[dict[int, FrameKind]] = {int(kind): kind for kind in FrameKind}


class Frame(NamedTuple):
    """
    A frame; or, for C{DATA} alone, what came of a stream's bytes without another frame
    in between: a piece of a frame, one frame, or several.

    @ivar stream: the stream's number, 0 where the frame is about none.
    @ivar payload: the payload.
    """

    kind: FrameKind
    stream: int
    payload: bytes


def largest_payload(kind: FrameKind) -> int:
    """
    Give the most bytes that the payload of a kind of frame may have.
    """
    return _SHAPES[kind].largest


def encode_header(kind: FrameKind, stream: int, length: int) -> bytes:
    """
    Encode a header for a payload of C{length} bytes.
    """
    return _HEADER.pack(kind, 0, stream, length)


def encode_frame(kind: FrameKind, stream: int = 0, payload: bytes = b"") -> bytes:
    """
    Encode a whole frame.
    """
    return _HEADER.pack(kind, 0, stream, len(payload)) + payload


class FrameReader:
    """
    Turns the bytes of a link into frames.

    It holds at most one frame other than C{DATA}, besides what it was fed:
    L{MAX_CONTROL_PAYLOAD} bytes, or C{limit} if that is less.

    @ivar limit: the largest payload taken, in bytes. It is lower while the peer
        has not authenticated.
    """

    def __init__(self, limit: int = MAX_PAYLOAD) -> None:
        self.limit = limit
        self._held = b""
        self._stream = 0
        self._remaining = 0

    def feed(self, data: bytes) -> Iterator[Frame]:
        """
        Give the frames that C{data} completes, and what it holds of C{DATA}. Exhaust
        the iterator before feeding more.

        @raise RemoteProtocolError: when a header is not one of version 1. The
            reader must not be used again.
        """
        if self._held:
            data = self._held + data
            self._held = b""
        position, end = 0, len(data)
        while True:
            if self._remaining:
                if position == end:
                    break
                payload, position = self._take_data(data, position)
                yield Frame(FrameKind.DATA, self._stream, payload)
            if end - position < HEADER_SIZE:
                break
            kind, stream, length = self._header(data, position)
            if kind is FrameKind.DATA:
                position += HEADER_SIZE
                self._stream = stream
                self._remaining = length
                continue
            stop = position + HEADER_SIZE + length
            if end < stop:
                break
            payload = data[position + HEADER_SIZE : stop]
            position = stop
            may_be_last = kind < FrameKind.TUNNEL_OPEN or kind is FrameKind.SWITCH
            if may_be_last:
                self._held = data[position:]
            yield Frame(kind, stream, payload)
            if may_be_last:
                self._held = b""
        if position < end:
            self._held = data[position:] if position else data

    def take_rest(self) -> bytes:
        """
        Take what follows the frame that L{feed} gave last: a C{SWITCH} on a data
        link, after which the bytes of the stream begin, or a frame of the handshake,
        after which a session goes on. The reader must not be used again.
        """
        rest, self._held = self._held, b""
        return rest

    def _take_data(self, data: bytes, start: int) -> tuple[bytes, int]:
        """
        Take the bytes at C{start}, in a C{DATA} frame, and those of further frames of
        the same stream: whoever gets them has less to do than with each frame by
        itself.

        @return: the bytes, and where they end.
        """
        end = len(data)
        stop = min(start + self._remaining, end)
        self._remaining -= stop - start
        if end - stop <= HEADER_SIZE:
            return data[start:stop], stop
        view = memoryview(data)
        pieces = [view[start:stop]]
        most = min(self.limit, MAX_PAYLOAD)
        while not self._remaining and end - stop > HEADER_SIZE:
            number, flags, stream, length = _HEADER.unpack_from(data, stop)
            same = number == FrameKind.DATA and not flags and stream == self._stream
            if not (same and 0 < length <= most):
                break
            start = stop + HEADER_SIZE
            stop = min(start + length, end)
            self._remaining = length - (stop - start)
            pieces.append(view[start:stop])
        return b"".join(pieces), stop

    def _header(self, data: bytes, position: int) -> tuple[FrameKind, int, int]:
        """
        Decode and check the header at C{position}.
        """
        number, flags, stream, length = _HEADER.unpack_from(data, position)
        shape = _SHAPES.get(number)
        if shape is None:
            raise RemoteProtocolError(f"unknown frame kind 0x{number:02x}")
        kind = _KINDS[number]
        if flags:
            raise RemoteProtocolError(f"{kind.name}: unknown flags 0x{flags:02x}")
        if shape.on_stream is not bool(stream):
            raise RemoteProtocolError(f"{kind.name}: not for stream {stream}")
        if not shape.smallest <= length <= min(shape.largest, self.limit):
            raise RemoteProtocolError(f"{kind.name}: a payload of {length} bytes")
        return kind, stream, length
