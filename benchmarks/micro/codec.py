"""
The codec: frames to bytes, and bytes to frames.
"""

from __future__ import annotations

from collections import deque

from benchmarks.micro.cases import Case, Cases, repeat
from reitunnel.wire.frames import FrameKind, FrameReader, encode_frame, encode_header
from reitunnel.wire.messages import (
    StreamOpen,
    decode_message,
    encode_message,
    encode_number,
)

_CHUNK = bytes(64 << 10)
_WORD = bytes(64)
_MANY = 100


def _feed(data: bytes, *, pieces: int = 1, frames: int = 1) -> Case:
    """
    Read frames out of bytes that come in pieces.
    """
    size = -(-len(data) // pieces)
    parts = [data[place : place + size] for place in range(0, len(data), size)]
    reader = FrameReader()

    def feed() -> None:
        for part in parts:
            # Nothing is done with the frames.
            deque(reader.feed(part), maxlen=0)

    return repeat(feed, frames)


def cases() -> Cases:
    """
    Give the cases.
    """
    chunk = encode_frame(FrameKind.DATA, 2, _CHUNK)
    words = encode_frame(FrameKind.DATA, 2, _WORD) * _MANY
    windows = encode_number(FrameKind.WINDOW, 2, 65536) * _MANY
    opened = StreamOpen(1, 262144, "198.51.100.7", 40000)
    (frame,) = FrameReader().feed(encode_message(FrameKind.STREAM_OPEN, opened, 2))
    return {
        "encode the header of DATA": repeat(
            lambda: encode_header(FrameKind.DATA, 2, 65536)
        ),
        "encode WINDOW": repeat(lambda: encode_number(FrameKind.WINDOW, 2, 65536)),
        "encode STREAM_OPEN": repeat(
            lambda: encode_message(FrameKind.STREAM_OPEN, opened, 2)
        ),
        "decode STREAM_OPEN": repeat(lambda: decode_message(StreamOpen, frame.payload)),
        "feed DATA of 64 KiB": _feed(chunk),
        "feed DATA of 64 KiB in 4 reads": _feed(chunk, pieces=4),
        "feed DATA of 64 B": _feed(words, frames=_MANY),
        "feed WINDOW": _feed(windows, frames=_MANY),
    }
