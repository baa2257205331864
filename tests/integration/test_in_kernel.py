"""
What is shown of streams that the kernel moves, and of those that are copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet import reactor

from reitunnel import Client, Server
from reitunnel.hooks import BaseHook
from reitunnel.interfaces import IStream
from reitunnel.monitoring.lag import LagMeter
from reitunnel.monitoring.metrics import MetricsReport
from reitunnel.monitoring.status import StatusReport
from reitunnel.monitoring.totals import Totals
from tests.integration.streaming import Program, StreamTestCase, until

BOTH = {"received": True, "sent": True}
NEITHER = {"received": False, "sent": False}


class Pacing(BaseHook):
    """
    Wants to hold what visitors send.
    """

    def on_stream_open(self, stream: IStream) -> None:
        stream.pace_received(lambda count: None)


class InKernelTests(StreamTestCase):
    carrier = "direct"

    async def exchange(self) -> tuple[Program, Program]:
        """
        Open a stream, and send something both ways.
        """
        visitor, target = await self.pair()
        await until(lambda: self.session(self.server)["data_links"]["used"] == 1)
        visitor.transport.write(b"question")
        await target.got(8)
        target.transport.write(b"answer")
        await visitor.got(6)
        return visitor, target

    def session(self, side: Server | Client) -> Mapping[str, Any]:
        """
        What C{/status} says of the one session.
        """
        clock: Any = reactor
        status = StatusReport(clock, side, Totals(), LagMeter(clock))
        [session] = status.describe(streams=True)["sessions"]
        found: Mapping[str, Any] = session
        return found

    def stream(self, side: Server | Client) -> Mapping[str, Any]:
        """
        What it says of the one stream.
        """
        [tunnel] = self.session(side)["tunnels"]
        [stream] = tunnel["list"]
        found: Mapping[str, Any] = stream
        return found

    async def moved(self, side: Server | Client, how: Mapping[str, bool]) -> None:
        """
        Wait until the stream is moved so.
        """
        await until(lambda: self.stream(side)["in_kernel"] == how)

    def metrics(self, side: Server | Client) -> str:
        clock: Any = reactor
        report = MetricsReport(side, Totals(), LagMeter(clock))
        return report.exposition().decode()

    async def test_plain(self) -> None:
        """
        Each side says so of each direction, until it ends.
        """
        await self.start()
        visitor, target = await self.exchange()
        for side in (self.server, self.client):
            await self.moved(side, BOTH)
            self.assertEqual("direct", self.stream(side)["carrier"])
            self.assertEqual(1, self.session(side)["data_links"]["in_kernel"])
            self.assertIn("\nreitunnel_streams_in_kernel 1.0\n", self.metrics(side))
        visitor.transport.loseWriteConnection()
        await target.finished
        for side in (self.server, self.client):
            await self.moved(side, {"received": False, "sent": True})
        target.transport.loseConnection()
        await self.over()

    async def test_paced(self) -> None:
        """
        Here it is copied, and at the other side not.
        """
        await self.start()
        self.server.hooks.register(Pacing())
        await self.exchange()
        await self.moved(self.client, BOTH)
        self.assertEqual(NEITHER, self.stream(self.server)["in_kernel"])
        self.assertEqual("direct", self.stream(self.server)["carrier"])
        self.assertEqual(0, self.session(self.server)["data_links"]["in_kernel"])
        self.assertIn("\nreitunnel_streams_in_kernel 0.0\n", self.metrics(self.server))


class CopiedTests(InKernelTests):
    """
    TLS is not for the kernel.
    """

    scheme = "tls"

    async def test_plain(self) -> None:
        await self.start()
        await self.exchange()
        for side in (self.server, self.client):
            self.assertEqual("direct", self.stream(side)["carrier"])
            self.assertEqual(NEITHER, self.stream(side)["in_kernel"])

    async def test_paced(self) -> None:
        await self.start()
        self.server.hooks.register(Pacing())
        await self.exchange()
        self.assertEqual(NEITHER, self.stream(self.server)["in_kernel"])
