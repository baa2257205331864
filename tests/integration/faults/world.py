"""
A server, clients that reach it over each transport, and a relay in the way of each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort

from reitunnel.auth import new_token
from tests.certificates import CertificateAuthority, write_private
from tests.integration.faults.ledger import install
from tests.integration.faults.processes import Peer, pause, together
from tests.integration.faults.relay import Connection, FaultRelay
from tests.integration.faults.truth import Truth
from tests.integration.processes import reactor
from tests.integration.programs.deployment import CLIENT, SERVER, TCP, TLS, WS, WSS
from tests.integration.programs.ports import free_port
from tests.integration.streaming import port_of

_WAYS: Final = {way.scheme: way for way in (TCP, TLS, WS, WSS)}
TRANSPORTS: Final = tuple(_WAYS)
"""Every transport."""
CARRIERS: Final = ("mux", "direct", "auto")
"""Every carrier."""
_CONTROL: Final = re.compile(
    r"client \S*/(\S+) (?:connected|is back) from 127\.0\.0\.1:(\d+)"
)


@dataclass
class Route:
    """
    One client, and its way to the server.

    @ivar transport: of its links.
    @ivar carrier: of its streams.
    @ivar relay: what stands in the way.
    @ivar client: the client.
    @ivar port: its public port.
    """

    transport: str
    carrier: str
    relay: FaultRelay
    client: Peer
    port: int

    @property
    def secure(self) -> bool:
        """
        Whether corrupt bytes are found out on the way: only TLS sees to that.
        """
        return _WAYS[self.transport].secure

    @property
    def name(self) -> str:
        """
        What it is called, which is its client's id too.
        """
        return f"{self.transport}-{self.carrier}"


@dataclass(frozen=True)
class Terms:
    """
    What servers and clients are told.

    @ivar both: the keys of both, by the key's path.
    @ivar server: more for the server.
    @ivar client: more for the clients.
    """

    both: Mapping[str, Any] = field(default_factory=dict)
    server: Mapping[str, Any] = field(default_factory=dict)
    client: Mapping[str, Any] = field(default_factory=dict)


QUICK: Final = Terms(
    both={"timeouts.heartbeat_interval": 0.5, "timeouts.heartbeat_timeout": 3.0},
    server={"timeouts.drain": 0, "timeouts.stream_open": 10.0},
    client={
        "timeouts.drain": 0,
        "retry.initial_delay": 0.05,
        "retry.max_delay": 0.5,
        "pool_size": 3,
    },
)
"""Peers that notice soon, and try again soon."""


class World:
    """
    All of it.

    @ivar truth: what visitors and targets know.
    @ivar server: the server.
    @ivar routes: the clients and the ways to them.
    """

    def __init__(
        self,
        directory: Path,
        ways: Sequence[tuple[str, str]],
        terms: Terms = QUICK,
    ) -> None:
        """
        @param directory: an empty directory.
        @param ways: the transport and the carrier of each route.
        """
        self.truth = Truth(reactor)
        self.routes: list[Route] = []
        self._directory = directory
        self._ways = tuple(ways)
        self._terms = terms
        self._plugins = install(directory)
        self._target: IListeningPort
        transports = dict.fromkeys(transport for transport, _ in ways)
        self._ports = {transport: free_port() for transport in transports}
        self.server = Peer(
            "server",
            (*SERVER, "--config", directory / "server.toml"),
            directory,
            self._plugins,
        )

    async def start(self) -> None:
        """
        Start all of it, and wait until every tunnel is open.
        """
        self._write_secrets()
        endpoint = TCP4ServerEndpoint(reactor, 0, 1024, "127.0.0.1")
        self._target = await endpoint.listen(self.truth.target_factory())
        self._write_server()
        await self.start_server()
        for transport, carrier in self._ways:
            await self._add_route(transport, carrier)
        for route in self.routes:
            await route.client.running.wait_for("is open: ")

    async def start_server(self) -> None:
        """
        Start the server, and wait until it listens.
        """
        await self.server.start().wait_for("listening on ")

    async def finish(self) -> list[str]:
        """
        Ask all to stop.

        @return: what was wrong with that.
        """
        clients = [route.client for route in self.routes]
        codes = await together(client.finish() for client in clients)
        codes.append(await self.server.finish())
        return [
            f"{peer.name} exited with {code}"
            for peer, code in zip((*clients, self.server), codes, strict=True)
            if code
        ]

    async def end(self) -> None:
        """
        End all, whatever state it is in.
        """
        for record in self.truth.open():
            record.visitor.abort()
            if record.target is not None:
                record.target.abort()
        peers = (*(route.client for route in self.routes), self.server)
        await together(peer.end() for peer in peers)
        for route in self.routes:
            await route.relay.stop()
        if hasattr(self, "_target"):
            stopping = self._target.stopListening()
            if stopping is not None:
                await stopping
        while self.truth.open() or any(
            route.relay.connections for route in self.routes
        ):
            await pause(0.01)

    def control(self, route: Route) -> Connection | None:
        """
        Give the control link of a route: the newest connection that the server has
        said to be one, if it is still there.
        """
        for match in reversed(list(_CONTROL.finditer(self.server.running.output))):
            if match[1] == route.name:
                connection = route.relay.from_port(int(match[2]))
                return connection if connection and connection.alive else None
        return None

    def data_links(self, route: Route) -> list[Connection]:
        """
        Give the other connections of a route, oldest first.
        """
        control = self.control(route)
        return [each for each in route.relay.alive() if each is not control]

    # The parts.

    async def _add_route(self, transport: str, carrier: str) -> None:
        relay = FaultRelay(reactor, self._ports[transport])
        dialled = await relay.start()
        name = f"{transport}-{carrier}"
        client = Peer(
            name,
            (*CLIENT, "--config", self._directory / f"{name}.toml"),
            self._directory,
            self._plugins,
        )
        route = Route(transport, carrier, relay, client, free_port())
        self.routes.append(route)
        keys: dict[str, Any] = {
            "server": _WAYS[transport].url("127.0.0.1", dialled),
            "client_id": name,
            "token_file": str(self._directory / "token"),
            "carrier": carrier,
            **self._terms.both,
            **self._terms.client,
        }
        if route.secure:
            keys["ca"] = str(self._directory / "ca.pem")
        self._write(
            client,
            keys,
            "[[tunnels]]",
            f"port = {route.port}",
            f'target = "127.0.0.1:{port_of(self._target.getHost())}"',
        )
        client.start()

    def _write_secrets(self) -> None:
        token, verifier = new_token("laptop")
        write_private(self._directory / "tokens.toml", verifier.encode())
        write_private(self._directory / "token", token.encode())
        authority = CertificateAuthority()
        authority.write(self._directory / "ca.pem")
        issued = authority.issue("server", "localhost", "127.0.0.1")
        issued.write(self._directory / "server.pem")

    def _write_server(self) -> None:
        keys: dict[str, Any] = {
            "listen": [
                _WAYS[transport].url("127.0.0.1", port)
                for transport, port in self._ports.items()
            ],
            "auth.tokens": str(self._directory / "tokens.toml"),
            **self._terms.both,
            **self._terms.server,
        }
        if any(_WAYS[transport].secure for transport in self._ports):
            keys["pem"] = str(self._directory / "server.pem")
        self._write(self.server, keys)

    def _write(self, peer: Peer, keys: Mapping[str, Any], *lines: str) -> None:
        # TOML writes texts, numbers and lists of them as JSON does.
        text = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        text += lines
        text += ["[[hooks]]", 'name = "fault-ledger"', f'file = "{peer.ledger_option}"']
        path = self._directory / f"{peer.name}.toml"
        path.write_text("\n".join([*text, ""]))
