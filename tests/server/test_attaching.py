"""
Data links come to the server: whose they are, and which are taken.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from reitunnel import Code
from reitunnel.config.settings import Limits, ServerTimeouts
from reitunnel.errors import AuthenticationFailed
from reitunnel.server.attaching import Attaching
from reitunnel.wire.frames import FrameKind, encode_frame
from reitunnel.wire.messages import (
    DIRECT,
    Attach,
    Attached,
    Challenge,
    Hello,
    Response,
    Welcome,
    encode_message,
)
from reitunnel.wire.proofs import client_proof, server_proof
from tests.auth.support import TLS, Facts
from tests.pair import Pair, server_config
from tests.server.raw import RawClient, raw_client
from tests.server.test_handshake import HandshakeCase

HMAC = "HMAC-SHA-256"
NONCE = b"n" * 32
PING = encode_frame(FrameKind.PING, 0, b"12345678")


class AttachCase(HandshakeCase):
    """
    A server with one client, which says what it likes.
    """

    limits = Limits()
    timeouts = ServerTimeouts()

    def setUp(self) -> None:
        config = server_config(limits=self.limits, timeouts=self.timeouts)
        self.pair = self.serve(Pair(server=config))
        self.control, self.welcome = self.log_in()

    def log_in(
        self, instance: str = "raw", capabilities: tuple[str, ...] = (DIRECT,)
    ) -> tuple[RawClient, Welcome]:
        control = raw_client(self.pair.reactor)
        welcome = control.log_in(instance, capabilities)
        self.pair.told_server.take()
        return control, welcome

    def attach(self, number: int = 1, **changes: object) -> Attach:
        """
        Make the first word of a data link.
        """
        fields: dict[str, object] = {
            "versions": [1],
            "session": self.welcome.session,
            "link": number,
            "nonce": NONCE,
            **changes,
        }
        return Attach(**fields)  # type: ignore[arg-type]  # that is the test

    def ask(self, attach: Attach) -> tuple[RawClient, bytes]:
        """
        Dial a data link.

        @return: its link, and the server's nonce.
        """
        link = raw_client(self.pair.reactor)
        link.send(FrameKind.ATTACH, attach)
        challenge = link.take(FrameKind.CHALLENGE, Challenge)
        self.assertEqual([HMAC], challenge.mechanisms)
        return link, challenge.data

    def dial(self, number: int = 1) -> RawClient:
        """
        Dial a data link, and prove all that is to be proved.
        """
        attach = self.attach(number)
        link, nonce = self.ask(attach)
        proof = client_proof(self.welcome.secret, attach, nonce, b"n,,")
        link.respond(HMAC, proof)
        self.answer(link)
        return link

    def answer(self, link: RawClient) -> None:
        """
        Answer the server's pings.
        """
        for ping in [each for each in link.frames if each.kind is FrameKind.PING]:
            link.frames.remove(ping)
            if link.lost is None:
                link.send(FrameKind.PONG, ping.payload)

    def idle(self) -> int:
        """
        How many data links the server has ready for streams.
        """
        [session] = self.pair.server.sessions
        return len(session.links)  # type: ignore[attr-defined]  # of a server's own

    def check_taken(self, link: RawClient) -> None:
        link.take(FrameKind.ATTACHED, Attached)
        self.assertIsNone(link.lost)

    def check_refused(self, link: RawClient, code: Code, reason: str) -> None:
        self.assertEqual((code, reason), link.refused())
        self.assertIsNone(self.control.lost)
        self.assertEqual([], self.pair.told_server.take())


class ProofTests(AttachCase):
    def test_attached(self) -> None:
        attach = self.attach(7)
        link, nonce = self.ask(attach)
        link.respond(HMAC, client_proof(self.welcome.secret, attach, nonce, b"n,,"))
        attached = link.take(FrameKind.ATTACHED, Attached)
        expected = server_proof(self.welcome.secret, attach, nonce, b"n,,")
        self.assertEqual(expected, attached.proof)
        # It is ready when the client is known to have it.
        self.assertEqual(0, self.idle())
        self.answer(link)
        self.assertEqual(1, self.idle())
        self.assertEqual([], self.pair.told_server.errors)

    def test_one_who_could_bind(self) -> None:
        """
        The proof says so, and so does the answer.
        """
        attach = self.attach()
        link, nonce = self.ask(attach)
        link.respond(HMAC, client_proof(self.welcome.secret, attach, nonce, b"y,,"))
        attached = link.take(FrameKind.ATTACHED, Attached)
        expected = server_proof(self.welcome.secret, attach, nonce, b"y,,")
        self.assertEqual(expected, attached.proof)

    def test_fresh(self) -> None:
        """
        What was proved once proves nothing again.
        """
        attach = self.attach()
        link, nonce = self.ask(attach)
        proof = client_proof(self.welcome.secret, attach, nonce, b"n,,")
        link.respond(HMAC, proof)
        self.check_taken(link)
        again, other_nonce = self.ask(attach)
        self.assertEqual((32, 32), (len(nonce), len(other_nonce)))
        self.assertNotEqual(nonce, other_nonce)
        again.respond(HMAC, proof)
        self.check_refused(again, Code.AUTHENTICATION, "no such session")

    def test_strangers(self) -> None:
        """
        All are told the same, whatever is wrong.
        """
        other, welcome = self.log_in("other")
        secret = self.welcome.secret
        wrong = [
            (self.attach(), welcome.secret),
            (self.attach(), bytes(32)),
            (self.attach(session=welcome.session), secret),
            (self.attach(session=bytes(16)), secret),
            (self.attach(session=bytes(16)), bytes(32)),
        ]
        for attach, key in wrong:
            link, nonce = self.ask(attach)
            link.respond(HMAC, client_proof(key, attach, nonce, b"n,,"))
            self.check_refused(link, Code.AUTHENTICATION, "no such session")
        for change in (
            {"link": 2},
            {"nonce": b"N" * 32},
            {"session": welcome.session},
        ):
            link, nonce = self.ask(self.attach())
            proof = client_proof(secret, self.attach(**change), nonce, b"n,,")
            link.respond(HMAC, proof)
            self.check_refused(link, Code.AUTHENTICATION, "no such session")
        for proof_of in (
            lambda attach, nonce: server_proof(secret, attach, nonce, b"n,,"),
            lambda attach, nonce: client_proof(secret, attach, nonce, b"p=x,,"),
            lambda attach, nonce: b"",
            lambda attach, nonce: client_proof(secret, attach, nonce, b"n,,") + b"\0",
        ):
            link, nonce = self.ask(self.attach())
            link.respond(HMAC, proof_of(self.attach(), nonce))
            self.check_refused(link, Code.AUTHENTICATION, "no such session")
        self.assertIsNone(other.lost)

    def test_reason_for_the_log(self) -> None:
        """
        The server's log says more than the client is told.
        """
        link, _ = self.ask(self.attach(9))
        link.respond(HMAC, bytes(32))
        link.refused()
        [(error, _)] = self.pair.told_server.errors
        assert isinstance(error, AuthenticationFailed)
        session = self.welcome.session.hex()
        self.assertEqual(
            f"data link 9 of session {session}: the proof is wrong", error.detail
        )

    def test_nobody_is_blamed(self) -> None:
        """
        A client may ask for a session that has just ended, so hooks that count
        failures are not told whose this was.
        """
        link, _ = self.ask(self.attach(9))
        link.respond(HMAC, bytes(32))
        link.refused()
        [(error, _)] = self.pair.told_server.errors
        assert isinstance(error, AuthenticationFailed)
        self.assertIsNone(error.peer)

    def test_mechanism(self) -> None:
        for mechanism in ("", "ANONYMOUS", "SCRAM-SHA-256", "HMAC-SHA-256-PLUS"):
            attach = self.attach()
            link, nonce = self.ask(attach)
            proof = client_proof(self.welcome.secret, attach, nonce, b"n,,")
            link.respond(mechanism, proof)
            self.check_refused(link, Code.AUTHENTICATION, "authentication failed")

    def test_session_is_over(self) -> None:
        attach = self.attach()
        link, nonce = self.ask(attach)
        self.control.transport.abortConnection()
        self.pair.reactor.settle()
        link.respond(HMAC, client_proof(self.welcome.secret, attach, nonce, b"n,,"))
        self.assertEqual((Code.AUTHENTICATION, "no such session"), link.refused())

    def test_session_was_taken_over(self) -> None:
        """
        The new session of the same client has another secret.
        """
        self.log_in()
        attach = self.attach()
        link, nonce = self.ask(attach)
        link.respond(HMAC, client_proof(self.welcome.secret, attach, nonce, b"n,,"))
        self.assertEqual((Code.AUTHENTICATION, "no such session"), link.refused())


class ChannelTests(AttachCase):
    """
    Of links over TLS, which are told to the judge.
    """

    def judge(self, facts: Facts, mechanism: str, binding: bytes) -> Attached:
        attach = self.attach()
        attaching = Attaching(self.pair.server, facts, attach)
        nonce = attaching.challenge().data
        proof = client_proof(self.welcome.secret, attach, nonce, binding)
        session, attached = attaching.judge(Response(mechanism, proof))
        self.assertEqual(self.welcome.session.hex(), session.id)
        expected = server_proof(self.welcome.secret, attach, nonce, binding)
        self.assertEqual(expected, attached.proof)
        return attached

    def test_offered(self) -> None:
        attaching = Attaching(self.pair.server, TLS, self.attach())
        self.assertEqual(["HMAC-SHA-256-PLUS", HMAC], attaching.challenge().mechanisms)

    def test_bound(self) -> None:
        assert TLS.channel_binding is not None
        self.judge(TLS, "HMAC-SHA-256-PLUS", b"p=tls-exporter,," + TLS.channel_binding)
        self.judge(TLS, HMAC, b"n,,")

    def test_another_channel(self) -> None:
        """
        Somebody in between has a TLS channel to each side.
        """
        for facts, mechanism, binding in (
            (TLS, "HMAC-SHA-256-PLUS", b"p=tls-exporter,," + b"x" * 32),
            (TLS, "HMAC-SHA-256-PLUS", b"n,,"),
            # The offer was taken out on the way.
            (TLS, HMAC, b"y,,"),
            (replace(TLS, channel_binding=None), HMAC, b"p=tls-exporter,,"),
        ):
            self.assertRaises(
                AuthenticationFailed, self.judge, facts, mechanism, binding
            )


class NumberTests(AttachCase):
    """
    No number is used twice.
    """

    limits = Limits(max_links_per_client=3)

    def check_limit(self, number: int) -> None:
        self.check_refused(
            self.dial(number),
            Code.LIMIT,
            f"data link {number} is not taken: too many, or known",
        )

    def test_twice(self) -> None:
        self.check_taken(first := self.dial(5))
        self.check_limit(5)
        first.transport.abortConnection()
        self.pair.reactor.settle()
        self.assertEqual(0, self.idle())
        self.check_limit(5)

    def test_any_order(self) -> None:
        """
        They are dialled a few at a time, and some never arrive.
        """
        for number in (4, 2, 9):
            self.check_taken(self.dial(number))

    def test_old(self) -> None:
        self.check_taken(self.dial(0xFFFFFFFF))
        self.check_limit(1)
        self.check_limit(0xFFFFFFFF - 1024)
        self.check_taken(self.dial(0xFFFFFFFF - 1023))

    def test_too_many(self) -> None:
        """
        When one is closed, there is room for another.
        """
        links = [self.dial(number) for number in (1, 2, 3)]
        for link in links:
            self.check_taken(link)
        self.check_limit(4)
        links[0].transport.loseConnection()
        self.pair.reactor.settle()
        self.check_taken(self.dial(4))
        self.assertEqual(3, self.idle())

    def test_each_client_has_its_own(self) -> None:
        for number in (1, 2, 3):
            self.check_taken(self.dial(number))
        _, self.welcome = self.log_in("other")
        self.check_taken(self.dial(1))

    def test_malformed(self) -> None:
        for fields in (
            {"link": 0, "session": bytes(16), "nonce": NONCE, "versions": [1]},
            {"link": 1, "session": bytes(15), "nonce": NONCE, "versions": [1]},
            {"link": 1, "session": bytes(16), "nonce": b"", "versions": [1]},
            {},
        ):
            link = raw_client(self.pair.reactor)
            link.send(FrameKind.ATTACH, msgspec.msgpack.encode(fields))
            code, reason = link.refused()
            self.assertEqual(Code.PROTOCOL, code)
            self.assertIn("bad Attach", reason)


class WithoutTests(AttachCase):
    """
    Sessions that have no data links.
    """

    def test_told(self) -> None:
        self.assertEqual([DIRECT], self.welcome.capabilities)
        self.assertEqual(1024, self.welcome.max_links)

    def test_client_cannot(self) -> None:
        _, self.welcome = self.log_in("other", ())
        self.assertEqual(([], 0), (self.welcome.capabilities, self.welcome.max_links))
        self.assertEqual(Code.LIMIT, self.dial().refused()[0])

    def test_version(self) -> None:
        link = raw_client(self.pair.reactor)
        link.send(FrameKind.ATTACH, self.attach(versions=[2, 3]))
        self.check_refused(link, Code.VERSION, "no protocol version in common")


class NoneAllowedTests(AttachCase):
    limits = Limits(max_links_per_client=0)

    def test_told(self) -> None:
        self.assertEqual(([], 0), (self.welcome.capabilities, self.welcome.max_links))
        self.assertEqual(Code.LIMIT, self.dial().refused()[0])


class HandshakeTests(AttachCase):
    """
    Data links that are not attached yet are strangers like others.
    """

    limits = Limits(max_handshakes=2, max_handshakes_per_address=2)
    timeouts = ServerTimeouts(handshake=5)

    def test_count(self) -> None:
        """
        As handshakes in progress, until they are over.
        """
        links = [self.ask(self.attach(number))[0] for number in (1, 2)]
        turned_away = raw_client(self.pair.reactor)
        self.assertIsNotNone(turned_away.lost)
        self.assertEqual([], turned_away.frames)
        links[0].transport.abortConnection()
        self.pair.reactor.settle()
        for number in (3, 4, 5):
            self.check_taken(self.dial(number))

    def test_deadline(self) -> None:
        """
        With the first word, and without the second.
        """
        link, _ = self.ask(self.attach())
        self.pair.reactor.advance(5)
        self.check_refused(link, Code.TIMEOUT, "the handshake took too long")

    def test_out_of_turn(self) -> None:
        for kind, payload in (
            (FrameKind.HELLO, Hello([1], "raw")),
            (FrameKind.ATTACH, self.attach()),
            (FrameKind.PING, b"12345678"),
        ):
            link, _ = self.ask(self.attach())
            link.send(kind, payload)
            self.check_refused(link, Code.PROTOCOL, f"{kind.name} while proving")
        link = raw_client(self.pair.reactor)
        link.hello()
        link.take(FrameKind.CHALLENGE, Challenge)
        link.send(FrameKind.ATTACH, self.attach())
        self.check_refused(link, Code.PROTOCOL, "ATTACH while challenged")

    def test_what_follows_in_the_same_read(self) -> None:
        attach = self.attach()
        link, nonce = self.ask(attach)
        proof = client_proof(self.welcome.secret, attach, nonce, b"n,,")
        response = encode_message(FrameKind.RESPONSE, Response(HMAC, proof))
        link.write(response + PING)
        kinds = [frame.kind for frame in link.frames]
        expected = [FrameKind.ATTACHED, FrameKind.PING, FrameKind.PONG]
        self.assertEqual(expected, kinds)

    def test_server_stops(self) -> None:
        link, _ = self.ask(self.attach())
        self.pair.server.stopService()
        self.pair.reactor.settle()
        self.assertEqual((Code.SHUTDOWN, "the server is stopping"), link.refused())


class IdleTests(AttachCase):
    """
    Data links that wait for a stream.
    """

    def setUp(self) -> None:
        super().setUp()
        self.link = self.dial()
        self.check_taken(self.link)

    def advance(self, seconds: float, *, answer: bool = True) -> None:
        """
        Let time pass; the client answers pings on both links, or not on the data
        link.
        """
        for _ in range(round(seconds)):
            for link in (self.control, self.link) if answer else (self.control,):
                self.answer(link)
            self.pair.reactor.advance(1)

    def test_pinged(self) -> None:
        self.advance(100)
        self.assertEqual((1, None), (self.idle(), self.link.lost))

    def test_silent(self) -> None:
        """
        No stream gets it as soon as an answer is late.
        """
        self.advance(9, answer=False)
        self.assertEqual(1, self.idle())
        self.advance(3, answer=False)
        self.assertEqual((0, None), (self.idle(), self.link.lost))
        self.advance(19, answer=False)
        self.assertIsNotNone(self.link.lost)
        self.assertIsNone(self.control.lost)

    def test_old(self) -> None:
        """
        The server closes it in order: only it knows that no stream has it.
        """
        self.advance(269)
        self.assertEqual(1, self.idle())
        self.advance(62)
        self.assertEqual(0, self.idle())
        self.assertIsNotNone(self.link.lost)
        self.assertIsNone(self.control.lost)

    def test_client_closes_it(self) -> None:
        self.link.transport.loseConnection()
        self.pair.reactor.settle()
        self.assertEqual(0, self.idle())
        self.assertIsNone(self.control.lost)

    def test_client_gives_it(self) -> None:
        """
        Only the server does that. The session goes on.
        """
        self.link.write(b"\x27\0\0\0\0\2\0\0\0\4\0\0\0\1")
        self.assertEqual(0, self.idle())
        self.assertIsNotNone(self.link.lost)
        self.assertIsNone(self.control.lost)

    def test_session_ends(self) -> None:
        self.control.transport.loseConnection()
        self.pair.reactor.settle()
        self.assertIsNotNone(self.link.lost)

    def test_server_stops(self) -> None:
        """
        It waits until its data links are closed.
        """
        stopped = self.pair.server.stopService()
        self.pair.reactor.settle()
        self.successResultOf(stopped)
        self.assertIsNotNone(self.link.lost)
