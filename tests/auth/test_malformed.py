"""
Whatever bytes the other side sends, at every step, both sides raise nothing but
L{AuthenticationFailed}.
"""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.auth import (
    Accepted,
    CertificatePolicy,
    ClientAuthenticator,
    ClientCredentials,
    ServerAuthenticator,
)
from reitunnel.errors import AuthenticationFailed
from tests.auth.support import MUTUAL, PLAIN, TLS, Facts, store_with

PLUS = "SCRAM-SHA-256-PLUS"
OFFERED = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "EXTERNAL")

LOOSE = st.one_of(
    st.binary(),
    st.text(),
    st.text(alphabet="nrycpsivem=,xA0 \0é"),
    st.binary(min_size=8000, max_size=9000),
).map(lambda data: data if isinstance(data, bytes) else data.encode())
"""Bytes of any kind, and some that look a little like messages."""


@st.composite
def edits(draw: st.DrawFn) -> tuple[float, int, bytes]:
    """
    Where to cut a message, how much to take out, and what to put there.
    """
    return (
        draw(st.floats(0, 1)),
        draw(st.integers(0, 4)),
        draw(st.binary(max_size=3) | st.sampled_from([b",", b"=", b"m=x,", b",r=a"])),
    )


def edited(message: bytes, edit: tuple[float, int, bytes]) -> bytes:
    where, out, put = edit
    start = int(where * len(message))
    return message[:start] + put + message[start + out :]


class MalformedTests(SynchronousTestCase):
    def setUp(self) -> None:
        token, store = store_with(Path(self.mktemp()))
        self.client = ClientAuthenticator(ClientCredentials(token))
        self.server = ServerAuthenticator(
            tokens=store, certificates=CertificatePolicy(), require="any"
        )
        self.open = ServerAuthenticator(anonymous=True)

    @settings(deadline=None)
    @given(
        st.lists(LOOSE, min_size=1, max_size=3), st.sampled_from([TLS, PLAIN, MUTUAL])
    )
    def test_server(self, messages: list[bytes], facts: Facts) -> None:
        for mechanism in self.server.offered(facts):
            exchange = self.server.begin(mechanism, facts)
            for message in messages:
                try:
                    outcome = exchange.respond(message)
                except AuthenticationFailed as error:
                    self.assertEqual("authentication failed", error.reason)
                else:
                    if isinstance(outcome, Accepted):
                        self.assertEqual("EXTERNAL", mechanism)

    @given(LOOSE.filter(bool))
    def test_anonymous(self, message: bytes) -> None:
        exchange = self.open.begin("ANONYMOUS", TLS)
        self.assertRaises(AuthenticationFailed, exchange.respond, message)

    @settings(deadline=None)
    @given(LOOSE)
    def test_server_final(self, message: bytes) -> None:
        client = self.client.choose((PLUS,), TLS)
        exchange = self.server.begin(PLUS, TLS)
        exchange.respond(client.first())
        self.assertRaises(AuthenticationFailed, exchange.respond, message)

    @given(st.text().filter(lambda text: text not in OFFERED))
    def test_mechanisms(self, mechanism: str) -> None:
        self.assertRaises(AuthenticationFailed, self.server.begin, mechanism, TLS)

    @given(st.lists(st.text().filter(lambda text: text not in OFFERED[:2])))
    def test_offers(self, offered: list[str]) -> None:
        self.assertRaises(AuthenticationFailed, self.client.choose, offered, TLS)

    @settings(deadline=None)
    @given(LOOSE)
    def test_client(self, message: bytes) -> None:
        client = self.client.choose((PLUS,), TLS)
        client.first()
        self.assertRaises(AuthenticationFailed, client.respond, message)
        self.assertRaises(AuthenticationFailed, client.finish, message)

    @settings(deadline=None)
    @given(LOOSE)
    def test_client_final(self, message: bytes) -> None:
        client = self.client.choose((PLUS,), TLS)
        outcome = self.server.begin(PLUS, TLS).respond(client.first())
        client.respond(outcome.data)
        self.assertRaises(AuthenticationFailed, client.finish, message)

    @settings(deadline=None)
    @given(st.integers(0, 3), edits())
    def test_changed_on_the_way(
        self, which: int, edit: tuple[float, int, bytes]
    ) -> None:
        """
        A change to any message is noticed by one of the two, unless it says
        the same (base64 has more than one form for some values).
        """
        client = self.client.choose((PLUS,), TLS)
        server = self.server.begin(PLUS, TLS)
        sent: list[bytes] = []
        received: list[bytes] = []

        def carry(message: bytes) -> bytes:
            sent.append(message)
            number = len(sent) - 1
            received.append(edited(message, edit) if number == which else message)
            return received[-1]

        try:
            challenge = server.respond(carry(client.first()))
            final = client.respond(carry(challenge.data))
            accepted = server.respond(carry(final))
            client.finish(carry(accepted.data))
        except AuthenticationFailed:
            self.assertNotEqual(sent, received)
        else:
            # Only an extension of the server's last word is not proved.
            if which == 3:
                self.assertEqual(sent[3][:44], received[3][:44])
            elif which == 2:
                self.assertEqual(sent[2][:-2], received[2][:-2])
            else:
                self.assertEqual(sent, received)
