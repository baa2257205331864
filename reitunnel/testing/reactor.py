"""
The reactor: time that the test moves, and the network.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IHostnameResolver,
    IHostResolution,
    IListeningPort,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorUNIX,
    IResolutionReceiver,
)
from twisted.internet.task import Clock
from zope.interface import implementer

from reitunnel.testing.connection import MemoryConnection
from reitunnel.testing.ports import (
    WILDCARDS,
    MemoryConnector,
    MemoryPort,
    cannot_listen,
    internet_address,
)

_MOST_TURNS: Final = 100_000
"""After so many turns without rest, something goes round in circles."""


@implementer(IReactorTCP, IReactorUNIX, IReactorPluggableNameResolver)
class MemoryReactor(Clock):
    """
    A reactor whose connections are made in memory. Nothing happens until
    L{settle} or L{advance} is called.

    @ivar ports: the listeners.
    @ivar connections: the connections that were accepted, oldest first.
    @ivar names: the addresses of host names. IP addresses stand for themselves;
        no other name is known.
    @ivar local: the addresses of this machine, besides loopback and the wildcards.
    @ivar unreachable: the hosts to which there is no route.
    @ivar silent: the hosts that never answer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ports: list[MemoryPort] = []
        self.connections: list[MemoryConnection] = []
        self.names: dict[str, list[str]] = {"localhost": ["127.0.0.1"]}
        self.local: set[str] = set()
        self.unreachable: set[str] = set()
        self.silent: set[str] = set()
        self.nameResolver: IHostnameResolver = _Resolver(self.names)
        self._next_port = 40000
        self._due: deque[Callable[[], None]] = deque()

    # What the test does.

    def settle(self) -> None:
        """
        Run until nothing is left to do now.
        """
        for _ in range(_MOST_TURNS):
            self.turn()
            if not self._due and not self._call_is_due():
                return
        raise AssertionError("the reactor does not come to rest")

    def turn(self) -> None:
        """
        Do what is to be done now, and not what follows from it.
        """
        self._run_calls()
        for _ in range(len(self._due)):
            self._due.popleft()()

    def advance(self, amount: float) -> None:
        """
        Move time forward. At each moment at which something is to be done, all
        that follows from it is done before time goes on.
        """
        target = self.rightNow + amount
        self.settle()
        while self.calls and self.calls[0].getTime() <= target:
            self.rightNow = max(self.rightNow, self.calls[0].getTime())
            self.settle()
        self.rightNow = target
        self.settle()

    def soon(self, call: Callable[[], None]) -> None:
        """
        Do something in the next turn.
        """
        self._due.append(call)

    def connection_to(self, port: int) -> MemoryConnection:
        """
        Give the newest connection to a TCP port.
        """
        return next(
            connection
            for connection in reversed(self.connections)
            if getattr(connection.server.getHost(), "port", None) == port
        )

    def fate_of(self, destination: IAddress) -> str:
        """
        Say what becomes of attempts to connect: C{silent}, C{unreachable} or an
        empty string.
        """
        host = getattr(destination, "host", "")
        if host in self.silent:
            return "silent"
        return "unreachable" if host in self.unreachable else ""

    # IReactorTCP.

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """
        Listen.

        @raise CannotListenError: when the address cannot be had.
        """
        host = self.names.get(interface, [interface or "0.0.0.0"])[0]
        if 0 < port < 1024:
            raise cannot_listen(interface, port, errno.EACCES)
        if not self._is_local(host):
            raise cannot_listen(interface, port, errno.EADDRNOTAVAIL)
        if not port:
            port = self._free_port()
        listening = MemoryPort(self, internet_address(host, port), factory)
        listening.startListening()
        return listening

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30,
        bindAddress: Any = None,
    ) -> IConnector:
        """
        Connect.

        @param bindAddress: where the connection comes from, which may be any
            host, and port 0 for a new one.
        """
        own_host, own_port = bindAddress or ("::1" if ":" in host else "127.0.0.1", 0)
        source = internet_address(own_host, own_port or self._free_port())
        connector = MemoryConnector(
            self, source, internet_address(host, port), factory, timeout
        )
        connector.connect()
        return connector

    # IReactorUNIX.

    def listenUNIX(
        self,
        address: str,
        factory: Any,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,
    ) -> IListeningPort:
        """
        Listen on a Unix socket.
        """
        listening = MemoryPort(self, UNIXAddress(address), factory)
        listening.startListening()
        return listening

    def connectUNIX(
        self, address: str, factory: Any, timeout: float = 30, checkPID: bool = False
    ) -> IConnector:
        """
        Connect to a Unix socket.
        """
        connector = MemoryConnector(
            self, UNIXAddress(None), UNIXAddress(address), factory, timeout
        )
        connector.connect()
        return connector

    # IReactorPluggableNameResolver.

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """
        Replace the resolver.

        @return: the one before.
        """
        before, self.nameResolver = self.nameResolver, resolver
        return before

    # The parts.

    def _call_is_due(self) -> bool:
        return bool(self.calls) and self.calls[0].getTime() <= self.rightNow

    def _run_calls(self) -> None:
        # Calls for now that these calls add are for the next turn.
        self._sortCalls()
        due = [call for call in self.calls if call.getTime() <= self.rightNow]
        for call in due:
            if call.active() and call.getTime() <= self.rightNow:
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
        self._sortCalls()

    def _free_port(self) -> int:
        self._next_port += 1
        return self._next_port

    def _is_local(self, host: str) -> bool:
        try:
            loopback = ip_address(host).is_loopback
        except ValueError:
            return False
        return loopback or host in WILDCARDS or host in self.local


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """
        It is over already.
        """


@implementer(IHostnameResolver)
class _Resolver:
    """
    Knows the names of a table.
    """

    def __init__(self, names: dict[str, list[str]]) -> None:
        self._names = names

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """
        Resolve a name at once.
        """
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        kinds = tuple(addressTypes or (IPv4Address, IPv6Address))
        for host in self._addresses(hostName):
            address = internet_address(host, portNumber)
            if isinstance(address, kinds):
                resolutionReceiver.addressResolved(address)
        resolutionReceiver.resolutionComplete()
        return resolution

    def _addresses(self, name: str) -> list[str]:
        try:
            return [str(ip_address(name))]
        except ValueError:
            return self._names.get(name, [])
