"""
Servers and clients that are to stop, and then to hurry.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Client, Server
from reitunnel.config import ClientTimeouts, ServerTimeouts
from tests.pair import Pair, client_config, server_config
from tests.server.test_reloading import Witness


class StopNowTests(SynchronousTestCase):
    def test_stop_now(self) -> None:
        """
        The wait for streams is over, and hooks are told.
        """
        witness = Witness()
        pair = Pair(server_hooks=[witness])
        pair.start()
        visitor, _ = pair.open_stream()
        pair.server.stop_now()
        self.assertIsNone(visitor.lost)
        stopping = pair.server.stopService()
        pair.reactor.settle()
        self.assertNoResult(stopping)
        pair.server.stop_now()
        pair.server.stop_now()
        pair.reactor.settle()
        self.successResultOf(stopping)
        self.assertIsNotNone(visitor.lost)
        self.assertEqual(["start", "stop"], witness.told)
        self.assertEqual([], pair.stop())

    def test_client(self) -> None:
        pair = Pair()
        pair.start()
        visitor, _ = pair.open_stream()
        pair.client.stop_now()
        self.assertIsNone(visitor.lost)
        stopping = pair.client.stopService()
        pair.reactor.settle()
        self.assertNoResult(stopping)
        pair.client.stop_now()
        pair.reactor.settle()
        self.successResultOf(stopping)
        self.assertIsNotNone(visitor.lost)
        self.assertEqual([], pair.stop())

    def test_other_side_hears(self) -> None:
        """
        For the other side the session is over: it does not wait for a link of it.
        """
        for name in ("server", "client"):
            pair = Pair(
                server=server_config(timeouts=ServerTimeouts(resume=60.0)),
                client=client_config(timeouts=ClientTimeouts(resume=60.0)),
            )
            pair.start()
            visitor, target = pair.open_stream()
            both: list[Server | Client] = [pair.server, pair.client]
            one, other = both if name == "server" else reversed(both)
            stopping = one.stopService()
            pair.reactor.settle()
            self.assertIsNone(visitor.lost)
            one.stop_now()
            pair.reactor.settle()
            self.successResultOf(stopping)
            self.assertIsNotNone(visitor.lost)
            self.assertIsNotNone(target.lost)
            self.assertNotIn("wait", other.status)
            self.assertEqual([], pair.stop())

    def test_neither_before_nor_after(self) -> None:
        """
        It is for the stop that is under way: links of before and after it stay.
        """
        for name in ("server", "client"):
            pair = Pair().start()
            one = pair.server if name == "server" else pair.client
            link = pair.link
            one.stop_now()
            pair.reactor.advance(2)
            self.assertTrue(link.server.connected)
            pair.open_stream()
            stopping = one.stopService()
            pair.reactor.settle()
            one.stop_now()
            pair.reactor.settle()
            self.successResultOf(stopping)
            (pair.start_server if name == "server" else pair.start_client)()
            pair.reactor.advance(0.9)
            link = pair.link
            self.assertTrue(link.server.connected)
            pair.reactor.advance(2)
            self.assertIs(link, pair.link)
            self.assertTrue(link.server.connected)
            self.assertEqual([], pair.stop())

    def test_other_side_is_gone(self) -> None:
        """
        One that does not answer is cut off after a second, or at once when asked
        again: on all of its links.
        """
        for asked_again in (False, True):
            for name in ("server", "client"):
                pair = Pair()
                pair.start()
                pair.open_stream()
                one = pair.server if name == "server" else pair.client
                stopping = one.stopService()
                pair.reactor.settle()
                pair.silence_links()
                one.stop_now()
                pair.reactor.advance(0.9)
                self.assertNoResult(stopping)
                self.assertGreater(len(_connected(pair, name)), 1)
                if asked_again:
                    one.stop_now()
                    pair.reactor.settle()
                else:
                    pair.reactor.advance(0.1)
                self.successResultOf(stopping)
                self.assertEqual([], _connected(pair, name))
                self.assertEqual([], pair.stop())


def _connected(pair: Pair, name: str) -> list[object]:
    """
    Give the ends of links that one side has.
    """
    ends = (getattr(connection, name) for connection in pair.link_connections)
    return [end for end in ends if end.connected]
