"""
A server and a client that are joined in memory, with their links.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec
from twisted.internet.defer import Deferred

from reitunnel import ClientConfig, ServerConfig
from reitunnel.client.attaching import Attachment
from reitunnel.client.handshaking import LinkHandshake
from reitunnel.config.values import Carrier
from reitunnel.relay import DataLink, Link
from reitunnel.testing import (
    LINK_PORT,
    PUBLIC_PORT,
    TARGET_PORT,
    MemoryConnection,
    MemoryPair,
    MemoryReactor,
    Peer,
    client_config,
    server_config,
)
from tests.ledger import Ledger

__all__ = [
    "CLIENT",
    "LINK_PORT",
    "PUBLIC_PORT",
    "SERVER",
    "TARGET_PORT",
    "Pair",
    "client_config",
    "innermost",
    "link_of",
    "outcome",
    "server_config",
]

SERVER = server_config()
CLIENT = client_config()


class Pair(MemoryPair):
    """
    A server and its client.

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
        @param ledgers: whether C{told_server} and C{told_client} are hooks at all.
        """
        if client.carrier == "auto":
            client = msgspec.structs.replace(client, carrier=self.carrier)
        super().__init__(
            server=server,
            client=client,
            server_hooks=server_hooks,
            client_hooks=client_hooks,
            recording=ledgers,
            reactor=reactor,
        )

    def make_recording_hook(self) -> Ledger:
        """
        Make a hook that has the name by which tests know it.
        """
        return Ledger()

    def is_far_end(self, protocol: object) -> bool:
        """
        Whether a protocol is one, also inside of what endpoints wrap it in.
        """
        return isinstance(innermost(protocol), Peer)

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


def link_of(protocol: Any) -> object:
    """
    Give the link that endpoints have wrapped.
    """
    gate = innermost(protocol)
    return getattr(gate, "_inner", gate)


def _is_data_link(connection: MemoryConnection) -> bool:
    link = link_of(connection.client.protocol)
    if not isinstance(link, Link):
        return False
    receiver = link.receiver
    return isinstance(receiver, DataLink) or (
        isinstance(receiver, LinkHandshake)
        and isinstance(receiver.dialogue, Attachment)
    )


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
