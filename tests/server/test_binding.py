"""
What the proof of a link on which a session goes on is bound to, and how many guesses
there are.
"""

from __future__ import annotations

from dataclasses import replace

from reitunnel import Code
from reitunnel.auth import ServerAuthenticator
from reitunnel.config.settings import Limits
from reitunnel.errors import AuthenticationFailed, SessionRefused
from reitunnel.server.resuming import Resuming
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.messages import Challenge, Response, Resumed
from reitunnel.wire.proofs import client_resumes
from tests.auth.support import PLAIN, TLS, Facts
from tests.server.raw import raw_client
from tests.server.test_resuming import HMAC, ResumeCase

PLUS = "HMAC-SHA-256-PLUS"
OTHER = replace(TLS, channel_binding=bytes(32))


def bound_to(facts: Facts) -> bytes:
    assert facts.channel_binding is not None
    return b"p=tls-exporter,," + facts.channel_binding


class ChannelTests(ResumeCase):
    """
    Of links over TLS, which are told to the judge.
    """

    def setUp(self) -> None:
        super().setUp()
        self.cut()

    def judge(self, facts: Facts, mechanism: str, binding: bytes) -> bytes:
        """
        Give a proof that is right but for what it is bound to.

        @return: what the server took it to be bound to.
        """
        resume = self.resume()
        resuming = Resuming(self.pair.server, facts, resume)
        nonce = resuming.challenge().data
        proof = client_resumes(self.welcome.secret, resume, nonce, binding)
        session, found = resuming.judge(Response(mechanism, proof))
        self.assertEqual(self.welcome.session.hex(), session.id)
        return found

    def require_binding(self) -> None:
        self.pair.server.authenticator = ServerAuthenticator(
            anonymous=True, channel_binding="require"
        )

    def test_offered(self) -> None:
        resuming = Resuming(self.pair.server, TLS, self.resume())
        self.assertEqual([PLUS, HMAC], resuming.challenge().mechanisms)

    def test_bound(self) -> None:
        for facts in (TLS, OTHER):
            binding = bound_to(facts)
            self.assertEqual(binding, self.judge(facts, PLUS, binding))
        self.assertEqual(b"n,,", self.judge(TLS, HMAC, b"n,,"))

    def test_another_channel(self) -> None:
        """
        Somebody in between has a TLS channel to each side: what proves on one proves
        nothing on the other.
        """
        for facts, mechanism, binding in (
            (OTHER, PLUS, bound_to(TLS)),
            (TLS, PLUS, bound_to(OTHER)),
            (TLS, PLUS, b"n,,"),
            (TLS, HMAC, bound_to(TLS)),
            # The offer was taken out on the way.
            (TLS, HMAC, b"y,,"),
            (PLAIN, HMAC, bound_to(TLS)),
            (PLAIN, PLUS, bound_to(TLS)),
        ):
            self.assertRaises(
                AuthenticationFailed, self.judge, facts, mechanism, binding
            )

    def test_less_than_it_began_with(self) -> None:
        """
        Without TLS a session goes on where a client could begin one, and nowhere else.
        """
        self.assertEqual(b"n,,", self.judge(PLAIN, HMAC, b"n,,"))
        self.require_binding()
        error = self.assertRaises(SessionRefused, self.judge, PLAIN, HMAC, b"n,,")
        self.assertEqual(Code.POLICY, error.code)

    def test_required(self) -> None:
        """
        What the server requires now counts, for sessions that began before too.
        """
        self.require_binding()
        self.assertRaises(AuthenticationFailed, self.judge, TLS, HMAC, b"n,,")
        self.assertEqual(bound_to(TLS), self.judge(TLS, PLUS, bound_to(TLS)))


class GuessTests(ResumeCase):
    def limits(self) -> Limits:
        return Limits(max_handshakes=2)

    def test_one_proof_for_a_link(self) -> None:
        self.cut()
        resume = self.resume()
        link, nonce = self.ask(resume)
        link.respond(HMAC, bytes(32))
        self.check_refused(link, Code.AUTHENTICATION, "no such session")
        proof = client_resumes(self.welcome.secret, resume, nonce, b"n,,")
        link.respond(HMAC, proof)
        self.assertEqual([], link.frames)
        self.assertFalse(self.pair.session.link_up)

    def test_handshakes_in_progress(self) -> None:
        """
        They count as all others do, until they are over.
        """
        self.cut()
        waiting = [self.ask(self.resume())[0] for _ in range(2)]
        third = raw_client(self.pair.reactor)
        third.send(FrameKind.RESUME, self.resume())
        self.assertIsNotNone(third.lost)
        self.assertEqual([], third.frames)
        for link in waiting:
            link.transport.abortConnection()
        self.pair.reactor.settle()
        link = self.prove(self.resume())
        link.take(FrameKind.RESUMED, Resumed)
        # The link of a session is no handshake any more.
        for _ in range(2):
            other = raw_client(self.pair.reactor)
            other.send(FrameKind.RESUME, self.resume())
            other.take(FrameKind.CHALLENGE, Challenge)
