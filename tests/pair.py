"""
A server and a client that are joined in memory, with visitors and targets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec
from twisted.internet.defer import Deferred

from reitunnel import Client, ClientConfig, ClientTunnel, Server, ServerConfig
from reitunnel.client.attaching import Attachment
from reitunnel.config.settings import ClientTimeouts, Retry, TunnelSettings
from reitunnel.config.values import Carrier
from reitunnel.interfaces import ISession
from reitunnel.relay import DataLink, Link
from tests.ledger import Ledger
from tests.memory import Caller, MemoryConnection, MemoryReactor, Peer, Peers

LINK_PORT = 7000
TARGET_PORT = 8080
PUBLIC_PORT = 6000

SERVER = ServerConfig(
    listen=(f"tcp://127.0.0.1:{LINK_PORT}",),
    insecure_no_auth=True,
)
CLIENT = ClientConfig(
    server=f"tcp://127.0.0.1:{LINK_PORT}",
    client_id="laptop",
    timeouts=ClientTimeouts(resume=0.0),
    retry=Retry(jitter=0.0),
    tunnels=(TunnelSettings(port=PUBLIC_PORT, target=f"127.0.0.1:{TARGET_PORT}"),),
)


def server_config(**changes: Any) -> ServerConfig:
    """
    Make a server's configuration: loopback, no authentication, and C{changes}.
    """
    return msgspec.structs.replace(SERVER, **changes)


def client_config(**changes: Any) -> ClientConfig:
    """
    Make the configuration of a client of that server, with one tunnel, no jitter,
    whose session ends with its link, and C{changes}.
    """
    return msgspec.structs.replace(CLIENT, **changes)


class Pair:
    """
    A server and its client.

    @ivar reactor: the reactor of both, with their network and their clock.
    @ivar server: the server.
    @ivar client: the client.
    @ivar told_server: what a hook of the server was told.
    @ivar told_client: what a hook of the client was told.
    @ivar targets: what was connected at the target's port.
    @cvar carrier: the carrier of clients whose configuration says C{auto}.
    """

    carrier: ClassVar[Carrier] = "auto"

    def __init__(
        self,
        *,
        server: ServerConfig = SERVER,
        client: ClientConfig = CLIENT,
        server_hooks: Iterable[object] = (),
        client_hooks: Iterable[object] = (),
        ledgers: bool = True,
        reactor: MemoryReactor | None = None,
    ) -> None:
        """
        @param server: the server's configuration; see L{server_config}.
        @param client: the client's.
        @param server_hooks: hooks after L{told_server}.
        @param client_hooks: hooks after L{told_client}.
        @param ledgers: whether L{told_server} and L{told_client} are hooks at all:
            without hooks less is done.
        @param reactor: a reactor with faults.
        """
        self.reactor = reactor or MemoryReactor()
        self.told_server = Ledger()
        self.told_client = Ledger()
        if ledgers:
            server_hooks = [self.told_server, *server_hooks]
            client_hooks = [self.told_client, *client_hooks]
        if client.carrier == "auto":
            client = msgspec.structs.replace(client, carrier=self.carrier)
        self.server = Server(self.reactor, server, server_hooks)
        self.client = Client(self.reactor, client, client_hooks)
        self.targets = Peers()
        self._target_port = self.reactor.listenTCP(
            TARGET_PORT, self.targets, interface="127.0.0.1"
        )

    # Starting and stopping.

    def start(self) -> Pair:
        """
        Start both, and let them do what follows at once.
        """
        self.start_server()
        self.start_client()
        return self

    def start_server(self) -> Pair:
        """
        Start the server alone.
        """
        self.server.privilegedStartService()
        self.server.startService()
        self.reactor.settle()
        return self

    def start_client(self) -> Pair:
        """
        Start the client alone.
        """
        self.client.startService()
        self.reactor.settle()
        return self

    def stop(self) -> list[str]:
        """
        Stop both, whatever state they are in, and see what they leave behind.

        @return: what was left: it should be nothing.
        """
        stopping = [self.client.stopService(), self.server.stopService()]
        self.reactor.advance(120)
        left = [f"{each} is left" for each in self._left_open()]
        left += [f"{each} does not stop" for each in stopping if not each.called]
        left += [f"the server's hook: {e}" for e in self.told_server.broken_rules()]
        left += [f"the client's hook: {e}" for e in self.told_client.broken_rules()]
        return left

    def close_target(self) -> None:
        """
        Let the target's port be closed: connections to it are refused.
        """
        self._target_port.stopListening()
        self.reactor.settle()

    def open_target(self) -> None:
        """
        Open it again.
        """
        self._target_port = self.reactor.listenTCP(
            TARGET_PORT, self.targets, interface="127.0.0.1"
        )

    # What is there.

    @property
    def link(self) -> MemoryConnection:
        """
        The newest control link.
        """
        return next(
            connection
            for connection in reversed(self.link_connections)
            if not _is_data_link(connection)
        )

    @property
    def data_links(self) -> list[MemoryConnection]:
        """
        The data links that are open, oldest first.
        """
        return [
            connection
            for connection in self.link_connections
            if _is_data_link(connection)
            and (connection.client.connected or connection.server.connected)
        ]

    @property
    def used_data_links(self) -> list[MemoryConnection]:
        """
        Those that the server has given to streams.
        """
        return [
            connection
            for connection in self.data_links
            if isinstance(link := link_of(connection.server.protocol), Link)
            and isinstance(link.receiver, DataLink)
            and link.receiver.stream
        ]

    @property
    def link_connections(self) -> list[MemoryConnection]:
        """
        Every connection that the server has accepted for a link, oldest first.
        """
        return [
            connection
            for connection in self.reactor.connections
            if getattr(connection.server.getHost(), "port", None) == LINK_PORT
        ]

    @property
    def session(self) -> ISession:
        """
        The client's one session, on the server.
        """
        [session] = self.server.sessions
        return session

    @property
    def public_ports(self) -> list[int]:
        """
        The ports that are open for visitors.
        """
        known = (LINK_PORT, TARGET_PORT)
        ports = [getattr(port.address, "port", 0) for port in self.reactor.ports]
        return [port for port in ports if port not in known]

    # Visitors.

    def visit(self, port: int = PUBLIC_PORT, host: str = "127.0.0.1") -> Peer:
        """
        Connect a visitor, and let everything follow that does at once.
        """
        visitor = self.arrive(port, host)
        self.reactor.settle()
        return visitor

    def arrive(self, port: int = PUBLIC_PORT, host: str = "127.0.0.1") -> Peer:
        """
        Connect a visitor, and let nothing happen yet.
        """
        visitor = Peer()
        self.reactor.connectTCP(host, port, Caller(visitor))
        return visitor

    def open_stream(self) -> tuple[Peer, Peer]:
        """
        Connect a visitor to its target.

        @return: the visitor and the target.
        """
        visitor = self.visit()
        return visitor, self.targets.newest

    def open_tunnel(self, *args: Any, **keywords: Any) -> ClientTunnel:
        """
        Open a tunnel of the client's.
        """
        result = outcome(self.client.open_tunnel(*args, **keywords), self.reactor)
        assert isinstance(result, ClientTunnel), result
        return result

    def _left_open(self) -> list[object]:
        ports = [
            port for port in self.reactor.ports if port.factory is not self.targets
        ]
        ends = [
            end
            for connection in self.reactor.connections
            for end in (connection.client, connection.server)
            if end.connected and not isinstance(innermost(end.protocol), Peer)
        ]
        return [*ports, *ends, *self.reactor.getDelayedCalls()]


def link_of(protocol: Any) -> object:
    """
    Give the link that endpoints have wrapped.
    """
    gate = innermost(protocol)
    return getattr(gate, "_inner", gate)


def _is_data_link(connection: MemoryConnection) -> bool:
    link = link_of(connection.client.protocol)
    return isinstance(link, Link) and isinstance(link.receiver, Attachment | DataLink)


def innermost(protocol: Any) -> object:
    """
    Give the protocol that endpoints have wrapped.
    """
    while hasattr(protocol, "_wrappedProtocol"):
        protocol = protocol._wrappedProtocol
    return protocol


def outcome(waiting: Deferred[Any], reactor: MemoryReactor) -> object:
    """
    Give what a Deferred comes to when everything is done that can be done now:
    its result, or its failure; L{None} if it is still waiting.
    """
    results: list[object] = []
    waiting.addBoth(results.append)
    reactor.settle()
    return results[0] if results else None
