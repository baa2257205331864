"""
Where connections are accepted and attempted in memory.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import (
    CannotListenError,
    ConnectError,
    ConnectionRefusedError,
    NoRouteError,
    NotConnectingError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IDelayedCall,
    IListeningPort,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.testing.connection import MemoryConnection

if TYPE_CHECKING:
    from reitunnel.testing.reactor import MemoryReactor

WILDCARDS: Final = frozenset({"0.0.0.0", "::"})


def internet_address(host: str, port: int) -> IPv4Address | IPv6Address:
    """
    Make the address of a TCP connection or port.
    """
    kind = IPv6Address if ":" in host else IPv4Address
    return kind("TCP", host, port)


def cannot_listen(interface: object, port: object, number: int) -> CannotListenError:
    """
    Make the error for a port that cannot be had.
    """
    return CannotListenError(interface, port, OSError(number, os.strerror(number)))


@implementer(IListeningPort)
class MemoryPort:
    """
    A listener. Its address is free again a turn after it was stopped, as with
    Twisted's own.
    """

    def __init__(self, reactor: MemoryReactor, address: IAddress, factory: Any) -> None:
        self.factory = factory
        self.address = address
        self.listening = False
        self._reactor = reactor
        self._stopped: Deferred[None] | None = None

    def startListening(self) -> None:
        """
        Begin.

        @raise CannotListenError: when the address is taken.
        """
        if any(port.takes(self.address) for port in self._reactor.ports):
            host, port = _interface(self.address)
            raise cannot_listen(host, port, errno.EADDRINUSE)
        self.listening = True
        self._reactor.ports.append(self)
        self.factory.doStart()

    def stopListening(self) -> Deferred[None]:
        """
        End.

        @return: fires when the address is free.
        """
        if not self.listening:
            return succeed(None)
        if self._stopped is None:
            self._stopped = Deferred(lambda _: call.cancel())
            call = self._reactor.callLater(0, self._close)
        return self._stopped

    def getHost(self) -> IAddress:
        """
        Give the address.
        """
        return self.address

    def takes(self, address: IAddress) -> bool:
        """
        Whether this listener is in the way of another at C{address}.
        """
        if isinstance(address, UNIXAddress) or isinstance(self.address, UNIXAddress):
            return self.address == address
        (mine, number), (theirs, other) = _interface(self.address), _interface(address)
        return (
            number == other
            and type(self.address) is type(address)
            and (mine == theirs or mine in WILDCARDS or theirs in WILDCARDS)
        )

    def accepts(self, address: IAddress) -> bool:
        """
        Whether a connection to C{address} comes here.
        """
        return self.takes(address) and self._stopped is None

    def _close(self) -> None:
        self.listening = False
        self._reactor.ports.remove(self)
        self.factory.doStop()
        stopped, self._stopped = self._stopped, None
        assert stopped is not None
        stopped.callback(None)


@implementer(IConnector)
class MemoryConnector:
    """
    One attempt to connect.
    """

    def __init__(
        self,
        reactor: MemoryReactor,
        source: IAddress,
        destination: IAddress,
        factory: Any,
        timeout: float | None,
    ) -> None:
        self._reactor = reactor
        self._source = source
        self._destination = destination
        self._factory = factory
        self._timeout = timeout
        self._state = "disconnected"
        self._patience: IDelayedCall | None = None
        self._connection: MemoryConnection | None = None

    def connect(self) -> None:
        """
        Begin.
        """
        self._state = "connecting"
        self._factory.doStart()
        if self._timeout is not None:
            self._patience = self._reactor.callLater(
                self._timeout, self._fail, TimeoutError()
            )
        self._factory.startedConnecting(self)
        self._reactor.soon(self._attempt)

    def stopConnecting(self) -> None:
        """
        Give up.
        """
        if self._state != "connecting":
            raise NotConnectingError("we're not trying to connect")
        self._fail(UserError())

    def disconnect(self) -> None:
        """
        Give up, or close.
        """
        if self._state == "connecting":
            self.stopConnecting()
        elif self._connection is not None:
            self._connection.client.loseConnection()

    def getDestination(self) -> IAddress:
        """
        Give where it connects to.
        """
        return self._destination

    def _attempt(self) -> None:
        if self._state != "connecting":
            return
        fate = self._reactor.fate_of(self._destination)
        if fate == "silent":
            return
        port = next(
            (p for p in self._reactor.ports if p.accepts(self._destination)), None
        )
        if fate == "unreachable":
            self._fail(NoRouteError(errno.EHOSTUNREACH, "No route to host"))
        elif port is not None:
            self._join(port)
        elif isinstance(self._destination, UNIXAddress):
            self._fail(ConnectError(errno.ENOENT, os.strerror(errno.ENOENT)))
        else:
            self._fail(ConnectionRefusedError(errno.ECONNREFUSED, "refused"))

    def _join(self, port: MemoryPort) -> None:
        connection = MemoryConnection(
            self._reactor.soon, self._source, self._destination
        )
        self._state = "connected"
        self._stop_clock()
        client = self._factory.buildProtocol(self._destination)
        server = port.factory.buildProtocol(self._source)
        if server is None:
            connection.client.fail()
        else:
            connection.server.begin(server)
            self._reactor.connections.append(connection)
        if client is None:
            connection.server.fail()
            return
        self._connection = connection
        connection.client.begin(client, self._lost)

    def _fail(self, error: Exception) -> None:
        self._state = "disconnected"
        self._stop_clock()
        self._factory.clientConnectionFailed(self, Failure(error))
        self._factory.doStop()

    def _lost(self, reason: Failure) -> None:
        self._state = "disconnected"
        self._factory.clientConnectionLost(self, reason)
        self._factory.doStop()

    def _stop_clock(self) -> None:
        if self._patience is not None and self._patience.active():
            self._patience.cancel()


def _interface(address: IAddress) -> tuple[str, int]:
    if isinstance(address, IPv4Address | IPv6Address):
        return address.host, address.port
    return str(address), 0
