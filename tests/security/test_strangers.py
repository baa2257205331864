"""
Somebody who can reach the link port, and has nothing else.
"""

from __future__ import annotations

import tracemalloc
from typing import Final

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Code
from reitunnel.errors import RemoteProtocolError
from reitunnel.wire.frames import MAX_HANDSHAKE_PAYLOAD, FrameKind, encode_frame
from reitunnel.wire.messages import Hello, decode_message
from tests.memory import MemoryReactor
from tests.pair import Pair
from tests.server.raw import raw_client

MOST: Final = 256 << 10
"""What a message of a stranger may make this process hold, in bytes."""
_LIST: Final = b"\xdd\xff\xff\xff\xff"
_MAP: Final = b"\xdf\xff\xff\xff\xff"
_TEXT: Final = b"\xdb\xff\xff\xff\xff"
_BYTES: Final = b"\xc6\xff\xff\xff\xff"
_EXTENSION: Final = b"\xc9\xff\xff\xff\xff\x01"


def greeting(key: str, value: bytes) -> bytes:
    """
    Make a C{HELLO} with one odd field.
    """
    good = {"versions": [1], "instance": "x"}
    good.pop(key, None)
    fields = msgspec.msgpack.encode(good)[1:] + msgspec.msgpack.encode(key) + value
    return bytes([0x80 + len(good) + 1]) + fields


class MessageTests(SynchronousTestCase):
    """
    What a message announces costs nothing until it is there.
    """

    def check_refused(self, payload: bytes) -> None:
        self.assertLessEqual(len(payload), MAX_HANDSHAKE_PAYLOAD)
        tracemalloc.start()
        try:
            self.assertRaises(RemoteProtocolError, decode_message, Hello, payload)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(most, MOST)

    def test_announced_sizes(self) -> None:
        for key in ("versions", "instance", "capabilities", "software", "unknown"):
            for head in (_LIST, _MAP, _TEXT, _BYTES, _EXTENSION):
                self.check_refused(greeting(key, head + b"\x01" * 100))

    def test_nesting(self) -> None:
        for key in ("versions", "unknown"):
            for head in (b"\x91", b"\x81\x01"):
                size = (MAX_HANDSHAKE_PAYLOAD - 100) // len(head)
                self.check_refused(greeting(key, head * size))

    def test_many_fields(self) -> None:
        """
        Fields that nobody knows are skipped, and not kept.
        """
        fields = b"".join(
            b"\xa3" + b"%03d" % n + b"\xa9" + b"x" * 9 for n in range(999)
        )
        payload = msgspec.msgpack.encode({"versions": [1], "instance": "x"})[1:]
        hello = decode_message(Hello, b"\xde\x03\xe9" + payload + fields)
        self.assertEqual(Hello([1], "x"), hello)


class StrangerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pair = Pair().start()
        self.addCleanup(lambda: self.assertEqual([], self.pair.stop()))
        self.reactor: MemoryReactor = self.pair.reactor

    def check_turned_away(self, data: bytes) -> None:
        """
        A stranger is told no, at once, and the server's client does not notice.
        """
        stranger = raw_client(self.reactor)
        stranger.write(data)
        self.assertEqual(Code.PROTOCOL, stranger.refused()[0])
        self.assertEqual(1, len(self.pair.server.sessions))

    def test_web_page(self) -> None:
        """
        A page that has its reader's browser send requests to a port of this machine.
        """
        for request in (
            b"GET / HTTP/1.1\r\nHost: localhost:7000\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n"
            + encode_frame(FrameKind.HELLO, 0, greeting("software", b"\xa0")),
            b"OPTIONS * HTTP/1.1\r\n\r\n",
        ):
            self.check_turned_away(request)

    def test_other_protocols(self) -> None:
        for word in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
            b"\x05\x01\x00 socks",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        ):
            self.check_turned_away(word.ljust(10, b"\n"))

    def test_frames_of_a_session(self) -> None:
        """
        None of them is read before authentication, however it may be formed.
        """
        for kind in FrameKind:
            if kind not in (FrameKind.HELLO, FrameKind.ATTACH):
                for stream in (0, 2):
                    for size in (0, 1, 4, 8):
                        self.check_turned_away(encode_frame(kind, stream, bytes(size)))
