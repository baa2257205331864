"""
Visitors and targets: protocols in the hands of the test.
"""

from __future__ import annotations

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.interfaces import IHalfCloseTransport


@implementer(IHalfCloseableProtocol)
class Peer(Protocol):
    """
    A visitor or a target: the far end of a stream, in the hands of the test.

    @ivar received: what came.
    @ivar finished: whether the other side sends no more.
    @ivar lost: why the connection is over; L{None} while it is open.
    @ivar follows: whether it closes when the other side has finished.
    """

    transport: IHalfCloseTransport

    def __init__(self) -> None:
        self.received = b""
        self.finished = False
        self.lost: Failure | None = None
        self.follows = True

    @property
    def reset(self) -> bool:
        """
        Whether the connection was lost out of order.
        """
        return self.lost is not None and self.lost.check(*_IN_ORDER) is None

    def say(self, data: bytes) -> None:
        """
        Send bytes.
        """
        self.transport.write(data)

    def finish(self) -> None:
        """
        Send no more.
        """
        self.follows = False
        self.transport.loseWriteConnection()

    def hang_up(self) -> None:
        """
        Close in order.
        """
        self.transport.loseConnection()

    def abort(self) -> None:
        """
        Reset the connection.
        """
        self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """
        Keep what comes.
        """
        self.received += data

    def readConnectionLost(self) -> None:
        """
        The other side has finished.
        """
        self.finished = True
        if self.follows:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """
        What this side has sent is out.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is over.
        """
        self.lost = reason


_IN_ORDER = (type(connectionDone.value),)


class Peers(Factory):
    """
    Builds peers, and keeps them.

    @ivar all: the peers that came, oldest first.
    @ivar told: C{start} and C{stop}, as often as it was started and stopped.
    """

    noisy = False

    def __init__(self) -> None:
        self.all: list[Peer] = []
        self.told: list[str] = []

    def startFactory(self) -> None:
        """
        Note it.
        """
        self.told.append("start")

    def stopFactory(self) -> None:
        """
        Note it.
        """
        self.told.append("stop")

    @property
    def newest(self) -> Peer:
        """
        The last that came.
        """
        return self.all[-1]

    def buildProtocol(self, addr: IAddress | None) -> Peer:
        """
        Build one.
        """
        peer = Peer()
        self.all.append(peer)
        return peer


class Caller(ClientFactory):
    """
    Connects one peer.

    @ivar peer: the peer.
    """

    noisy = False

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def buildProtocol(self, addr: IAddress | None) -> Peer:
        """
        Give the peer.
        """
        return self.peer

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        """
        Nobody answers.
        """
        self.peer.lost = reason
