"""
The C{quota} hook in a server: it resets streams, whatever carries them.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.hooks.quotas import QuotaHook, QuotaOptions, QuotaRule
from reitunnel.interfaces import IStream
from tests.memory import MemoryReactor
from tests.pair import Pair, client_config


class QuotaTests(SynchronousTestCase):
    def begin(self, carrier: Any, **limits: Any) -> Pair:
        """
        Start a pair whose server has the hook.
        """
        reactor = MemoryReactor()
        self.hook = QuotaHook(QuotaOptions(rules=(QuotaRule(**limits),)), reactor)
        pair = Pair(
            server_hooks=[self.hook],
            client=client_config(carrier=carrier),
            reactor=reactor,
        ).start()
        self.addCleanup(lambda: self.assertEqual([], pair.stop()))
        return pair

    def streams(self, pair: Pair) -> list[IStream]:
        return [stream for tunnel in pair.server.tunnels for stream in tunnel.streams]

    def check_bytes(self, carrier: Any) -> None:
        pair = self.begin(carrier, bytes_per_day=1000)
        visitor, target = pair.open_stream()
        other, _ = pair.open_stream()
        visitor.say(b"x" * 400)
        pair.reactor.settle()
        target.say(b"y" * 600)
        pair.reactor.settle()
        self.assertEqual(b"y" * 600, visitor.received)
        self.assertIsNone(visitor.lost)
        target.say(b"z")
        pair.reactor.settle()
        self.assertTrue(visitor.reset)
        self.assertTrue(other.reset)
        self.assertIsNotNone(target.lost)
        self.assertEqual([], self.streams(pair))
        ends = [line for line in pair.told_server.lines if line.startswith("stream-")]
        self.assertEqual(2, len(ends))
        for end in ends:
            self.assertIn("LIMIT: the bytes of today are used up", end)
        self.assertTrue(pair.visit().reset)
        self.assertEqual(1001, self.hook.usage("anonymous").bytes)

    def test_bytes_on_the_mux(self) -> None:
        self.check_bytes("mux")

    def test_bytes_on_data_links(self) -> None:
        self.check_bytes("direct")

    def test_tunnels_and_streams(self) -> None:
        pair = self.begin("mux", max_tunnels=1, max_streams=1)
        visitor, _ = pair.open_stream()
        self.assertTrue(pair.visit().reset)
        visitor.hang_up()
        pair.targets.newest.hang_up()
        pair.reactor.settle()
        self.assertIsNone(pair.visit().lost)
        usage = self.hook.usage("anonymous")
        self.assertEqual((1, 1), (usage.open_tunnels, usage.open_streams))

    def test_ledger(self) -> None:
        """
        When all is over, nothing is open.
        """
        pair = self.begin("mux", max_tunnels=10, max_streams=10)
        for _ in range(3):
            pair.open_stream()
        usage = self.hook.usage("anonymous")
        counted = (usage.seats, usage.open_tunnels, usage.open_streams)
        self.assertEqual((1, 1, 3), counted)
        pair.client.stopService()
        pair.reactor.advance(60)
        counted = (usage.seats, usage.open_tunnels, usage.open_streams)
        self.assertEqual((0, 0, 0), counted)
