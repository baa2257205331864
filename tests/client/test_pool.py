"""
The pool of data links of a client: the server is made by hand.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from reitunnel import Client, Code
from reitunnel.config.settings import ClientTimeouts
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.messages import (
    DIRECT,
    Ended,
    Hello,
    StreamOpen,
    TunnelOpened,
    decode_message,
    encode_number,
)
from tests.client.rogue import RogueLink
from tests.client.test_handshake import RogueCase
from tests.ledger import Decider
from tests.memory import Peers
from tests.pair import TARGET_PORT


class PoolCase(RogueCase):
    """
    A client that is let in. The first link that came is the control link.
    """

    size = 6

    def let_in(self, max_links: int = 100, **changes: Any) -> Client:
        client = self.start(pool_size=self.size, **changes)
        self.server.welcome(capabilities=[DIRECT], max_links=max_links)
        return client

    @property
    def control(self) -> RogueLink:
        return self.server.links[0]

    @property
    def data_links(self) -> list[RogueLink]:
        """
        Those that were ever dialled, oldest first.
        """
        return self.server.links[1:]

    @property
    def open(self) -> list[RogueLink]:
        return [link for link in self.data_links if link.lost is None]

    def attach_all(self) -> None:
        """
        Take every data link, as long as there are more.
        """
        while waiting := [link for link in self.open if _waits(link)]:
            for link in waiting:
                link.attach()
            self.reactor.settle()

    def advance(self, seconds: float) -> None:
        """
        Let time pass; pings are answered on every link.
        """
        for _ in range(round(seconds)):
            self.reactor.advance(1)
            for link in self.server.links:
                pings = [f for f in link.frames if f.kind is FrameKind.PING]
                for ping in pings:
                    link.frames.remove(ping)
                    if link.lost is None:
                        link.send(FrameKind.PONG, ping.payload)
            self.reactor.settle()


class FillingTests(PoolCase):
    def test_a_few_at_a_time(self) -> None:
        self.let_in()
        self.assertEqual(4, len(self.data_links))
        self.advance(5)
        self.assertEqual(4, len(self.data_links))
        self.data_links[2].attach()
        self.reactor.settle()
        self.assertEqual(5, len(self.data_links))
        self.attach_all()
        self.assertEqual(6, len(self.data_links))
        self.advance(60)
        self.assertEqual(6, len(self.open))

    def test_numbers(self) -> None:
        """
        Each has its own.
        """
        self.let_in()
        numbers = [link.challenge().link for link in self.data_links]
        self.assertEqual([1, 2, 3, 4], numbers)

    def test_what_the_server_takes(self) -> None:
        self.let_in(max_links=3)
        self.attach_all()
        self.assertEqual(3, len(self.data_links))
        self.advance(100)
        self.assertEqual(3, len(self.data_links))

    def test_none_without_the_capability(self) -> None:
        self.start()
        self.server.welcome()
        self.assertEqual([], self.data_links)

    def test_none_allowed(self) -> None:
        self.let_in(max_links=0)
        self.assertEqual([], self.data_links)

    def test_not_wanted(self) -> None:
        """
        The server is told so, and none are dialled whatever it says.
        """
        for changes in ({"carrier": "mux"}, {"pool_size": 0}):
            self.setUp()
            client = self.start(**changes)
            hello = self.server.link.frames[0]
            self.assertEqual([], _hello(hello.payload).capabilities)
            self.server.welcome(capabilities=[DIRECT], max_links=10)
            self.assertIsNotNone(client.session)
            self.assertEqual([], self.data_links)
            self.doCleanups()

    def test_wanted(self) -> None:
        self.start()
        hello = self.server.link.frames[0]
        self.assertEqual([DIRECT], _hello(hello.payload).capabilities)

    def test_not_before_hooks_allow(self) -> None:
        waiting: Deferred[None] = Deferred()
        self.hooks.append(Decider(client=lambda _: waiting))
        self.let_in()
        self.assertEqual([], self.data_links)
        waiting.callback(None)
        self.reactor.settle()
        self.assertEqual(4, len(self.data_links))


def _waits(link: RogueLink) -> bool:
    return any(frame.kind is FrameKind.ATTACH for frame in link.frames)


def _hello(payload: bytes) -> Hello:
    return decode_message(Hello, payload)


class LossTests(PoolCase):
    size = 2

    def setUp(self) -> None:
        super().setUp()
        self.client = self.let_in()
        self.attach_all()
        self.advance(15)
        self.assertEqual(2, len(self.open))

    def test_closed_by_the_server(self) -> None:
        self.open[0].transport.loseConnection()
        self.reactor.settle()
        self.attach_all()
        self.assertEqual((2, 3), (len(self.open), len(self.data_links)))

    def test_reset(self) -> None:
        for link in tuple(self.open):
            link.transport.abortConnection()
        self.reactor.settle()
        self.assertEqual(2, len(self.open))

    def test_silent(self) -> None:
        """
        Found by the heartbeat, and replaced. The others do not notice.
        """
        silent = self.open[0]
        for _ in range(31):
            self.reactor.advance(1)
            for link in self.server.links:
                for ping in [f for f in link.frames if f.kind is FrameKind.PING]:
                    link.frames.remove(ping)
                    if link is not silent and link.lost is None:
                        link.send(FrameKind.PONG, ping.payload)
            self.reactor.settle()
        self.assertIsNotNone(silent.lost)
        self.assertIsNone(self.control.lost)
        self.assertEqual((2, 3), (len(self.open), len(self.data_links)))

    def test_broken(self) -> None:
        self.open[0].send(FrameKind.GOAWAY, Ended(Code.NONE))
        self.reactor.settle()
        self.assertIsNotNone(self.data_links[0].lost)
        self.assertIsNone(self.control.lost)
        self.assertEqual(3, len(self.data_links))

    def test_pinged_by_the_server(self) -> None:
        link = self.open[0]
        link.frames.clear()
        link.send(FrameKind.PING, b"12345678")
        self.reactor.settle()
        [frame] = link.frames
        self.assertEqual((FrameKind.PONG, b"12345678"), (frame.kind, frame.payload))

    def test_session_lost(self) -> None:
        """
        The next session has data links of its own.
        """
        first = self.open
        self.control.transport.abortConnection()
        self.reactor.settle()
        self.assertEqual([], self.open)
        self.reactor.advance(0.5)
        self.server.welcome(
            capabilities=[DIRECT], max_links=9, session=b"S" * 16, secret=b"K" * 32
        )
        new = [link for link in self.server.links if link.lost is None][1:]
        self.assertEqual(2, len(new))
        self.assertFalse(set(first) & set(new))
        for number, link in enumerate(new, 1):
            attach = link.attach(b"K" * 32)
            self.assertEqual((number, b"S" * 16), (attach.link, attach.session))
        self.advance(20)
        self.assertEqual(2, sum(link.lost is None for link in new))

    def test_server_drains(self) -> None:
        """
        It takes no more; those that there are can still be used.
        """
        self.control.send(FrameKind.GOAWAY, Ended(Code.SHUTDOWN, "bye"))
        self.reactor.settle()
        self.open[0].transport.loseConnection()
        self.advance(100)
        self.assertEqual((1, 2), (len(self.open), len(self.data_links)))


class FailureTests(PoolCase):
    """
    Attempts that fail.
    """

    def refuse_all(self, seconds: int, code: Code = Code.LIMIT) -> list[int]:
        """
        Let time pass, and refuse every data link.

        @return: when some were dialled.
        """
        dialled, moments = 0, []
        for second in range(seconds):
            if len(self.data_links) > dialled:
                moments.append(second)
            while dialled < len(self.data_links):
                link = self.data_links[dialled]
                link.send(FrameKind.REFUSED, Ended(code, "no"))
                link.transport.loseConnection()
                self.reactor.settle()
                dialled += 1
            self.advance(1)
        return moments

    def test_backoff(self) -> None:
        """
        Each delay is twice the one before, up to a minute, give or take a fifth.
        """
        self.let_in()
        moments = self.refuse_all(400)
        delays = [after - before for before, after in pairwise(moments)]
        for delay, expected in zip(delays, [1, 2, 4, 8, 16, 32, 60, 60], strict=False):
            self.assertTrue(0.8 * expected - 1 <= delay <= 1.2 * expected + 1, delays)
        self.assertGreaterEqual(len(delays), 8)
        self.assertIsNone(self.control.lost)
        self.assertLessEqual(len(self.data_links), 4 * len(moments))

    def test_said_once(self) -> None:
        self.let_in()
        with capturedLogs() as logs:
            self.refuse_all(100)
        texts = [event["reason"] for event in logs if "reason" in event]
        self.assertEqual(["no"], texts)

    def test_refused_for_good(self) -> None:
        """
        A session that may have no data links any more asks for one at a time, less
        and less often.
        """
        for code in (Code.AUTHENTICATION, Code.POLICY):
            self.setUp()
            self.let_in()
            with capturedLogs() as logs:
                moments = self.refuse_all(3600, code)
            # Four at first, and then as long as the delays double, and every ten
            # minutes.
            self.assertLess(len(self.data_links), 4 + 10 + 6)
            self.assertGreater(moments[-1] - moments[-2], 450)
            texts = [event["reason"] for event in logs if "reason" in event]
            self.assertEqual(["no"], texts)
            self.attach_all()
            while not self.open:
                self.advance(1)
                self.attach_all()
            self.assertEqual(6, len(self.open))
            self.doCleanups()

    def test_server_is_gone(self) -> None:
        """
        That there are no data links either is no news when the link is lost.
        """
        self.let_in(timeouts=ClientTimeouts())
        self.attach_all()
        with capturedLogs() as logs:
            for link in [*self.data_links, self.control]:
                link.transport.abortConnection()
            self.server.close()
            self.advance(20)
        said = [formatEvent(event) for event in logs]
        self.assertTrue(said)
        self.assertEqual([], [line for line in said if "no data link" in line], said)

    def test_success(self) -> None:
        """
        When it has lasted, all is as at the beginning.
        """
        self.let_in()
        self.refuse_all(20)
        while not self.open:
            self.advance(1)
        self.attach_all()
        self.advance(60)
        self.assertEqual(6, len(self.open))
        with capturedLogs() as logs:
            self.open[0].transport.abortConnection()
            self.reactor.settle()
            moments = self.refuse_all(5)
        self.assertLessEqual(moments[1] - moments[0], 2)
        self.assertEqual(1, sum("reason" in event for event in logs))

    def test_closed_at_once(self) -> None:
        """
        A server that takes data links and does not keep them is not flooded.
        """
        self.let_in()
        with capturedLogs() as logs:
            for _ in range(120):
                for link in self.open:
                    link.attach()
                    self.reactor.settle()
                    link.transport.abortConnection()
                self.advance(1)
        # Eight rounds at most, as the delays are spread: without any there are 600.
        self.assertLess(len(self.data_links), 50)
        texts = [event["reason"] for event in logs if "reason" in event]
        self.assertEqual(["it was lost soon after it was made"], texts)

    def test_silent_server(self) -> None:
        """
        The handshake has a deadline.
        """
        self.let_in(timeouts=ClientTimeouts(handshake=5))
        self.assertEqual(4, len(self.open))
        self.advance(5)
        self.assertEqual(0, len(self.open))
        self.advance(2)
        self.assertEqual(4, len(self.open))

    def test_refused_connections(self) -> None:
        client = self.start(pool_size=2)
        self.server.close()
        self.server.welcome(capabilities=[DIRECT], max_links=10)
        self.advance(100)
        self.assertIsNotNone(client.session)
        self.assertEqual([], self.data_links)

    def test_server_that_does_not_know_the_session(self) -> None:
        """
        It may be another one, behind the same address.
        """
        self.let_in()
        with capturedLogs() as logs:
            self.data_links[0].attach(bytes(32))
            self.advance(2)
        [event] = [each for each in logs if "reason" in each]
        self.assertEqual("the server does not know the session", event["reason"])
        self.assertIsNotNone(self.data_links[0].lost)


class StoppingTests(PoolCase):
    """
    In whatever state the pool is, nothing is left when the client has stopped.
    """

    def check_stops(self, client: Client) -> None:
        stopping = client.stopService()
        self.reactor.settle()
        for link in self.server.links:
            if link.lost is None:
                link.transport.loseConnection()
        self.reactor.settle()
        self.successResultOf(stopping)
        self.assertEqual([], self.reactor.getDelayedCalls())
        dialled = len(self.server.links)
        self.reactor.advance(1000)
        self.assertEqual(dialled, len(self.server.links))
        self.assertTrue(all(link.lost for link in self.server.links))

    def test_first_word_said(self) -> None:
        self.check_stops(self.let_in())

    def test_challenged(self) -> None:
        client = self.let_in()
        for link in self.data_links:
            link.challenge()
        self.check_stops(client)

    def test_idle(self) -> None:
        client = self.let_in()
        self.attach_all()
        self.check_stops(client)

    def test_some_of_each(self) -> None:
        client = self.let_in()
        self.data_links[0].attach()
        self.data_links[1].challenge()
        self.check_stops(client)

    def test_waiting(self) -> None:
        client = self.let_in()
        for link in tuple(self.data_links):
            link.transport.abortConnection()
        self.reactor.settle()
        self.check_stops(client)

    def test_connecting(self) -> None:
        """
        The server does not answer any more.
        """
        client = self.start(pool_size=self.size)
        self.reactor.silent.add("127.0.0.1")
        self.server.welcome(capabilities=[DIRECT], max_links=10)
        self.assertEqual([], self.data_links)
        self.check_stops(client)

    def test_waits_for_its_data_links(self) -> None:
        """
        Until the server has closed its side, or for five seconds.
        """
        client = self.let_in()
        self.attach_all()
        self.open[0].transport.pauseProducing()
        stopping = client.stopService()
        self.reactor.settle()
        self.control.transport.loseConnection()
        self.reactor.advance(4)
        self.assertNoResult(stopping)
        self.reactor.advance(1)
        self.successResultOf(stopping)


class GivingTests(PoolCase):
    """
    The server gives data links to streams.
    """

    size = 1

    def setUp(self) -> None:
        super().setUp()
        self.targets = Peers()
        self.reactor.listenTCP(TARGET_PORT, self.targets, interface="127.0.0.1")
        self.let_in()
        self.control.send(FrameKind.TUNNEL_OPENED, TunnelOpened(1, "127.0.0.1", 6000))
        self.control.send(FrameKind.STREAM_OPEN, StreamOpen(1, 1000), 2)
        self.reactor.settle()
        self.attach_all()
        self.link = self.data_links[0]
        self.link.frames.clear()
        self.control.frames.clear()

    def kinds(self, link: RogueLink) -> list[FrameKind]:
        return [f.kind for f in link.frames if f.kind is not FrameKind.PING]

    def test_given(self) -> None:
        self.control.transport.write(encode_number(FrameKind.SWITCH, 2, 1))
        self.link.transport.write(encode_number(FrameKind.SWITCH, 2, 1) + b"question")
        self.reactor.settle()
        self.assertEqual(b"question", self.targets.newest.received)
        self.assertEqual([FrameKind.SWITCH], self.kinds(self.link))
        self.assertEqual([FrameKind.SWITCH], self.kinds(self.control))
        # Another one is dialled at once.
        self.assertEqual(2, len(self.data_links))

    def test_data_link_first(self) -> None:
        self.link.transport.write(encode_number(FrameKind.SWITCH, 2, 1) + b"question")
        self.advance(5)
        self.assertEqual(b"", self.targets.newest.received)
        self.control.transport.write(encode_number(FrameKind.SWITCH, 2, 1))
        self.reactor.settle()
        self.assertEqual(b"question", self.targets.newest.received)

    def test_not_there(self) -> None:
        """
        The stream is lost, and nothing else.
        """
        self.control.transport.write(encode_number(FrameKind.SWITCH, 2, 9))
        self.reactor.settle()
        self.assertEqual([FrameKind.STREAM_RESET], self.kinds(self.control))
        self.assertTrue(self.targets.newest.reset)
        self.assertEqual(1, len(self.open))

    def test_lost_on_the_way(self) -> None:
        self.link.transport.abortConnection()
        self.reactor.settle()
        self.control.transport.write(encode_number(FrameKind.SWITCH, 2, 1))
        self.reactor.settle()
        self.assertEqual([FrameKind.STREAM_RESET], self.kinds(self.control))

    def test_stream_was_reset(self) -> None:
        """
        Before the client has heard of the data link: it is closed when the stream is
        over, and replaced.
        """
        self.targets.newest.abort()
        self.reactor.settle()
        self.control.transport.write(encode_number(FrameKind.SWITCH, 2, 1))
        self.reactor.settle()
        self.assertIsNone(self.link.lost)
        self.control.send(FrameKind.STREAM_RESET, Ended(Code.ABORTED), 2)
        self.reactor.settle()
        self.assertIsNotNone(self.link.lost)
        self.assertEqual(2, len(self.data_links))

    def test_given_twice(self) -> None:
        """
        To two streams: the second does not get it.
        """
        self.control.send(FrameKind.STREAM_OPEN, StreamOpen(1, 1000), 4)
        self.reactor.settle()
        self.control.frames.clear()
        self.control.transport.write(
            encode_number(FrameKind.SWITCH, 2, 1)
            + encode_number(FrameKind.SWITCH, 4, 1)
        )
        self.reactor.settle()
        self.assertEqual(
            {FrameKind.SWITCH, FrameKind.STREAM_RESET}, {*self.kinds(self.control)}
        )
        first, second = self.targets.all
        self.assertEqual((False, True), (first.reset, second.reset))

    def test_broken_promise(self) -> None:
        """
        A data link that says another stream than the control link.
        """
        self.link.transport.write(encode_number(FrameKind.SWITCH, 4, 1))
        self.control.transport.write(encode_number(FrameKind.SWITCH, 2, 1))
        self.reactor.settle()
        self.assertIn(FrameKind.GOAWAY, self.kinds(self.control))
        self.assertTrue(self.targets.newest.reset)
