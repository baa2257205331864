"""
A server and a client that are joined in memory, with visitors and a target.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Self

import msgspec
from twisted.internet.defer import Deferred

from reitunnel.client import Client, ClientTunnel
from reitunnel.config import (
    ClientConfig,
    ClientTimeouts,
    Retry,
    ServerConfig,
    TunnelSettings,
)
from reitunnel.interfaces import ISession
from reitunnel.server import Server
from reitunnel.testing.connection import MemoryConnection
from reitunnel.testing.peers import Caller, Peer, Peers
from reitunnel.testing.reactor import MemoryReactor
from reitunnel.testing.recording import RecordingHook

LINK_PORT: Final = 7000
"""Where the server listens for links."""
TARGET_PORT: Final = 8080
"""Where the target listens."""
PUBLIC_PORT: Final = 6000
"""The public port of the client's tunnel."""

_STOPPED_BY: Final = 120.0
"""Everything is over so many seconds after both were told to stop."""

_SERVER = ServerConfig(listen=(f"tcp://127.0.0.1:{LINK_PORT}",), insecure_no_auth=True)
_CLIENT = ClientConfig(
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
    return msgspec.structs.replace(_SERVER, **changes)


def client_config(**changes: Any) -> ClientConfig:
    """
    Make the configuration of a client of that server, called C{laptop}, with one
    tunnel, retries without jitter, a session that ends with its link, and
    C{changes}.
    """
    return msgspec.structs.replace(_CLIENT, **changes)


class MemoryPair:
    """
    A server and its client, not started yet.

    Time stands still until the test calls L{advance}; L{settle} does what can be done
    now. There are no threads: hooks that need some, such as an C{AsyncHook}, are
    tested over a real reactor.

    @ivar reactor: the reactor of both, with their network and their clock.
    @ivar server: the server.
    @ivar client: the client.
    @ivar told_server: a hook of the server that records what it is told.
    @ivar told_client: a hook of the client that does.
    @ivar targets: what was connected at the target's port.
    """

    def __init__(
        self,
        *,
        server: ServerConfig | None = None,
        client: ClientConfig | None = None,
        server_hooks: Iterable[object] = (),
        client_hooks: Iterable[object] = (),
        recording: bool = True,
        reactor: MemoryReactor | None = None,
    ) -> None:
        """
        @param server: the server's configuration; see L{server_config}.
        @param client: the client's; see L{client_config}.
        @param server_hooks: hooks of the server, after L{told_server}.
        @param client_hooks: hooks of the client, after L{told_client}.
        @param recording: whether L{told_server} and L{told_client} are registered at
            all: without hooks less is done.
        @param reactor: a reactor that differs, in the addresses it has for example.
        """
        self.reactor = reactor or MemoryReactor()
        self.told_server = self.make_recording_hook()
        self.told_client = self.make_recording_hook()
        if recording:
            server_hooks = [self.told_server, *server_hooks]
            client_hooks = [self.told_client, *client_hooks]
        self.server = Server(self.reactor, server or server_config(), server_hooks)
        self.client = Client(self.reactor, client or client_config(), client_hooks)
        self.targets = Peers()
        self._others: list[Client] = []
        self.open_target()

    def make_recording_hook(self) -> RecordingHook:
        """
        Make L{told_server} and L{told_client}. A subclass may make hooks of its own.
        """
        return RecordingHook()

    # Starting and stopping.

    def start(self) -> Self:
        """
        Start both, and let them do what follows at once: the client connects, and its
        tunnels are opened.
        """
        return self.start_server().start_client()

    def start_server(self) -> Self:
        """
        Start the server alone.
        """
        self.server.privilegedStartService()
        self.server.startService()
        self.settle()
        return self

    def start_client(self) -> Self:
        """
        Start the client alone.
        """
        self.client.startService()
        self.settle()
        return self

    def start_another(
        self, client: ClientConfig, hooks: Iterable[object] = ()
    ) -> Client:
        """
        Start one more client of the server. It is stopped with the others.

        @param client: its configuration, with another id than the first one's.
        """
        other = Client(self.reactor, client, hooks)
        self._others.append(other)
        other.startService()
        self.settle()
        return other

    def stop(self) -> list[str]:
        """
        Stop all, whatever state they are in, and see what they leave behind;
        L{reitunnel.testing.assert_stops} asserts that it is nothing.

        @return: what was left.
        """
        clients = [self.client, *self._others]
        stopping = [each.stopService() for each in (*clients, self.server)]
        self.advance(_STOPPED_BY)
        left = [f"{each} is left" for each in self._left_open()]
        left += [f"{each} does not stop" for each in stopping if not each.called]
        left += [f"the server's hook: {e}" for e in self.told_server.broken_rules()]
        left += [f"the client's hook: {e}" for e in self.told_client.broken_rules()]
        return left

    # Time.

    def settle(self) -> None:
        """
        Do all that can be done now.
        """
        self.reactor.settle()

    def advance(self, seconds: float) -> None:
        """
        Let time pass, and do what is to be done meanwhile.
        """
        self.reactor.advance(seconds)

    # Links.

    def cut_links(self) -> None:
        """
        Let every link be lost at once. The client dials again when time passes.
        """
        for connection in self.link_connections:
            connection.cut()
        self.settle()

    def silence_links(self) -> None:
        """
        Let nothing through any more on the links that there are, as when a cable is
        pulled. The heartbeats find it when time passes.
        """
        for connection in self.link_connections:
            connection.silence()

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

    # What is there.

    @property
    def session(self) -> ISession:
        """
        The one session that the server has.
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

    # Visitors and targets.

    def visit(
        self,
        port: int = PUBLIC_PORT,
        host: str = "127.0.0.1",
        source: tuple[str, int] | None = None,
    ) -> Peer:
        """
        Connect a visitor, and let everything follow that does at once.

        @param source: the address that the visitor comes from, with port 0 for any;
            loopback if it is left out.
        """
        visitor = self.arrive(port, host, source)
        self.settle()
        return visitor

    def arrive(
        self,
        port: int = PUBLIC_PORT,
        host: str = "127.0.0.1",
        source: tuple[str, int] | None = None,
    ) -> Peer:
        """
        Connect a visitor, and let nothing happen yet.
        """
        visitor = Peer()
        self.reactor.connectTCP(host, port, Caller(visitor), bindAddress=source)
        return visitor

    def open_stream(self) -> tuple[Peer, Peer]:
        """
        Connect a visitor to its target.

        @return: the visitor and the target.
        """
        visitor = self.visit()
        return visitor, self.targets.newest

    def open_tunnel(self, *arguments: Any, **keywords: Any) -> ClientTunnel:
        """
        Open a tunnel of the client's, as L{Client.open_tunnel} does.

        @raise AssertionError: if it is not open when all is done that can be done now.
        """
        result = self.outcome(self.client.open_tunnel(*arguments, **keywords))
        if not isinstance(result, ClientTunnel):
            raise AssertionError(f"the tunnel is not open: {result}")
        return result

    def outcome(self, waiting: Deferred[Any]) -> object:
        """
        Give what a Deferred comes to when all is done that can be done now: its
        result, or its failure; L{None} if it is still waiting.
        """
        results: list[object] = []
        waiting.addBoth(results.append)
        self.settle()
        return results[0] if results else None

    def close_target(self) -> None:
        """
        Close the target's port: connections to it are refused.
        """
        self._target_port.stopListening()
        self.settle()

    def open_target(self) -> None:
        """
        Open it again.
        """
        self._target_port = self.reactor.listenTCP(
            TARGET_PORT, self.targets, interface="127.0.0.1"
        )

    # The parts.

    def is_far_end(self, protocol: object) -> bool:
        """
        Whether a protocol is a visitor or a target, which the test may leave open.
        """
        return isinstance(protocol, Peer)

    def _left_open(self) -> list[object]:
        ports = [
            port for port in self.reactor.ports if port.factory is not self.targets
        ]
        ends = [
            end
            for connection in self.reactor.connections
            for end in (connection.client, connection.server)
            if end.connected and not self.is_far_end(end.protocol)
        ]
        return [*ports, *ends, *self.reactor.getDelayedCalls()]
