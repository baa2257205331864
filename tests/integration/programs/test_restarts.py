"""
Tests of clients and servers that are killed, or stop to answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger

from tests.integration.processes import Running, reactor
from tests.integration.programs.cases import (
    TunnelTestCase,
    over_each_transport,
    public_port,
)
from tests.integration.programs.deployment import Remote
from tests.integration.programs.ports import free_port
from tests.integration.programs.targets import start_web_site

_log = Logger()

SOON = 3.0
"""Within which a new client must serve, in seconds from its start."""

_IMPATIENT = {"timeouts.heartbeat_interval": 0.5, "timeouts.heartbeat_timeout": 2.0}
_WITHOUT_RESUMPTION = {**_IMPATIENT, "timeouts.resume": 0.0}


class Stalling(Protocol):
    """
    Begins an answer, and never ends it.
    """

    def dataReceived(self, data: bytes) -> None:
        """
        Begin.
        """
        assert self.transport is not None
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nbeginning")


@over_each_transport
class RestartTests(TunnelTestCase):
    """
    Of the public port, which stays the same.
    """

    async def open_web_site(self, keys: Mapping[str, float] | None = None) -> None:
        """
        Start a server, and a client with a tunnel to a site.

        @param keys: more of the configuration of both.
        """
        root = self.directory / "site"
        root.mkdir()
        (root / "page").write_text("it works\n")
        self.target = f"127.0.0.1:{await start_web_site(self, root)}"
        self.server = await self.start_server(keys)
        self.port = free_port()
        self.remote = Remote(self.target, self.port)
        self.client, _ = await self.start_client(self.remote, keys=keys)
        await self.assert_serves()

    async def assert_serves(self) -> None:
        fetched = await self.run_program(
            *("curl", "--silent", "--show-error", "--fail"),
            f"http://127.0.0.1:{self.port}/page",
        )
        self.assertEqual(fetched.out, "it works\n")

    async def start_again(self) -> Running:
        """
        Start a client for the same public port, and see that it serves soon.
        """
        began = reactor.seconds()
        # Not in the directory of the other, where its pid file is.
        client = self.launch_client([self.remote], name="again")
        self.assertEqual(await public_port(client, self.target), self.port)
        await self.assert_serves()
        took = reactor.seconds() - began
        _log.info(
            "over {scheme} it serves again after {took:.2f} s",
            scheme=self.way.scheme,
            took=took,
        )
        self.assertLess(took, SOON)
        return client

    async def test_killed_client(self) -> None:
        """
        A client that was killed and started again serves soon.
        """
        await self.open_web_site()
        await self.client.stop("KILL")
        await self.start_again()

    async def test_killed_server(self) -> None:
        """
        When a server that was killed is back, so is the client.
        """
        await self.open_web_site()
        for count in (1, 2):
            await self.server.stop("KILL")
            await self.client.wait_for("not connected to", count)
            self.server = await self.start_server()
            port = await public_port(self.client, self.target, count + 1)
            self.assertEqual(port, self.port)
            await self.assert_serves()

    async def test_stopped_client(self) -> None:
        """
        A new client takes over at once from one that does not answer any more, of
        which the server does not know yet.
        """
        await self.open_web_site()
        self.client.signal("STOP")
        await self.start_again()
        await self.server.wait_for("disconnected: the same client connected again")

    async def test_silent_client(self) -> None:
        """
        The server notices a client that does not answer, and its port closes if
        sessions end with their links.
        """
        await self.open_web_site(_WITHOUT_RESUMPTION)
        self.client.signal("STOP")
        await self.server.wait_for("disconnected: the link was silent")
        # What curl calls a failure to connect.
        await self.run_program("curl", f"http://127.0.0.1:{self.port}/", code=7)
        self.client.signal("CONT")
        port = await public_port(self.client, self.target, count=2)
        self.assertEqual(port, self.port)
        await self.assert_serves()

    async def test_silent_server(self) -> None:
        """
        A client notices a server that does not answer, and dials again.
        """
        await self.open_web_site(_WITHOUT_RESUMPTION)
        self.server.signal("STOP")
        await self.client.wait_for("not connected to .*: the link was silent")
        self.server.signal("CONT")
        port = await public_port(self.client, self.target, count=2)
        self.assertEqual(port, self.port)
        await self.assert_serves()

    async def test_silent_client_comes_back(self) -> None:
        """
        The session of a client that answers again goes on.
        """
        await self.open_web_site(_IMPATIENT)
        self.client.signal("STOP")
        await self.server.wait_for("the link was silent; its streams wait up to 60 s")
        self.client.signal("CONT")
        await self.client.wait_for("is back after")
        await self.assert_serves()
        self.assertNotIn("disconnected", self.server.output)

    async def test_silent_server_comes_back(self) -> None:
        """
        The session with a server that answers again goes on.
        """
        await self.open_web_site(_IMPATIENT)
        self.server.signal("STOP")
        await self.client.wait_for("the link was silent; streams wait up to 60 s")
        self.server.signal("CONT")
        await self.client.wait_for("is back after")
        await self.assert_serves()
        self.assertNotIn("disconnected", self.server.output)

    async def test_visitor_of_a_killed_client(self) -> None:
        """
        A visitor in the middle of a download is reset when the client is killed and
        does not come back in time, and does not wait for what never comes.
        """
        stalling = Factory.forProtocol(Stalling)
        listening = reactor.listenTCP(0, stalling, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        await self.start_server({"timeouts.resume": 1.0})
        target = f"127.0.0.1:{listening.getHost().port}"
        client, [port] = await self.start_client(target)
        visitor = self.start(
            *("curl", "--silent", "--show-error", "--no-buffer"),
            f"http://127.0.0.1:{port}/",
        )
        await visitor.wait_for("beginning")
        await client.stop("KILL")
        finished = await visitor.finished()
        # What curl calls a failure to receive.
        self.assertEqual(finished.code, 56, visitor.output)
        self.assertIn("reset by peer", visitor.output)
