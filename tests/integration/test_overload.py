"""
Servers that are given more than they take: whatever it is, those who are served
already do not notice, and who comes later is served.

Each test has a client with a tunnel to an echo, and a visitor who talks through it all
the time.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    connectProtocol,
)
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import LoopingCall, deferLater
from twisted.python.failure import Failure

from reitunnel.auth.exchange import ANONYMOUS
from reitunnel.interfaces import IHalfCloseTransport
from reitunnel.wire.frames import FrameKind, FrameReader, encode_frame
from reitunnel.wire.messages import Hello, Response, TunnelOpen, encode_message
from tests.integration.processes import reactor
from tests.integration.programs.cases import TunnelTestCase
from tests.integration.programs.deployment import SERVER, TLS
from tests.integration.streaming import Echo, Programs, port_of, until

_FEW_DESCRIPTORS = 120
_OTHER = "127.0.0.2"
"""Another address of this machine."""
_LIMITED = (
    "import resource, os, sys\n"
    "resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2)\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)
"""Runs a program that can have but a few descriptors."""


class Line(Protocol):
    """
    A connection that says what it is told to, and keeps what comes.

    @ivar received: what came.
    @ivar lost: fires when it is lost.
    """

    transport: IHalfCloseTransport

    def __init__(self) -> None:
        self.received = bytearray()
        self.lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)

    def frames(self) -> list[FrameKind]:
        """
        The kinds of the frames that came.
        """
        return [frame.kind for frame in FrameReader().feed(bytes(self.received))]


def _lost(lines: Sequence[Line]) -> int:
    return sum(line.lost.called for line in lines)


class OverloadCase(TunnelTestCase):
    """
    @ivar server: the server.
    @ivar port: its client's public port.
    """

    timeout = 180.0

    async def serve(self, keys: Mapping[str, Any] | None = None, *wrapper: str) -> None:
        """
        Start a server and a client, and a visitor who talks.

        @param keys: of the server's configuration.
        @param wrapper: what runs the server.
        """
        config = self.deployment.server_config(keys)
        command = [*wrapper, *SERVER, "--config", str(config)]
        self.server = self.start(*command, name="server")
        await self.reachable(self.deployment.port)
        self.programs = Programs(Echo)
        endpoint = TCP4ServerEndpoint(reactor, 0, 50, "127.0.0.1")
        target: IListeningPort = await endpoint.listen(self.programs)
        self.addCleanup(target.stopListening)
        self.address = f"127.0.0.1:{port_of(target.getHost())}"
        _, [self.port] = await self.start_client(
            self.address, keys={"carrier": "mux", "retry.max_delay": 0.5}
        )
        self.visitor = await self.dial(self.port)
        await self.says(self.visitor)

    async def reachable(self, port: int) -> None:
        """
        Wait until somebody listens: the log may say nothing.
        """
        while True:
            with (
                contextlib.suppress(OSError),
                contextlib.closing(socket.socket()) as probe,
            ):
                probe.connect(("127.0.0.1", port))
                return
            await deferLater(reactor, 0.05)

    async def dial(self, port: int, source: str = "127.0.0.1") -> Line:
        """
        Connect, to the server or as a visitor.

        @param source: the address to come from.
        """
        line = Line()
        endpoint = TCP4ClientEndpoint(
            reactor, "127.0.0.1", port, bindAddress=(source, 0)
        )
        try:
            await connectProtocol(endpoint, line)
        except ConnectError:
            # It was reset before it was looked at.
            line.lost.callback(None)
        self.addCleanup(self.hang_up, line)
        return line

    async def hang_up(self, line: Line) -> None:
        if not line.lost.called:
            line.transport.abortConnection()
            await line.lost

    async def says(self, visitor: Line) -> None:
        """
        See that a visitor is heard, and answered.
        """
        before = len(visitor.received)
        visitor.transport.write(b"still there?")
        await until(lambda: len(visitor.received) == before + 12 or visitor.lost.called)
        self.assertFalse(visitor.lost.called)

    async def all_is_well(self) -> None:
        """
        See that the visitor of before and a new one are served, and a new client too.
        """
        await self.says(self.visitor)
        await self.says(await self.dial(self.port))
        name = f"late-{len(self.server.output)}"
        _, [port] = await self.start_client(self.address, client_id=name)
        await self.says(await self.dial(port))

    def descriptors(self) -> int:
        """
        How many the server has.
        """
        return sum(1 for _ in Path(f"/proc/{self.server.pid}/fd").iterdir())


class HandshakeOverloadTests(OverloadCase):
    """
    Of connections that do not come to a session.
    """

    async def test_silent_connections(self) -> None:
        """
        A thousand connections that say nothing: as many as the limits allow stay, of
        one address and in all, and the others are closed at once. Who hangs up makes
        room.
        """
        await self.serve(
            {
                "timeouts.handshake": 600.0,
                "limits.max_handshakes": 900,
                "limits.max_handshakes_per_address": 800,
            }
        )
        before = self.descriptors()
        lines = [await self.dial(self.deployment.port) for _ in range(1000)]
        await until(lambda: _lost(lines) >= 200)
        others = [await self.dial(self.deployment.port, _OTHER) for _ in range(150)]
        await until(lambda: _lost(others) >= 50)
        await self.says(self.visitor)
        await self.says(await self.dial(self.port))
        self.assertEqual((200, 50), (_lost(lines), _lost(others)))
        for line in lines:
            await self.hang_up(line)
        await until(lambda: self.descriptors() < before + 200)
        await self.all_is_well()
        self.assertEqual(50, _lost(others))
        for line in others:
            await self.hang_up(line)

    async def test_silent_for_too_long(self) -> None:
        """
        Connections that say nothing are closed when their time is over.
        """
        await self.serve({"timeouts.handshake": 2.0})
        before = self.descriptors()
        lines = [await self.dial(self.deployment.port) for _ in range(100)]
        await self.says(self.visitor)
        await until(lambda: _lost(lines) == 100)
        await until(lambda: self.descriptors() <= before)
        await self.all_is_well()

    async def drips(self) -> None:
        """
        Handshakes of a byte a second are ended by their deadline.
        """
        await self.serve({"timeouts.handshake": 2.0})
        lines = [await self.dial(self.deployment.port) for _ in range(50)]
        word = iter(encode_message(FrameKind.HELLO, Hello([1], "slow")) * 100)

        def drip() -> None:
            byte = bytes([next(word)])
            for line in lines:
                if not line.lost.called:
                    line.transport.write(byte)

        dripping = LoopingCall(drip)
        dripping.start(0.5)
        self.addCleanup(dripping.stop)
        await self.says(self.visitor)
        await until(lambda: all(each.lost.called for each in lines))
        await self.all_is_well()

    async def test_slow_handshakes(self) -> None:
        await self.drips()

    async def test_slow_tls_handshakes(self) -> None:
        self.way = TLS
        await self.drips()

    async def test_malformed_before_authentication(self) -> None:
        """
        Whoever does not speak the protocol is turned away.
        """
        await self.serve()
        nonsense = [
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"\xff" * 100,
            b"\x00" * 100,
            # A frame that is longer than any may be before authentication.
            encode_frame(FrameKind.HELLO, 0, b"x" * 20_000),
            encode_frame(FrameKind.HELLO, 0, b"\xc1"),
            encode_frame(FrameKind.DATA, 1, b"out of turn"),
            encode_message(FrameKind.HELLO, Hello([1], "one")) * 50,
        ]
        for words in nonsense:
            for _ in range(20):
                line = await self.dial(self.deployment.port)
                line.transport.write(words)
                line.transport.loseWriteConnection()
                await line.lost
            await self.says(self.visitor)
        await self.all_is_well()


class SessionOverloadTests(OverloadCase):
    """
    Of a client that has come in.
    """

    async def log_in(self, name: str) -> Line:
        """
        Come in, without credentials.
        """
        line = await self.dial(self.deployment.port)
        line.transport.write(encode_message(FrameKind.HELLO, Hello([1], name)))
        response = Response(ANONYMOUS, b"")
        line.transport.write(encode_message(FrameKind.RESPONSE, response))
        await until(lambda: FrameKind.WELCOME in line.frames())
        return line

    def open_server(self, **keys: Any) -> dict[str, Any]:
        """
        The configuration of a server that lets everybody in.
        """
        return {"insecure_no_auth": True, "auth.tokens": None, **keys}

    async def serve_all(self, **keys: Any) -> None:
        """
        Start a server that lets everybody in, and the rest.
        """
        usual = self.deployment.client_config

        def without_token(*args: Any, **more: Any) -> Path:
            path = usual(*args, **more)
            lines = path.read_text().splitlines(keepends=True)
            path.write_text("".join(x for x in lines if not x.startswith("token")))
            return path

        self.patch(self.deployment, "client_config", without_token)
        await self.serve(self.open_server(**keys))

    async def test_malformed_after_authentication(self) -> None:
        await self.serve_all()
        nonsense = [
            b"\xff" * 100,
            encode_frame(FrameKind.TUNNEL_OPEN, 0, b"\xc1"),
            encode_frame(FrameKind.TUNNEL_OPEN, 0, b"x" * 70_000),
            encode_frame(FrameKind.DATA, 7, b"of no stream"),
            encode_frame(FrameKind.WINDOW, 7, b"\x00"),
            # A length of 4 GiB.
            bytes([FrameKind.DATA, 0, 0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF]),
        ]
        for number, words in enumerate(nonsense):
            line = await self.log_in(f"rogue-{number}")
            line.transport.write(words)
            await until(lambda line=line: line.lost.called)  # type: ignore[misc]
            await self.says(self.visitor)
        await self.all_is_well()

    async def test_greedy_tunnels(self) -> None:
        """
        A client that asks for tunnels as fast as it can gets as many as it may have.
        """
        await self.serve_all(**{"limits.max_tunnels": 20})
        line = await self.log_in("greedy")
        for start in range(0, 2000, 100):
            words = b"".join(
                encode_message(
                    FrameKind.TUNNEL_OPEN,
                    TunnelOpen(tunnel=start + each, type="tcp", port=0),
                )
                for each in range(1, 101)
            )
            line.transport.write(words)
            await self.says(self.visitor)
        await until(
            lambda: (
                line.lost.called or line.frames().count(FrameKind.TUNNEL_REFUSED) >= 100
            )
        )
        self.assertLessEqual(line.frames().count(FrameKind.TUNNEL_OPENED), 20)
        await self.all_is_well()

    async def test_greedy_streams(self) -> None:
        """
        A tunnel that is visited as fast as can be, by visitors who want nothing: those
        beyond the limit are reset, and other tunnels work.
        """
        await self.serve_all(**{"limits.max_streams_per_client": 50})
        _, [port] = await self.start_client(
            self.address, client_id="busy", keys={"carrier": "mux"}
        )
        before = self.descriptors()
        for _ in range(10):
            lines = [await self.dial(port) for _ in range(100)]
            await until(
                lambda lines=lines: (  # type: ignore[misc]
                    sum(each.lost.called for each in lines) >= 50
                )
            )
            await self.says(self.visitor)
            for line in lines:
                await self.hang_up(line)
        await until(lambda: self.descriptors() <= before)
        await self.all_is_well()


class ResourceOverloadTests(OverloadCase):
    """
    Of machines that have no more.
    """

    def few_descriptors(self) -> tuple[str, ...]:
        return (sys.executable, "-c", _LIMITED, str(_FEW_DESCRIPTORS))

    async def test_descriptors_exhausted(self) -> None:
        """
        Streams go on, clients come in, the log says it once, and when there are
        descriptors again, whoever comes is served.
        """
        await self.serve(None, *self.few_descriptors())
        lines = [await self.dial(self.port) for _ in range(2 * _FEW_DESCRIPTORS)]
        await self.server.wait_for("few file descriptors are left")
        self.assertFalse(any(each.lost.called for each in lines))
        await self.says(self.visitor)
        await self.start_client(self.address, client_id="late", keys={"carrier": "mux"})
        self.assertFalse(any(each.lost.called for each in lines))
        for line in lines:
            await self.hang_up(line)
        await self.all_is_well()
        self.assertEqual(1, self.server.output.count("descriptors are left of"))
        self.assertNotIn("Traceback", self.server.output)

    async def test_full_disk_under_the_log(self) -> None:
        await self.serve_with_log("/dev/full")
        for _ in range(50):
            line = await self.dial(self.deployment.port)
            line.transport.write(b"nonsense" * 10)
            await line.lost
        await self.all_is_well()
        finished = await self.server.stop()
        self.assertEqual(0, finished.code, finished.lines)

    async def serve_with_log(self, path: str) -> None:
        shell = 'log=$1; shift; exec "$@" >"$log" 2>"$log"'
        await self.serve(None, "sh", "-c", shell, "sh", path)
