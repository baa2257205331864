"""
Handshakes of the client: which servers it believes.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Client, Code
from reitunnel.auth import new_token
from reitunnel.auth.exchange import ANONYMOUS, EXTERNAL, SCRAM
from reitunnel.config.values import Secret
from reitunnel.errors import (
    AuthenticationFailed,
    CodedError,
    ProtocolError,
    ReitunnelError,
    SessionRefused,
    TransportError,
)
from reitunnel.wire.frames import FrameKind, encode_frame
from reitunnel.wire.messages import Challenge, Response
from tests.client.rogue import WELCOME, RogueServer, welcome
from tests.ledger import Ledger
from tests.memory import MemoryReactor
from tests.pair import client_config


class RogueCase(SynchronousTestCase):
    """
    A client, and a server made by hand.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.server = RogueServer(self.reactor)
        self.ledger = Ledger()
        self.hooks: list[object] = [self.ledger]

    def start(self, **changes: object) -> Client:
        """
        Start a client. When the test is over it must stop in order.
        """
        client = Client(self.reactor, client_config(**changes), self.hooks)
        client.startService()
        self.over: Deferred[None] = client.when_over()
        self.over.addErrback(lambda failure: failure)
        self.reactor.settle()

        def stop() -> None:
            stopping = client.stopService()
            self.reactor.advance(60)
            self.successResultOf(stopping)
            self.over.addErrback(lambda _: None)
            self.assertEqual([], self.ledger.broken_rules())
            self.assertEqual([], self.reactor.getDelayedCalls())

        self.addCleanup(stop)
        return client

    def gave_up(self, kind: type[ReitunnelError]) -> ReitunnelError:
        """
        The client has given up, because of this.
        """
        error = self.failureResultOf(self.over, kind).value
        assert isinstance(error, kind)
        self.reactor.advance(3600)
        self.assertEqual(1, len(self.server.links))
        self.assertIsNot(None, self.server.link.lost)
        return error


class RefusalTests(RogueCase):
    """
    What the client makes of C{REFUSED}.
    """

    def refused(self, code: Code) -> None:
        self.start()
        self.server.refuse(code, "because")
        self.server.link.transport.loseConnection()
        self.reactor.settle()

    def check_hopeless(self, code: Code) -> None:
        self.refused(code)
        error = self.gave_up(SessionRefused)
        assert isinstance(error, CodedError)
        self.assertEqual((code, "because"), (error.code, error.reason))
        [(told, context)] = self.ledger.errors
        self.assertIs(error, told)
        self.assertEqual("connecting to tcp://127.0.0.1:7000", context)

    def check_retried(self, code: Code) -> None:
        self.refused(code)
        self.assertNoResult(self.over)
        self.reactor.advance(0.5)
        self.assertEqual(2, len(self.server.links))

    def test_authentication(self) -> None:
        self.check_hopeless(Code.AUTHENTICATION)

    def test_version(self) -> None:
        self.check_hopeless(Code.VERSION)

    def test_policy(self) -> None:
        self.check_hopeless(Code.POLICY)

    def test_hook(self) -> None:
        self.check_hopeless(Code.REFUSED)

    def test_unsupported(self) -> None:
        self.check_hopeless(Code.UNSUPPORTED)

    def test_limit(self) -> None:
        self.check_retried(Code.LIMIT)

    def test_shutdown(self) -> None:
        self.check_retried(Code.SHUTDOWN)

    def test_time_out(self) -> None:
        self.check_retried(Code.TIMEOUT)

    def test_internal(self) -> None:
        self.check_retried(Code.INTERNAL)

    def test_unknown_code(self) -> None:
        """
        A code of a later version is C{INTERNAL}.
        """
        self.start()
        self.server.link.send(FrameKind.REFUSED, b"\x81\xa4code\xcd\x03\xe7")
        self.reactor.settle()
        [(error, _)] = self.ledger.errors
        assert isinstance(error, SessionRefused)
        self.assertEqual(Code.INTERNAL, error.code)
        self.assertNoResult(self.over)


class RogueTests(RogueCase):
    """
    Servers that do not keep to the rules, or are not the right ones.
    """

    def setUp(self) -> None:
        super().setUp()
        self.token, _ = new_token("web")

    def test_welcome_at_once(self) -> None:
        """
        Nobody is believed who asks for no proof.
        """
        self.start(token=Secret(self.token))
        self.server.link.send(FrameKind.WELCOME, WELCOME)
        self.reactor.settle()
        self.gave_up(AuthenticationFailed)

    def test_welcome_at_once_without_token(self) -> None:
        self.start()
        self.server.link.send(FrameKind.WELCOME, WELCOME)
        self.reactor.settle()
        self.gave_up(AuthenticationFailed)

    def test_welcome_before_the_proof(self) -> None:
        self.start(token=Secret(self.token))
        self.server.offer(SCRAM)
        self.server.link.send(FrameKind.WELCOME, WELCOME)
        self.reactor.settle()
        error = self.gave_up(AuthenticationFailed)
        self.assertIn("did not prove", str(error))

    def test_wrong_proof(self) -> None:
        """
        A server that does not know the token cannot make one up.
        """
        self.start(token=Secret(self.token))
        self.server.offer(SCRAM)
        first = self.server.link.take(FrameKind.RESPONSE, Response).data
        nonce = first.rpartition(b"r=")[2]
        challenge = b"r=" + nonce + b"server,s=c2FsdHNhbHRzYWx0c2FsdA==,i=4096"
        self.server.link.send(FrameKind.CHALLENGE, Challenge(data=challenge))
        self.reactor.settle()
        self.server.link.take(FrameKind.RESPONSE, Response)
        proof = b"v=" + b"A" * 43 + b"="
        self.server.link.send(FrameKind.WELCOME, welcome(auth=proof))
        self.reactor.settle()
        self.gave_up(AuthenticationFailed)
        self.assertEqual([], self.ledger.lines)

    def test_no_token_wanted(self) -> None:
        """
        A client that has a token does not go on without: the server would not have
        to prove anything.
        """
        self.start(token=Secret(self.token))
        self.server.offer(ANONYMOUS)
        self.gave_up(AuthenticationFailed)
        self.assertEqual([], self.server.link.frames)

    def test_nothing_offered(self) -> None:
        self.start()
        self.server.offer()
        self.gave_up(AuthenticationFailed)

    def test_token_wanted(self) -> None:
        self.start()
        self.server.offer(SCRAM, EXTERNAL)
        self.gave_up(AuthenticationFailed)

    def test_challenge_without_end(self) -> None:
        self.start()
        self.server.offer(ANONYMOUS)
        self.server.link.send(FrameKind.CHALLENGE, Challenge(data=b"more"))
        self.reactor.settle()
        self.gave_up(AuthenticationFailed)

    def out_of_turn(self, kind: FrameKind) -> None:
        self.start()
        self.server.link.send(kind, b"12345678")
        self.reactor.settle()
        error = self.gave_up(ProtocolError)
        self.assertEqual(f"{kind.name} while asked", str(error))

    def test_frame_of_a_session(self) -> None:
        self.out_of_turn(FrameKind.TUNNEL_OPENED)

    def test_frame_of_a_client(self) -> None:
        self.out_of_turn(FrameKind.HELLO)

    def test_ping(self) -> None:
        self.out_of_turn(FrameKind.PING)

    def test_two_challenges_at_once(self) -> None:
        self.start()
        self.server.link.send(FrameKind.CHALLENGE, Challenge(mechanisms=[ANONYMOUS]))
        self.server.link.send(FrameKind.CHALLENGE, Challenge(mechanisms=[ANONYMOUS]))
        self.reactor.settle()
        self.gave_up(ReitunnelError)

    def test_other_protocol(self) -> None:
        self.start()
        self.server.link.transport.write(b"SSH-2.0-OpenSSH_9.2p1\r\n")
        self.reactor.settle()
        error = self.gave_up(ProtocolError)
        self.assertEqual("unknown frame kind 0x53", str(error))

    def test_other_version(self) -> None:
        self.start()
        self.server.welcome(version=2)
        error = self.gave_up(ProtocolError)
        self.assertEqual("WELCOME: version 2", str(error))

    def test_malformed_welcome(self) -> None:
        self.start()
        self.server.offer(ANONYMOUS)
        self.server.link.send(FrameKind.WELCOME, b"\x80")
        self.reactor.settle()
        self.gave_up(ProtocolError)

    def test_after_refusal(self) -> None:
        """
        What comes after the end of the handshake is dropped.
        """
        self.start()
        self.server.link.transport.write(
            encode_frame(FrameKind.REFUSED, 0, b"\x81\xa4code\x06")
            + encode_frame(FrameKind.WELCOME, 0, b"\x80")
        )
        self.reactor.settle()
        error = self.gave_up(SessionRefused)
        assert isinstance(error, SessionRefused)
        self.assertEqual(Code.POLICY, error.code)

    def test_silence(self) -> None:
        """
        C{timeouts.handshake}. A server may be busy: the client tries again.
        """
        self.start()
        self.reactor.advance(9.9)
        self.assertIs(None, self.server.link.lost)
        self.reactor.advance(0.1)
        self.assertIsNot(None, self.server.link.lost)
        [(error, _)] = self.ledger.errors
        assert isinstance(error, SessionRefused)
        self.assertEqual(Code.TIMEOUT, error.code)
        self.assertNoResult(self.over)
        self.reactor.advance(0.5)
        self.assertEqual(2, len(self.server.links))

    def test_hangs_up(self) -> None:
        self.start()
        self.server.link.transport.loseConnection()
        self.reactor.settle()
        [(error, _)] = self.ledger.errors
        self.assertIsInstance(error, TransportError)
        self.assertIn("during the handshake", str(error))
        self.assertNoResult(self.over)


class WelcomeTests(RogueCase):
    """
    What a server may ask of a client that it lets in.
    """

    def test_hello(self) -> None:
        self.start(client_id="me")
        hello = self.server.offer(ANONYMOUS)
        self.assertEqual(([1], "me"), (hello.versions, hello.instance))
        self.assertTrue(hello.software.startswith("reitunnel/"))

    def test_session(self) -> None:
        client = self.start()
        self.server.welcome(identity="token:me")
        session = client.session
        assert session is not None
        self.assertEqual((b"s" * 16).hex(), session.id)
        self.assertEqual(("token:me", "laptop"), (session.identity, session.instance))

    def pings(self, seconds: float) -> int:
        """
        How many pings come in a time, if each is answered.
        """
        count = 0
        self.server.link.frames.clear()
        for _ in range(int(seconds * 10)):
            self.reactor.advance(0.1)
            for frame in self.server.link.frames:
                if frame.kind is FrameKind.PING:
                    count += 1
                    self.server.link.send(FrameKind.PONG, frame.payload)
            self.server.link.frames.clear()
        return count

    def test_heartbeat(self) -> None:
        """
        The shorter of the two heartbeats.
        """
        self.start(tunnels=())
        self.server.welcome(heartbeat=2.0, heartbeat_timeout=6.0)
        self.answer_first()
        self.assertEqual(10, self.pings(20))

    def test_tiny_heartbeat(self) -> None:
        """
        A server cannot keep the client busy with nothing but pings.
        """
        client = self.start(tunnels=())
        self.server.welcome(heartbeat=0.000001, heartbeat_timeout=0.000002)
        self.answer_first()
        self.assertEqual(20, self.pings(20))
        self.assertIsNot(None, client.session)

    def answer_first(self) -> None:
        for frame in self.server.link.frames:
            if frame.kind is FrameKind.PING:
                self.server.link.send(FrameKind.PONG, frame.payload)
        self.reactor.settle()
