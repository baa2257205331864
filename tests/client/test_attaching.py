"""
The client's side of the handshake of a data link.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Code
from reitunnel.auth import ClientAuthenticator, ClientCredentials, new_token
from reitunnel.client.attaching import Attachment
from reitunnel.client.handshaking import LinkHandshake
from reitunnel.config.values import ChannelBinding
from reitunnel.errors import (
    AuthenticationFailed,
    RemoteProtocolError,
    SessionRefused,
    TransportError,
)
from reitunnel.interfaces import ILinkFacts
from reitunnel.relay import Link
from reitunnel.wire.frames import FrameKind, FrameReader, encode_frame
from reitunnel.wire.handshake import handshake_reader
from reitunnel.wire.messages import (
    Attach,
    Attached,
    Challenge,
    Ended,
    Response,
    decode_message,
    encode_message,
)
from reitunnel.wire.proofs import client_proof, server_proof
from tests.auth.support import TLS, Facts
from tests.client.rogue import WELCOME
from tests.relay.test_link import Receiver

HMAC = "HMAC-SHA-256"
PLUS = "HMAC-SHA-256-PLUS"
NONCE = b"c" * 32
PLAIN = replace(TLS, scheme="tcp", secure=False, channel_binding=None)
assert TLS.channel_binding is not None
BOUND = b"p=tls-exporter,," + TLS.channel_binding


class Transport(StringTransport):
    """
    A transport whose facts are known.
    """

    facts: Facts

    def __conform__(self, interface: object) -> object:
        return self.facts if interface is ILinkFacts else None


class AttachmentCase(SynchronousTestCase):
    """
    A link that has just been dialled; what the server says is up to the test.

    @ivar then: what is done with the link when it is taken.
    """

    facts = PLAIN
    policy: ChannelBinding = "prefer"

    def setUp(self) -> None:
        self.clock = Clock()
        self.begun: list[tuple[int, Link]] = []
        self.then: Callable[[Link], None] = lambda _: None
        token, _ = new_token("laptop")
        authenticator = ClientAuthenticator(ClientCredentials(token, self.policy))
        attachment = Attachment(authenticator, WELCOME, 7, self.begin)
        self.handshake = LinkHandshake(self.clock, 10, attachment)
        self.link = Link(handshake_reader(), self.handshake, self.clock)
        self.transport = Transport()
        self.transport.facts = self.facts
        self.link.makeConnection(self.transport)
        [(kind, payload)] = self.said()
        self.assertIs(FrameKind.ATTACH, kind)
        self.attach = decode_message(Attach, payload)

    def begin(self, number: int, link: Link) -> None:
        self.begun.append((number, link))
        self.then(link)

    def said(self) -> list[tuple[FrameKind, bytes]]:
        """
        Take what the client has said.
        """
        data = self.transport.value()
        self.transport.clear()
        return [(f.kind, bytes(f.payload)) for f in FrameReader().feed(data)]

    def challenge(self, *mechanisms: str, nonce: bytes = NONCE) -> Response:
        """
        The server asks.

        @return: what the client answers.
        """
        challenge = Challenge(list(mechanisms), nonce)
        self.hear(encode_message(FrameKind.CHALLENGE, challenge))
        [(kind, payload)] = self.said()
        self.assertIs(FrameKind.RESPONSE, kind)
        return decode_message(Response, payload)

    def hear(self, data: bytes) -> None:
        self.link.dataReceived(data)

    def attached(self, proof: bytes) -> None:
        self.hear(encode_message(FrameKind.ATTACHED, Attached(proof)))

    def check_failed(self, error: type[Exception], text: str) -> None:
        """
        The link is closed, and nothing is left but to wait until it is.
        """
        failure = self.failureResultOf(self.handshake.outcome, error)
        self.assertIn(text, str(failure.value))
        self.assertEqual([], self.begun)
        self.assertTrue(self.transport.disconnecting)
        self.link.connectionLost(Failure(ConnectionLost()))
        self.assertEqual([], self.clock.getDelayedCalls())


class AttachmentTests(AttachmentCase):
    """
    Over a link without TLS.
    """

    def test_first_word(self) -> None:
        self.assertEqual(
            (WELCOME.session, 7, [1]),
            (self.attach.session, self.attach.link, self.attach.versions),
        )
        first = self.attach.nonce
        self.setUp()
        self.assertNotEqual(first, self.attach.nonce)

    def test_attached(self) -> None:
        response = self.challenge(HMAC)
        proof = client_proof(WELCOME.secret, self.attach, NONCE, b"n,,")
        self.assertEqual(Response(HMAC, proof), response)
        self.assertNoResult(self.handshake.outcome)
        self.attached(server_proof(WELCOME.secret, self.attach, NONCE, b"n,,"))
        self.successResultOf(self.handshake.outcome)
        self.assertEqual([(7, self.link)], self.begun)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_server_does_not_know_the_session(self) -> None:
        """
        What it cannot make by itself is what proves it.
        """
        for proof in (
            bytes(32),
            client_proof(WELCOME.secret, self.attach, NONCE, b"n,,"),
            server_proof(bytes(32), self.attach, NONCE, b"n,,"),
        ):
            self.setUp()
            self.challenge(HMAC)
            self.attached(proof)
            self.check_failed(AuthenticationFailed, "does not know the session")

    def test_nonce_of_another_size(self) -> None:
        for nonce in (b"", NONCE[1:], NONCE + BOUND):
            self.setUp()
            challenge = Challenge([HMAC], nonce)
            self.hear(encode_message(FrameKind.CHALLENGE, challenge))
            self.assertEqual([], self.said())
            self.check_failed(RemoteProtocolError, "CHALLENGE: a nonce of")

    def test_attached_unasked(self) -> None:
        """
        Without a challenge nothing was proved.
        """
        self.attached(bytes(32))
        self.check_failed(RemoteProtocolError, "ATTACHED while attaching")

    def test_mechanism(self) -> None:
        for mechanisms in ([], ["SCRAM-SHA-256"]):
            self.setUp()
            challenge = Challenge(mechanisms, NONCE)
            self.hear(encode_message(FrameKind.CHALLENGE, challenge))
            self.check_failed(AuthenticationFailed, "takes no data links")

    def test_refused(self) -> None:
        refusal = Ended(Code.LIMIT, "too many")
        self.hear(encode_message(FrameKind.REFUSED, refusal))
        self.check_failed(SessionRefused, "too many")

    def test_welcome(self) -> None:
        self.challenge(HMAC)
        self.hear(encode_message(FrameKind.WELCOME, WELCOME))
        self.check_failed(RemoteProtocolError, "WELCOME while proven")

    def test_no_frames(self) -> None:
        self.hear(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.check_failed(RemoteProtocolError, "unknown frame kind")

    def test_deadline(self) -> None:
        self.challenge(HMAC)
        self.clock.advance(10)
        self.check_failed(SessionRefused, "took too long")

    def test_lost(self) -> None:
        self.link.connectionLost(Failure(ConnectionLost("cut")))
        failure = self.failureResultOf(self.handshake.outcome, TransportError)
        self.assertIn("cut", str(failure.value))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_cancelled(self) -> None:
        self.challenge(HMAC)
        self.handshake.outcome.cancel()
        self.failureResultOf(self.handshake.outcome)
        self.assertTrue(self.transport.disconnecting)
        self.attached(server_proof(WELCOME.secret, self.attach, NONCE, b"n,,"))
        self.assertEqual([], self.begun)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_what_follows_in_the_same_read(self) -> None:
        """
        It is for whoever has got the link.
        """
        self.challenge(HMAC)
        proof = server_proof(WELCOME.secret, self.attach, NONCE, b"n,,")
        told: list[object] = []

        def take(link: Link) -> None:
            link.receiver = receiver = Receiver()
            receiver.told = told

        self.then = take
        attached = encode_message(FrameKind.ATTACHED, Attached(proof))
        self.hear(attached + encode_frame(FrameKind.PING, 0, b"12345678"))
        self.assertEqual([FrameKind.PING, "batch"], told)


class ChannelTests(AttachmentCase):
    """
    Over TLS that ends in the server: bound, unless the offer was taken out.
    """

    facts = TLS

    def test_attached(self) -> None:
        response = self.challenge(PLUS, HMAC)
        proof = client_proof(WELCOME.secret, self.attach, NONCE, BOUND)
        self.assertEqual(Response(PLUS, proof), response)
        self.attached(server_proof(WELCOME.secret, self.attach, NONCE, BOUND))
        self.successResultOf(self.handshake.outcome)
        self.assertEqual(1, len(self.begun))

    def test_not_offered(self) -> None:
        response = self.challenge(HMAC)
        proof = client_proof(WELCOME.secret, self.attach, NONCE, b"y,,")
        self.assertEqual(Response(HMAC, proof), response)

    def test_answer_for_another_channel(self) -> None:
        self.challenge(PLUS, HMAC)
        self.attached(server_proof(WELCOME.secret, self.attach, NONCE, b"n,,"))
        self.check_failed(AuthenticationFailed, "does not know the session")


class RequiredTests(AttachmentCase):
    """
    With C{channel_binding = "require"}.
    """

    facts = TLS
    policy: ChannelBinding = "require"

    def test_attached(self) -> None:
        self.assertEqual(PLUS, self.challenge(PLUS).mechanism)

    def test_not_offered(self) -> None:
        challenge = Challenge([HMAC], NONCE)
        self.hear(encode_message(FrameKind.CHALLENGE, challenge))
        self.check_failed(AuthenticationFailed, "does not offer it")
