"""
Which carrier a stream has: seen from outside, on a server and a client in memory.
"""

from __future__ import annotations

from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Code
from reitunnel.config.settings import Limits, ServerTuning
from tests.memory import MemoryConnection, Peer
from tests.pair import Pair, client_config, server_config

LOTS = 1 << 20


class CarrierCase(SynchronousTestCase):
    """
    A server and a client.
    """

    carrier = "auto"
    pool_size = 2
    switch_after = 50_000

    def setUp(self) -> None:
        config = client_config(carrier=self.carrier, pool_size=self.pool_size)
        tuning = ServerTuning(switch_after=self.switch_after)
        self.pair = Pair(client=config, server=server_config(tuning=tuning)).start()
        self.addCleanup(lambda: self.assertEqual([], self.pair.stop()))
        self.visitor, self.target = self.pair.open_stream()

    @property
    def used(self) -> list[MemoryConnection]:
        """
        The data links that streams have.
        """
        return self.pair.used_data_links

    def say(self, who: Peer, size: int) -> None:
        """
        Let a program write so much, and everything happen that follows.
        """
        who.say(bytes(size))
        self.pair.reactor.settle()

    def check_counts(self, received: int, sent: int) -> None:
        """
        Hooks of both sides know what each program has got: the ledgers check the
        single counts.
        """
        self.assertEqual(received, len(self.target.received))
        self.assertEqual(sent, len(self.visitor.received))
        [tunnel] = self.pair.session.tunnels
        self.assertEqual((received, sent), (tunnel.bytes_received, tunnel.bytes_sent))
        [tunnel] = self.pair.client.tunnels
        self.assertEqual((received, sent), (tunnel.bytes_received, tunnel.bytes_sent))

    def end(self) -> None:
        """
        Let the stream end in order.
        """
        self.visitor.hang_up()
        self.pair.reactor.settle()
        self.assertEqual([], self.used)
        for ledger in (self.pair.told_server, self.pair.told_client):
            lines = [line for line in ledger.take() if line.startswith("stream-")]
            expected = f"({len(self.target.received)}/{len(self.visitor.received)})"
            self.assertEqual([f"stream- 2 NONE {expected}"], lines)


class MuxTests(CarrierCase):
    carrier = "mux"

    def test_stays(self) -> None:
        self.say(self.visitor, LOTS)
        self.say(self.target, LOTS)
        self.assertEqual([], self.pair.data_links)
        self.check_counts(LOTS, LOTS)
        self.end()


class NoPoolTests(CarrierCase):
    pool_size = 0

    def test_stays(self) -> None:
        self.say(self.visitor, LOTS)
        self.assertEqual([], self.pair.data_links)
        self.check_counts(LOTS, 0)
        self.end()


class AutoTests(CarrierCase):
    def test_little(self) -> None:
        """
        Costs no data link.
        """
        self.say(self.visitor, 20_000)
        self.say(self.target, 29_000)
        self.assertEqual([], self.used)
        self.assertEqual(2, len(self.pair.data_links))
        self.check_counts(20_000, 29_000)
        self.end()

    def test_much_from_the_visitor(self) -> None:
        self.say(self.visitor, 60_000)
        self.assertEqual(1, len(self.used))
        self.say(self.visitor, LOTS)
        self.say(self.target, LOTS)
        self.check_counts(60_000 + LOTS, LOTS)
        self.end()

    def test_much_from_the_target(self) -> None:
        self.say(self.target, 60_000)
        self.assertEqual(1, len(self.used))
        self.say(self.visitor, LOTS)
        self.say(self.target, LOTS)
        self.check_counts(LOTS, 60_000 + LOTS)
        self.end()

    def test_both_ways_together(self) -> None:
        self.say(self.target, 25_001)
        self.say(self.visitor, 25_001)
        self.assertEqual(1, len(self.used))
        self.end()

    def test_visitor_has_finished(self) -> None:
        """
        The other way can still be long.
        """
        self.visitor.say(b"question")
        self.visitor.finish()
        self.target.follows = False
        self.say(self.target, 60_000)
        self.assertEqual(1, len(self.used))
        self.say(self.target, LOTS)
        self.check_counts(8, 60_000 + LOTS)
        self.target.hang_up()
        self.pair.reactor.settle()
        self.end()

    def test_no_data_link(self) -> None:
        """
        The stream goes on, and looks again later. A data link that comes meanwhile
        is for one that asks.
        """
        streams = [self.pair.open_stream() for _ in range(2)]
        for visitor, _ in streams:
            # Nothing else happens meanwhile: no data link comes.
            visitor.transport.write(bytes(60_000))
        self.visitor.transport.write(bytes(60_000))
        self.pair.reactor.settle()
        self.assertEqual(
            3 * 60_000, sum(len(p.received) for p in self.pair.targets.all)
        )
        self.assertTrue(2 <= len(self.used) <= 3)
        for visitor, _ in streams:
            visitor.abort()
        self.pair.reactor.settle()

    def test_another_stream(self) -> None:
        """
        Does not notice.
        """
        visitor, target = self.pair.open_stream()
        self.say(self.visitor, LOTS)
        self.say(visitor, 100)
        self.assertEqual(1, len(self.used))
        self.assertEqual(100, len(target.received))
        self.used[0].cut()
        self.pair.reactor.settle()
        self.assertTrue(self.visitor.reset)
        self.assertTrue(self.target.reset)
        self.say(visitor, 100)
        self.assertEqual(200, len(target.received))


class AtOnceTests(CarrierCase):
    """
    C{switch_after} of 0 is as C{direct}, but does not wait for a data link.
    """

    switch_after = 0

    def test_accepted(self) -> None:
        self.assertEqual(1, len(self.used))
        self.say(self.visitor, LOTS)
        self.check_counts(LOTS, 0)
        self.end()


class DirectTests(CarrierCase):
    carrier = "direct"

    def test_accepted(self) -> None:
        self.assertEqual(1, len(self.used))
        self.say(self.visitor, 100)
        self.say(self.target, LOTS)
        self.check_counts(100, LOTS)
        self.end()

    def test_pool_is_topped_up(self) -> None:
        self.assertEqual(3, len(self.pair.data_links))
        for count in range(2, 6):
            self.pair.open_stream()
            self.assertEqual(count, len(self.used))
            self.assertEqual(count + 2, len(self.pair.data_links))

    def test_target_is_down(self) -> None:
        """
        Visitors that are reset at once take no data link.
        """
        self.pair.close_target()
        before = self.pair.data_links
        visitor = self.pair.visit()
        self.assertTrue(visitor.reset)
        self.assertEqual(before, self.pair.data_links)

    def test_abort(self) -> None:
        """
        The reason is the same on both sides.
        """
        self.target.abort()
        self.pair.reactor.settle()
        self.assertTrue(self.visitor.reset)
        self.assertEqual([], self.used)
        for ledger in (self.pair.told_server, self.pair.told_client):
            self.assertIn("stream- 2 ABORTED (0/0)", ledger.take())

    def test_data_link_is_cut(self) -> None:
        self.used[0].cut()
        self.pair.reactor.settle()
        self.assertTrue(self.visitor.reset)
        self.assertTrue(self.target.reset)
        for ledger in (self.pair.told_server, self.pair.told_client):
            self.assertIn(
                "stream- 2 LINK_LOST: the data link was lost (0/0)", ledger.take()
            )
        self.assertEqual(1, len(list(self.pair.server.sessions)))

    def test_session_is_closed(self) -> None:
        """
        That is what the stream ended of, and not the end of its data link.
        """
        self.pair.session.close(Code.POLICY, "enough")
        self.pair.reactor.settle()
        for ledger in (self.pair.told_server, self.pair.told_client):
            self.assertIn("stream- 2 POLICY: enough (0/0)", ledger.take())

    def test_log(self) -> None:
        with capturedLogs() as logs:
            self.pair.open_stream()
        [event] = [each for each in logs if "link" in each and "stream" in each]
        self.assertIs(LogLevel.debug, event["log_level"])
        self.assertEqual((4, "goes on"), (event["stream"], "goes on"))


class WaitingTests(CarrierCase):
    """
    More streams than data links.
    """

    carrier = "direct"
    pool_size = 1

    def test_many(self) -> None:
        """
        Each gets one in the end.
        """
        visitors = [self.pair.arrive() for _ in range(20)]
        self.pair.reactor.settle()
        self.assertEqual(21, len(self.used))
        for visitor in visitors:
            visitor.say(b"question")
        self.pair.reactor.settle()
        self.assertEqual(
            20, [p.received for p in self.pair.targets.all].count(b"question")
        )
        for visitor in visitors:
            visitor.abort()
        self.pair.reactor.settle()
        self.assertEqual(1, len(self.used))
        self.assertEqual(2, len(self.pair.data_links))


class LimitTests(SynchronousTestCase):
    """
    C{limits.max_links_per_client}.
    """

    def test_streams_beyond_it(self) -> None:
        """
        They stay on the control link, and the client does not try.
        """
        pair = Pair(
            client=client_config(carrier="direct", pool_size=10),
            server=server_config(limits=Limits(max_links_per_client=3)),
        ).start()
        self.assertEqual(3, len(pair.data_links))
        streams = [pair.open_stream() for _ in range(5)]
        for visitor, target in streams:
            visitor.say(b"question")
            target.say(b"answer")
        pair.reactor.settle()
        self.assertEqual(3, len(pair.data_links))
        dialled = len(pair.link_connections)
        for visitor, target in streams:
            self.assertEqual(b"answer", visitor.received)
            self.assertEqual(b"question", target.received)
        streams[0][0].hang_up()
        pair.reactor.settle()
        # The next one gets the place.
        self.assertEqual(3, len(pair.data_links))
        self.assertEqual(dialled + 1, len(pair.link_connections))
        self.assertEqual([], pair.told_server.errors)
        self.assertEqual([], pair.stop())
