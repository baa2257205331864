"""
Tests that nothing is left of connections, links and clients that are gone.
"""

from __future__ import annotations

import re
from typing import Any, Final

from twisted.internet.task import deferLater
from twisted.logger import Logger

from tests.integration.cutting import CuttingRelay
from tests.integration.processes import PATIENCE, Running, reactor
from tests.integration.programs import census
from tests.integration.programs.amounts import (
    CONNECTIONS,
    DIRECT_CONNECTIONS,
    RECONNECTS,
    RESTARTS,
    RESTARTS_ONE,
)
from tests.integration.programs.cases import (
    TunnelTestCase,
    over_each_transport,
    public_port,
)
from tests.integration.programs.census import Census, census_of
from tests.integration.programs.deployment import WSS, Remote
from tests.integration.programs.ports import free_port
from tests.integration.programs.targets import start_web_site

_LOOK_AGAIN = 0.2
_AT_ONCE = 4
_POOL = 10
_MEMORY: Final = 32 << 10
"""
By how much the resident memory may grow, in KiB, which the allocator decides too:
objects are counted one by one.
"""
_DATA_LINK: Final = "reitunnel.relay.data_link.DataLink"
_STREAM: Final = "reitunnel.relay.stream.StreamTransport"
_QUIET: Final[dict[str, Any]] = {
    "timeouts.heartbeat_interval": 3600,
    "timeouts.heartbeat_timeout": 7200,
}
"""There is a ping when a link is made, and no other while somebody counts."""


@over_each_transport
class LeakTests(TunnelTestCase):
    """
    Of descriptors, delayed calls, memory and sessions. Both programs are looked at
    before and after, when they are at rest: no stream is left, and each session has
    its data links.
    """

    _log = Logger()
    timeout = 120.0 + (CONNECTIONS + DIRECT_CONNECTIONS + RECONNECTS * 20) / 50

    def setUp(self) -> None:
        super().setUp()
        self.environ = census.environment(self.directory / "plugins")

    async def begin(self, **client: Any) -> tuple[Running, Running, int]:
        """
        Start a web site, a server, and a client that makes the site public.

        @param client: more keys of the client.
        @return: the server, the client, and the public port.
        """
        self.deployment.hooks = (census.NAME,)
        self.target = await self.open_web_site()
        server = await self.start_server(_QUIET)
        remote = Remote(self.target, free_port())
        self.keys = {**_QUIET, "pool_size": _POOL, **client}
        running, [port] = await self.start_client(remote, keys=self.keys)
        # What is made once, for good, is made by then.
        await self.fetch(port, 50)
        return server, running, port

    async def at_rest(self, program: Running) -> Census:
        """
        Wait until a program has its data links and no stream, and nothing changes any
        more.
        """

        def is_at_rest(last: Census | None, now: Census) -> bool:
            return (
                now.count(_DATA_LINK) == _POOL
                and not now.count(_STREAM)
                and last is not None
                and not last.differences(now)
            )

        deadline = reactor.seconds() + PATIENCE
        last = None
        while not is_at_rest(last, now := await census_of(program)):
            self.assertLess(reactor.seconds(), deadline, str(now))
            last = now
            await deferLater(reactor, _LOOK_AGAIN)
        return now

    async def check_same(self, program: Running, before: Census) -> None:
        """
        Wait until a program has what it had before, neither more nor less.
        """
        deadline = reactor.seconds() + PATIENCE
        while differences := before.differences(now := await census_of(program)):
            self.assertLess(reactor.seconds(), deadline, "\n".join(differences))
            await deferLater(reactor, _LOOK_AGAIN)
        self._log.info(
            "{test}: {before}, then {now}", test=self.id(), before=before, now=now
        )
        self.assertLess(now.memory - before.memory, _MEMORY)

    async def fetch(self, port: int, count: int) -> None:
        """
        Fetch a page, each time on a connection of its own.
        """
        await self.run_program(
            *("curl", "--silent", "--show-error", "--fail"),
            *("--parallel", "--parallel-max", "20"),
            *("--header", "Connection: close", "--output", "/dev/null"),
            f"http://127.0.0.1:{port}/page?[1-{count}]",
            patience=self.timeout,
        )

    async def open_web_site(self) -> str:
        """
        @return: a target.
        """
        root = self.directory / "site"
        root.mkdir()
        (root / "page").write_text("it works\n")
        return f"127.0.0.1:{await start_web_site(self, root)}"

    async def check_visitors(self, count: int, carrier: str) -> None:
        """
        Visitors leave nothing behind on either side.
        """
        server, client, port = await self.begin(carrier=carrier)
        before = [await self.at_rest(each) for each in (server, client)]
        await self.fetch(port, count)
        for program, had in zip((server, client), before, strict=True):
            await self.check_same(program, had)

    async def test_visitors(self) -> None:
        """
        Thousands of visitors.
        """
        await self.check_visitors(CONNECTIONS, "auto")

    async def test_visitors_on_data_links(self) -> None:
        """
        Hundreds of visitors, most of them with a data link of their own.
        """
        await self.check_visitors(DIRECT_CONNECTIONS, "direct")

    async def check_cuts(self, line: str, **keys: Any) -> Running:
        """
        A client whose links are cut off, again and again, and its server.

        @param line: what the client says when it is back.
        @param keys: more keys of the client.
        @return: the server.
        """
        relay = CuttingRelay(self.deployment.port)
        self.addCleanup(relay.stop)
        server, client, port = await self.begin(
            server=self.way.url("127.0.0.1", await relay.start()),
            **{"retry.initial_delay": 0.01, "retry.max_delay": 0.01, **keys},
        )
        before = [await self.at_rest(each) for each in (server, client)]
        said = len(re.findall(line, client.output))
        for number in range(RECONNECTS):
            relay.cut()
            await client.wait_for(line, said + number + 1)
            await self.fetch(port, 1)
        for program, had in zip((server, client), before, strict=True):
            await self.check_same(program, had)
        return server

    async def test_resumptions(self) -> None:
        """
        The session goes on over other links.
        """
        server = await self.check_cuts("the link to .* is back after")
        self.check_sessions(server, 0)

    async def test_reconnects(self) -> None:
        """
        Each link has a session of its own.
        """
        server = await self.check_cuts("is open: ", **{"timeouts.resume": 0})
        self.check_sessions(server, RECONNECTS)

    async def test_clients(self) -> None:
        """
        Clients that are killed and come back leave nothing on the server.
        """
        restarts = RESTARTS_ONE if self.way == WSS else RESTARTS
        # Sessions of clients that are killed would wait for them.
        server, _, _ = await self.begin(**{"timeouts.resume": 0})
        ports = {f"client-{number}": free_port() for number in range(_AT_ONCE)}
        # The first of them may make what stays for good.
        await self.run_clients(ports)
        before = await self.at_rest(server)
        for _ in range(restarts // _AT_ONCE):
            await self.run_clients(ports)
        await self.check_same(server, before)
        self.check_sessions(server, (restarts // _AT_ONCE + 1) * _AT_ONCE)

    async def run_clients(self, ports: dict[str, int]) -> None:
        """
        Start clients, use their tunnels, and kill them.
        """
        clients = [
            self.launch_client([Remote(self.target, port)], client_id, self.keys)
            for client_id, port in ports.items()
        ]
        for client, port in zip(clients, ports.values(), strict=True):
            await public_port(client, self.target)
            await self.fetch(port, 1)
        for client in clients:
            await client.stop("KILL")

    def check_sessions(self, server: Running, over: int) -> None:
        """
        So many sessions and their tunnels have ended, and one is left.
        """
        for ended in ("disconnected:", "closed after"):
            self.assertEqual(len(re.findall(ended, server.output)), over)
        for begun in ("connected from", "is open:"):
            self.assertEqual(len(re.findall(begun, server.output)), over + 1)
