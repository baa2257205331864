"""
What C{[tuning]} says reaches the sockets of links, visitors and targets, and the
sessions.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.tcp import Connection

from reitunnel.config import TUNING_PRESETS
from reitunnel.wire.frames import HEADER_SIZE
from tests.integration.streaming import Echo, StreamTestCase, port_of, until

TCP, SOCKET = socket.IPPROTO_TCP, socket.SOL_SOCKET


class TuningTests(StreamTestCase):
    pool_size = 2

    async def connections(self, tuning: dict[str, Any]) -> dict[str, list[Connection]]:
        """
        Start with this tuning, and open a stream.

        @return: what each side has: Twisted's own transports, by what they are for.
        """
        await self.start(tuning=tuning)
        visitor, target = await self.pair(Echo)
        visitor.transport.write(b"x")
        await visitor.got(1)
        [address] = self.server.addresses
        link = port_of(address)
        public = port_of(visitor.transport.getPeer())
        dialled = port_of(target.transport.getHost())

        def found() -> dict[str, list[Connection]]:
            ends: dict[str, list[Connection]] = {
                "server's links": [],
                "client's links": [],
                "visitor": [],
                "target": [],
            }
            for each in IReactorFDSet(reactor).getReaders():
                if isinstance(each, Connection):
                    ports = port_of(each.getHost()), port_of(each.getPeer())
                    for name, index, port in (
                        ("server's links", 0, link),
                        ("client's links", 1, link),
                        ("visitor", 0, public),
                        ("target", 1, dialled),
                    ):
                        if ports[index] == port:
                            ends[name].append(each)
            return ends

        # A control link, and idle data links.
        await until(
            lambda: all(
                len(found()[name]) > self.pool_size
                for name in ("server's links", "client's links")
            )
        )
        return found()

    async def test_every_key(self) -> None:
        ends = await self.connections(
            {
                "buffer_size": 16384,
                "nodelay": False,
                "keepalive": 7,
                "send_buffer": 50_000,
                "receive_buffer": 40_000,
            }
        )
        for name, each in self.each(ends):
            get = each.getHandle().getsockopt
            self.assertEqual(self.read_size(16384, name), each.bufferSize, name)
            self.assertFalse(get(TCP, socket.TCP_NODELAY), name)
            self.assertEqual(7, get(TCP, socket.TCP_KEEPIDLE), name)
            # Linux doubles what it is told.
            self.assertIn(get(SOCKET, socket.SO_SNDBUF), (50_000, 100_000), name)
            self.assertIn(get(SOCKET, socket.SO_RCVBUF), (40_000, 80_000), name)

    async def test_defaults(self) -> None:
        ends = await self.connections({})
        for name, each in self.each(ends):
            get = each.getHandle().getsockopt
            self.assertEqual(self.read_size(65536, name), each.bufferSize, name)
            self.assertTrue(get(TCP, socket.TCP_NODELAY), name)
            self.assertEqual(30, get(TCP, socket.TCP_KEEPIDLE), name)

    async def test_preset(self) -> None:
        preset = TUNING_PRESETS["latency"]
        ends = await self.connections(dict(preset))
        for name, each in self.each(ends):
            buffer_size = preset["buffer_size"]
            self.assertEqual(self.read_size(buffer_size, name), each.bufferSize, name)
            size = each.getHandle().getsockopt(SOCKET, socket.SO_SNDBUF)
            wanted = preset["send_buffer"]
            self.assertIn(size, (wanted, 2 * wanted), name)

    async def test_session(self) -> None:
        await self.start(tuning={"buffer_size": 8192, "stream_window": 131072})
        await self.client.when_connected()
        sessions: list[Any] = [*self.server.sessions, self.client.session]
        self.assertEqual(2, len(sessions))
        for each in sessions:
            limits = each.mux.session.limits
            self.assertEqual(8192, limits.chunk + HEADER_SIZE)
            self.assertEqual(131072, limits.max_window)

    def read_size(self, buffer_size: int, name: str) -> int:
        """
        How much is read at a time: of a stream one byte less for each of a frame's
        header, so that the frame is what the other side reads.
        """
        return buffer_size if "links" in name else buffer_size - HEADER_SIZE

    def each(self, ends: dict[str, list[Connection]]) -> list[tuple[str, Connection]]:
        """
        Every connection with what it is for; there is one of each at least.
        """
        self.assertNotIn([], ends.values())
        return [(name, each) for name, found in ends.items() for each in found]
