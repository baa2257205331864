"""
Forwards connections between two endpoints by Twisted's own means: what Twisted reads,
with TLS a record at a time, it writes.

Reitunnel's pumps are compared with it. It ends when it is told to.
"""

from __future__ import annotations

import argparse
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.interfaces import IAddress, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

# The module is typed without the methods of a reactor that runs.
reactor: Any = _reactor


class Side(Protocol):
    """
    One side of a forwarded connection.
    """

    transport: Any

    def __init__(self, peer: Side | None) -> None:
        """
        @param peer: the other side, if there is one.
        """
        self.peer = peer

    def connectionMade(self) -> None:
        """
        Send at once, and read no faster than the other side takes.
        """
        self.transport.setTcpNoDelay(True)
        if self.peer is not None:
            self.peer.peer = self
            self.transport.registerProducer(self.peer.transport, True)
            self.peer.transport.registerProducer(self.transport, True)
            self.peer.transport.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        """
        Give bytes to the other side.
        """
        if self.peer is not None:
            self.peer.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Close the other side when it has sent all.
        """
        if self.peer is not None:
            self.peer.transport.loseConnection()
            self.peer = None


class Outgoing(Factory):
    """
    Builds the side that is dialled.
    """

    noisy = False

    def __init__(self, peer: Side) -> None:
        self._peer = peer

    def buildProtocol(self, addr: IAddress | None) -> Side:
        """
        Build one.
        """
        return Side(self._peer)


class Incoming(Factory):
    """
    Builds the side that was accepted, and dials the other.
    """

    noisy = False

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def buildProtocol(self, addr: IAddress | None) -> Side:
        """
        Build one.
        """
        return Dialling(self._endpoint)


class Dialling(Side):
    """
    A side that was accepted.
    """

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        super().__init__(None)
        self._endpoint = endpoint

    def connectionMade(self) -> None:
        """
        Dial, and read nothing until the other side is there.
        """
        super().connectionMade()
        self.transport.pauseProducing()
        dialled = self._endpoint.connect(Outgoing(self))
        dialled.addErrback(lambda _: self.transport.abortConnection())


def main() -> None:
    """
    Run.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", required=True, help="a server endpoint")
    parser.add_argument("--dial", required=True, help="a client endpoint")
    arguments = parser.parse_args()
    factory = Incoming(clientFromString(reactor, arguments.dial))
    serverFromString(reactor, arguments.listen).listen(factory)
    reactor.run()


if __name__ == "__main__":
    main()
