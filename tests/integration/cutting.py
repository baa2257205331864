"""
A relay between a client and a server that can hold one connection, in one direction or
in both, and cut it off.
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    connectProtocol,
)
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from reitunnel.interfaces import IHalfCloseTransport
from tests.integration.streaming import port_of


class _Half(Protocol):
    """
    One of the two sockets of a connection.

    @ivar other: the other one.
    @ivar passed: how many bytes came from it and went on.
    @ivar held: whether what comes waits.
    """

    transport: IHalfCloseTransport
    other: _Half

    def __init__(self) -> None:
        self.passed = 0
        self.held = False
        self.lost = False
        self._waiting: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        if self.held:
            self._waiting.append(data)
            self.transport.pauseProducing()
        else:
            self.passed += len(data)
            self.other.transport.write(data)

    @property
    def waits(self) -> bool:
        """
        Whether something came that is held.
        """
        return bool(self._waiting)

    def release(self) -> None:
        """
        Let go on what has waited.
        """
        self.held = False
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self.dataReceived(data)
        if not self.lost:
            self.transport.resumeProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True
        if self.other.connected and not self.other.lost:
            self.other.transport.loseConnection()


class Connection:
    """
    One connection through the relay.

    @ivar client: towards the client.
    @ivar server: towards the server.
    """

    def __init__(self, client: _Half, server: _Half) -> None:
        self.client = client
        self.server = server
        client.other, server.other = server, client

    @property
    def passed(self) -> int:
        """
        How many bytes went through, in both directions.
        """
        return self.client.passed + self.server.passed

    @property
    def lost(self) -> bool:
        """
        Whether it is gone.
        """
        return self.client.lost and self.server.lost

    @property
    def waits(self) -> bool:
        """
        Whether something came that is held.
        """
        return self.client.waits or self.server.waits

    def hold(self, *, to_client: bool = False, to_server: bool = False) -> None:
        """
        Let nothing through, in one direction or in both.
        """
        self.client.held |= to_server
        self.server.held |= to_client

    def release(self) -> None:
        """
        Let everything through again.
        """
        self.client.release()
        self.server.release()

    def cut(self) -> None:
        """
        Reset both ends; what waits is lost.
        """
        for half in (self.client, self.server):
            if half.connected and not half.lost:
                half.transport.abortConnection()


class CuttingRelay(Factory):
    """
    The relay.

    @ivar connections: those that were made, oldest first.
    """

    noisy = False

    def __init__(self, port: int) -> None:
        """
        @param port: where the server listens.
        """
        self.connections: list[Connection] = []
        self._endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        self._port: IListeningPort

    async def start(self) -> int:
        """
        Begin to listen.

        @return: where.
        """
        endpoint = TCP4ServerEndpoint(reactor, 0, 1024, "127.0.0.1")
        self._port = await endpoint.listen(self)
        return port_of(self._port.getHost())

    async def stop(self) -> None:
        """
        Listen no more, and cut everything.
        """
        stopping = self._port.stopListening()
        if stopping is not None:
            await stopping
        self.cut()

    def cut(self) -> None:
        """
        Cut off all that there is, and forget it.
        """
        connections, self.connections = self.connections, []
        for connection in connections:
            connection.cut()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        client, server = _Half(), _Half()
        self.connections.append(Connection(client, server))
        client.held = True

        def connected(_: object) -> None:
            if client.lost:
                server.transport.abortConnection()
            else:
                client.release()

        def failed(failure: Failure) -> None:
            server.lost = True
            if not client.lost:
                client.transport.abortConnection()

        connecting: Deferred[_Half] = connectProtocol(self._endpoint, server)
        connecting.addCallbacks(connected, failed)
        return client
