"""
What the tests of transports have in common.
"""

from __future__ import annotations

from pathlib import Path

from OpenSSL.SSL import Connection, WantReadError
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IProtocol, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from reitunnel.interfaces import ILinkAdmission, ILinkTransport
from tests.certificates import CertificateAuthority


class Recorder(Protocol):
    """
    Keeps what happens to it.

    @ivar made: how many times it was connected.
    @ivar received: everything received.
    @ivar pieces: the same, as it came.
    @ivar lost: the reasons that it was told.
    """

    transport: ILinkTransport

    def __init__(self) -> None:
        self.made = 0
        self.pieces: list[bytes] = []
        self.lost: list[Failure] = []

    @property
    def received(self) -> bytes:
        return b"".join(self.pieces)

    def connectionMade(self) -> None:
        self.made += 1

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.append(reason)


class RecorderFactory(Factory[Recorder]):
    """
    Builds recorders.

    @ivar built: all of them.
    @ivar addresses: what it was told of them.
    @ivar started: how many times it was started, less the times it was stopped.
    """

    noisy = False

    def __init__(self, protocol: type[Recorder] = Recorder) -> None:
        self.built: list[Recorder] = []
        self.addresses: list[IAddress | None] = []
        self.started = 0
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Recorder:
        self.addresses.append(addr)
        self.built.append(self._protocol())
        return self.built[-1]

    def startFactory(self) -> None:
        self.started += 1

    def stopFactory(self) -> None:
        self.started -= 1


class NothingFactory(Factory[Protocol]):
    """
    Builds no protocol.
    """

    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        return None


class BrokenFactory(Factory[Protocol]):
    """
    Fails to build a protocol.
    """

    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        raise ZeroDivisionError("on purpose")


@implementer(ILinkAdmission)
class Admission:
    """
    Admits or not, and keeps what it was asked.
    """

    def __init__(self, answer: bool = True) -> None:
        self.answer = answer
        self.asked: list[object] = []
        self.left: list[object] = []

    def admit(self, transport: ITransport) -> bool:
        self.asked.append(transport)
        return self.answer

    def gone(self, transport: ITransport) -> None:
        self.left.append(transport)


class CertificateTestCase(SynchronousTestCase):
    """
    A test that makes certificates.

    @ivar directory: for its files.
    @ivar authority: issues them.
    """

    _authority: CertificateAuthority | None = None

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        if CertificateTestCase._authority is None:
            CertificateTestCase._authority = CertificateAuthority()
        self.authority = CertificateTestCase._authority

    def server_pem(self, *names: str) -> Path:
        """
        Write a server's certificate with its key.
        """
        issued = self.authority.issue("server", *(names or ("localhost",)))
        return issued.write(self.directory / "server.pem")

    def ca_file(self) -> Path:
        """
        Write the authority's certificate.
        """
        return self.authority.write(self.directory / "ca.pem")


def shake_hands(server: Connection, client: Connection) -> None:
    """
    Do a TLS handshake in memory, and move what is left to move.

    @raise OpenSSL.SSL.Error: as the side raises it that finds a fault.
    """
    server.set_accept_state()
    client.set_connect_state()
    sides = ((client, server), (server, client))
    # No handshake takes this many turns.
    for _ in range(8):
        for side, _other in sides:
            try:
                side.do_handshake()
            except WantReadError:
                pass
            finally:
                move(client, server)
                move(server, client)


def move(source: Connection, target: Connection) -> None:
    """
    Give one side the bytes that the other wants to send.
    """
    while True:
        try:
            target.bio_write(source.bio_read(65536))
        except WantReadError:
            return


def connected(protocol: IProtocol) -> StringTransport:
    """
    Connect a protocol to a transport that keeps what is written.
    """
    transport = StringTransport()
    protocol.makeConnection(transport)
    return transport


class Wire:
    """
    Two protocols, and the bytes between them. Nothing moves until L{pump}.

    @ivar ends: the transports of the two.
    """

    def __init__(self, first: IProtocol, second: IProtocol) -> None:
        self.protocols = (first, second)
        self.ends = (StringTransport(), StringTransport())
        self._gone = [False, False]
        for protocol, transport in zip(self.protocols, self.ends, strict=True):
            protocol.makeConnection(transport)

    def pump(self, step: int = 65536) -> None:
        """
        Move bytes both ways until there are no more, or nobody reads them; then
        close what was closed.

        @param step: how many bytes are delivered at a time.
        """
        while self._move(0, step) or self._move(1, step):
            pass
        for transport in self.ends:
            if transport.disconnected:
                self.lose(ConnectionLost())
            elif transport.disconnecting and not transport.value():
                self.lose(ConnectionDone())

    def lose(self, error: Exception) -> None:
        """
        Tell both sides that the connection is gone.
        """
        for index, protocol in enumerate(self.protocols):
            if not self._gone[index]:
                self._gone[index] = True
                producer = self.ends[index].producer
                if producer is not None:
                    producer.stopProducing()
                protocol.connectionLost(Failure(error))

    def _move(self, source: int, step: int) -> bool:
        target = 1 - source
        data = self.ends[source].value()
        paused = self.ends[target].producerState != "producing"
        if not data or paused or self._gone[target]:
            return False
        if self.ends[source].disconnected or self.ends[target].disconnecting:
            return False
        self.ends[source].clear()
        if data[step:]:
            self.ends[source].io.write(data[step:])
        self.protocols[target].dataReceived(data[:step])
        return True
