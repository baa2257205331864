"""
The pages of a running server and client, while a stream moves bytes in bulk.
"""

from __future__ import annotations

import json
import socket
import stat
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread

from reitunnel.service.asking import ask_status
from tests.integration.processes import Running, reactor
from tests.integration.test_command import (
    OPEN_SERVER,
    PUBLIC,
    REITUNNEL,
    CommandTestCase,
)

MONITOR = ("--monitor", "127.0.0.1:0")
PATIENCE = 60.0
"""How long a page may take beyond what it is asked for, in seconds."""


class Flood(Protocol):
    """
    A target that sends without end.
    """

    transport: Any

    def connectionMade(self) -> None:
        """
        Begin.
        """
        self.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """
        Send some more.
        """
        self.transport.write(bytes(65536))

    def stopProducing(self) -> None:
        """
        The other side is gone.
        """


def get(url: str, method: str = "GET") -> bytes:
    """
    Ask for a page, in a thread.
    """
    with urlopen(Request(url, method=method), timeout=PATIENCE) as response:
        body: bytes = response.read()
        return body


class MonitoringTests(CommandTestCase):
    async def monitor_of(self, running: Running) -> str:
        match = await running.wait_for(r"monitoring on (127\.0\.0\.1:\d+)$")
        return match[1]

    async def flood(self) -> tuple[str, str]:
        """
        Start a server and a client, and a visitor that gets bytes without end, by
        copying.

        @return: where both are monitored.
        """
        target = await self.listen(Factory.forProtocol(Flood))
        server = self.start(*REITUNNEL, *OPEN_SERVER, *MONITOR)
        listening = await server.wait_for(r"listening on (tcp://\S+)$")
        remote = f"0:127.0.0.1:{target}"
        client = self.start(
            *REITUNNEL, "client", listening[1], "-R", remote, "--carrier", "mux",
            *MONITOR,
        )  # fmt: skip
        port = int((await client.wait_for(PUBLIC))[1])
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        visitor: Any = await endpoint.connect(Factory.forProtocol(Protocol))
        self.addCleanup(visitor.transport.loseConnection)
        return await self.monitor_of(server), await self.monitor_of(client)

    async def page(self, monitor: str, path: str, method: str = "GET") -> bytes:
        body: bytes = await deferToThread(get, f"http://{monitor}{path}", method)
        return body

    async def test_profile(self) -> None:
        """
        The pump is what a bulk stream keeps busy, on both sides.
        """
        for monitor in await self.flood():
            raw = await self.page(monitor, "/debug/profile?seconds=2&hz=500&format=raw")
            stacks = raw.decode().splitlines()
            pumping = [line for line in stacks if "reitunnel.relay." in line]
            self.assertNotEqual([], pumping, stacks)
            flames = await self.page(monitor, "/debug/profile?seconds=1&hz=500")
            self.assertIn(b"reitunnel.relay.", flames)

    async def test_blocked(self) -> None:
        """
        With the other clock what waits is seen too.
        """
        server = self.start(*REITUNNEL, *OPEN_SERVER, *MONITOR)
        monitor = await self.monitor_of(server)
        raw = await self.page(
            monitor, "/debug/profile?seconds=1&hz=100&clock=wall&format=raw"
        )
        self.assertRegex(raw.decode(), r"mainLoop;[\w.]*(doPoll|doSelect|doKEvent)\S* ")

    async def test_heap(self) -> None:
        server, _ = await self.flood()
        await self.page(server, "/debug/heap/start?frames=3", "POST")
        await self.page(server, "/debug/heap/mark", "POST")
        difference = json.loads(await self.page(server, "/debug/heap/diff"))
        self.assertGreater(difference["traced_bytes"], 0)
        self.assertNotEqual([], difference["difference"])
        await self.page(server, "/debug/heap/stop", "POST")
        with self.assertRaises(HTTPError) as caught:
            await self.page(server, "/debug/heap")
        self.assertEqual(409, caught.exception.code)
        caught.exception.close()

    async def test_trace(self) -> None:
        """
        What is open, the bytes that move, and the turns of the reactor.
        """
        server, _ = await self.flood()
        path = "/debug/trace?seconds=2&least_turn_us=1"
        trace = json.loads(await self.page(server, path))
        events = trace["traceEvents"]
        self.assertEqual("recorded", trace["otherData"]["turns"])
        kinds = {(event["ph"], event.get("cat")) for event in events}
        for kind in ("session", "tunnel", "stream"):
            self.assertLessEqual({("b", kind), ("e", kind)}, kinds)
        self.assertIn(("X", "reactor"), kinds)
        moved = sum(event["args"]["sent"] for event in events if event["ph"] == "C")
        self.assertGreater(moved, 0)
        for event in events:
            self.assertGreaterEqual(event["ts"], 0)

    async def test_reactor(self) -> None:
        server, client = await self.flood()
        for monitor in (server, client):
            page = json.loads(await self.page(monitor, "/debug/reactor"))
            self.assertGreater(page["readers"]["count"], 2)
            [tunnel] = page["state"]["sessions"][0]["tunnels"]
            [stream] = tunnel["list"]
            self.assertEqual("mux", stream["carrier"])
            self.assertGreater(stream["window"], 0)

    async def test_metrics(self) -> None:
        for monitor in await self.flood():
            text = (await self.page(monitor, "/metrics")).decode()
            self.assertIn('\nreitunnel_sessions{scheme="tcp"} 1.0\n', text)
            self.assertIn("\nprocess_resident_memory_bytes ", text)

    async def test_status(self) -> None:
        for monitor in await self.flood():
            finished = await self.run_to_end(
                "reitunnel", "status", "--once", "--address", monitor
            )
            self.assertEqual(0, finished.code, finished)
            self.assertIn("1 session, 1 tunnel, 1 stream;", finished.out)
            self.assertRegex(finished.out, r"anonymous/\S+: tcp 127\.0\.0\.1:\d+, for")

    async def test_unix_socket(self) -> None:
        """
        The owner alone can use the socket. It is there until the server has
        stopped, and one that a process has left behind is not in the way.
        """
        path = self.directory / "monitor.sock"
        # The path of a socket must be short.
        where = f"unix:{path}"
        if len(str(path)) > 100:
            short = self.directory.parents[2] / "m.sock"
            path, where = short, f"unix:{short}"
        server = self.start(*REITUNNEL, *OPEN_SERVER, "--monitor", where)
        await server.wait_for("listening on tcp")
        self.assertEqual(0o600, stat.S_IMODE(path.stat().st_mode))
        status = await deferToThread(ask_status, where, PATIENCE)
        self.assertEqual("server", status["side"])
        server.signal("KILL")
        await server.gone()
        self.assertTrue(path.exists())
        again = self.start(*REITUNNEL, *OPEN_SERVER, "--monitor", where)
        await again.wait_for("listening on tcp")
        await deferToThread(ask_status, where, PATIENCE)
        finished = await again.stop()
        self.assertEqual(0, finished.code, finished)
        self.assertFalse(path.exists())

    async def test_taken(self) -> None:
        """
        A process that cannot listen for its monitor does not start.
        """
        port = await self.taken_port()
        finished = await self.run_to_end(
            *REITUNNEL, *OPEN_SERVER, "--monitor", f"127.0.0.1:{port}"
        )
        self.assertEqual(1, finished.code, finished)
        self.assertRegex(
            finished.out, rf"127.0.0.1:{port}: cannot listen for monitoring: .* in use"
        )

    async def test_exposed(self) -> None:
        finished = await self.run_to_end(
            *REITUNNEL, *OPEN_SERVER, "--monitor", "0.0.0.0:9100"
        )
        self.assert_line(finished, 2, r'^--monitor: "0.0.0.0:9100" would show')

    async def test_nobody(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
            finished = await self.run_to_end(
                "reitunnel", "status", "--once", "--address", address
            )
        self.assert_line(finished, 1, f"^{address}: nobody answers: ")
