"""
Somebody between client and server, who reads, changes, and answers for either.
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.auth import (
    ClientAuthenticator,
    ClientCredentials,
    ServerAuthenticator,
    TokenStore,
)
from reitunnel.config.values import ChannelBinding
from reitunnel.errors import AuthenticationFailed
from tests.auth.support import PLAIN, TLS, Facts, run, store_with

OTHER_CHANNEL = Facts(channel_binding=bytes(32))
"""The channel between the server and whoever stands before it."""
STRIPPED = ("SCRAM-SHA-256",)
"""The server's offer, without the mechanism that binds."""


class BetweenTests(SynchronousTestCase):
    """
    Somebody who ends TLS, with a certificate that the client trusts, and hands the
    messages of the handshake on.
    """

    token: str
    store: TokenStore

    def setUp(self) -> None:
        self.token, self.store = store_with(Path(self.mktemp()))

    def attempt(
        self,
        client: ChannelBinding,
        server: ChannelBinding,
        server_facts: Facts,
        offered: tuple[str, ...] | None = None,
    ) -> bool:
        """
        @return: whether the client is let in and believes the server.
        """
        credentials = ClientCredentials(self.token, client)
        authenticator = ServerAuthenticator(tokens=self.store, channel_binding=server)
        try:
            run(
                ClientAuthenticator(credentials),
                authenticator,
                TLS,
                server_facts,
                offered,
            )
        except AuthenticationFailed:
            return False
        return True

    def test_two_channels(self) -> None:
        """
        Over TLS to both: the proofs are bound to different channels.
        """
        for client in ("prefer", "require"):
            for server in ("prefer", "require"):
                self.assertFalse(self.attempt(client, server, OTHER_CHANNEL))

    def test_binding_taken_out(self) -> None:
        """
        The same, with the bound mechanism taken out of the offer: a client that could
        bind says so, under its proof.
        """
        for client in ("prefer", "require"):
            self.assertFalse(self.attempt(client, "prefer", OTHER_CHANNEL, STRIPPED))

    def test_plaintext_listener(self) -> None:
        """
        By way of a listener without TLS: as behind a proxy, which only a client or a
        server that requires binding refuses.
        """
        self.assertTrue(self.attempt("prefer", "prefer", PLAIN))
        self.assertFalse(self.attempt("require", "prefer", PLAIN))
        self.assertFalse(self.attempt("prefer", "require", PLAIN))
        self.assertFalse(self.attempt("require", "prefer", PLAIN, STRIPPED))

    def test_binding_given_up(self) -> None:
        """
        Whoever says "never" is not protected from such a one.
        """
        self.assertTrue(self.attempt("never", "never", OTHER_CHANNEL))
        self.assertFalse(self.attempt("never", "require", OTHER_CHANNEL))
        self.assertFalse(self.attempt("require", "never", OTHER_CHANNEL))
