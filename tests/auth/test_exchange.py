"""
Both sides of L{reitunnel.auth} against each other: every mechanism, every policy,
and what an enemy may try.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import get_args

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.auth import (
    Accepted,
    CertificatePolicy,
    Challenge,
    ClientAuthenticator,
    ClientCredentials,
    ServerAuthenticator,
    Token,
    TokenStore,
    new_token,
)
from reitunnel.config.values import ChannelBinding
from reitunnel.errors import AuthenticationFailed, Code, LocalProtocolError
from tests.auth.support import (
    CHANNEL,
    MUTUAL,
    PLAIN,
    TLS,
    Certificate,
    Facts,
    Run,
    run,
    store_with,
    write_token_file,
)

SCRAM = "SCRAM-SHA-256"
PLUS = "SCRAM-SHA-256-PLUS"
ANY_CERTIFICATE = CertificatePolicy()


class ExchangeTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.token, self.store = store_with(self.path)
        self.client = ClientAuthenticator(ClientCredentials(self.token))
        self.server = ServerAuthenticator(tokens=self.store)

    def with_token(self, channel_binding: ChannelBinding) -> ClientAuthenticator:
        return ClientAuthenticator(ClientCredentials(self.token, channel_binding))

    def run_on(
        self,
        client: ClientAuthenticator,
        server: ServerAuthenticator,
        facts: Facts,
        server_facts: Facts | None = None,
        offered: tuple[str, ...] | None = None,
    ) -> Run:
        return run(client, server, facts, server_facts or facts, offered)

    def refused_by_server(
        self,
        client: ClientAuthenticator,
        server: ServerAuthenticator,
        facts: Facts,
        server_facts: Facts | None = None,
        offered: tuple[str, ...] | None = None,
    ) -> str:
        """
        Run into the server's refusal, which tells the peer nothing; give the
        detail for its log.
        """
        error = self.assertRaises(
            AuthenticationFailed,
            run,
            client,
            server,
            facts,
            server_facts or facts,
            offered,
        )
        self.assertEqual("authentication failed", error.reason)
        self.assertEqual(Code.AUTHENTICATION, error.code)
        self.assertNotEqual("", error.detail)
        self.assertNotIn(Token.parse(self.token).secret, error.detail)
        return str(error.detail)

    def refused_by_client(
        self, client: ClientAuthenticator, offered: tuple[str, ...], facts: Facts
    ) -> str:
        error = self.assertRaises(AuthenticationFailed, client.choose, offered, facts)
        self.assertNotIn("\n", error.reason)
        return str(error.reason)


class TokenTests(ExchangeTestCase):
    def test_bound(self) -> None:
        result = self.run_on(self.client, self.server, TLS)
        self.assertEqual("token:office", result.identity)
        self.assertEqual(PLUS, result.mechanism)
        self.assertTrue(result.messages[0].startswith(b"p=tls-exporter,,n=office,r="))
        self.assertEqual(4, len(result.messages))

    def test_plain(self) -> None:
        result = self.run_on(self.client, self.server, PLAIN)
        self.assertEqual("token:office", result.identity)
        self.assertEqual(SCRAM, result.mechanism)
        self.assertTrue(result.messages[0].startswith(b"n,,n=office,r="))

    def test_behind_proxy(self) -> None:
        """
        A proxy ends TLS: the client has a channel, the server has none.
        """
        result = self.run_on(self.client, self.server, TLS, PLAIN)
        self.assertEqual("token:office", result.identity)
        self.assertTrue(result.messages[0].startswith(b"y,,"))

    def test_before_proxy(self) -> None:
        """
        A proxy starts TLS: the server has a channel, the client has none.
        """
        result = self.run_on(self.client, self.server, PLAIN, TLS)
        self.assertTrue(result.messages[0].startswith(b"n,,"))

    def test_nothing_secret_is_sent(self) -> None:
        secret = Token.parse(self.token).secret.encode()
        for facts in (TLS, PLAIN):
            for message in self.run_on(self.client, self.server, facts).messages:
                self.assertNotIn(secret, message)

    def test_every_transcript_differs(self) -> None:
        first = self.run_on(self.client, self.server, TLS).messages
        second = self.run_on(self.client, self.server, TLS).messages
        for ours, theirs in zip(first, second, strict=True):
            self.assertNotEqual(ours, theirs)

    def test_wrong_secret(self) -> None:
        client = ClientAuthenticator(ClientCredentials(new_token("office")[0]))
        for facts in (TLS, PLAIN):
            self.assertEqual(
                "the token 'office': the secret is wrong",
                self.refused_by_server(client, self.server, facts),
            )

    def test_unknown(self) -> None:
        client = ClientAuthenticator(ClientCredentials(new_token("lab")[0]))
        for facts in (TLS, PLAIN):
            self.assertEqual(
                "there is no token 'lab'",
                self.refused_by_server(client, self.server, facts),
            )

    def test_unknown_looks_known(self) -> None:
        """
        The server's messages have the same form for both, and the same salt
        each time.
        """
        seen = []
        for name in ("office", "lab", "office", "lab"):
            client = ClientAuthenticator(ClientCredentials(new_token(name)[0]))
            client_side = client.choose((PLUS,), TLS)
            outcome = self.server.begin(PLUS, TLS).respond(client_side.first())
            assert isinstance(outcome, Challenge)
            nonce, salt, count = outcome.data.split(b",")
            seen.append((len(nonce), salt, count))
        self.assertEqual(seen[:2], seen[2:])
        known, unknown = seen[:2]
        self.assertNotEqual(known[1], unknown[1])
        self.assertEqual(
            (known[0], len(known[1]), known[2]),
            (unknown[0], len(unknown[1]), unknown[2]),
        )

    def test_disabled_and_expired(self) -> None:
        for line, detail in (
            ("disabled = true", "the token 'office' is disabled"),
            ("expires = 2000-01-01", "the token 'office' has expired"),
        ):
            token, store = store_with(self.path, line)
            client = ClientAuthenticator(ClientCredentials(token))
            server = ServerAuthenticator(tokens=store)
            self.assertEqual(detail, self.refused_by_server(client, server, TLS))

    def test_disabled_while_running(self) -> None:
        self.run_on(self.client, self.server, TLS)
        write_token_file(self.path, self.path.read_text() + "disabled = true\n")
        self.assertIn("disabled", self.refused_by_server(self.client, self.server, TLS))

    def test_added_while_running(self) -> None:
        token, lines = new_token("lab")
        client = ClientAuthenticator(ClientCredentials(token))
        self.refused_by_server(client, self.server, TLS)
        write_token_file(self.path, self.path.read_text() + lines)
        self.assertEqual("token:lab", self.run_on(client, self.server, TLS).identity)

    def test_with_certificate(self) -> None:
        """
        A token may ask for the certificate that goes with it, by common name
        or by another name.
        """
        for name in ("router-7", "router-7.example.com"):
            token, store = store_with(self.path, f'certificate = "{name}"')
            client = ClientAuthenticator(ClientCredentials(token))
            server = ServerAuthenticator(tokens=store)
            self.assertEqual(
                "token:office", self.run_on(client, server, TLS, MUTUAL).identity
            )
            for certificate in (None, Certificate(common_name="x", names=())):
                facts = replace(MUTUAL, certificate=certificate)
                self.assertIn(
                    "goes with the certificate",
                    self.refused_by_server(client, server, TLS, facts),
                )


class ChannelBindingTests(ExchangeTestCase):
    def test_every_combination(self) -> None:
        """
        What each policy of the client does with each of the server, with a
        channel at both ends (TLS), at the client's only (behind a proxy), at
        the server's only, and at none.
        """
        refuses = None
        expected: dict[
            tuple[ChannelBinding, ChannelBinding], tuple[bytes | None, ...]
        ] = {
            # client, server: both, client's, server's, none
            ("require", "require"): (b"p", refuses, refuses, refuses),
            ("require", "prefer"): (b"p", refuses, refuses, refuses),
            ("require", "never"): (refuses, refuses, refuses, refuses),
            ("prefer", "require"): (b"p", refuses, refuses, refuses),
            ("prefer", "prefer"): (b"p", b"y", b"n", b"n"),
            ("prefer", "never"): (b"y", b"y", b"n", b"n"),
            ("never", "require"): (refuses, refuses, refuses, refuses),
            ("never", "prefer"): (b"n", b"n", b"n", b"n"),
            ("never", "never"): (b"n", b"n", b"n", b"n"),
        }
        policies = get_args(ChannelBinding)
        self.assertEqual(set(itertools.product(policies, policies)), set(expected))
        links = ((TLS, TLS), (TLS, PLAIN), (PLAIN, TLS), (PLAIN, PLAIN))
        for (ours, theirs), flags in expected.items():
            client = self.with_token(ours)
            server = ServerAuthenticator(tokens=self.store, channel_binding=theirs)
            for (here, there), flag in zip(links, flags, strict=True):
                if flag is refuses:
                    self.refused_by_client(client, server.offered(there), here)
                else:
                    result = self.run_on(client, server, here, there)
                    self.assertEqual("token:office", result.identity)
                    self.assertEqual(flag, result.messages[0][:1])
                    self.assertEqual(flag == b"p", result.mechanism == PLUS)

    def test_client_says_why(self) -> None:
        require, never = self.with_token("require"), self.with_token("never")
        for client, offered, facts, words in (
            (require, (PLUS, SCRAM), PLAIN, "no TLS"),
            (require, (SCRAM,), TLS, "a proxy may end TLS before it"),
            (never, (PLUS,), TLS, "channel_binding is never"),
            (self.client, (PLUS,), PLAIN, "the server requires channel binding"),
        ):
            reason = self.refused_by_client(client, offered, facts)
            self.assertIn("channel binding", reason)
            self.assertIn(words, reason)

    def test_someone_between(self) -> None:
        """
        Someone who holds a certificate that the client trusts ends TLS, and
        speaks TLS to the server: the two channels differ.
        """
        other = replace(TLS, channel_binding=bytes(32))
        for policy in ("require", "prefer"):
            client = self.with_token(policy)
            self.assertIn(
                "channel binding differs",
                self.refused_by_server(client, self.server, TLS, other),
            )

    def test_downgrade(self) -> None:
        """
        Someone between takes the bound mechanism out of the offer.
        """
        other = replace(TLS, channel_binding=bytes(32))
        self.assertIn(
            "out of the offer",
            self.refused_by_server(self.client, self.server, TLS, other, (SCRAM,)),
        )
        self.assertIn(
            "does not offer it",
            self.refused_by_client(self.with_token("require"), (SCRAM,), TLS),
        )

    def test_downgrade_hidden(self) -> None:
        """
        The same, and turns the client's C{y} into C{n}.
        """
        client_side = self.client.choose((SCRAM,), TLS)
        server_side = self.server.begin(SCRAM, TLS)
        outcome = server_side.respond(b"n" + client_side.first()[1:])
        final = client_side.respond(outcome.data)
        error = self.assertRaises(AuthenticationFailed, server_side.respond, final)
        self.assertIn("channel binding differs", error.detail)

    def test_plain_mechanism_with_binding(self) -> None:
        """
        A bound message under the name of the plain mechanism, and the reverse.
        """
        bound = self.client.choose((PLUS,), TLS).first()
        for mechanism, message in ((SCRAM, bound), (PLUS, b"n" + bound[14:])):
            server_side = self.server.begin(mechanism, TLS)
            error = self.assertRaises(
                AuthenticationFailed, server_side.respond, message
            )
            self.assertIn("does not fit", error.detail)

    def test_no_channel_data(self) -> None:
        """
        An empty value is no channel, not one that anybody has.
        """
        facts = replace(TLS, channel_binding=b"")
        self.assertEqual((SCRAM,), self.server.offered(facts))
        self.assertRaises(AuthenticationFailed, self.client.choose, (PLUS,), facts)


class EnemyTests(ExchangeTestCase):
    def test_replay(self) -> None:
        """
        All that a client ever sent lets nobody else in.
        """
        for facts in (TLS, PLAIN):
            result = self.run_on(self.client, self.server, facts)
            first, _, final, _ = result.messages
            server_side = self.server.begin(result.mechanism, facts)
            self.assertIsInstance(server_side.respond(first), Challenge)
            error = self.assertRaises(AuthenticationFailed, server_side.respond, final)
            self.assertEqual("authentication failed", error.reason)

    def test_replay_within_exchange(self) -> None:
        client_side = self.client.choose((PLUS,), TLS)
        server_side = self.server.begin(PLUS, TLS)
        challenge = server_side.respond(client_side.first())
        final = client_side.respond(challenge.data)
        self.assertIsInstance(server_side.respond(final), Accepted)
        self.assertRaises(AuthenticationFailed, server_side.respond, final)

    def test_one_guess_an_exchange(self) -> None:
        client_side = self.client.choose((PLUS,), TLS)
        server_side = self.server.begin(PLUS, TLS)
        challenge = server_side.respond(client_side.first())
        final = client_side.respond(challenge.data)
        self.assertRaises(AuthenticationFailed, server_side.respond, final[:-4])
        self.assertRaises(AuthenticationFailed, server_side.respond, final)

    def test_wrong_server(self) -> None:
        """
        A server that knows the name, and not the token.
        """
        _, store = store_with(Path(self.mktemp()))
        impostor = ServerAuthenticator(tokens=store)
        client_side = self.client.choose((PLUS,), TLS)
        outcome = impostor.begin(PLUS, TLS).respond(client_side.first())
        client_side.respond(outcome.data)
        for claim in (b"", b"v=" + b"A" * 43 + b"=", b"v=x", b"\xff", b"v=" * 9000):
            client_side = self.client.choose((PLUS,), TLS)
            outcome = impostor.begin(PLUS, TLS).respond(client_side.first())
            client_side.respond(outcome.data)
            error = self.assertRaises(AuthenticationFailed, client_side.finish, claim)
            self.assertIn("may not be the right server", error.reason)
            self.assertNotEqual("", error.detail)

    def test_wrong_then_right(self) -> None:
        """
        A server has one try, too.
        """
        client_side = self.client.choose((PLUS,), TLS)
        server_side = self.server.begin(PLUS, TLS)
        challenge = server_side.respond(client_side.first())
        right = server_side.respond(client_side.respond(challenge.data)).data
        self.assertRaises(AuthenticationFailed, client_side.finish, b"v=AAAA")
        self.assertRaises(AuthenticationFailed, client_side.finish, right)

    def test_server_of_another_exchange(self) -> None:
        """
        What the right server said before proves nothing now.
        """
        old = self.run_on(self.client, self.server, TLS).messages[-1]
        client_side = self.client.choose((PLUS,), TLS)
        outcome = self.server.begin(PLUS, TLS).respond(client_side.first())
        client_side.respond(outcome.data)
        self.assertRaises(AuthenticationFailed, client_side.finish, old)

    def test_early_welcome(self) -> None:
        """
        A server that welcomes everybody has proved nothing.
        """
        for facts in (TLS, PLAIN):
            client_side = self.client.choose((PLUS, SCRAM), facts)
            first = client_side.first()
            error = self.assertRaises(AuthenticationFailed, client_side.finish, b"")
            self.assertEqual("the welcome came before the proof", error.detail)
            outcome = self.server.begin(client_side.mechanism, facts).respond(first)
            self.assertRaises(AuthenticationFailed, client_side.respond, outcome.data)

    def test_second_challenge(self) -> None:
        client_side = self.client.choose((PLUS,), TLS)
        outcome = self.server.begin(PLUS, TLS).respond(client_side.first())
        client_side.respond(outcome.data)
        error = self.assertRaises(
            AuthenticationFailed, client_side.respond, outcome.data
        )
        self.assertEqual("a challenge came out of turn", error.detail)

    def test_asking_for_nothing(self) -> None:
        """
        An impostor offers what proves nothing of itself.
        """
        for offered in (("ANONYMOUS",), ("EXTERNAL",), ("EXTERNAL", "ANONYMOUS")):
            credentials = ClientCredentials(self.token, certificate=True)
            reason = self.refused_by_client(
                ClientAuthenticator(credentials), offered, MUTUAL
            )
            self.assertIn("may not be the right server", reason)

    def test_mechanism_not_offered(self) -> None:
        for mechanism in ("ANONYMOUS", "EXTERNAL", "", "PLAIN", "scram-sha-256"):
            error = self.assertRaises(
                AuthenticationFailed, self.server.begin, mechanism, MUTUAL
            )
            self.assertEqual("authentication failed", error.reason)
        self.assertRaises(AuthenticationFailed, self.server.begin, PLUS, PLAIN)
        strict = ServerAuthenticator(tokens=self.store, channel_binding="require")
        self.assertRaises(AuthenticationFailed, strict.begin, SCRAM, TLS)
        error = self.assertRaises(
            AuthenticationFailed, self.server.begin, "x\n" * 5000, TLS
        )
        self.assertNotIn("\n", error.detail)
        self.assertLess(len(error.detail), 200)

    def test_large_messages(self) -> None:
        server_side = self.server.begin(PLUS, TLS)
        client_side = self.client.choose((PLUS,), TLS)
        message = client_side.first() + b",x="
        self.assertIsInstance(server_side.respond(message.ljust(8192, b"x")), Challenge)
        server_side = self.server.begin(PLUS, TLS)
        self.assertRaises(
            AuthenticationFailed, server_side.respond, message.ljust(8193, b"x")
        )
        outcome = self.server.begin(PLUS, TLS).respond(client_side.first())
        large = (outcome.data + b",x=").ljust(8193, b"x")
        self.assertRaises(AuthenticationFailed, client_side.respond, large)
        for size, too_large in ((8192, False), (8193, True)):
            client_side = self.client.choose((PLUS,), TLS)
            server_side = self.server.begin(PLUS, TLS)
            outcome = server_side.respond(client_side.first())
            outcome = server_side.respond(client_side.respond(outcome.data))
            message = (outcome.data + b",x=").ljust(size, b"x")
            if too_large:
                self.assertRaises(AuthenticationFailed, client_side.finish, message)
            else:
                client_side.finish(message)

    def test_first_while_under_way(self) -> None:
        client_side = self.client.choose((PLUS,), TLS)
        self.assertEqual(client_side.first(), client_side.first())
        outcome = self.server.begin(PLUS, TLS).respond(client_side.first())
        client_side.respond(outcome.data)
        self.assertRaises(LocalProtocolError, client_side.first)


class PolicyTests(ExchangeTestCase):
    """
    Tokens and certificates, together and alone.
    """

    def setUp(self) -> None:
        super().setUp()
        self.bearer = ClientAuthenticator(ClientCredentials(certificate=True))
        self.nobody = ClientAuthenticator(ClientCredentials())
        self.certified = ServerAuthenticator(certificates=ANY_CERTIFICATE)
        self.either = ServerAuthenticator(
            tokens=self.store, certificates=ANY_CERTIFICATE, require="any"
        )
        self.both = ServerAuthenticator(
            tokens=self.store, certificates=ANY_CERTIFICATE, require="all"
        )
        self.open = ServerAuthenticator(anonymous=True)

    def test_offered(self) -> None:
        for server, on_tls, on_plain in (
            (self.server, (PLUS, SCRAM), (SCRAM,)),
            (self.certified, ("EXTERNAL",), ()),
            (self.either, (PLUS, SCRAM, "EXTERNAL"), (SCRAM,)),
            (self.both, (PLUS, SCRAM), ()),
            (self.open, ("ANONYMOUS",), ("ANONYMOUS",)),
        ):
            self.assertEqual(on_tls, server.offered(TLS))
            self.assertEqual(on_tls, server.offered(MUTUAL))
            self.assertEqual(on_plain, server.offered(PLAIN))

    def test_require_of_one(self) -> None:
        """
        With one kind of credentials, all and any are the same.
        """
        for require in ("all", "any"):
            self.assertEqual(
                ("EXTERNAL",),
                ServerAuthenticator(
                    certificates=ANY_CERTIFICATE, require=require
                ).offered(TLS),
            )
            self.assertEqual(
                (PLUS, SCRAM),
                ServerAuthenticator(tokens=self.store, require=require).offered(TLS),
            )

    def test_anonymous(self) -> None:
        for client in (self.nobody, self.bearer):
            for facts in (TLS, PLAIN):
                result = self.run_on(client, self.open, facts)
                self.assertEqual("anonymous", result.identity)
                self.assertEqual([b"", b""], result.messages)

    def test_certificate(self) -> None:
        for server in (self.certified, self.either):
            result = self.run_on(self.bearer, server, TLS, MUTUAL)
            self.assertEqual("certificate:router-7", result.identity)
            self.assertEqual([b"", b""], result.messages)
            self.assertEqual(
                "the link has no client certificate",
                self.refused_by_server(self.bearer, server, TLS),
            )

    def test_either(self) -> None:
        """
        A token comes first, for a client that has both: it proves the server.
        """
        credentials = ClientCredentials(self.token, certificate=True)
        client = ClientAuthenticator(credentials)
        for facts in (TLS, MUTUAL):
            result = self.run_on(client, self.either, TLS, facts)
            self.assertEqual("token:office", result.identity)
        result = self.run_on(self.client, self.either, PLAIN)
        self.assertEqual("token:office", result.identity)

    def test_both(self) -> None:
        result = self.run_on(self.client, self.both, TLS, MUTUAL)
        self.assertEqual("token:office", result.identity)
        self.assertEqual(
            "the link has no client certificate",
            self.refused_by_server(self.client, self.both, TLS),
        )

    def test_both_with_wrong_token(self) -> None:
        client = ClientAuthenticator(ClientCredentials(new_token("office")[0]))
        self.assertEqual(
            "the token 'office': the secret is wrong",
            self.refused_by_server(client, self.both, TLS, MUTUAL),
        )

    def test_allowed_names(self) -> None:
        for names, allowed in (
            ({"router-7"}, True),
            ({"other", "router-7.example.com"}, True),
            ({"router-8"}, False),
            (set(), False),
            ({""}, False),
        ):
            policy = CertificatePolicy(frozenset(names))
            certified = ServerAuthenticator(certificates=policy)
            both = ServerAuthenticator(tokens=self.store, certificates=policy)
            for client, server in ((self.bearer, certified), (self.client, both)):
                if allowed:
                    self.run_on(client, server, TLS, MUTUAL)
                else:
                    self.assertIn(
                        "not one of those allowed",
                        self.refused_by_server(client, server, TLS, MUTUAL),
                    )

    def test_no_common_name_is_no_name(self) -> None:
        """
        A certificate without a common name does not match an empty name.
        """
        policy = CertificatePolicy(frozenset({""}))
        facts = replace(MUTUAL, certificate=Certificate(common_name=""))
        self.refused_by_server(
            self.bearer, ServerAuthenticator(certificates=policy), TLS, facts
        )

    def test_identities(self) -> None:
        for certificate, identity in (
            (Certificate("Büro 7"), "certificate:Büro 7"),
            (Certificate("", "O=Example"), "certificate:O=Example"),
            (Certificate("", "", "", ("a.example", "b")), "certificate:a.example"),
            (Certificate("a" * 200), "certificate:" + "a" * 200),
        ):
            facts = replace(MUTUAL, certificate=certificate)
            result = self.run_on(self.bearer, self.certified, TLS, facts)
            self.assertEqual(identity, result.identity)

    def test_no_identity(self) -> None:
        for certificate in (
            Certificate("", "", "", ()),
            Certificate("a" * 201),
            Certificate("a\nb"),
            Certificate("a\x1b[2Jb"),
        ):
            facts = replace(MUTUAL, certificate=certificate)
            detail = self.refused_by_server(self.bearer, self.certified, TLS, facts)
            self.assertTrue(detail.isprintable())

    def test_data_where_none_belongs(self) -> None:
        """
        EXTERNAL with an authorization identity, ANONYMOUS with a trace.
        """
        for server, mechanism in (
            (self.certified, "EXTERNAL"),
            (self.open, "ANONYMOUS"),
        ):
            server_side = server.begin(mechanism, MUTUAL)
            self.assertRaises(AuthenticationFailed, server_side.respond, b"root")
            self.assertRaises(AuthenticationFailed, server_side.respond, b"")

    def test_talkative_server(self) -> None:
        for client, offered in ((self.bearer, "EXTERNAL"), (self.nobody, "ANONYMOUS")):
            client_side = client.choose((offered,), TLS)
            self.assertEqual(b"", client_side.first())
            self.assertRaises(AuthenticationFailed, client_side.respond, b"")
            self.assertRaises(AuthenticationFailed, client_side.finish, b"v=x")

    def test_client_says_what_is_missing(self) -> None:
        for client, offered, facts, reason in (
            (self.nobody, (PLUS, SCRAM), TLS, "wants a token, and none is given"),
            (self.bearer, (SCRAM,), TLS, "wants a token, and none is given"),
            (self.nobody, ("EXTERNAL",), TLS, "client certificate, and none is given"),
            (self.bearer, ("EXTERNAL",), PLAIN, "this link has no TLS"),
            (
                self.nobody,
                (PLUS, SCRAM, "EXTERNAL"),
                TLS,
                "wants a token or a client certificate; none is given",
            ),
            (self.nobody, ("GSSAPI",), TLS, "no way to authenticate"),
            (self.nobody, (), PLAIN, "it may want TLS"),
            (self.client, (), PLAIN, "it may want TLS"),
        ):
            self.assertIn(reason, self.refused_by_client(client, offered, facts))

    def test_anonymous_has_no_channel_binding(self) -> None:
        client = ClientAuthenticator(ClientCredentials(channel_binding="require"))
        reason = self.refused_by_client(client, ("ANONYMOUS",), TLS)
        self.assertIn("channel binding is required", reason)

    def test_certificate_is_bound_to_the_channel(self) -> None:
        """
        The certificate's proof is part of the TLS handshake.
        """
        client = ClientAuthenticator(
            ClientCredentials(channel_binding="require", certificate=True)
        )
        result = self.run_on(client, self.certified, TLS, MUTUAL)
        self.assertEqual("certificate:router-7", result.identity)


class SettingsTests(ExchangeTestCase):
    def test_server_without_a_choice(self) -> None:
        self.assertRaises(ValueError, ServerAuthenticator)
        self.assertRaises(
            ValueError, ServerAuthenticator, tokens=self.store, anonymous=True
        )
        self.assertRaises(
            ValueError,
            ServerAuthenticator,
            certificates=ANY_CERTIFICATE,
            anonymous=True,
        )

    def test_server_with_a_typing_mistake(self) -> None:
        for wrong in ({"require": "both"}, {"channel_binding": "required"}):
            self.assertRaises(
                ValueError, ServerAuthenticator, tokens=self.store, **wrong
            )

    def test_client_with_a_typing_mistake(self) -> None:
        self.assertRaises(
            ValueError, ClientCredentials, self.token, channel_binding="required"
        )

    def test_client_with_a_bad_token(self) -> None:
        error = self.assertRaises(ValueError, ClientCredentials, self.token[:-1])
        self.assertEqual("the token is damaged: copy it again, whole", str(error))
        self.assertRaises(ValueError, ClientCredentials, "")

    def test_secrecy(self) -> None:
        shown = repr(ClientCredentials(self.token)) + repr(self.client)
        self.assertNotIn(Token.parse(self.token).secret, shown)
        self.assertNotIn(repr(CHANNEL), repr(self.client.choose((PLUS,), TLS)))

    def test_empty_store(self) -> None:
        server = ServerAuthenticator(tokens=TokenStore(write_token_file(self.path, "")))
        self.assertIn("no token", self.refused_by_server(self.client, server, TLS))
