"""
The client's side of going on with a session on another link, with a server that says
what it likes.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Client, Code
from reitunnel.auth.exchange import ANONYMOUS
from reitunnel.config.settings import ClientTimeouts, Retry
from reitunnel.wire.frames import HEADER_SIZE, FrameKind
from reitunnel.wire.messages import (
    RESUME,
    Challenge,
    Ended,
    Hello,
    Response,
    Resume,
    Resumed,
    TunnelOpen,
)
from reitunnel.wire.proofs import client_resumes, server_resumes
from tests.client.rogue import NONCE, WELCOME, RogueServer
from tests.ledger import Ledger
from tests.memory import MemoryReactor
from tests.pair import client_config

HMAC = "HMAC-SHA-256"


class ResumeCase(SynchronousTestCase):
    """
    A client that has been let in, and whose link was cut.
    """

    capabilities: tuple[str, ...] = (RESUME,)
    grace = 60.0
    factor = 1.0

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.server = RogueServer(self.reactor)
        self.told = Ledger()
        config = client_config(
            timeouts=ClientTimeouts(),
            retry=Retry(jitter=0.0, initial_delay=5.0, factor=self.factor),
        )
        self.client = Client(self.reactor, config, [self.told])
        self.client.startService()
        self.reactor.settle()
        self.server.welcome(capabilities=list(self.capabilities), resume=self.grace)
        self.session = self.client.session
        frames = self.server.link.frames
        self.sent = sum(HEADER_SIZE + len(frame.payload) for frame in frames)
        self.server.link.take(FrameKind.TUNNEL_OPEN, TunnelOpen)
        self.told.take()
        self.cut()

    def tearDown(self) -> None:
        stopping = self.client.stopService()
        self.server.close()
        self.reactor.advance(60)
        self.successResultOf(stopping)
        self.assertEqual([], self.reactor.getDelayedCalls())
        self.assertEqual([], self.told.broken_rules())

    def cut(self) -> None:
        """
        Cut the link; the client dials another one at once.
        """
        before = len(self.server.links)
        self.server.link.transport.abortConnection()
        self.reactor.settle()
        self.assertEqual(before + 1, len(self.server.links))

    def challenge(self) -> Resume:
        """
        Ask for the proof, and check it.
        """
        resume = self.server.link.take(FrameKind.RESUME, Resume)
        self.server.link.send(FrameKind.CHALLENGE, Challenge([HMAC], NONCE))
        self.reactor.settle()
        response = self.server.link.take(FrameKind.RESPONSE, Response)
        proof = client_resumes(WELCOME.secret, resume, NONCE, b"n,,")
        self.assertEqual(Response(HMAC, proof), response)
        return resume

    def answer(self, received: int, proof_of: int | None = None) -> None:
        """
        Go on with the session, as far as the client lets it.

        @param proof_of: what the proof is for; C{received} unless it is wrong.
        """
        resume = self.challenge()
        of = received if proof_of is None else proof_of
        proof = server_resumes(WELCOME.secret, resume, of, NONCE, b"n,,")
        self.server.link.send(FrameKind.RESUMED, Resumed(received, proof))
        self.reactor.settle()

    def check_waits(self) -> None:
        self.assertIs(self.session, self.client.session)
        self.assertEqual([], self.told.take())
        self.assertEqual([], self.told.errors)

    def check_begins_anew(self) -> None:
        """
        The session is over, and the client greets the server on another link at once.
        """
        self.assertIsNone(self.client.session)
        end = "LINK_LOST: the link was lost"
        self.assertEqual([f"client- {end}"], self.told.take()[-1:])
        self.server.offer(ANONYMOUS)


class ResumedTests(ResumeCase):
    def test_not_ready_meanwhile(self) -> None:
        """
        Visitors reach nobody until the link is back.
        """
        self.assertEqual("the link is lost", self.client.unready)
        self.assertIn("is lost, 0 streams wait", self.client.status)
        self.answer(self.sent)
        self.assertNotEqual("the link is lost", self.client.unready)
        self.assertIn("connected to ", self.client.status)

    def test_all_was_received(self) -> None:
        self.answer(self.sent)
        self.check_waits()
        assert self.session is not None
        self.assertTrue(self.session.link_up)
        self.server.link.send(FrameKind.PING, b"12345678")
        self.reactor.settle()
        self.assertIn(FrameKind.PONG, [each.kind for each in self.server.link.frames])

    def test_nothing_was_received(self) -> None:
        """
        The client says everything again.
        """
        self.answer(0)
        self.server.link.take(FrameKind.TUNNEL_OPEN, TunnelOpen)
        self.check_waits()

    def test_count(self) -> None:
        """
        The client says how much it has received, over all links.
        """
        self.answer(self.sent)
        self.server.link.send(FrameKind.PING, b"12345678")
        self.reactor.settle()
        self.cut()
        self.assertEqual(18, self.challenge().received)

    def test_rest_in_the_same_piece(self) -> None:
        """
        What the server sends right after its answer is the session's.
        """
        resume = self.challenge()
        proof = server_resumes(WELCOME.secret, resume, 0, NONCE, b"n,,")
        self.server.link.send(FrameKind.RESUMED, Resumed(0, proof))
        self.server.link.send(FrameKind.PING, b"abcdefgh")
        self.server.link.send(FrameKind.GOAWAY, Ended(Code.CLOSED, "bye"))
        self.server.link.transport.loseConnection()
        self.reactor.settle()
        self.assertEqual(["client- CLOSED: bye"], self.told.take()[-1:])


class SoonLostTests(ResumeCase):
    """
    Something in between lets no link live.
    """

    factor = 3.0

    def cut_again(self, links: int) -> None:
        """
        Go on with the session, and cut its link.

        @param links: how many the client dials at once.
        """
        self.answer(0)
        before = len(self.server.links)
        self.server.link.transport.abortConnection()
        self.reactor.settle()
        self.assertEqual(before + links, len(self.server.links))

    def test_waits(self) -> None:
        """
        After the third link that is lost soon the client waits before it dials again,
        and longer each time.
        """
        for links in (1, 1, 0):
            self.cut_again(links)
        for delay in (5.0, 15.0):
            self.reactor.advance(delay - 0.1)
            before = len(self.server.links)
            self.reactor.advance(0.1)
            self.assertEqual(before + 1, len(self.server.links))
            self.cut_again(0)
        self.assertIs(self.session, self.client.session)

    def test_one_that_lasts(self) -> None:
        for _ in range(5):
            self.answer(0)
            self.reactor.advance(1)
            self.cut()
        for links in (1, 1, 1, 0):
            self.cut_again(links)


class RefusedTests(ResumeCase):
    def test_unknown(self) -> None:
        self.challenge()
        self.server.refuse(Code.AUTHENTICATION, "no such session")
        self.check_begins_anew()

    def test_at_once(self) -> None:
        self.server.refuse(Code.PROTOCOL, "RESUME while start")
        self.check_begins_anew()

    def test_for_now(self) -> None:
        """
        It tries again, later.
        """
        for code in (Code.SHUTDOWN, Code.LIMIT, Code.INTERNAL, Code.TIMEOUT):
            links = len(self.server.links)
            self.server.refuse(code)
            self.check_waits()
            self.assertEqual(links, len(self.server.links))
            self.reactor.advance(6)
            self.assertEqual(links + 1, len(self.server.links))
        self.assertEqual(FrameKind.RESUME, self.server.link.frames[0].kind)

    def test_lost(self) -> None:
        """
        The next link is lost, too.
        """
        for _ in range(3):
            self.challenge()
            self.server.link.transport.abortConnection()
            self.reactor.advance(6)
            self.check_waits()
        self.answer(self.sent)
        self.check_waits()

    def test_silent(self) -> None:
        """
        A server that says nothing more does not hold the client up.
        """
        self.reactor.advance(10)
        self.assertTrue(self.server.link.lost)
        self.check_waits()
        self.reactor.advance(6)
        self.answer(self.sent)

    def test_wrong_proof(self) -> None:
        self.answer(self.sent, self.sent + 1)
        self.check_begins_anew()

    def test_impossible_count(self) -> None:
        self.answer(1 << 40)
        self.check_begins_anew()

    def test_other_answer(self) -> None:
        self.server.link.send(FrameKind.WELCOME, WELCOME)
        self.reactor.settle()
        self.check_begins_anew()

    def test_over_during_the_handshake(self) -> None:
        """
        The time of grace ends while the server takes its time.
        """
        self.reactor.advance(9)
        while self.client.session is not None:
            if self.server.link.lost is not None:
                self.reactor.advance(1)
                continue
            self.server.link.frames.clear()
            self.server.link.send(FrameKind.CHALLENGE, Challenge([HMAC], NONCE))
            self.reactor.advance(9)
        self.told.take()
        self.reactor.advance(30)
        self.assertIs(FrameKind.HELLO, self.server.link.frames[0].kind)


class NotOfferedTests(ResumeCase):
    """
    The server does not offer it, or for no time.
    """

    capabilities: tuple[str, ...] = ()

    def test_begins_anew(self) -> None:
        self.check_gone()

    def check_gone(self) -> None:
        self.assertIsNone(self.client.session)
        self.reactor.advance(6)
        self.server.link.take(FrameKind.HELLO, Hello)

    def cut(self) -> None:
        self.server.link.transport.abortConnection()
        self.reactor.settle()


class NoTimeTests(NotOfferedTests):
    capabilities = (RESUME,)
    grace = 0.0
