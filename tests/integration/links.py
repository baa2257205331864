"""
What the integration tests of transports have in common.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IPushProducer
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from reitunnel.errors import TransportError
from reitunnel.transports import (
    ClientTLS,
    ClientTransportSettings,
    LinkURL,
    ServerCertificates,
    ServerTransportSettings,
    TCPOptions,
    client_endpoint,
    server_endpoint,
)
from tests.certificates import CertificateAuthority
from tests.transports.support import Recorder, RecorderFactory

SHORT = 0.3
"""Seconds after which tests that wait for a time-out get it."""

SMALL_BUFFERS = TCPOptions(send_buffer=65536, receive_buffer=65536)
"""What fits in between is little next to what is sent."""


class Peer(Recorder):
    """
    A recorder that can be waited for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gone: Deferred[None] = Deferred()
        self._waiting: list[tuple[int, Deferred[bytes]]] = []

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        while self._waiting and len(self.received) >= self._waiting[0][0]:
            self._waiting.pop(0)[1].callback(self.received)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.gone.callback(None)

    def receive(self, size: int) -> Deferred[bytes]:
        """
        Wait for this many bytes in all.
        """
        waiting: Deferred[bytes] = Deferred()
        if len(self.received) >= size:
            waiting.callback(self.received)
        else:
            self._waiting.append((size, waiting))
        return waiting


class PeerFactory(RecorderFactory):
    """
    Builds peers of one kind, and can be waited for.
    """

    def __init__(self, protocol: type[Recorder] = Peer) -> None:
        super().__init__(protocol)

    def startFactory(self) -> None:
        # Not super(): several listeners may share one.
        pass

    def stopFactory(self) -> None:
        pass


class Sink(Recorder):
    """
    Takes everything, keeps only its hash, and can stop reading.

    @ivar while_paused: how many bytes came while it was paused.
    """

    def __init__(self) -> None:
        super().__init__()
        self.size = 0
        self.digest = sha256()
        self.paused = False
        self.while_paused = 0
        self.gone: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.size += len(data)
        self.digest.update(data)
        if self.paused:
            self.while_paused += len(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.gone.callback(None)

    def pause(self) -> None:
        """
        Read nothing.
        """
        self.paused = True
        self.transport.pauseProducing()

    def resume(self) -> None:
        """
        Read again.
        """
        self.paused = False
        self.transport.resumeProducing()


@implementer(IPushProducer)
class Source(Recorder):
    """
    Writes as much as there is room for, up to a total, then closes.
    """

    total = 0
    piece = bytes(range(256)) * 256

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.digest = sha256()
        self.full = False
        self.gone: Deferred[None] = Deferred()

    def begin(self, total: int) -> None:
        """
        Write this many bytes.
        """
        self.total = total
        self.transport.registerProducer(self, True)
        self.resumeProducing()

    def pauseProducing(self) -> None:
        self.full = True

    def resumeProducing(self) -> None:
        self.full = False
        while not self.full and self.written < self.total:
            piece = self.piece[: self.total - self.written]
            self.written += len(piece)
            self.digest.update(piece)
            self.transport.write(piece)
        if self.written == self.total and self.total:
            self.total = 0
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def stopProducing(self) -> None:
        self.full = True

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.gone.callback(None)


class LinkTestCase(TestCase):
    """
    A test that makes links.

    @ivar directory: for its files.
    @ivar authority: issues its certificates.
    """

    timeout = 60

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.authority = CertificateAuthority()
        self.ca_path = self.authority.write(self.directory / "ca.pem")
        self.messages: list[str] = []

        def observe(event: Any) -> None:
            text = formatEvent(event)
            if text:
                self.messages.append(text)

        observer = cast(ILogObserver, observe)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def server_settings(self, **changes: Any) -> ServerTransportSettings:
        """
        The settings of a server for C{localhost}.
        """
        if "certificates" not in changes:
            issued = self.authority.issue("server", "localhost", "127.0.0.1")
            pem = issued.write(self.directory / "server.pem")
            changes["certificates"] = ServerCertificates(pem)
        return ServerTransportSettings(**changes)

    def client_settings(self, **changes: Any) -> ClientTransportSettings:
        """
        The settings of a client that trusts this test's authority.
        """
        if "tls" not in changes:
            changes["tls"] = ClientTLS(ca_file=self.ca_path)
        return ClientTransportSettings(**changes)

    async def listen(
        self,
        scheme: str,
        factory: IProtocolFactory,
        settings: ServerTransportSettings | None = None,
        path: str = "",
    ) -> LinkURL:
        """
        Listen.

        @return: what to dial.
        """
        url = LinkURL.parse(f"{scheme}://127.0.0.1:0{path}")
        endpoint = server_endpoint(
            reactor,
            url,
            settings or self.server_settings(),
        )
        port = await endpoint.listen(factory)
        self.addCleanup(port.stopListening)
        number = port_number(port)
        return LinkURL.parse(f"{scheme}://localhost:{number}{path}")

    def dial(
        self,
        url: LinkURL,
        factory: IProtocolFactory,
        settings: ClientTransportSettings | None = None,
    ) -> Deferred[Any]:
        """
        Dial.
        """
        endpoint = client_endpoint(
            reactor,
            url,
            settings or self.client_settings(),
        )
        return endpoint.connect(factory)

    async def connect(
        self,
        url: LinkURL,
        servers: PeerFactory,
        clients: PeerFactory,
        settings: ClientTransportSettings | None = None,
    ) -> tuple[Any, Any]:
        """
        Dial, and wait until the server has the link too.

        @return: the protocols of the server and of the client.
        """
        before = len(servers.built)
        client = await self.dial(url, clients, settings)
        await self.until(lambda: len(servers.built) > before and servers.built[-1].made)
        return servers.built[-1], client

    async def close(self, *protocols: Any) -> None:
        """
        Close links, and wait until they are.
        """
        for protocol in protocols:
            protocol.transport.loseConnection()
        for protocol in protocols:
            await protocol.gone

    async def until(self, condition: Callable[[], object]) -> None:
        """
        Wait for something that nobody tells.
        """
        while not condition():
            await pause(0.005)

    async def steady(self, value: Callable[[], int]) -> int:
        """
        Wait until a number does not change for a while.

        @return: the number.
        """
        last, calm = value(), 0
        while calm < 10:
            await pause(0.02)
            calm = calm + 1 if value() == last else 0
            last = value()
        return last


def pause(seconds: float) -> Deferred[None]:
    """
    Let the reactor turn.
    """
    waiting: Deferred[None] = deferLater(reactor, seconds)
    return waiting


def port_number(port: IListeningPort) -> int:
    """
    The port that was chosen.
    """
    number: int = port.getHost().port  # type: ignore[attr-defined]  # TCP has one
    return number


class Echo(Peer):
    """
    Sends back what it gets.
    """

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.transport.write(data)


def factory_of(protocol: type[Recorder]) -> Factory[Any]:
    """
    A factory without memory.
    """
    factory: Factory[Any] = Factory.forProtocol(protocol)
    factory.noisy = False
    return factory


async def failure_of(test: LinkTestCase, waiting: Deferred[Any]) -> TransportError:
    """
    The error that something fails with.
    """
    try:
        result = await waiting
    except TransportError as error:
        return error
    return test.fail(f"no failure, but {result!r}")


def talk_tls(ca: Path, number: int, alpn: str | None, data: bytes) -> bytes:
    """
    Speak TLS with the help of Python's own library, in a thread.

    @return: what the server sends until it closes.
    """
    context = ssl.create_default_context(cafile=str(ca))
    if alpn is not None:
        context.set_alpn_protocols([alpn])
    with (
        socket.create_connection(("127.0.0.1", number), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        received = b""
        with contextlib.suppress(OSError):
            wrapped.sendall(data)
            while piece := wrapped.recv(65536):
                received += piece
        return received
