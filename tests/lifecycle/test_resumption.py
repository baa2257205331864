"""
Sessions that go on over another control link.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.config.settings import ClientTimeouts
from tests.pair import Pair, client_config


class ResumptionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pair = Pair(
            client=client_config(timeouts=ClientTimeouts(), carrier="mux")
        ).start()

    def tearDown(self) -> None:
        self.assertEqual([], self.pair.stop())

    def test_goes_on(self) -> None:
        pair = self.pair
        visitor, target = pair.open_stream()
        visitor.say(b"hello")
        pair.reactor.settle()
        self.assertEqual(b"hello", target.received)
        pair.told_server.take()
        pair.told_client.take()
        pair.link.cut()
        visitor.say(b" world")
        target.say(b"answer")
        pair.reactor.settle()
        self.assertEqual(b"hello world", target.received)
        self.assertEqual(b"answer", visitor.received)
        self.assertEqual(2, len(pair.link_connections))
        self.assertEqual([], pair.told_server.take() + pair.told_client.take())
        self.assertEqual([], pair.told_server.errors + pair.told_client.errors)
