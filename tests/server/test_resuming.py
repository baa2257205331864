"""
Links come to the server on which a session is to go on: whose they are, and from where.
"""

from __future__ import annotations

from reitunnel import Code
from reitunnel.config.settings import Limits, ServerTimeouts
from reitunnel.wire.frames import FrameKind, encode_frame
from reitunnel.wire.messages import (
    RESUME,
    Attach,
    Challenge,
    Response,
    Resume,
    Resumed,
    TunnelOpen,
    TunnelOpened,
    Welcome,
    encode_message,
)
from reitunnel.wire.proofs import client_proof, client_resumes, server_resumes
from tests.pair import Pair, server_config
from tests.server.raw import RawClient, raw_client
from tests.server.test_handshake import HandshakeCase

HMAC = "HMAC-SHA-256"
NONCE = b"n" * 32


class ResumeCase(HandshakeCase):
    """
    A server with one client, which says what it likes. It has sent C{sent} bytes of its
    session, and has received C{had}.
    """

    timeouts = ServerTimeouts()

    def setUp(self) -> None:
        config = server_config(timeouts=self.timeouts, limits=self.limits())
        self.pair = self.serve(Pair(server=config))
        self.control, self.welcome = self.log_in()
        frame = encode_message(FrameKind.TUNNEL_OPEN, TunnelOpen(1, "tcp"))
        self.control.write(frame)
        self.sent = len(frame)
        self.had = sum(10 + len(each.payload) for each in self.control.frames)
        self.control.take(FrameKind.TUNNEL_OPENED, TunnelOpened)
        self.pair.told_server.take()

    def limits(self) -> Limits:
        return Limits()

    def log_in(
        self, instance: str = "raw", capabilities: tuple[str, ...] = (RESUME,)
    ) -> tuple[RawClient, Welcome]:
        control = raw_client(self.pair.reactor)
        welcome = control.log_in(instance, capabilities)
        self.pair.told_server.take()
        return control, welcome

    def cut(self) -> None:
        self.control.transport.abortConnection()
        self.pair.reactor.settle()

    def resume(self, **changes: object) -> Resume:
        """
        Make the first word.
        """
        fields: dict[str, object] = {
            "versions": [1],
            "session": self.welcome.session,
            "received": self.had,
            "nonce": NONCE,
            **changes,
        }
        return Resume(**fields)  # type: ignore[arg-type]  # that is the test

    def ask(self, resume: Resume) -> tuple[RawClient, bytes]:
        """
        Dial, and say the first word.

        @return: the link, and the server's nonce.
        """
        link = raw_client(self.pair.reactor)
        link.send(FrameKind.RESUME, resume)
        challenge = link.take(FrameKind.CHALLENGE, Challenge)
        self.assertEqual([HMAC], challenge.mechanisms)
        return link, challenge.data

    def prove(self, resume: Resume, secret: bytes | None = None) -> RawClient:
        """
        Dial, and give a proof.
        """
        link, nonce = self.ask(resume)
        key = self.welcome.secret if secret is None else secret
        link.respond(HMAC, client_resumes(key, resume, nonce, b"n,,"))
        return link

    def check_refused(
        self, link: RawClient, code: Code, reason: str, told: bool = True
    ) -> None:
        """
        @param told: whether C{on_error} was told: not of a session that is over.
        """
        self.assertEqual((code, reason), link.refused())
        self.assertEqual([], self.pair.told_server.take())
        errors = self.pair.told_server.errors
        self.assertEqual(
            [code] * told, [getattr(each, "code", 0) for each, _ in errors]
        )
        errors.clear()


class ProofTests(ResumeCase):
    def test_resumed(self) -> None:
        self.cut()
        resume = self.resume()
        link, nonce = self.ask(resume)
        proof = client_resumes(self.welcome.secret, resume, nonce, b"n,,")
        link.respond(HMAC, proof)
        resumed = link.take(FrameKind.RESUMED, Resumed)
        self.assertEqual(self.sent, resumed.received)
        expected = server_resumes(self.welcome.secret, resume, self.sent, nonce, b"n,,")
        self.assertEqual(expected, resumed.proof)
        self.assertTrue(self.pair.session.link_up)
        self.assertEqual([], self.pair.told_server.take())
        link.ask(2)
        link.take(FrameKind.TUNNEL_OPENED, TunnelOpened)

    def test_what_was_not_received_comes_again(self) -> None:
        self.cut()
        link = self.prove(self.resume(received=0))
        link.take(FrameKind.RESUMED, Resumed)
        self.assertEqual(1, link.take(FrameKind.TUNNEL_OPENED, TunnelOpened).tunnel)

    def test_in_the_middle_of_a_frame(self) -> None:
        """
        The frame goes on with the next byte.
        """
        frame = encode_message(FrameKind.TUNNEL_OPEN, TunnelOpen(2, "tcp"))
        self.control.write(frame[:7])
        self.cut()
        link = self.prove(self.resume())
        resumed = link.take(FrameKind.RESUMED, Resumed)
        self.assertEqual(self.sent + 7, resumed.received)
        link.write(frame[7:])
        self.assertEqual(2, link.take(FrameKind.TUNNEL_OPENED, TunnelOpened).tunnel)

    def test_link_that_is_alive(self) -> None:
        """
        Who proves to be the client takes the session over from its own link.
        """
        link = self.prove(self.resume())
        link.take(FrameKind.RESUMED, Resumed)
        self.assertIsNotNone(self.control.lost)
        self.assertIsNone(link.lost)
        self.assertEqual([], self.pair.told_server.take())

    def test_fresh(self) -> None:
        """
        What was proved once proves nothing again.
        """
        self.cut()
        resume = self.resume()
        link, nonce = self.ask(resume)
        proof = client_resumes(self.welcome.secret, resume, nonce, b"n,,")
        link.respond(HMAC, proof)
        link.take(FrameKind.RESUMED, Resumed)
        again, other_nonce = self.ask(resume)
        self.assertNotEqual(nonce, other_nonce)
        again.respond(HMAC, proof)
        self.check_refused(again, Code.AUTHENTICATION, "no such session")
        self.assertIsNone(link.lost)

    def test_strangers(self) -> None:
        """
        All are told the same, whatever is wrong, and the session goes on waiting.
        """
        other, welcome = self.log_in("other")
        self.cut()
        secret = self.welcome.secret
        for resume, key in (
            (self.resume(), welcome.secret),
            (self.resume(), bytes(32)),
            (self.resume(session=welcome.session), secret),
            (self.resume(session=bytes(16)), secret),
            (self.resume(session=bytes(16)), bytes(32)),
        ):
            link = self.prove(resume, key)
            known = resume.session != bytes(16)
            self.check_refused(link, Code.AUTHENTICATION, "no such session", known)
        for change in (
            {"received": self.had - 1},
            {"nonce": b"N" * 32},
            {"session": welcome.session},
        ):
            link, nonce = self.ask(self.resume())
            proof = client_resumes(secret, self.resume(**change), nonce, b"n,,")
            link.respond(HMAC, proof)
            self.check_refused(link, Code.AUTHENTICATION, "no such session")
        for wrong in (
            server_resumes(secret, self.resume(), 0, bytes(32), b"n,,"),
            client_resumes(secret, self.resume(), bytes(32), b"n,,"),
            b"",
        ):
            link, nonce = self.ask(self.resume())
            link.respond(HMAC, wrong)
            self.check_refused(link, Code.AUTHENTICATION, "no such session")
        self.assertIsNone(other.lost)
        self.prove(self.resume()).take(FrameKind.RESUMED, Resumed)

    def test_proof_for_a_data_link(self) -> None:
        """
        One kind of proof is not good for the other.
        """
        link, nonce = self.ask(self.resume())
        attach = Attach([1], self.welcome.session, 1, NONCE)
        link.respond(HMAC, client_proof(self.welcome.secret, attach, nonce, b"n,,"))
        self.check_refused(link, Code.AUTHENTICATION, "no such session")


class CountTests(ResumeCase):
    def check_impossible(self, received: int) -> None:
        link = self.prove(self.resume(received=received))
        reason = f"the session cannot go on from {received}"
        self.check_refused(link, Code.PROTOCOL, reason)

    def test_more_than_was_sent(self) -> None:
        self.cut()
        self.check_impossible(self.had + 100_000)

    def test_less_than_was_acknowledged(self) -> None:
        self.control.send(FrameKind.ACK, (18).to_bytes(8, "big"))
        self.cut()
        self.check_impossible(17)
        self.prove(self.resume(received=18)).take(FrameKind.RESUMED, Resumed)

    def test_link_that_is_alive(self) -> None:
        """
        It is not cut off for such a thing.
        """
        self.check_impossible(1 << 40)
        self.assertIsNone(self.control.lost)

    def test_words_before_the_answer(self) -> None:
        """
        The client has to wait for it.
        """
        self.cut()
        resume = self.resume()
        link, nonce = self.ask(resume)
        proof = client_resumes(self.welcome.secret, resume, nonce, b"n,,")
        link.write(
            encode_message(FrameKind.RESPONSE, Response(HMAC, proof))
            + encode_frame(FrameKind.PING, 0, bytes(8))
        )
        reason = "bytes of the session before RESUMED"
        self.check_refused(link, Code.PROTOCOL, reason)
        self.prove(self.resume()).take(FrameKind.RESUMED, Resumed)


class EndedTests(ResumeCase):
    timeouts = ServerTimeouts(resume=20.0)

    def test_too_late(self) -> None:
        self.assertEqual(20, self.welcome.resume)
        self.cut()
        self.pair.reactor.advance(20)
        self.pair.told_server.take()
        self.pair.told_server.errors.clear()
        link = self.prove(self.resume())
        self.check_refused(link, Code.AUTHENTICATION, "no such session", told=False)

    def test_taken_over(self) -> None:
        """
        A new session of the same client ends one that waits, at once.
        """
        self.cut()
        self.control, _ = self.log_in()
        link = self.prove(self.resume())
        self.check_refused(link, Code.AUTHENTICATION, "no such session", told=False)
        self.assertEqual(1, len(self.pair.server.sessions))
        self.assertIsNone(self.control.lost)

    def test_without_the_capability(self) -> None:
        """
        A client that does not say that it can cannot.
        """
        control, welcome = self.log_in("plain", ())
        self.assertEqual((0, []), (welcome.resume, welcome.capabilities))
        resume = self.resume(session=welcome.session, received=0)
        link = self.prove(resume, welcome.secret)
        reason = "the session cannot go on from 0"
        self.check_refused(link, Code.PROTOCOL, reason)
        control.send(FrameKind.ACK, bytes(8))
        self.assertIsNotNone(control.lost)

    def test_other_version(self) -> None:
        link = raw_client(self.pair.reactor)
        link.send(FrameKind.RESUME, self.resume(versions=[2]))
        self.assertEqual(
            (Code.VERSION, "no protocol version in common"), link.refused()
        )

    def test_deadline(self) -> None:
        """
        The handshake has the time of any other.
        """
        link, _ = self.ask(self.resume())
        self.pair.reactor.advance(10)
        self.assertEqual((Code.TIMEOUT, "the handshake took too long"), link.refused())
