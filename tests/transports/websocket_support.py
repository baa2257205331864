"""
What the tests of WebSocket channels have in common.
"""

from __future__ import annotations

import struct

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.transports import LinkURL
from reitunnel.transports.masking import apply_mask
from reitunnel.transports.websocket_client import LinkClientFactory
from reitunnel.transports.websocket_server import LinkServerFactory
from tests.transports.support import Recorder, RecorderFactory, Wire

URL = LinkURL.parse("ws://example.com/link")

REQUEST = (
    b"GET /link HTTP/1.1\r\n"
    b"Host: example.com\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: reitunnel.1\r\n"
    b"\r\n"
)

MASK = b"\x11\x22\x33\x44"


def frame(
    payload: bytes, *, opcode: int = 2, fin: bool = True, mask: bytes | None = MASK
) -> bytes:
    """
    Make a frame by hand.

    @param mask: L{None} leaves it unmasked, as servers do.
    """
    size = len(payload)
    bit = 0 if mask is None else 0x80
    head = bytes([opcode | (0x80 if fin else 0)])
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += struct.pack("!BH", bit | 126, size)
    else:
        head += struct.pack("!BQ", bit | 127, size)
    if mask is None:
        return head + payload
    return head + mask + masked(payload, mask)


def masked(payload: bytes, mask: bytes) -> bytes:
    """
    Mask a payload, or take the mask off.
    """
    changed = bytearray(payload)
    apply_mask(mask, memoryview(changed))
    return bytes(changed)


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """
    Take frames apart by hand: opcode and payload of each.
    """
    found = []
    while data:
        opcode, size, start = data[0] & 0x0F, data[1] & 0x7F, 2
        if size == 126:
            [size], start = struct.unpack_from("!H", data, 2), 4
        elif size == 127:
            [size], start = struct.unpack_from("!Q", data, 2), 10
        mask = b""
        if data[1] & 0x80:
            mask, start = data[start : start + 4], start + 4
        payload = data[start : start + size]
        if mask:
            payload = masked(payload, mask)
        found.append((opcode, payload))
        data = data[start + size :]
    return found


class PairTestCase(SynchronousTestCase):
    """
    A test of two channels that are connected to each other.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.server_factory = RecorderFactory()
        self.client_factory = RecorderFactory()

    def connect(self, path: str | None = "/link") -> None:
        """
        Connect a client's channel and a server's.
        """
        server = LinkServerFactory(self.server_factory, self.clock, 10, path)
        client = LinkClientFactory(self.client_factory, self.clock, 10, URL)
        address = StringTransport().getPeer()
        self.server_channel = server.buildProtocol(address)
        self.client_channel = client.buildProtocol(address)
        self.wire = Wire(self.server_channel, self.client_channel)

    def open(self) -> tuple[Recorder, Recorder]:
        """
        The same, with the handshake done.

        @return: the protocols of the server and of the client.
        """
        self.connect()
        self.wire.pump()
        [server], [client] = self.server_factory.built, self.client_factory.built
        return server, client
