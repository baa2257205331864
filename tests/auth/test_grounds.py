"""
Clients that were let in are judged again, for each further link.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.auth import (
    Accepted,
    CertificatePolicy,
    Challenge,
    ClientAuthenticator,
    ClientCredentials,
    Grounds,
    ServerAuthenticator,
    TokenStore,
    new_token,
)
from tests.auth.support import (
    MUTUAL,
    PLAIN,
    TLS,
    Certificate,
    Facts,
    store_with,
    write_token_file,
)

ANY = CertificatePolicy()
OTHERS = CertificatePolicy(frozenset({"router-8"}))
NEIGHBOUR = replace(MUTUAL, certificate=Certificate(common_name="router-8"))
NAMELESS = replace(MUTUAL, certificate=Certificate("", "", "", ()))


def grounds_of(
    client: ClientAuthenticator, server: ServerAuthenticator, facts: Facts
) -> Grounds:
    """
    Let a client in.
    """
    theirs = client.choose(server.offered(facts), facts)
    ours = server.begin(theirs.mechanism, facts)
    outcome = ours.respond(theirs.first())
    while isinstance(outcome, Challenge):
        outcome = ours.respond(theirs.respond(outcome.data))
    assert isinstance(outcome, Accepted)
    return outcome.grounds


class TokenTests(SynchronousTestCase):
    now = 1_700_000_000.0

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.token, self.entry = new_token("office")
        write_token_file(self.path, self.entry)
        self.store = TokenStore(self.path, lambda: self.now)
        self.server = ServerAuthenticator(tokens=self.store)
        client = ClientAuthenticator(ClientCredentials(self.token))
        self.grounds = grounds_of(client, self.server, TLS)

    def objection(self, facts: Facts = TLS) -> str:
        return self.server.objection(self.grounds, facts)

    def test_nothing_has_changed(self) -> None:
        self.assertEqual("", self.objection())
        self.assertEqual("", self.objection(PLAIN))

    def test_disabled(self) -> None:
        """
        The file is looked at: nobody else has to authenticate in between.
        """
        write_token_file(self.path, self.entry + "disabled = true\n")
        self.assertEqual("the token 'office' is disabled", self.objection())

    def test_removed(self) -> None:
        write_token_file(self.path, new_token("other")[1])
        self.assertEqual("there is no token 'office'", self.objection())

    def test_replaced(self) -> None:
        """
        Another token of that name is another token.
        """
        write_token_file(self.path, new_token("office")[1])
        self.assertEqual("the token 'office' was replaced meanwhile", self.objection())

    def test_expired(self) -> None:
        write_token_file(self.path, self.entry + "expires = 2023-11-14T22:13:21Z\n")
        self.assertEqual("", self.objection())
        self.now += 1
        self.assertEqual("the token 'office' has expired", self.objection())

    def test_goes_with_a_certificate(self) -> None:
        """
        The certificate is that of the new link.
        """
        write_token_file(self.path, self.entry + 'certificate = "router-7"\n')
        self.assertEqual("", self.objection(MUTUAL))
        for facts in (TLS, PLAIN, NEIGHBOUR):
            self.assertIn("goes with the certificate", self.objection(facts))

    def test_other_server(self) -> None:
        """
        What the server asks for now counts.
        """
        _, store = store_with(Path(self.mktemp()))
        for server, facts, objection in (
            (
                ServerAuthenticator(tokens=store),
                TLS,
                "the token 'office' was replaced meanwhile",
            ),
            (
                ServerAuthenticator(certificates=ANY),
                MUTUAL,
                "tokens are not taken any more",
            ),
            (
                ServerAuthenticator(tokens=self.store, certificates=ANY),
                TLS,
                "the link has no client certificate",
            ),
            (
                ServerAuthenticator(tokens=self.store, certificates=OTHERS),
                MUTUAL,
                "the certificate 'CN=router-7,O=Example' is not one of those allowed",
            ),
            (ServerAuthenticator(tokens=self.store, certificates=ANY), MUTUAL, ""),
            (
                ServerAuthenticator(tokens=self.store, certificates=ANY, require="any"),
                TLS,
                "",
            ),
            (ServerAuthenticator(anonymous=True), PLAIN, ""),
        ):
            self.assertEqual(objection, server.objection(self.grounds, facts))

    def test_no_secrets(self) -> None:
        self.assertEqual("Grounds(token='office', certificate='')", str(self.grounds))


class CertificateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = ServerAuthenticator(certificates=ANY)
        client = ClientAuthenticator(ClientCredentials(certificate=True))
        self.grounds = grounds_of(client, self.server, MUTUAL)

    def test_links(self) -> None:
        for facts, objection in (
            (MUTUAL, ""),
            (TLS, "the link has no client certificate"),
            (PLAIN, "the link has no client certificate"),
            (NEIGHBOUR, "the certificate 'CN=router-7,O=Example' is another client's"),
            (NAMELESS, "the certificate has no name"),
        ):
            self.assertEqual(objection, self.server.objection(self.grounds, facts))

    def test_other_server(self) -> None:
        _, store = store_with(Path(self.mktemp()))
        enough = "a certificate alone is not enough any more"
        for server, objection in (
            (ServerAuthenticator(tokens=store), enough),
            (ServerAuthenticator(tokens=store, certificates=ANY), enough),
            (
                ServerAuthenticator(certificates=OTHERS),
                "the certificate 'CN=router-7,O=Example' is not one of those allowed",
            ),
            (
                ServerAuthenticator(tokens=store, certificates=ANY, require="any"),
                "",
            ),
            (ServerAuthenticator(anonymous=True), ""),
        ):
            self.assertEqual(objection, server.objection(self.grounds, MUTUAL))


class AnonymousTests(SynchronousTestCase):
    def test_not_any_more(self) -> None:
        open_to_all = ServerAuthenticator(anonymous=True)
        client = ClientAuthenticator(ClientCredentials())
        grounds = grounds_of(client, open_to_all, PLAIN)
        self.assertEqual("", open_to_all.objection(grounds, PLAIN))
        for server in (
            ServerAuthenticator(tokens=store_with(Path(self.mktemp()))[1]),
            ServerAuthenticator(certificates=ANY),
        ):
            self.assertEqual(
                "clients without credentials are not let in any more",
                server.objection(grounds, MUTUAL),
            )
