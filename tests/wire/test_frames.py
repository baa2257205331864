"""
Tests of L{reitunnel.wire.frames}.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from struct import pack

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code, RemoteProtocolError
from reitunnel.wire.frames import (
    HEADER_SIZE,
    MAX_CONTROL_PAYLOAD,
    MAX_HANDSHAKE_PAYLOAD,
    MAX_PAYLOAD,
    Frame,
    FrameKind,
    FrameReader,
    encode_frame,
    encode_header,
)
from tests.wire.search import examples

HANDSHAKE = (
    FrameKind.HELLO,
    FrameKind.CHALLENGE,
    FrameKind.RESPONSE,
    FrameKind.WELCOME,
    FrameKind.REFUSED,
    FrameKind.RESUME,
    FrameKind.ATTACH,
    FrameKind.ATTACHED,
)
TUNNELS = (
    FrameKind.TUNNEL_OPEN,
    FrameKind.TUNNEL_OPENED,
    FrameKind.TUNNEL_REFUSED,
    FrameKind.TUNNEL_CLOSE,
)
# What docs/protocol.md says of each kind: whether it is about a stream, and the
# least and the most bytes of its payload.
SHAPES: dict[FrameKind, tuple[bool, int, int]] = {
    **dict.fromkeys(HANDSHAKE, (False, 1, 16384)),
    **dict.fromkeys(TUNNELS, (False, 1, 65536)),
    FrameKind.STREAM_OPEN: (True, 1, 65536),
    FrameKind.STREAM_ACCEPTED: (True, 4, 4),
    FrameKind.STREAM_RESET: (True, 1, 65536),
    FrameKind.STREAM_CLOSE: (True, 0, 0),
    FrameKind.DATA: (True, 1, 1048576),
    FrameKind.WINDOW: (True, 4, 4),
    FrameKind.EOF: (True, 0, 8),
    FrameKind.SWITCH: (True, 4, 4),
    FrameKind.PING: (False, 8, 8),
    FrameKind.PONG: (False, 8, 8),
    FrameKind.ACK: (False, 8, 8),
    FrameKind.RESUMED: (False, 1, 16384),
    FrameKind.GOAWAY: (False, 1, 65536),
}

Plain = tuple[FrameKind, int, bytes]


@st.composite
def frames(draw: st.DrawFn) -> Plain:
    """
    Any frame of version 1; the payloads mean nothing.
    """
    kind = draw(st.sampled_from(FrameKind))
    on_stream, smallest, largest = SHAPES[kind]
    stream = draw(st.integers(1, 0xFFFFFFFF)) if on_stream else 0
    most = min(largest, smallest + 300)
    return kind, stream, draw(st.binary(min_size=smallest, max_size=most))


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """
    Cut bytes into chunks of these sizes, over and over.
    """
    chunks = []
    while data:
        for size in sizes:
            chunks.append(data[:size])
            data = data[size:]
    return chunks


def read_all(reader: FrameReader, chunks: list[bytes]) -> list[Frame]:
    """
    Feed a reader.
    """
    return [frame for chunk in chunks for frame in reader.feed(chunk)]


def joined(frames: Iterable[Frame | Plain]) -> list[Plain]:
    """
    Join the bytes of each stream that have no other frame in between.
    """
    result: list[Plain] = []
    for kind, stream, payload in frames:
        if result and kind is FrameKind.DATA and result[-1][:2] == (kind, stream):
            result.append((kind, stream, result.pop()[2] + payload))
        else:
            result.append((kind, stream, payload))
    return result


class RoundTripTests(SynchronousTestCase):
    @examples(200)
    @given(st.lists(frames(), max_size=8), st.lists(st.integers(1, 40), min_size=1))
    def test_any_chunks(self, sent: list[Plain], sizes: list[int]) -> None:
        """
        What is encoded is read, however the bytes are cut.
        """
        data = b"".join(encode_frame(*frame) for frame in sent)
        read = read_all(FrameReader(), cut(data, sizes))
        self.assertEqual(joined(sent), joined(read))

    def test_layout(self) -> None:
        self.assertEqual(
            bytes.fromhex("24 00 0a0b0c0d 00000003") + b"abc",
            encode_frame(FrameKind.DATA, 0x0A0B0C0D, b"abc"),
        )
        self.assertEqual(
            bytes.fromhex("26 00 00000002 00000000"), encode_header(FrameKind.EOF, 2, 0)
        )
        self.assertEqual(10, HEADER_SIZE)

    def test_every_kind_has_a_shape(self) -> None:
        """
        The smallest and the largest payload of each kind is taken.
        """
        self.assertEqual(set(FrameKind), set(SHAPES))
        for kind, (on_stream, smallest, largest) in SHAPES.items():
            for size in {smallest, largest}:
                sent = (kind, int(on_stream), bytes(size))
                read = read_all(FrameReader(), [encode_frame(*sent)])
                self.assertEqual([sent], joined(read))


class DataPiecesTests(SynchronousTestCase):
    def test_pieces_come_as_they_are_read(self) -> None:
        reader = FrameReader()
        data = encode_frame(FrameKind.DATA, 2, b"abcdef")
        self.assertEqual([], list(reader.feed(data[:10])))
        self.assertEqual(
            [Frame(FrameKind.DATA, 2, b"ab")], list(reader.feed(data[10:12]))
        )
        self.assertEqual(
            [Frame(FrameKind.DATA, 2, b"cdef"), Frame(FrameKind.EOF, 2, b"")],
            list(reader.feed(data[12:] + encode_frame(FrameKind.EOF, 2))),
        )

    def test_frames_of_one_stream_are_joined(self) -> None:
        """
        What one read brings of a stream comes at once, halves of frames included.
        """
        reader = FrameReader()
        data = b"".join(
            encode_frame(FrameKind.DATA, 2, bytes([n] * 3)) for n in b"abcd"
        )
        list(reader.feed(data[:11]))
        self.assertEqual(
            [Frame(FrameKind.DATA, 2, b"aabbbcccd")], list(reader.feed(data[11:50]))
        )
        self.assertEqual(
            [Frame(FrameKind.DATA, 2, b"dd")], list(reader.feed(data[50:]))
        )

    def test_others_are_not(self) -> None:
        """
        The order of streams, and of what else is said, stays.
        """
        sent = [
            Frame(FrameKind.DATA, 2, b"a"),
            Frame(FrameKind.DATA, 4, b"b"),
            Frame(FrameKind.PING, 0, bytes(8)),
            Frame(FrameKind.DATA, 4, b"c"),
            Frame(FrameKind.EOF, 4, b""),
            Frame(FrameKind.DATA, 2, b"d"),
        ]
        data = b"".join(encode_frame(*frame) for frame in sent)
        self.assertEqual(sent, list(FrameReader().feed(data)))

    def test_bad_frame_after_good_ones(self) -> None:
        """
        What is good is given first, and nothing of a frame that is not.
        """
        good = encode_frame(FrameKind.DATA, 2, b"good")
        for bad in (
            pack(">BBII", FrameKind.DATA, 1, 2, 3),
            pack(">BBII", FrameKind.DATA, 0, 0, 3),
            pack(">BBII", FrameKind.DATA, 0, 2, 0),
            pack(">BBII", FrameKind.DATA, 0, 2, MAX_PAYLOAD + 1),
            pack(">BBII", 0xFF, 0, 2, 3),
        ):
            read = FrameReader().feed(good + good + bad + b"bad")
            self.assertEqual(Frame(FrameKind.DATA, 2, b"goodgood"), next(read))
            self.assertRaises(RemoteProtocolError, next, read)

    def test_limit_of_joined_frames(self) -> None:
        read = FrameReader(5).feed(encode_frame(FrameKind.DATA, 2, b"12345") * 3)
        self.assertEqual(b"12345" * 3, next(read).payload)
        read = FrameReader(5).feed(
            encode_frame(FrameKind.DATA, 2, b"12345")
            + encode_frame(FrameKind.DATA, 2, b"123456")
        )
        self.assertEqual(b"12345", next(read).payload)
        self.assertRaises(RemoteProtocolError, next, read)

    def test_whole_read_is_not_copied(self) -> None:
        reader = FrameReader()
        list(reader.feed(encode_header(FrameKind.DATA, 2, 100000)))
        data = bytes(65536)
        (frame,) = reader.feed(data)
        self.assertIs(data, frame.payload)


class RefusalTests(SynchronousTestCase):
    """
    Every way in which a header can be wrong.
    """

    def refuse(self, header: bytes, reason: str, limit: int = MAX_PAYLOAD) -> None:
        """
        A header is refused as soon as it is there, before its payload.
        """
        reader = FrameReader(limit)
        self.assertEqual([], list(reader.feed(header[:-1])))
        error = self.assertRaises(RemoteProtocolError, list, reader.feed(header[-1:]))
        self.assertEqual((Code.PROTOCOL, reason), (error.code, error.reason))

    def test_unknown_kinds(self) -> None:
        for number in set(range(256)) - set(FrameKind):
            self.refuse(
                pack(">BBII", number, 0, 0, 8), f"unknown frame kind 0x{number:02x}"
            )

    def test_flags(self) -> None:
        for kind, (on_stream, smallest, _) in SHAPES.items():
            for bit in range(8):
                self.refuse(
                    pack(">BBII", kind, 1 << bit, on_stream, smallest),
                    f"{kind.name}: unknown flags 0x{1 << bit:02x}",
                )

    def test_stream_where_none_may_be(self) -> None:
        for kind, (on_stream, smallest, _) in SHAPES.items():
            stream = 0 if on_stream else 7
            self.refuse(
                pack(">BBII", kind, 0, stream, smallest),
                f"{kind.name}: not for stream {stream}",
            )

    def test_size(self) -> None:
        for kind, (on_stream, smallest, largest) in SHAPES.items():
            for size in {max(smallest - 1, 0), largest + 1, 0xFFFFFFFF} - {smallest}:
                self.refuse(
                    pack(">BBII", kind, 0, on_stream, size),
                    f"{kind.name}: a payload of {size} bytes",
                )

    def test_limit(self) -> None:
        self.refuse(
            encode_header(FrameKind.DATA, 1, 101), "DATA: a payload of 101 bytes", 100
        )

    def test_limit_can_be_raised_between_two_frames(self) -> None:
        """
        Of one read, the frames after the last of the handshake may be larger.
        """
        reader = FrameReader(MAX_HANDSHAKE_PAYLOAD)
        data = encode_frame(FrameKind.WELCOME, 0, b"x")
        data += encode_frame(FrameKind.DATA, 2, bytes(MAX_HANDSHAKE_PAYLOAD + 1))
        frames = reader.feed(data)
        next(frames)
        reader.limit = MAX_PAYLOAD
        self.assertEqual(FrameKind.DATA, next(frames).kind)

    def test_frames_before_the_bad_one_are_given(self) -> None:
        frames = FrameReader().feed(encode_frame(FrameKind.EOF, 2) + bytes(10))
        self.assertEqual(FrameKind.EOF, next(frames).kind)
        self.assertRaises(RemoteProtocolError, next, frames)


class RestTests(SynchronousTestCase):
    """
    What follows C{SWITCH} on a data link are no frames.
    """

    switch = encode_frame(FrameKind.SWITCH, 2, bytes(4))

    def test_rest(self) -> None:
        ping = encode_frame(FrameKind.PING, 0, bytes(8))
        reader = FrameReader()
        read = reader.feed(ping + self.switch + b"bytes of the stream")
        kinds = [next(read).kind, next(read).kind]
        self.assertEqual([FrameKind.PING, FrameKind.SWITCH], kinds)
        self.assertEqual(b"bytes of the stream", reader.take_rest())

    def test_in_any_chunks(self) -> None:
        data = self.switch + b"bytes"
        for size in range(1, len(data)):
            reader, chunks = FrameReader(), cut(data, [size])
            while not list(islice(reader.feed(chunks.pop(0)), 1)):
                pass
            self.assertEqual(b"bytes", reader.take_rest() + b"".join(chunks))

    def test_nothing_follows(self) -> None:
        reader = FrameReader()
        next(reader.feed(self.switch))
        self.assertEqual(b"", reader.take_rest())

    def test_frames_may_follow(self) -> None:
        """
        On a control link they do; half of one, too.
        """
        eof = encode_frame(FrameKind.EOF, 2)
        reader = FrameReader()
        for data in (self.switch + eof[:4], eof[4:] + self.switch + eof):
            kinds = [frame.kind for frame in reader.feed(data)]
        expected = [FrameKind.EOF, FrameKind.SWITCH, FrameKind.EOF]
        self.assertEqual(expected, kinds)


class ArbitraryBytesTests(SynchronousTestCase):
    def read(self, chunks: list[bytes]) -> None:
        """
        Whatever comes is frames within their limits, or the protocol error.
        """
        reader, fed, given = FrameReader(), 0, 0
        try:
            for chunk in chunks:
                fed += len(chunk)
                for frame in reader.feed(chunk):
                    on_stream, smallest, largest = SHAPES[frame.kind]
                    self.assertEqual(on_stream, bool(frame.stream))
                    size = len(frame.payload)
                    if frame.kind is not FrameKind.DATA:
                        self.assertTrue(smallest <= size <= largest)
                    given += size
        except RemoteProtocolError:
            pass
        self.assertTrue(given <= fed)

    @examples(200)
    @given(st.lists(st.binary(max_size=60), max_size=6))
    def test_arbitrary(self, chunks: list[bytes]) -> None:
        self.read(chunks)

    @examples(200)
    @given(st.lists(frames(), min_size=1, max_size=6), st.data())
    def test_mutated(self, sent: list[Plain], data: st.DataObject) -> None:
        """
        Bytes of good frames with some changed, removed and added.
        """
        stream = bytearray(b"".join(encode_frame(*frame) for frame in sent))
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(stream)))
            stream[place : place + data.draw(st.integers(0, 3))] = data.draw(
                st.binary(max_size=3)
            )
        sizes = data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=5))
        self.read(cut(bytes(stream), sizes))


class MemoryTests(SynchronousTestCase):
    """
    A reader holds one frame that is not C{DATA}, and no more.
    """

    def held(self, reader: FrameReader, data: bytes, size: int = 1000) -> int:
        """
        Feed bytes.

        @return: the most bytes that did not come out again at any time.
        """
        most = fed = given = 0
        for chunk in cut(data, [size]):
            fed += len(chunk)
            for frame in reader.feed(chunk):
                given += len(frame.payload) + HEADER_SIZE
            most = max(most, fed - given)
        return most

    def test_control(self) -> None:
        frame = encode_frame(FrameKind.GOAWAY, 0, bytes(MAX_CONTROL_PAYLOAD))
        most = self.held(FrameReader(), frame * 3)
        self.assertTrue(most <= HEADER_SIZE + MAX_CONTROL_PAYLOAD, most)

    def test_handshake(self) -> None:
        frame = encode_frame(FrameKind.HELLO, 0, bytes(MAX_HANDSHAKE_PAYLOAD))
        most = self.held(FrameReader(MAX_HANDSHAKE_PAYLOAD), frame * 3)
        self.assertTrue(most <= HEADER_SIZE + MAX_HANDSHAKE_PAYLOAD, most)

    def test_data(self) -> None:
        """
        Of C{DATA}, only a header is ever held.
        """
        reader, fed, given = FrameReader(), 0, 0
        for chunk in cut(encode_frame(FrameKind.DATA, 2, bytes(MAX_PAYLOAD)), [7777]):
            fed += len(chunk)
            given += sum(len(frame.payload) for frame in reader.feed(chunk))
            self.assertEqual(fed - HEADER_SIZE, given)
