"""
Tests of L{reitunnel.auth.binding}, and of the mechanisms of data links, which know no
other rules.
"""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.auth import (
    ClientAuthenticator,
    ClientCredentials,
    ServerAuthenticator,
    new_token,
)
from reitunnel.auth.binding import ServerBinding
from reitunnel.auth.exchange import HMAC
from reitunnel.config.values import ChannelBinding
from reitunnel.errors import AuthenticationFailed
from tests.auth.support import CHANNEL, TLS, Facts

PLUS = "HMAC-SHA-256-PLUS"
PLAIN = replace(TLS, scheme="tcp", secure=False, channel_binding=None)
BOUND = b"p=tls-exporter,," + CHANNEL


def client(policy: ChannelBinding = "prefer") -> ClientAuthenticator:
    token, _ = new_token("laptop")
    return ClientAuthenticator(ClientCredentials(token, policy))


class OfferTests(SynchronousTestCase):
    def offered(self, policy: ChannelBinding, facts: Facts) -> list[str]:
        return ServerBinding(policy).offered(HMAC, facts)

    def test_offered(self) -> None:
        self.assertEqual([PLUS, HMAC], self.offered("prefer", TLS))
        self.assertEqual([HMAC], self.offered("prefer", PLAIN))
        self.assertEqual([PLUS], self.offered("require", TLS))
        self.assertEqual([], self.offered("require", PLAIN))
        self.assertEqual([HMAC], self.offered("never", TLS))
        self.assertEqual([HMAC], self.offered("never", PLAIN))

    def test_unknown_policy(self) -> None:
        self.assertRaises(ValueError, ServerBinding, "sometimes")

    def test_whatever_clients_are_asked_for(self) -> None:
        """
        A session of anybody may have data links.
        """
        anonymous = ServerAuthenticator(anonymous=True)
        self.assertEqual((PLUS, HMAC), anonymous.offered_for_data_link(TLS))
        self.assertEqual((HMAC,), anonymous.offered_for_data_link(PLAIN))

    def test_accepted(self) -> None:
        authenticator = ServerAuthenticator(anonymous=True)
        self.assertEqual([BOUND], authenticator.bindings(PLUS, TLS))
        # Who could bind has seen the offer.
        self.assertEqual([b"n,,"], authenticator.bindings(HMAC, TLS))
        self.assertEqual([b"n,,", b"y,,"], authenticator.bindings(HMAC, PLAIN))

    def test_not_offered(self) -> None:
        authenticator = ServerAuthenticator(anonymous=True)
        for mechanism in ("", "ANONYMOUS", "SCRAM-SHA-256", HMAC.lower(), PLUS):
            self.assertRaises(
                AuthenticationFailed, authenticator.bindings, mechanism, PLAIN
            )


class ChoiceTests(SynchronousTestCase):
    def chosen(
        self, policy: ChannelBinding, offered: list[str], facts: Facts
    ) -> tuple[str, bytes]:
        return client(policy).choose_for_data_link(offered, facts)

    def refused(self, policy: ChannelBinding, offered: list[str], facts: Facts) -> str:
        error = self.assertRaises(
            AuthenticationFailed, self.chosen, policy, offered, facts
        )
        return str(error)

    def test_chosen(self) -> None:
        self.assertEqual((PLUS, BOUND), self.chosen("prefer", [PLUS, HMAC], TLS))
        self.assertEqual((PLUS, BOUND), self.chosen("require", [PLUS], TLS))
        self.assertEqual((HMAC, b"n,,"), self.chosen("never", [PLUS, HMAC], TLS))
        self.assertEqual((HMAC, b"n,,"), self.chosen("prefer", [HMAC], PLAIN))

    def test_not_offered(self) -> None:
        """
        Behind a proxy that ends TLS the server cannot bind, and the client says that
        it could: if the offer was taken out, the server will notice.
        """
        self.assertEqual((HMAC, b"y,,"), self.chosen("prefer", [HMAC], TLS))

    def test_refused(self) -> None:
        self.assertIn("does not offer it", self.refused("require", [HMAC], TLS))
        self.assertIn("has no TLS", self.refused("require", [PLUS, HMAC], PLAIN))
        self.assertIn("is never", self.refused("never", [PLUS], TLS))
        self.assertIn("has no TLS", self.refused("prefer", [PLUS], PLAIN))
        for offered in ([], ["SCRAM-SHA-256"]):
            self.assertIn("no data links", self.refused("prefer", offered, TLS))
