"""
A server and a client whose control link is lost: streams go on, and hooks are told
nothing.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Client
from reitunnel.config.settings import ClientTimeouts, ServerTimeouts, ServerTuning
from tests.memory import MemoryReactor
from tests.pair import (
    LINK_PORT,
    PUBLIC_PORT,
    TARGET_PORT,
    Pair,
    client_config,
    server_config,
)

AWAY = "127.0.0.2"


class Case(SynchronousTestCase):
    """
    A client that dials the server at an address of its own, which can be lost without
    the others.

    @cvar client: what its configuration has besides.
    """

    client: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        self.pair = self.make_pair().start()
        self.reactor: MemoryReactor = self.pair.reactor
        self.forget()

    def make_pair(self) -> Pair:
        config = {"timeouts": ClientTimeouts(), "carrier": "mux", **self.client}
        server = server_config(
            listen=(f"tcp://0.0.0.0:{LINK_PORT}",), insecure_plaintext=True
        )
        client = client_config(server=f"tcp://{AWAY}:{LINK_PORT}", **config)
        return Pair(client=client, server=server)

    def tearDown(self) -> None:
        self.assertEqual([], self.pair.stop())

    def forget(self) -> None:
        """
        Forget what hooks were told until now.
        """
        for ledger in (self.pair.told_server, self.pair.told_client):
            ledger.take()
            ledger.errors.clear()

    def check_told(self, server: list[str], client: list[str]) -> None:
        self.assertEqual(server, self.pair.told_server.take())
        self.assertEqual(client, self.pair.told_client.take())

    def check_nothing_told(self) -> None:
        self.check_told([], [])
        self.assertEqual([], self.pair.told_server.errors)
        self.assertEqual([], self.pair.told_client.errors)

    def lose_link(self) -> None:
        """
        Let the link be cut, and the server not be reached any more.
        """
        self.reactor.unreachable.add(AWAY)
        self.pair.link.cut()
        self.reactor.settle()

    def find_link(self) -> None:
        """
        Let the server be reached again, and time pass until that is tried.
        """
        self.reactor.unreachable.clear()
        self.reactor.advance(40)


class LostLinkTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.visitor, self.target = self.pair.open_stream()
        self.forget()

    def exchange(self) -> None:
        self.visitor.received = self.target.received = b""
        self.visitor.say(b"question")
        self.target.say(b"answer")
        self.reactor.settle()
        self.assertEqual(b"question", self.target.received)
        self.assertEqual(b"answer", self.visitor.received)

    def check_over(self) -> None:
        self.assertTrue(self.visitor.reset and self.target.reset)

    def test_at_once(self) -> None:
        session = self.pair.session
        self.pair.link.cut()
        self.visitor.say(b"on its way")
        self.reactor.settle()
        self.assertEqual(b"on its way", self.target.received)
        self.assertEqual(2, len(self.pair.link_connections))
        self.assertIs(session, self.pair.session)
        self.assertTrue(session.link_up)
        self.exchange()
        self.check_nothing_told()

    def test_later(self) -> None:
        self.lose_link()
        client = self.pair.client.session
        assert client is not None
        self.assertFalse(client.link_up or self.pair.session.link_up)
        self.reactor.advance(20)
        self.find_link()
        self.assertTrue(client.link_up and self.pair.session.link_up)
        self.exchange()
        self.check_nothing_told()

    def test_often(self) -> None:
        for _ in range(20):
            self.pair.link.cut()
            self.exchange()
            self.reactor.advance(1)
        self.check_nothing_told()

    def test_ends_meanwhile(self) -> None:
        """
        What ends while there is no link ends on the other side when there is one.
        """
        self.lose_link()
        self.visitor.say(b"last words")
        self.visitor.hang_up()
        self.reactor.settle()
        self.assertFalse(self.target.finished)
        self.find_link()
        self.assertEqual(b"last words", self.target.received)
        self.assertTrue(self.target.finished)
        stream = "stream- 2 NONE (10/0)"
        self.check_told([stream], [stream])

    def test_new_visitors_wait(self) -> None:
        self.lose_link()
        visitor = self.pair.visit()
        visitor.say(b"hello?")
        self.reactor.settle()
        self.assertEqual(1, len(self.pair.targets.all))
        self.reactor.unreachable.clear()
        self.reactor.advance(10)
        self.assertEqual(b"hello?", self.pair.targets.newest.received)
        self.assertIsNone(visitor.lost)

    def test_new_visitors_do_not_wait_for_ever(self) -> None:
        """
        A visitor that no client takes in time is reset, link or not.
        """
        self.lose_link()
        visitor = self.pair.visit()
        self.assertIsNone(visitor.lost)
        self.reactor.advance(31)
        self.assertTrue(visitor.reset)
        self.find_link()
        self.assertIsNone(self.visitor.lost)
        self.exchange()

    def test_silent(self) -> None:
        """
        A link that is silent is found by both sides, and replaced.
        """
        self.pair.link.silence()
        self.visitor.say(b"into the void")
        self.reactor.advance(31)
        self.assertEqual(b"into the void", self.target.received)
        self.exchange()
        self.check_nothing_told()

    def test_server_believes_it_alive(self) -> None:
        """
        The client is back before the server has noticed: the new link counts.
        """
        old = self.pair.link
        old.silence()
        old.client.fail()
        self.visitor.say(b"sent into the old one")
        self.reactor.settle()
        self.assertIsNot(old, self.pair.link)
        self.assertFalse(old.server.connected)
        self.assertEqual(b"sent into the old one", self.target.received)
        self.exchange()
        self.check_nothing_told()

    def test_lost_during_the_handshake(self) -> None:
        """
        At each turn of the handshake of the next link.
        """
        for turns in range(1, 12):
            self.pair.link.cut()
            before = len(self.pair.link_connections)
            while len(self.pair.link_connections) == before:
                self.reactor.turn()
            for _ in range(turns):
                self.reactor.turn()
            self.pair.link.cut()
            self.visitor.say(b"x")
            self.reactor.advance(5)
            self.exchange()
        self.check_nothing_told()

    def test_grace_is_over(self) -> None:
        self.lose_link()
        self.reactor.advance(61)
        end = "LINK_LOST: the link was lost"
        told = [f"stream- 2 {end} (0/0)", f"tunnel- 1 {end} (0/0)", f"client- {end}"]
        self.check_told(told, told)
        self.check_over()
        self.assertEqual([], self.pair.public_ports)
        self.find_link()
        self.assertTrue(self.pair.session.link_up)

    def test_server_restarted(self) -> None:
        """
        A server that does not know the session says so, and the client begins anew
        at once.
        """
        self.lose_link()
        self.pair.session.close()
        self.reactor.settle()
        self.assertEqual([], self.pair.public_ports)
        self.forget()
        self.reactor.unreachable.clear()
        self.reactor.advance(2)
        self.check_over()
        end = "LINK_LOST: the link was lost"
        self.check_told(
            ["client+ 2", "tunnel+ 1"],
            [
                f"stream- 2 {end} (0/0)",
                f"tunnel- 1 {end} (0/0)",
                f"client- {end}",
                "client+ 2",
                "tunnel+ 1",
            ],
        )
        self.assertEqual([], self.pair.told_server.errors)
        self.assertEqual([PUBLIC_PORT], self.pair.public_ports)

    def test_stopped_meanwhile(self) -> None:
        """
        Both can be stopped while the session waits, and leave nothing.
        """
        self.lose_link()
        self.assertEqual([], self.pair.stop())
        self.check_over()
        self.pair.start()

    def test_client_closes_meanwhile(self) -> None:
        self.lose_link()
        assert self.pair.client.session is not None
        self.pair.client.session.close()
        self.reactor.settle()
        self.assertIsNone(self.pair.client.session)
        self.assertTrue(self.target.reset)
        self.find_link()
        self.assertTrue(self.visitor.reset)
        self.assertTrue(self.pair.session.link_up)

    def test_lost_while_the_client_drains(self) -> None:
        stopping = self.pair.client.stopService()
        self.reactor.settle()
        self.pair.link.cut()
        self.exchange()
        self.visitor.hang_up()
        self.target.hang_up()
        self.reactor.settle()
        self.successResultOf(stopping)
        self.assertFalse(self.visitor.reset)

    def test_lost_while_the_server_drains(self) -> None:
        """
        There is no way back to a server that stops: it does not wait.
        """
        stopping = self.pair.server.stopService()
        self.reactor.settle()
        self.assertNoResult(stopping)
        self.lose_link()
        self.successResultOf(stopping)
        self.assertTrue(self.visitor.reset)
        [*_, over, _, _, stopped] = self.pair.told_server.take()
        self.assertEqual("stream- 2 LINK_LOST: the link was lost (0/0)", over)
        self.assertEqual("server-", stopped)
        self.reactor.advance(70)
        self.check_over()
        self.pair.start_server()

    def test_server_stops_meanwhile(self) -> None:
        """
        The same, when the link is lost already; others have their time.
        """
        link = self.pair.link
        config = client_config(client_id="desk", tunnels=(), carrier="mux")
        other = Client(self.reactor, config)
        other.startService()
        self.reactor.settle()
        other.open_tunnel(f"127.0.0.1:{TARGET_PORT}", 7777)
        self.reactor.settle()
        visitor = self.pair.visit(7777)
        self.reactor.unreachable.add(AWAY)
        link.cut()
        self.reactor.settle()
        stopping = self.pair.server.stopService()
        self.reactor.settle()
        self.assertTrue(self.visitor.reset)
        self.assertFalse(visitor.reset)
        self.assertNoResult(stopping)
        visitor.hang_up()
        self.pair.targets.newest.hang_up()
        self.reactor.settle()
        self.successResultOf(stopping)
        other.stopService()
        self.reactor.advance(70)
        self.check_over()
        self.pair.start_server()

    def test_server_restarted_while_the_client_drains(self) -> None:
        """
        Nothing is left to wait for, and the client begins no other session.
        """
        self.lose_link()
        stopping = self.pair.client.stopService()
        self.pair.server.stopService()
        self.reactor.settle()
        self.assertNoResult(stopping)
        self.pair.start_server()
        self.forget()
        self.reactor.unreachable.clear()
        self.reactor.advance(9)
        self.successResultOf(stopping)
        self.check_over()
        self.assertEqual([], self.pair.told_server.take())


class TunnelTests(Case):
    client: ClassVar[dict[str, Any]] = {"tunnels": ()}

    def test_asked_for_meanwhile(self) -> None:
        self.lose_link()
        opening = self.pair.client.open_tunnel(f"127.0.0.1:{TARGET_PORT}", 7777)
        self.reactor.settle()
        self.assertNoResult(opening)
        self.find_link()
        self.assertEqual(7777, self.successResultOf(opening).granted)
        self.check_told(["tunnel+ 1"], ["tunnel+ 1"])

    def test_lost_while_it_is_asked_for(self) -> None:
        opening = self.pair.client.open_tunnel(f"127.0.0.1:{TARGET_PORT}", 7777)
        self.pair.link.cut()
        self.reactor.settle()
        self.successResultOf(opening)
        self.check_told(["tunnel+ 1"], ["tunnel+ 1"])

    def test_closed_meanwhile(self) -> None:
        tunnel = self.pair.open_tunnel(f"127.0.0.1:{TARGET_PORT}", 7777)
        self.lose_link()
        tunnel.close()
        self.reactor.settle()
        self.assertEqual([7777], self.pair.public_ports)
        self.find_link()
        self.assertEqual([], self.pair.public_ports)


class DirectTests(Case):
    """
    Streams on data links.
    """

    client: ClassVar[dict[str, Any]] = {"carrier": "direct"}

    def setUp(self) -> None:
        super().setUp()
        self.visitor, self.target = self.pair.open_stream()
        self.assertEqual(1, len(self.pair.used_data_links))

    def test_goes_on(self) -> None:
        """
        They do not notice that there is no control link.
        """
        self.pair.link.cut()
        self.reactor.silent.add(AWAY)
        self.visitor.say(b"question")
        self.target.say(b"answer")
        self.reactor.settle()
        self.assertEqual(b"question", self.target.received)
        self.assertEqual(b"answer", self.visitor.received)

    def test_ends(self) -> None:
        """
        Their end waits for the control link.
        """
        self.lose_link()
        self.forget()
        self.visitor.say(b"question")
        self.visitor.finish()
        self.reactor.settle()
        self.assertEqual(b"question", self.target.received)
        self.assertFalse(self.target.finished)
        self.find_link()
        self.assertTrue(self.target.finished)
        self.check_told(["stream- 2 NONE (8/0)"], ["stream- 2 NONE (8/0)"])

    def test_switches_meanwhile(self) -> None:
        """
        The word that a stream goes on on a data link comes when there is a link.
        """
        for turns in range(1, 8):
            visitor = self.pair.arrive()
            while not visitor.connected:
                self.reactor.turn()
            visitor.say(b"hello")
            for _ in range(turns):
                self.reactor.turn()
            self.lose_link()
            self.reactor.advance(20)
            self.find_link()
            target = self.pair.targets.newest
            target.say(b"answer")
            visitor.say(b" again")
            self.reactor.settle()
            self.assertEqual(b"hello again", target.received, turns)
            self.assertEqual(b"answer", visitor.received, turns)
            visitor.hang_up()
            self.reactor.settle()


class LateWordTests(Case):
    """
    A stream that goes on on a data link just before the control link, which would say
    so, goes silent.
    """

    client: ClassVar[dict[str, Any]] = {"carrier": "auto"}

    def make_pair(self) -> Pair:
        pair = super().make_pair()
        pair.server.config = msgspec.structs.replace(
            pair.server.config, tuning=ServerTuning(switch_after=1000)
        )
        return pair

    def test_longer_than_the_heartbeat(self) -> None:
        """
        The data link waits for the word for as long as the session does for a link,
        from when the loss may have been noticed.
        """
        visitor, target = self.pair.open_stream()
        self.assertEqual([], self.pair.used_data_links)
        self.pair.link.silence()
        self.reactor.unreachable.add(AWAY)
        visitor.say(b"x" * 5000)
        self.reactor.settle()
        [data_link] = self.pair.used_data_links
        self.reactor.advance(80)
        self.assertFalse(self.pair.session.link_up)
        self.assertEqual(b"", target.received)
        self.reactor.unreachable.clear()
        self.reactor.advance(9)
        self.assertTrue(self.pair.session.link_up)
        self.assertEqual(5000, len(target.received))
        visitor.say(b"again")
        target.say(b"answer")
        self.reactor.settle()
        self.assertEqual(5005, len(target.received))
        self.assertEqual(b"answer", visitor.received)
        self.assertEqual([data_link], self.pair.used_data_links)


class OffTests(Case):
    """
    Sessions that end with their link because one side says so.
    """

    def check_ends(self, pair: Pair) -> None:
        pair.start()
        visitor, _ = pair.open_stream()
        pair.link.cut()
        pair.reactor.settle()
        self.assertTrue(visitor.reset)
        self.assertEqual([], pair.stop())

    def test_server(self) -> None:
        server = server_config(timeouts=ServerTimeouts(resume=0.0))
        client = client_config(timeouts=ClientTimeouts())
        self.check_ends(Pair(server=server, client=client))

    def test_client(self) -> None:
        self.check_ends(Pair(client=client_config()))

    def test_the_less_counts(self) -> None:
        pair = Pair(client=client_config(timeouts=ClientTimeouts(resume=5.0))).start()
        pair.open_stream()
        pair.reactor.unreachable.add("127.0.0.1")
        pair.link.cut()
        pair.reactor.advance(4)
        self.assertIsNotNone(pair.client.session)
        pair.reactor.advance(1)
        self.assertIsNone(pair.client.session)
        self.assertEqual(1, len(pair.server.sessions))
        pair.reactor.unreachable.clear()
        pair.reactor.advance(30)
        self.assertTrue(pair.session.link_up)
        self.assertEqual([], pair.stop())
