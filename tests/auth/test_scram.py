"""
Tests of L{reitunnel.auth.scram}: against the RFC's example, against another
implementation, and against itself with wrong and malformed messages.
"""

from __future__ import annotations

import contextlib
from base64 import b64encode

from hypothesis import given, settings
from hypothesis import strategies as st
from scramp import ScramClient, ScramMechanism
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.auth.scram import (
    BINDING_NOT_OFFERED,
    MAX_ITERATIONS,
    NO_BINDING,
    ClientFirst,
    Header,
    ScramError,
    ServerFirst,
    Verifier,
)

SALT = b"0123456789abcdef"
VERIFIER = Verifier.derive("pencil", SALT, 4096)
BOUND = Header.bound(b"exported")


def lookup(name: str) -> Verifier:
    return VERIFIER


class ExampleTests(SynchronousTestCase):
    """
    The example of RFC 7677, section 3.
    """

    client_nonce = "rOprNGfwEbeRWgbNEkqO"
    server_nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    client_first = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    server_first = (
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    client_final = (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    server_final = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

    def test_client(self) -> None:
        first = ClientFirst("user", "pencil", NO_BINDING, self.client_nonce)
        self.assertEqual(self.client_first, first.message)
        final = first.answer(self.server_first)
        self.assertEqual(self.client_final, final.message)
        final.verify(self.server_final)

    def test_server(self) -> None:
        asked = []

        def lookup(name: str) -> Verifier:
            asked.append(name)
            salt = bytes.fromhex("5b6d99689d12358eeca04b141236fa81")
            return Verifier.derive("pencil", salt, 4096)

        server = ServerFirst.read(
            self.client_first, (NO_BINDING,), lookup, self.server_nonce
        )
        self.assertEqual(["user"], asked)
        self.assertEqual("user", server.name)
        self.assertEqual(self.server_first, server.message)
        self.assertEqual(self.server_final, server.answer(self.client_final))


class OtherImplementationTests(SynchronousTestCase):
    """
    scramp speaks SCRAM too, though not with C{tls-exporter}: the header is the
    only difference between that and a binding that it knows.
    """

    bound = Header("p=tls-unique,,", b"finished")
    cases = (
        ("SCRAM-SHA-256", NO_BINDING, None),
        ("SCRAM-SHA-256", BINDING_NOT_OFFERED, ("tls-unique", b"finished")),
        ("SCRAM-SHA-256-PLUS", bound, ("tls-unique", b"finished")),
    )

    def test_our_client(self) -> None:
        for mechanism, header, binding in self.cases:
            # To a server with a channel to bind, "y" would be a downgrade.
            channel = None if header is BINDING_NOT_OFFERED else binding

            def verifiers(name: str) -> tuple[bytes, bytes, bytes, int]:
                self.assertEqual("user", name)
                return SALT, VERIFIER.stored_key, VERIFIER.server_key, 4096

            server = ScramMechanism(mechanism).make_server(verifiers, channel)
            client = ClientFirst("user", "pencil", header)
            server.set_client_first(client.message.decode())
            final = client.answer(server.get_server_first().encode())
            server.set_client_final(final.message.decode())
            final.verify(server.get_server_final().encode())

    def test_our_server(self) -> None:
        for mechanism, header, binding in self.cases:
            client = ScramClient([mechanism], "user", "pencil", binding)
            server = ServerFirst.read(
                client.get_client_first().encode(), (header,), lookup
            )
            client.set_server_first(server.message.decode())
            answer = server.answer(client.get_client_final().encode())
            client.set_server_final(answer.decode())

    def test_our_server_refuses(self) -> None:
        client = ScramClient(["SCRAM-SHA-256"], "user", "crayon")
        server = ServerFirst.read(
            client.get_client_first().encode(), (NO_BINDING,), lookup
        )
        client.set_server_first(server.message.decode())
        final = client.get_client_final().encode()
        self.assertRaises(ScramError, server.answer, final)

    def test_our_client_refuses(self) -> None:
        def verifiers(name: str) -> tuple[bytes, bytes, bytes, int]:
            return SALT, VERIFIER.stored_key, b"\0" * 32, 4096

        server = ScramMechanism("SCRAM-SHA-256").make_server(verifiers)
        client = ClientFirst("user", "pencil", NO_BINDING)
        server.set_client_first(client.message.decode())
        final = client.answer(server.get_server_first().encode())
        server.set_client_final(final.message.decode())
        self.assertRaises(ScramError, final.verify, server.get_server_final().encode())

    def test_same_verifier(self) -> None:
        theirs = ScramMechanism("SCRAM-SHA-256").make_auth_info("pencil", 5000, SALT)
        ours = Verifier.derive("pencil", SALT, 5000)
        self.assertEqual(
            theirs, (ours.salt, ours.stored_key, ours.server_key, ours.iterations)
        )


class ServerTests(SynchronousTestCase):
    def refuse_first(self, message: bytes, *accepted: Header) -> str:
        error = self.assertRaises(
            ScramError, ServerFirst.read, message, accepted or (NO_BINDING,), lookup
        )
        return str(error)

    def test_first_malformed(self) -> None:
        for message in (
            b"",
            b",",
            b",,",
            b"n",
            b"n,",
            b"n,,",
            b"n,n=user,r=abc",
            b"n,,n=user",
            b"n,,r=abc",
            b"n,,r=abc,n=user",
            b"n,,n=,r=abc",
            b"n,,n=user,r=",
            b"n,,n=user,r=a b",
            b"n,,n=user,r=a\x7f",
            b"n,,n=user,r=abc,",
            b"n,,n=user,r=abc,x",
            b"n,,n=user,r=abc,x=",
            b"n,,n=user,r=abc,n=other",
            b"n,,n=us\0er,r=abc",
            b"n,,n=\xff,r=abc",
            b"n,,N=user,r=abc",
        ):
            self.refuse_first(message)

    def test_acting_as_another(self) -> None:
        self.assertIn("act as another", self.refuse_first(b"n,a=root,n=user,r=abc"))

    def test_mandatory_extension(self) -> None:
        self.refuse_first(b"n,,m=future,n=user,r=abc")
        self.assertIn("extension", self.refuse_first(b"n,,n=user,r=abc,m=future"))

    def test_optional_extension(self) -> None:
        server = ServerFirst.read(b"n,,n=user,r=abc,x=1", (NO_BINDING,), lookup)
        self.assertTrue(server.message.startswith(b"r=abc"))

    def test_binding_flags(self) -> None:
        for flag, accepted in (
            (b"y", (NO_BINDING,)),
            (b"y", (BOUND,)),
            (b"n", (BOUND,)),
            (b"n", (BINDING_NOT_OFFERED,)),
            (b"p=tls-exporter", (NO_BINDING, BINDING_NOT_OFFERED)),
            (b"p=tls-unique", (BOUND,)),
            (b"p=", (BOUND,)),
            (b"p", (BOUND,)),
            (b"", (NO_BINDING, BINDING_NOT_OFFERED, BOUND)),
        ):
            self.refuse_first(flag + b",,n=user,r=abc", *accepted)

    def test_downgrade_is_named(self) -> None:
        self.assertIn("out of the offer", self.refuse_first(b"y,,n=user,r=abc", BOUND))

    def exchange(self, header: Header = NO_BINDING) -> tuple[ServerFirst, bytes]:
        client = ClientFirst("user", "pencil", header)
        server = ServerFirst.read(client.message, (header,), lookup)
        return server, client.answer(server.message).message

    def test_nonces_differ(self) -> None:
        messages = {
            ServerFirst.read(b"n,,n=user,r=abc", (NO_BINDING,), lookup).message
            for _ in range(20)
        }
        self.assertEqual(20, len(messages))

    def test_final_changed(self) -> None:
        """
        No byte of the client's final message can be another.
        """
        for header in (NO_BINDING, BINDING_NOT_OFFERED, BOUND):
            server, final = self.exchange(header)
            server.answer(final)
            for index in range(len(final)):
                # The lowest bits of a padded base64 digit carry nothing, so
                # another letter case, not the next letter.
                for other in (b"\0", b",", bytes((final[index] ^ 0x20,))):
                    changed = final[:index] + other + final[index + 1 :]
                    if changed != final:
                        self.assertRaises(ScramError, server.answer, changed)

    def test_final_shortened(self) -> None:
        server, final = self.exchange()
        for size in range(len(final)):
            self.assertRaises(ScramError, server.answer, final[:size])

    def test_final_with_unproven_extension(self) -> None:
        server, final = self.exchange()
        without_proof, proof = final.split(b",p=")
        changed = without_proof + b",x=1,p=" + proof
        error = self.assertRaises(ScramError, server.answer, changed)
        self.assertEqual("the secret is wrong", str(error))

    def test_final_after_proof(self) -> None:
        server, final = self.exchange()
        self.assertRaises(ScramError, server.answer, final + b",x=1")

    def test_final_header_swapped(self) -> None:
        """
        Someone who turns C{y} into C{n} on the way cannot turn the proof.
        """
        client = ClientFirst("user", "pencil", BINDING_NOT_OFFERED)
        server = ServerFirst.read(b"n" + client.message[1:], (NO_BINDING,), lookup)
        final = client.answer(server.message).message
        error = self.assertRaises(ScramError, server.answer, final)
        self.assertIn("channel binding differs", str(error))
        encoded = b64encode(b"n,,")
        swapped = final.replace(b64encode(b"y,,"), encoded)
        error = self.assertRaises(ScramError, server.answer, swapped)
        self.assertEqual("the secret is wrong", str(error))

    def test_replay(self) -> None:
        client = ClientFirst("user", "pencil", NO_BINDING)
        server = ServerFirst.read(client.message, (NO_BINDING,), lookup)
        final = client.answer(server.message).message
        server.answer(final)
        again = ServerFirst.read(client.message, (NO_BINDING,), lookup)
        error = self.assertRaises(ScramError, again.answer, final)
        self.assertIn("nonce", str(error))

    def test_replay_with_the_new_nonce(self) -> None:
        client = ClientFirst("user", "pencil", NO_BINDING)
        server = ServerFirst.read(client.message, (NO_BINDING,), lookup)
        final = client.answer(server.message).message
        again = ServerFirst.read(client.message, (NO_BINDING,), lookup)
        changed = final.replace(server.nonce.encode(), again.nonce.encode())
        error = self.assertRaises(ScramError, again.answer, changed)
        self.assertEqual("the secret is wrong", str(error))

    @settings(deadline=None)
    @given(st.binary() | st.text(alphabet="nrycpm=,xA \0é").map(str.encode))
    def test_anything(self, message: bytes) -> None:
        headers = (NO_BINDING, BINDING_NOT_OFFERED, BOUND)
        with contextlib.suppress(ScramError):
            ServerFirst.read(message, headers, lookup)
        server, _ = self.exchange()
        self.assertRaises(ScramError, server.answer, message)


class ClientTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.first = ClientFirst("user", "pencil", NO_BINDING, "abc")

    def test_nonces_differ(self) -> None:
        messages = {ClientFirst("u", "p", NO_BINDING).message for _ in range(20)}
        self.assertEqual(20, len(messages))

    def test_first_malformed(self) -> None:
        for message in (
            b"",
            b"e=invalid-proof",
            b"r=abcdef,s=c2FsdA==",
            b"s=c2FsdA==,r=abcdef,i=4096",
            b"r=abcdef,s=,i=4096",
            b"r=abcdef,s=c2FsdA,i=4096",
            b"r=abcdef,s=!!!!,i=4096",
            b"r=abc,s=c2FsdA==,i=4096",
            b"r=xbcdef,s=c2FsdA==,i=4096",
            b"r=ab,s=c2FsdA==,i=4096",
            b"r=abc\xc3\xa9,s=c2FsdA==,i=4096",
            b"m=future,r=abcdef,s=c2FsdA==,i=4096",
            b"r=abcdef,s=c2FsdA==,i=4096,m=future",
            b"r=abcdef,s=c2FsdA==,i=",
            b"r=abcdef,s=c2FsdA==,i=04096",
            b"r=abcdef,s=c2FsdA==,i=+4096",
            b"r=abcdef,s=c2FsdA==,i=4 096",
            b"r=abcdef,s=c2FsdA==,i=4_096",
            "r=abcdef,s=c2FsdA==,i=٤٠٩٦".encode(),
        ):
            self.assertRaises(ScramError, self.first.answer, message)

    def test_iterations(self) -> None:
        for count in (1, 4095, MAX_ITERATIONS + 1, 10**30):
            message = b"r=abcdef,s=c2FsdA==,i=%d" % count
            self.assertRaises(ScramError, self.first.answer, message)
        for count in (4096, MAX_ITERATIONS):
            message = b"r=abcdef,s=c2FsdA==,i=%d,x=extension" % count
            self.assertTrue(self.first.answer(message).message)

    def test_final(self) -> None:
        server = ServerFirst.read(self.first.message, (NO_BINDING,), lookup)
        final = self.first.answer(server.message)
        good = server.answer(final.message)
        final.verify(good)
        for message in (
            b"",
            b"v=",
            b"v=AAAA",
            b"v=" + b64encode(bytes(32)),
            b"e=invalid-proof",
            good[:-1],
            b"x=1," + good,
            good + b",m=1",
        ):
            self.assertRaises(ScramError, final.verify, message)

    @settings(deadline=None)
    @given(st.binary() | st.text(alphabet="rsivem=,abc09 \0é").map(str.encode))
    def test_anything(self, message: bytes) -> None:
        self.assertRaises(ScramError, self.first.answer, message)
        server = ServerFirst.read(self.first.message, (NO_BINDING,), lookup)
        final = self.first.answer(server.message)
        self.assertRaises(ScramError, final.verify, message)


class SecrecyTests(SynchronousTestCase):
    def test_repr(self) -> None:
        server = ServerFirst.read(b"p=tls-exporter,,n=user,r=abc", (BOUND,), lookup)
        shown = repr(server)
        for secret in (VERIFIER.stored_key, VERIFIER.server_key, BOUND.data):
            self.assertNotIn(repr(secret), shown)
