"""
A server, a client and a tunnel between them, over real sockets in this process, and
programs that visit the tunnel or serve its visitors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    connectProtocol,
)
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IListeningPort,
    IPushProducer,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from reitunnel import Client, ClientConfig, ClientTunnel, Server, ServerConfig, Target
from reitunnel.config import ClientTimeouts, ServerTimeouts, ServerTuning, Tuning
from reitunnel.config.values import Carrier
from reitunnel.interfaces import IHalfCloseTransport
from tests.certificates import CertificateAuthority

PIECE = bytes(range(256)) * 256


@implementer(IHalfCloseableProtocol)
class Program(Protocol):
    """
    A program at one end of a stream: it does what the test says.

    @ivar count: how many bytes came.
    @ivar digest: the SHA-256 of the bytes that came.
    @ivar received: the bytes that came, if they are kept.
    @ivar ready: fires when it is connected.
    @ivar finished: fires when the other side sends no more.
    @ivar lost: fires when the connection is lost.
    @ivar reason: why it was lost.
    """

    transport: IHalfCloseTransport

    def __init__(self, keep: bool = True) -> None:
        """
        @param keep: whether to keep what comes.
        """
        self.count = 0
        self.digest = hashlib.sha256()
        self.received = bytearray()
        self.ready: Deferred[None] = Deferred()
        self.finished: Deferred[None] = Deferred()
        self.lost: Deferred[None] = Deferred()
        self.reason: Failure | None = None
        self._keep = keep
        self._waiting: list[tuple[int, Deferred[None]]] = []

    def connectionMade(self) -> None:
        self.ready.callback(None)

    def dataReceived(self, data: bytes) -> None:
        self.count += len(data)
        self.digest.update(data)
        if self._keep:
            self.received += data
        while self._waiting and self.count >= self._waiting[0][0]:
            self._waiting.pop(0)[1].callback(None)

    def readConnectionLost(self) -> None:
        self.finished.callback(None)

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason
        self.lost.callback(None)
        waiting, self._waiting = self._waiting, []
        for _, deferred in waiting:
            deferred.errback(reason)

    @property
    def was_reset(self) -> bool:
        """
        Whether the connection was lost other than in order.
        """
        return self.reason is not None and self.reason.check(ConnectionDone) is None

    def got(self, size: int) -> Deferred[None]:
        """
        Wait until so many bytes have come in all.
        """
        waiting: Deferred[None] = Deferred()
        if self.count >= size:
            waiting.callback(None)
        else:
            self._waiting.append((size, waiting))
        return waiting

    def send(self, size: int) -> Sender:
        """
        Begin to send so many bytes, as fast as the connection takes them; then end
        this direction.
        """
        sender = Sender(self.transport, size)
        self.transport.registerProducer(sender, True)
        sender.resumeProducing()
        return sender


@implementer(IPushProducer)
class Sender:
    """
    Sends many bytes with back-pressure, then half-closes.

    @ivar sent: how many bytes it has written.
    @ivar digest: their SHA-256.
    @ivar done: fires when all are written.
    """

    def __init__(self, transport: IHalfCloseTransport, size: int) -> None:
        self.sent = 0
        self.digest = hashlib.sha256()
        self.done: Deferred[None] = Deferred()
        self._transport = transport
        self._size = size
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        while not self._paused and self.sent < self._size:
            shift = self.sent // len(PIECE) % 251
            piece = (PIECE[shift:] + PIECE[:shift])[: self._size - self.sent]
            self.digest.update(piece)
            self.sent += len(piece)
            self._transport.write(piece)
        if self.sent == self._size and not self.done.called:
            self._transport.unregisterProducer()
            self._transport.loseWriteConnection()
            self.done.callback(None)

    def pauseProducing(self) -> None:
        self._paused = True

    def stopProducing(self) -> None:
        self._paused = True
        self._size = self.sent


class Programs(Factory):
    """
    Builds programs for the visitors of a target, and hands them out in order.
    """

    noisy = False

    def __init__(self, build: Callable[[], Program] = Program) -> None:
        self.built: list[Program] = []
        self._build = build
        self._waiting: list[Deferred[Program]] = []

    def buildProtocol(self, addr: IAddress | None) -> Program:
        program = self._build()
        self.built.append(program)
        if self._waiting:
            waiting = self._waiting.pop(0)
            program.ready.addCallback(lambda _: waiting.callback(program))
        return program

    def next(self) -> Deferred[Program]:
        """
        Wait for the next visitor.
        """
        waiting: Deferred[Program] = Deferred()
        self._waiting.append(waiting)
        return waiting


class Echo(Program):
    """
    Sends back what comes, with back-pressure, and ends when its visitor has ended.
    """

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        self.transport.unregisterProducer()
        self.transport.loseConnection()


class StreamTestCase(TestCase):
    """
    A test with a server and a client.

    @ivar scheme: of the link between them.
    @ivar carrier: how the client wants streams to travel.
    @ivar pool_size: how many data links it keeps ready.
    @ivar grace: how long a session without a link waits, in seconds.
    @ivar server: the server.
    @ivar client: the client.
    """

    timeout = 120
    scheme = "tcp"
    carrier: Carrier = "auto"
    pool_size = 10
    grace = 0.0
    server: Server
    client: Client

    async def start(
        self,
        tuning: dict[str, Any] | None = None,
        heartbeat: float = 10,
        switch_after: int = 1 << 20,
        **options: Any,
    ) -> None:
        """
        Start the server and the client.

        @param tuning: of both.
        @param heartbeat: the interval of both, in seconds.
        @param switch_after: when C{carrier = "auto"} takes a data link.
        @param options: more arguments of the client.
        """
        pem, ca = self.certificates() if self.scheme in ("tls", "wss") else (None, None)
        path = "/link" if self.scheme.startswith("ws") else ""
        self.server = Server(
            reactor,
            ServerConfig(
                listen=(f"{self.scheme}://127.0.0.1:0{path}",),
                insecure_no_auth=True,
                timeouts=ServerTimeouts(
                    drain=0, heartbeat_interval=heartbeat, resume=self.grace
                ),
                tuning=ServerTuning(**(tuning or {}), switch_after=switch_after),
                pem=pem,
            ),
        )
        self.server.startService()
        self.addCleanup(self.server.stopService)
        (address,) = await self.server.when_listening()
        port = await self.reached_at(port_of(address))
        self.client = Client(
            reactor,
            ClientConfig(
                server=f"{self.scheme}://127.0.0.1:{port}{path}",
                client_id="test",
                carrier=self.carrier,
                pool_size=self.pool_size,
                timeouts=ClientTimeouts(
                    drain=0, heartbeat_interval=heartbeat, resume=self.grace
                ),
                tuning=Tuning(**(tuning or {})),
                ca=ca,
            ),
            **options,
        )
        self.client.startService()
        self.addCleanup(self.client.stopService)

    async def reached_at(self, port: int) -> int:
        """
        Choose how the client reaches the server.

        @param port: where the server listens.
        @return: what the client dials.
        """
        return port

    def certificates(self) -> tuple[Path, Path]:
        """
        Make the files of a server's certificate and of who vouches for it.
        """
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        authority = CertificateAuthority()
        issued = authority.issue("127.0.0.1", "127.0.0.1")
        return issued.write(directory / "server.pem"), authority.write(
            directory / "ca.pem"
        )

    async def listen(self, factory: Factory) -> str:
        """
        Let a target listen.

        @return: its address.
        """
        endpoint = TCP4ServerEndpoint(reactor, 0, 1024, "127.0.0.1")
        port: IListeningPort = await endpoint.listen(factory)
        self.addCleanup(port.stopListening)
        return f"127.0.0.1:{port_of(port.getHost())}"

    async def tunnel(self, target: Target) -> ClientTunnel:
        """
        Open a tunnel.
        """
        return await self.client.open_tunnel(target)

    async def visit(
        self, tunnel: ClientTunnel, program: Program | None = None
    ) -> Program:
        """
        Visit a tunnel.
        """
        assert tunnel.address is not None
        host, port = tunnel.address.host, tunnel.address.port
        endpoint = TCP4ClientEndpoint(reactor, host, port)
        visitor = program or Program()
        await connectProtocol(endpoint, visitor)
        self.addCleanup(close, visitor)
        return visitor

    async def pair(
        self, target: Callable[[], Program] = Program, *, keep: bool = True
    ) -> tuple[Program, Program]:
        """
        Open a tunnel and visit it.

        @param target: builds the target.
        @param keep: whether the visitor keeps what comes.
        @return: the visitor and the target.
        """
        programs = Programs(target)
        tunnel = await self.tunnel(await self.listen(programs))
        return await self.visited(tunnel, programs, keep=keep)

    async def visited(
        self, tunnel: ClientTunnel, programs: Programs, *, keep: bool = True
    ) -> tuple[Program, Program]:
        """
        Visit a tunnel, and wait for its target.

        @return: the visitor and the target.
        """
        arriving = programs.next()
        visitor = await self.visit(tunnel, Program(keep))
        target = await arriving
        self.addCleanup(close, target)
        return visitor, target

    async def bulk_pair(self) -> tuple[Program, Program]:
        """
        Do what L{pair} does, with programs that keep nothing.
        """
        return await self.pair(lambda: Program(keep=False), keep=False)

    async def over(self) -> None:
        """
        Wait until no stream is left on either side.
        """

        def streams() -> int:
            return sum(
                len(tuple(tunnel.streams))
                for tunnels in (self.server.tunnels, self.client.tunnels)
                for tunnel in tunnels
            )

        await until(lambda: not streams())


async def close(program: Program) -> None:
    """
    Close a program's connection, unless it is closed.
    """
    if program.ready.called and not program.lost.called:
        program.transport.abortConnection()
        await program.lost


async def pause(seconds: float) -> None:
    """
    Wait.
    """
    await deferLater(reactor, seconds)


async def until(condition: Callable[[], bool]) -> None:
    """
    Wait for something that nobody tells.
    """
    while not condition():
        await pause(0.01)


async def stopped_growing(measure: Callable[[], int]) -> int:
    """
    Wait until a number has not changed for a while.

    @return: the number.
    """
    last, same = measure(), 0
    while same < 10:
        await pause(0.05)
        now = measure()
        last, same = now, same + 1 if now == last else 0
    return last


def port_of(address: Any) -> int:
    """
    The port of an Internet address.
    """
    port: int = address.port
    return port
