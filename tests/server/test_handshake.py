"""
Handshakes of the server: who comes in, who does not, and how long that may take.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Code
from reitunnel.auth import new_token
from reitunnel.auth.exchange import ANONYMOUS, SCRAM
from reitunnel.config.settings import AuthSettings, Limits, ServerTimeouts
from reitunnel.errors import AuthenticationFailed, CodedError
from reitunnel.wire.frames import FrameKind, encode_header
from reitunnel.wire.messages import Challenge
from tests.auth.support import write_token_file
from tests.ledger import Decider
from tests.pair import LINK_PORT, Pair, server_config
from tests.server.raw import raw_client


class HandshakeCase(SynchronousTestCase):
    """
    A server without a client.
    """

    def serve(self, pair: Pair | None = None) -> Pair:
        """
        Start a server. When the test is over it must stop in order.
        """
        pair = (pair or Pair()).start_server()
        self.addCleanup(lambda: self.assertEqual([], pair.stop()))
        return pair


class RefusalTests(HandshakeCase):
    def setUp(self) -> None:
        self.pair = self.serve()
        self.client = raw_client(self.pair.reactor)

    def errors(self) -> list[tuple[type[BaseException], str]]:
        return [
            (type(error), context) for error, context in self.pair.told_server.errors
        ]

    def check_refused(self, code: Code, reason: str) -> None:
        """
        The client is turned away, its link closed, and hooks are told of an error
        alone.
        """
        self.assertEqual((code, reason), self.client.refused())
        [(error, context)] = self.pair.told_server.errors
        assert isinstance(error, CodedError)
        self.assertEqual(code, error.code)
        self.assertEqual(IPv4Address("TCP", "127.0.0.1", 40001), error.peer)
        self.assertEqual("the handshake with 127.0.0.1:40001", context)
        self.assertEqual(["server+"], self.pair.told_server.lines)
        self.assertEqual([], list(self.pair.server.sessions))

    def test_version(self) -> None:
        self.client.hello(versions=(2, 3))
        self.check_refused(Code.VERSION, "no protocol version in common")

    def test_more_versions(self) -> None:
        """
        One in common is enough.
        """
        self.client.hello(versions=(7, 1))
        offer = self.client.take(FrameKind.CHALLENGE, Challenge)
        self.assertEqual([ANONYMOUS], offer.mechanisms)

    def test_malformed(self) -> None:
        self.client.send(FrameKind.HELLO, b"\xc1")
        code, reason = self.client.refused()
        self.assertEqual(Code.PROTOCOL, code)
        self.assertIn("bad Hello", reason)

    def test_no_frames(self) -> None:
        """
        Somebody who speaks another protocol.
        """
        self.client.write(b"GET / HTTP/1.1\r\n\r\n")
        self.check_refused(Code.PROTOCOL, "unknown frame kind 0x47")

    def test_out_of_turn(self) -> None:
        self.client.respond()
        self.check_refused(Code.PROTOCOL, "RESPONSE while start")

    def test_twice(self) -> None:
        self.client.hello()
        self.client.take(FrameKind.CHALLENGE, Challenge)
        self.client.hello()
        self.check_refused(Code.PROTOCOL, "HELLO while challenged")

    def test_frame_of_a_session(self) -> None:
        self.client.ask()
        self.check_refused(Code.PROTOCOL, "TUNNEL_OPEN while start")

    def test_large_frame(self) -> None:
        """
        A frame that is too large is refused by its header.
        """
        self.client.write(encode_header(FrameKind.HELLO, 0, 16385))
        self.check_refused(Code.PROTOCOL, "HELLO: a payload of 16385 bytes")

    def test_mechanism(self) -> None:
        """
        The reason says no more than that it failed; the detail is for the log.
        """
        self.client.hello()
        self.client.take(FrameKind.CHALLENGE, Challenge)
        with capturedLogs() as logs:
            self.client.respond("PLAIN", b"\0user\0secret")
        self.check_refused(Code.AUTHENTICATION, "authentication failed")
        [(error, _)] = self.pair.told_server.errors
        self.assertIsInstance(error, AuthenticationFailed)
        [event] = [each for each in logs if each.get("code") == "AUTHENTICATION"]
        self.assertEqual(
            "authentication failed: the mechanism 'PLAIN' is not offered",
            event["reason"],
        )
        self.assertNotIn("secret", str(event))

    def test_silence(self) -> None:
        self.pair.reactor.advance(9.9)
        self.assertIs(None, self.client.lost)
        self.pair.reactor.advance(0.1)
        self.check_refused(Code.TIMEOUT, "the handshake took too long")

    def test_slow_words(self) -> None:
        """
        The time is for the whole handshake, not for each word.
        """
        self.pair.reactor.advance(6)
        self.client.hello()
        self.client.take(FrameKind.CHALLENGE, Challenge)
        self.pair.reactor.advance(4)
        self.check_refused(Code.TIMEOUT, "the handshake took too long")

    def test_half_a_frame(self) -> None:
        self.client.write(encode_header(FrameKind.HELLO, 0, 100) + b"\x80")
        self.pair.reactor.advance(10)
        self.check_refused(Code.TIMEOUT, "the handshake took too long")

    def test_leaves(self) -> None:
        """
        Who leaves without a word has done nothing wrong: load balancers do that all
        day.
        """
        self.client.transport.loseConnection()
        self.pair.reactor.settle()
        self.assertEqual([], self.pair.told_server.errors)
        self.assertEqual([], list(self.pair.reactor.getDelayedCalls()))

    def test_deaf_client(self) -> None:
        """
        A client that is refused and neither reads nor closes is cut off.
        """
        self.client.transport.pauseProducing()
        self.client.respond()
        link = self.pair.reactor.connection_to(LINK_PORT)
        self.pair.reactor.advance(4.9)
        self.assertTrue(link.server.connected)
        self.pair.reactor.advance(0.1)
        self.assertFalse(link.server.connected)
        self.client.transport.abortConnection()


class TokenTests(HandshakeCase):
    """
    A server that wants tokens.
    """

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.token, line = new_token("office")
        write_token_file(self.path, line)
        self.pair = self.serve(
            Pair(
                server=server_config(
                    insecure_no_auth=False, auth=AuthSettings(tokens=self.path)
                )
            )
        )

    def test_anonymous(self) -> None:
        client = raw_client(self.pair.reactor)
        client.hello()
        offer = client.take(FrameKind.CHALLENGE, Challenge)
        self.assertEqual([SCRAM], offer.mechanisms)
        client.respond()
        self.assertEqual(
            (Code.AUTHENTICATION, "authentication failed"), client.refused()
        )

    def test_wrong_proof(self) -> None:
        """
        A second attempt needs a new link.
        """
        client = raw_client(self.pair.reactor)
        client.hello()
        client.take(FrameKind.CHALLENGE, Challenge)
        client.respond(SCRAM, b"n,,n=office,r=abcdefghijklmnopqrstuvwx")
        client.take(FrameKind.CHALLENGE, Challenge)
        client.respond(data=b"c=biws,r=abc,p=AAAA")
        self.assertEqual(
            (Code.AUTHENTICATION, "authentication failed"), client.refused()
        )


class HookTests(HandshakeCase):
    """
    While hooks decide on a client.
    """

    def setUp(self) -> None:
        self.decision: Deferred[None] = Deferred()
        hook = Decider(client=lambda client: self.decision)
        self.pair = self.serve(
            Pair(
                server=server_config(
                    timeouts=ServerTimeouts(hook=60.0), limits=Limits(max_handshakes=1)
                ),
                server_hooks=[hook],
            )
        )
        self.client = raw_client(self.pair.reactor)
        self.client.hello()
        self.client.take(FrameKind.CHALLENGE, Challenge)
        self.client.respond()

    def test_allowed(self) -> None:
        """
        Hooks take their own time, and the client is let in when they are done.
        """
        self.pair.reactor.advance(50)
        self.assertEqual([], self.client.frames)
        self.decision.callback(None)
        self.pair.reactor.settle()
        self.assertEqual(FrameKind.WELCOME, self.client.frames[0].kind)
        self.assertEqual("raw", self.pair.session.instance)

    def test_still_a_handshake(self) -> None:
        """
        As long as they decide, it counts as a handshake in progress.
        """
        second = raw_client(self.pair.reactor)
        self.assertIsNot(None, second.lost)
        self.decision.callback(None)
        self.pair.reactor.settle()
        third = raw_client(self.pair.reactor)
        self.assertIs(None, third.lost)

    def test_impatient(self) -> None:
        """
        A client that speaks out of turn is refused, and the decision given up.
        """
        self.client.ask()
        self.assertEqual(
            (Code.PROTOCOL, "TUNNEL_OPEN while asked"), self.client.refused()
        )
        self.assertTrue(self.decision.called)

    def test_failure(self) -> None:
        """
        What a hook raises stays in the log.
        """
        self.decision.errback(ZeroDivisionError("secret"))
        self.pair.reactor.settle()
        self.assertEqual((Code.INTERNAL, "refused by a hook"), self.client.refused())
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))


class WelcomeTests(HandshakeCase):
    def test_welcome(self) -> None:
        pair = self.serve(
            Pair(
                server=server_config(
                    limits=Limits(max_tunnels=3, max_streams_per_client=5),
                    timeouts=ServerTimeouts(heartbeat_interval=2, heartbeat_timeout=7),
                )
            )
        )
        client = raw_client(pair.reactor)
        welcome = client.log_in("me")
        session = pair.session
        self.assertEqual(bytes.fromhex(session.id), welcome.session)
        self.assertEqual("anonymous", welcome.identity)
        self.assertEqual(
            (2.0, 7.0, 3, 5),
            (
                welcome.heartbeat,
                welcome.heartbeat_timeout,
                welcome.max_tunnels,
                welcome.max_streams,
            ),
        )
        self.assertEqual(("anonymous", "me"), (session.identity, session.instance))
        self.assertEqual("tcp", session.facts.scheme)

    def test_secrets_differ(self) -> None:
        pair = self.serve()
        welcomes = [raw_client(pair.reactor).log_in(name) for name in "ab"]
        self.assertNotEqual(welcomes[0].session, welcomes[1].session)
        self.assertNotEqual(welcomes[0].secret, welcomes[1].secret)

    def test_all_at_once(self) -> None:
        """
        What comes right after the handshake belongs to the session.
        """
        pair = self.serve()
        client = raw_client(pair.reactor)
        client.hello()
        client.take(FrameKind.CHALLENGE, Challenge)
        client.transport.pauseProducing()
        client.respond()
        client.ask(1, 6000)
        client.transport.resumeProducing()
        pair.reactor.settle()
        self.assertEqual([6000], pair.public_ports)
