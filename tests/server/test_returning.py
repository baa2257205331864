"""
Hooks are asked about clients that come back, on another link.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Code, HookManager
from reitunnel.config.settings import ClientTimeouts, ServerTimeouts
from reitunnel.errors import Refused
from reitunnel.hooks.addresses import AddressHook, AddressLists, AddressOptions
from reitunnel.hooks.auth import AuthHook
from reitunnel.hooks.blocking import BlockHook
from reitunnel.interfaces import Decision, ISession
from reitunnel.server.session import ServerSession
from reitunnel.wire.frames import FrameKind, encode_frame
from reitunnel.wire.messages import RESUME, Resumed, TunnelOpened
from tests.ledger import Decider
from tests.pair import LINK_PORT, Pair, client_config, server_config
from tests.server.raw import RawClient
from tests.server.test_resuming import ResumeCase

AWAY = "127.0.0.2"
LOST = (Code.LINK_LOST, "the client has another link")
NO_SESSION = (Code.AUTHENTICATION, "no such session")


class Judge:
    """
    Decides on clients that come back as it is told.

    @ivar asked: where they came from.
    @ivar decision: what is said to the next one.
    """

    def __init__(self) -> None:
        self.asked: list[IAddress] = []
        self.connected = 0
        self.refusal: Exception | None = None
        self.waiting: list[Deferred[None]] | None = None
        self.hook = Decider(client=self.connect, back=self.decide)

    def connect(self, client: ISession) -> Decision:
        self.connected += 1
        return self.raised()

    def raised(self) -> Decision:
        if self.refusal is not None:
            raise self.refusal
        return None

    def decide(self, client: ISession) -> Decision:
        self.asked.append(client.facts.peer)
        if self.waiting is None:
            return self.raised()
        self.waiting.append(Deferred())
        return self.waiting[-1]


class PairTests(SynchronousTestCase):
    """
    A real client, with an open stream.
    """

    carrier = "mux"

    def setUp(self) -> None:
        self.judge = Judge()
        self.pair = Pair(
            server=server_config(
                listen=(f"tcp://0.0.0.0:{LINK_PORT}",), insecure_plaintext=True
            ),
            client=client_config(
                server=f"tcp://{AWAY}:{LINK_PORT}",
                timeouts=ClientTimeouts(),
                carrier=self.carrier,
            ),
            server_hooks=self.hooks(),
        ).start()
        self.addCleanup(lambda: self.assertEqual([], self.pair.stop()))
        self.visitor, self.target = self.pair.open_stream()
        self.session = cast("ServerSession", self.pair.session)
        self.pair.told_server.take()

    def hooks(self) -> Sequence[object]:
        return [self.judge.hook]

    @property
    def manager(self) -> HookManager:
        return self.pair.server.hooks

    def cut(self) -> None:
        self.pair.link.cut()
        self.pair.reactor.settle()

    def check_goes_on(self) -> None:
        self.visitor.say(b"hello")
        self.pair.reactor.settle()
        self.assertTrue(self.target.received.endswith(b"hello"))
        self.assertTrue(self.session.link_up)
        self.assertEqual([], self.pair.told_server.take())

    def check_over(self, end: str) -> None:
        self.assertIsNotNone(self.session.end)
        self.assertTrue(self.visitor.reset)
        self.assertTrue(self.target.reset)
        lines = self.pair.told_server.take()
        ends = [line for line in lines if line.startswith("client-")]
        # The next is that of the session that the client asks for then.
        self.assertEqual(end, ends[0])
        self.assertNotIn(self.session, self.pair.server.sessions)


class AllowedTests(PairTests):
    def test_asked_each_time(self) -> None:
        """
        Of the new link, and only when there is one; nothing is told twice.
        """
        for count in range(1, 4):
            self.cut()
            self.check_goes_on()
            self.assertEqual(count, len(self.judge.asked))
            self.assertEqual(self.session.facts.peer, self.judge.asked[-1])
        self.assertEqual(3, len(set(map(str, self.judge.asked))))
        self.assertEqual(1, self.judge.connected)
        self.assertEqual(3, self.pair.told_server.count("on_client_return"))
        self.assertEqual(0, self.pair.told_client.count("on_client_return"))

    def test_takes_its_time(self) -> None:
        self.judge.waiting = []
        former = self.session.facts
        self.cut()
        [decision] = self.judge.waiting
        self.assertIsNot(former, self.session.facts)
        self.assertFalse(self.session.link_up)
        self.pair.reactor.advance(3)
        self.assertFalse(self.session.link_up)
        decision.callback(None)
        self.pair.reactor.settle()
        self.check_goes_on()
        self.assertEqual(self.judge.asked[-1], self.session.facts.peer)

    def test_counted(self) -> None:
        self.cut()
        figures = {
            (each.hook, each.event): each.calls for each in self.manager.statistics()
        }
        self.assertEqual(1, figures["Decider", "on_client_return"])


class RefusedTests(PairTests):
    def test_refused(self) -> None:
        """
        The session is over at once, and the client is told why when it begins anew.
        """
        self.judge.refusal = Refused("not from there")
        self.cut()
        self.check_over("client- REFUSED: not from there")
        self.assertEqual([], self.pair.told_server.errors)
        self.assertEqual(2, self.judge.connected)
        told = [
            event.arguments[1]
            for event in self.pair.told_server.events
            if event.name == "on_client_disconnect"
            and event.arguments[0] is self.session
        ]
        self.assertEqual([Code.REFUSED], told)
        # Whoever counts failures has to know where it came from.
        self.assertEqual(self.judge.asked, [self.session.facts.peer])
        self.assertEqual([], self.pair.public_ports)
        self.pair.reactor.advance(60)
        self.assertEqual((), self.pair.server.sessions)

    def test_failure(self) -> None:
        """
        It fails closed, for now.
        """
        self.judge.refusal = ValueError("a secret")
        self.cut()
        self.assertIsNone(self.session.end)
        self.assertFalse(self.session.link_up)
        self.pair.reactor.advance(61)
        self.check_over("client- LINK_LOST: the link was lost")
        self.assertIn(
            "hook Decider failed in on_client_return",
            [context for _, context in self.pair.told_server.errors],
        )
        self.flushLoggedErrors(ValueError)

    def test_timeout(self) -> None:
        self.judge.waiting = []
        self.cut()
        self.pair.reactor.advance(5)
        self.assertIsNone(self.session.end)
        self.assertFalse(self.session.link_up)
        self.judge.waiting = None
        self.pair.reactor.advance(30)
        self.check_goes_on()

    def test_passing(self) -> None:
        """
        The session waits, and the client comes again.
        """
        former = self.session.facts
        self.judge.refusal = Refused("too early", passing=True)
        self.cut()
        self.assertEqual(1, len(self.judge.asked))
        self.assertIs(former, self.session.facts)
        self.assertIsNone(self.session.end)
        self.pair.reactor.advance(10)
        self.assertGreater(len(self.judge.asked), 1)
        self.judge.refusal = None
        self.pair.reactor.advance(30)
        self.check_goes_on()

    def test_passing_for_too_long(self) -> None:
        """
        Whoever comes again and again has no more time than one that does not.
        """
        self.judge.refusal = Refused("too early", passing=True)
        self.cut()
        self.pair.reactor.advance(59)
        self.assertIsNone(self.session.end)
        self.pair.reactor.advance(2)
        self.check_over("client- LINK_LOST: the link was lost")


class DataLinkTests(PairTests):
    carrier = "direct"

    def test_refused(self) -> None:
        """
        No hook is asked about data links; they are over with their session.
        """
        self.assertEqual([], self.judge.asked)
        self.assertTrue(self.pair.data_links)
        self.judge.refusal = Refused("not from there")
        self.cut()
        self.check_over("client- REFUSED: not from there")
        self.assertEqual([], self.pair.data_links)

    def test_passing(self) -> None:
        """
        Whom hooks do not let in now gets no further data links either.
        """
        used = self.pair.used_data_links
        self.judge.refusal = Refused("too early", passing=True)
        self.cut()
        for each in self.pair.data_links:
            if each not in used:
                each.cut()
        self.pair.reactor.advance(20)
        self.assertEqual(used, self.pair.data_links)
        self.judge.refusal = None
        self.pair.reactor.advance(35)
        self.check_goes_on()
        self.assertLess(len(used), len(self.pair.data_links))


class ShippedTests(PairTests):
    """
    The hooks that are here, and what an operator does with them while a session is
    open.
    """

    def hooks(self) -> Sequence[object]:
        return ()

    def test_block(self) -> None:
        hook = BlockHook(None, self.pair.reactor)
        self.manager.register(hook)
        hook.block("127.0.0.0/8")
        self.check_goes_on()
        self.cut()
        self.assertFalse(self.session.link_up)
        hook.unblock("127.0.0.0/8")
        self.pair.reactor.advance(35)
        self.check_goes_on()

    def test_addresses(self) -> None:
        lists = AddressLists(deny=("127.0.0.0/8",))
        self.manager.register(AddressHook(AddressOptions(clients=lists)))
        self.check_goes_on()
        self.cut()
        self.check_over("client- REFUSED: the address is denied")

    def test_auth(self) -> None:
        def validator(client: ISession) -> None:
            raise Refused(f"{client.instance} is not welcome")

        self.manager.register(AuthHook(validator=validator))
        self.check_goes_on()
        self.cut()
        self.check_over("client- REFUSED: laptop is not welcome")


class MeanwhileTests(ResumeCase):
    """
    What happens while a hook decides.
    """

    timeouts = ServerTimeouts(resume=20.0, hook=60.0)

    def setUp(self) -> None:
        super().setUp()
        self.judge = Judge()
        self.decisions: list[Deferred[None]] = []
        self.judge.waiting = self.decisions
        self.pair.server.hooks.register(self.judge.hook)
        self.session = cast("ServerSession", self.pair.session)
        self.facts = self.session.facts

    def decide(self, number: int = -1) -> None:
        self.decisions[number].callback(None)
        self.pair.reactor.settle()

    def come_back(self) -> RawClient:
        link = self.prove(self.resume())
        self.assertEqual([], link.frames)
        return link

    def check_resumed(self, link: RawClient) -> None:
        link.take(FrameKind.RESUMED, Resumed)
        link.ask(2)
        link.take(FrameKind.TUNNEL_OPENED, TunnelOpened)
        self.assertTrue(self.session.link_up)

    def check_told(self, *closes: str) -> None:
        told = [each for each in self.pair.told_server.take() if "-" in each]
        self.assertEqual(list(closes), told)

    def test_link_is_lost(self) -> None:
        """
        The session goes on waiting, and knows its link of before.
        """
        self.cut()
        link = self.come_back()
        link.transport.abortConnection()
        self.pair.reactor.settle()
        self.assertTrue(self.decisions[0].called)
        self.assertIs(self.facts, self.session.facts)
        self.assertIsNone(self.session.end)
        self.check_told()
        again = self.come_back()
        self.decide()
        self.check_resumed(again)

    def test_two_links(self) -> None:
        """
        The newer one counts; its client knows of no other.
        """
        self.cut()
        first, second = self.come_back(), self.come_back()
        self.assertEqual(LOST, first.refused())
        self.assertEqual(2, len(self.decisions))
        self.assertIsNotNone(first.lost)
        self.decide()
        self.check_resumed(second)
        self.assertIsNot(self.facts, self.session.facts)

    def test_two_links_of_which_the_newer_is_lost(self) -> None:
        self.cut()
        first, second = self.come_back(), self.come_back()
        second.transport.abortConnection()
        self.pair.reactor.settle()
        self.assertEqual(LOST, first.refused())
        self.assertIs(self.facts, self.session.facts)
        third = self.come_back()
        self.decide()
        self.check_resumed(third)

    def test_newer_one_proves_nothing(self) -> None:
        """
        Only who proves to be the client takes the place of one that waits.
        """
        self.cut()
        link = self.come_back()
        stranger = self.prove(self.resume(), bytes(32))
        self.assertEqual(NO_SESSION, stranger.refused())
        self.decide()
        self.check_resumed(link)

    def test_link_of_before_is_alive(self) -> None:
        """
        It goes on until the hooks have decided.
        """
        link = self.come_back()
        self.control.ask(3)
        self.control.take(FrameKind.TUNNEL_OPENED, TunnelOpened)
        self.assertTrue(self.session.link_up)
        link.transport.abortConnection()
        self.pair.reactor.settle()
        self.assertIsNone(self.control.lost)
        self.assertIs(self.facts, self.session.facts)

    def test_acknowledged_more_meanwhile(self) -> None:
        """
        On the link of before: then the session cannot go on from where it was.
        """
        self.control.ask(3)
        had = sum(10 + len(each.payload) for each in self.control.frames)
        link = self.come_back()
        total = (self.had + had).to_bytes(8, "big")
        self.control.send(FrameKind.ACK, total)
        self.decide()
        reason = f"the session cannot go on from {self.had}"
        self.assertEqual((Code.PROTOCOL, reason), link.refused())
        self.assertIsNone(self.control.lost)

    def test_time_is_over(self) -> None:
        self.cut()
        link = self.come_back()
        self.pair.reactor.advance(20)
        self.assertEqual(NO_SESSION, link.refused())
        self.assertIs(self.facts, self.session.facts)
        self.assertTrue(self.decisions[0].called)
        self.check_told("tunnel- 1 LINK_LOST: the link was lost (0/0)", self.end())
        self.assertEqual((), self.pair.server.sessions)

    def end(self) -> str:
        return "client- LINK_LOST: the link was lost"

    def test_session_is_closed(self) -> None:
        self.cut()
        link = self.come_back()
        self.session.close(Code.CLOSED, "enough")
        self.pair.reactor.settle()
        self.assertEqual(NO_SESSION, link.refused())
        self.assertTrue(self.decisions[0].called)

    def test_taken_over(self) -> None:
        self.cut()
        link = self.come_back()
        control, _ = self.log_in(capabilities=(RESUME,))
        self.assertEqual(NO_SESSION, link.refused())
        self.assertIsNone(control.lost)
        [session] = self.pair.server.sessions
        self.assertIsNot(self.session, session)

    def test_hook_closes_the_session(self) -> None:
        """
        At once, or when it has thought about it; and allows it all the same.
        """
        self.pair.server.hooks.unregister(self.judge.hook)
        for later in (False, True):
            control, welcome = self.log_in(f"closed {later}")
            session = cast("ServerSession", [*self.pair.server.sessions][-1])
            control.transport.abortConnection()
            self.pair.reactor.settle()

            closer = Decider(back=self.close_later if later else _close)
            self.pair.server.hooks.register(closer)
            resume = self.resume(session=welcome.session, received=0)
            link = self.prove(resume, welcome.secret)
            if later:
                self.assertEqual([], link.frames)
                self.decide()
            self.assertEqual(NO_SESSION, link.refused())
            self.assertEqual((Code.CLOSED, "enough"), session.end)
            self.pair.server.hooks.unregister(closer)

    async def close_later(self, client: ISession) -> None:
        self.decisions.append(Deferred())
        await self.decisions[-1]
        _close(client)

    def test_server_stops(self) -> None:
        self.cut()
        link = self.come_back()
        stopped = self.pair.server.stopService()
        self.pair.reactor.settle()
        self.assertEqual((Code.SHUTDOWN, "the server is stopping"), link.refused())
        self.pair.reactor.advance(2)
        self.assertTrue(stopped.called)
        self.assertTrue(self.decisions[0].called)

    def test_words_before_the_answer(self) -> None:
        self.cut()
        link = self.come_back()
        link.write(encode_frame(FrameKind.PING, 0, bytes(8)))
        self.assertEqual(Code.PROTOCOL, link.refused()[0])
        self.assertTrue(self.decisions[0].called)
        self.assertIs(self.facts, self.session.facts)
        again = self.come_back()
        self.decide()
        self.check_resumed(again)

    def test_more_than_the_time_of_a_handshake(self) -> None:
        """
        Hooks have their own time.
        """
        self.cut()
        link = self.come_back()
        self.pair.reactor.advance(15)
        self.decide()
        self.check_resumed(link)


def _close(client: ISession) -> None:
    client.close(Code.CLOSED, "enough")
