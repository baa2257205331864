"""
Tests that nothing is left of connections and clients that are gone.
"""

from __future__ import annotations

import re
from pathlib import Path

from twisted.internet.task import deferLater

from tests.integration.processes import PATIENCE, Running, reactor
from tests.integration.programs.amounts import CONNECTIONS, RESTARTS, RESTARTS_ONE
from tests.integration.programs.cases import (
    TunnelTestCase,
    over_each_transport,
    public_port,
)
from tests.integration.programs.deployment import WSS, Remote
from tests.integration.programs.ports import free_port
from tests.integration.programs.targets import start_web_site

_LOOK_AGAIN = 0.05
_AT_ONCE = 4


def descriptors(program: Running) -> int:
    """
    How many file descriptors a program has.
    """
    return sum(1 for _ in Path(f"/proc/{program.pid}/fd").iterdir())


@over_each_transport
class LeakTests(TunnelTestCase):
    """
    Of descriptors and sessions.
    """

    async def settles(self, program: Running, count: int) -> None:
        """
        Wait until a program has no more descriptors than this. Nobody tells when.
        """
        deadline = reactor.seconds() + PATIENCE
        while (now := descriptors(program)) > count:
            self.assertLess(
                reactor.seconds(), deadline, f"{now} descriptors, {count} before"
            )
            await deferLater(reactor, _LOOK_AGAIN)

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

    async def test_visitors(self) -> None:
        """
        Thousands of visitors leave no descriptors on either side.
        """
        target = await self.open_web_site()
        server = await self.start_server()
        client, [port] = await self.start_client(target)
        # What is opened once, for good, is opened by then.
        await self.fetch(port, 1)
        before = descriptors(server), descriptors(client)
        await self.fetch(port, CONNECTIONS)
        await self.settles(server, before[0])
        await self.settles(client, before[1])

    async def test_clients(self) -> None:
        """
        Clients that are killed and come back leave no descriptors and no sessions.
        """
        restarts = RESTARTS_ONE if self.way == WSS else RESTARTS
        target = await self.open_web_site()
        server = await self.start_server()
        await self.start_client(target, client_id="stays")
        before = descriptors(server)
        ports = {f"client-{number}": free_port() for number in range(_AT_ONCE)}
        for _ in range(restarts // _AT_ONCE):
            clients = [
                self.launch_client([Remote(target, port)], client_id)
                for client_id, port in ports.items()
            ]
            for client, port in zip(clients, ports.values(), strict=True):
                await public_port(client, target)
                await self.fetch(port, 1)
            for client in clients:
                await client.stop("KILL")
        count = restarts // _AT_ONCE * _AT_ONCE
        for ended in ("disconnected:", "closed after"):
            await server.wait_for(ended, count)
            self.assertEqual(len(re.findall(ended, server.output)), count)
        for begun in ("connected from", "is open:"):
            self.assertEqual(len(re.findall(begun, server.output)), count + 1)
        await self.settles(server, before)
