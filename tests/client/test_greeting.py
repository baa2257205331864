"""
Tests of L{reitunnel.client.greeting}.
"""

from __future__ import annotations

from OpenSSL.SSL import Error
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.auth import ClientAuthenticator, ClientCredentials
from reitunnel.client.greeting import ClientGreeting
from reitunnel.client.handshaking import LinkHandshake
from reitunnel.errors import TransportError
from reitunnel.interfaces import ILinkFacts
from reitunnel.relay import Link
from reitunnel.transports.failures import without_openssl
from reitunnel.wire.handshake import handshake_reader
from reitunnel.wire.messages import Welcome


def no_session(link: Link, facts: ILinkFacts, welcome: Welcome, handshake: int) -> None:
    raise AssertionError("no session was to begin")


class LostLinkTests(SynchronousTestCase):
    """
    Of a link that is lost before the session begins.
    """

    def lose(self, reason: Failure) -> TransportError:
        """
        @return: what the greeting makes of it.
        """
        clock = Clock()
        greeting = ClientGreeting(
            ClientAuthenticator(ClientCredentials()),
            "a",
            no_session,
            direct=False,
            resume=False,
        )
        handshake = LinkHandshake(clock, 10, greeting)
        link = Link(handshake_reader(), handshake, clock)
        link.makeConnection(StringTransport())
        link.connectionLost(reason)
        error = self.failureResultOf(handshake.outcome, TransportError).value
        self.assertEqual(clock.getDelayedCalls(), [])
        assert isinstance(error, TransportError)
        return error

    def test_lost(self) -> None:
        error = self.lose(Failure(ConnectionLost("cut")))
        self.assertIn("cut", str(error))
        self.assertFalse(error.permanent)

    def test_not_accepted_by_tls(self) -> None:
        """
        What TLS says after its handshake is the reason, and it does not help to
        try again.
        """
        said = Error([("SSL routines", "", "tlsv13 alert certificate required")])
        error = self.lose(without_openssl(Failure(said)))
        self.assertEqual(str(error), "the peer wants a certificate")
        self.assertTrue(error.permanent)
