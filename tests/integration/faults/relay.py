"""
A relay between a client and a server, which does harm to what goes through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.interfaces import IHalfCloseTransport
from tests.integration.faults.flow import Flow, Weather
from tests.integration.streaming import port_of


@implementer(IHalfCloseableProtocol)
class _Half(Protocol):
    """
    One of the two sockets of a connection.
    """

    transport: IHalfCloseTransport

    def __init__(self, connection: Connection, outgoing: Flow, incoming: Flow) -> None:
        """
        @param outgoing: what carries the bytes that come from this socket.
        @param incoming: what carries those that go to it.
        """
        self.there = False
        self.lost = False
        # Whether its peer was told, by a fault, that no more comes.
        self.told_end = False
        self.port = 0
        self._connection = connection
        self.outgoing = outgoing
        self.incoming = incoming

    def connectionMade(self) -> None:
        self.there = True
        self.port = port_of(self.transport.getHost())
        self.outgoing.from_source(self.transport)
        self.incoming.into(self.transport)

    def dataReceived(self, data: bytes) -> None:
        self.outgoing.feed(data)

    def readConnectionLost(self) -> None:
        self.outgoing.end()
        if self._connection.silent or self.told_end:
            # It has given up. What is said here may never reach it, so that it may
            # never show in another way that it has closed altogether; or nothing more
            # is said here, and so both directions are at their end.
            self.close()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True
        self.outgoing.source_gone()
        self.incoming.stop()
        self._connection.half_lost(self, orderly=bool(reason.check(ConnectionDone)))

    def reset(self) -> None:
        """
        Send a RST.
        """
        if self.there and not self.lost:
            self.transport.abortConnection()

    def close(self) -> None:
        """
        Send a FIN, and read no more.
        """
        if self.there and not self.lost:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def half_close(self) -> None:
        """
        Send a FIN, and read on.
        """
        if self.there and not self.lost:
            self.told_end = True
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()


class Connection:
    """
    One connection through the relay, and the faults of its own.

    @ivar up: the direction to the server.
    @ivar down: the direction to the client.
    @ivar lost_at: when the C{client} and the C{server} closed their ends, or had
        them closed.
    """

    def __init__(self, clock: Any, on_gone: Callable[[Connection], None]) -> None:
        self.up = Flow(clock, self._ended)
        self.down = Flow(clock, self._ended)
        self.client = _Half(self, self.up, self.down)
        self.server = _Half(self, self.down, self.up)
        self._clock = clock
        self._on_gone = on_gone
        self._told = False
        self.lost_at: dict[str, float] = {}

    def __str__(self) -> str:
        return f"up {self.up}, down {self.down}"

    @property
    def silent(self) -> bool:
        """
        Whether it swallows what comes.
        """
        return self.up.weather.swallow or self.down.weather.swallow

    @property
    def alive(self) -> bool:
        """
        Whether both sockets are open.
        """
        return (
            self.client.there
            and self.server.there
            and not (self.client.lost or self.server.lost)
        )

    @property
    def gone(self) -> bool:
        """
        Whether both sockets are closed, or were never open.
        """
        return all(half.lost or not half.there for half in (self.client, self.server))

    @property
    def server_port(self) -> int:
        """
        The port from which the server sees the connection come; 0 if it does not.
        """
        return self.server.port

    def cut(self) -> None:
        """
        Close both sockets in order; what is on its way is lost.
        """
        self._stop()
        self.client.close()
        self.server.close()

    def reset(self) -> None:
        """
        Reset both sockets.
        """
        self._stop()
        self.client.reset()
        self.server.reset()

    def half_close(self, *, up: bool = False, down: bool = False) -> None:
        """
        Say in a direction that no more comes, whatever still comes.
        """
        if up:
            self.up.stop()
            self.server.half_close()
        if down:
            self.down.stop()
            self.client.half_close()

    def black_hole(self, *, up: bool = False, down: bool = False) -> None:
        """
        Swallow what comes, in one direction or in both. The sockets stay open.
        """
        for chosen, flow in ((up, self.up), (down, self.down)):
            if chosen:
                flow.weather.swallow = True
                flow.resumeProducing()

    def weathers(self, *, up: bool, down: bool) -> list[Weather]:
        """
        Give what is to be changed for the chosen directions.
        """
        return [
            flow.weather
            for chosen, flow in ((up, self.up), (down, self.down))
            if chosen
        ]

    def clear(self) -> None:
        """
        Do no more harm.
        """
        self.up.clear()
        self.down.clear()

    def half_lost(self, half: _Half, *, orderly: bool) -> None:
        """
        A socket is closed: so is the other, unless the news is swallowed.
        """
        other = self.client if half is self.server else self.server
        self.lost_at["client" if half is self.client else "server"] = (
            self._clock.seconds()
        )
        if not half.outgoing.weather.swallow:
            if not orderly:
                half.outgoing.stop()
                other.reset()
            elif not half.outgoing.waiting:
                other.close()
        if self.gone:
            self._stop()
            if not self._told:
                self._told = True
                self._on_gone(self)

    def _ended(self) -> None:
        if self.up.ended and self.down.ended:
            self.client.close()
            self.server.close()

    def _stop(self) -> None:
        self.up.stop()
        self.down.stop()


class FaultRelay(Factory):
    """
    Listens for a client, and dials the server for each of its connections.

    @ivar connections: those that are there, oldest first.
    @ivar made: how many there ever were.
    @ivar refusing: whether new connections are reset at once: the server cannot be
        reached.
    @ivar swallowing: whether new connections are made and then silent.
    @ivar on_connection: told of each new connection, once both sockets are there.
    """

    noisy = False

    def __init__(self, reactor: Any, port: int, host: str = "127.0.0.1") -> None:
        """
        @param port: where the server listens.
        """
        self.connections: list[Connection] = []
        self.made = 0
        self.refusing = False
        self.swallowing = False
        self.on_connection: Callable[[Connection], None] = _nothing
        self._reactor = reactor
        self._endpoint = TCP4ClientEndpoint(reactor, host, port)
        self._port: IListeningPort
        self._dialling: set[Deferred[Any]] = set()

    async def start(self) -> int:
        """
        Begin to listen.

        @return: where.
        """
        endpoint = TCP4ServerEndpoint(self._reactor, 0, 1024, "127.0.0.1")
        self._port = await endpoint.listen(self)
        return port_of(self._port.getHost())

    async def stop(self) -> None:
        """
        Listen no more, and reset everything.
        """
        stopping = self._port.stopListening()
        if stopping is not None:
            await stopping
        for dialling in tuple(self._dialling):
            dialling.cancel()
        for connection in tuple(self.connections):
            connection.reset()

    def alive(self) -> list[Connection]:
        """
        Give the connections that are open on both sides, oldest first.
        """
        return [each for each in self.connections if each.alive]

    def from_port(self, port: int) -> Connection | None:
        """
        Find a connection by the port from which the server sees it come.
        """
        for connection in self.connections:
            if connection.server_port == port:
                return connection
        return None

    def heal(self) -> None:
        """
        Do no more harm to what comes. What is silent stays so, because its bytes are
        missing: it is reset.
        """
        self.refusing = self.swallowing = False
        for connection in tuple(self.connections):
            if connection.silent:
                connection.reset()
            connection.clear()

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """
        Dial the server for a connection of the client's.
        """
        if self.refusing:
            return _Refused()
        self.made += 1
        connection = Connection(self._reactor, self.connections.remove)
        self.connections.append(connection)
        if self.swallowing:
            connection.black_hole(up=True, down=True)

        def made(_: object) -> None:
            if connection.client.lost:
                connection.server.reset()
            else:
                self.on_connection(connection)

        def failed(failure: Failure) -> None:
            connection.client.reset()

        dialling: Deferred[Any] = connectProtocol(self._endpoint, connection.server)
        self._dialling.add(dialling)
        dialling.addCallbacks(made, failed)
        dialling.addBoth(lambda _: self._dialling.discard(dialling))
        return connection.client


class _Refused(Protocol):
    """
    A connection that is reset at once.
    """

    transport: IHalfCloseTransport

    def connectionMade(self) -> None:
        self.transport.abortConnection()


def _nothing(connection: Connection) -> None:
    """
    The default of L{FaultRelay.on_connection}.
    """
