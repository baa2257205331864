"""
The C{bandwidth} hook over real sockets: every carrier, both sides, both directions.
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorTime

from reitunnel.config.values import Carrier
from reitunnel.hooks.bandwidth import (
    BandwidthHook,
    BandwidthOptions,
    DirectionRates,
)
from tests.integration.streaming import StreamTestCase

RATE = 40.0
SIZE = 4_000_000
LEAST = SIZE * 8 / (RATE * 1_000_000) - 0.1
"""How long that takes at least, in seconds, after the burst."""


class BandwidthTests(StreamTestCase):
    carrier: Carrier = "mux"

    async def transfer(self, *, on_server: bool, received: bool) -> None:
        """
        Send some through a tunnel that is slowed down: it takes its time, and nothing
        is lost on the way.
        """
        rates = DirectionRates(**{"received" if received else "sent": RATE})
        hook = BandwidthHook(BandwidthOptions(tunnel=rates))
        await self.start(switch_after=1 << 18)
        side = self.server if on_server else self.client
        side.hooks.register(hook)
        visitor, target = await self.bulk_pair()
        sender, receiver = (visitor, target) if received else (target, visitor)
        clock = IReactorTime(reactor)
        begun = clock.seconds()
        sent = sender.send(SIZE)
        await receiver.finished
        self.assertGreater(clock.seconds() - begun, 0.95 * LEAST)
        self.assertEqual(sent.digest.digest(), receiver.digest.digest())
        receiver.transport.loseConnection()
        await self.over()

    async def test_received_on_the_server(self) -> None:
        await self.transfer(on_server=True, received=True)

    async def test_sent_on_the_server(self) -> None:
        await self.transfer(on_server=True, received=False)

    async def test_received_on_the_client(self) -> None:
        await self.transfer(on_server=False, received=True)

    async def test_sent_on_the_client(self) -> None:
        await self.transfer(on_server=False, received=False)


class DirectTests(BandwidthTests):
    carrier = "direct"


class AutoTests(BandwidthTests):
    carrier = "auto"
