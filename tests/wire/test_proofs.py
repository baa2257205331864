"""
Tests of L{reitunnel.wire.proofs}.
"""

from __future__ import annotations

import hmac
from itertools import combinations

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import RemoteProtocolError
from reitunnel.wire.messages import Attach
from reitunnel.wire.proofs import client_proof, same_proof, server_proof

SECRET = b"k" * 32
SESSION = b"s" * 16
NONCE = b"n" * 32
CHALLENGE = b"c" * 32
BINDING = b"p=tls-exporter,,0123"


def attach(link: int = 7, session: bytes = SESSION, nonce: bytes = NONCE) -> Attach:
    return Attach([1], session, link, nonce)


class ProofTests(SynchronousTestCase):
    def test_layout(self) -> None:
        """
        As docs/protocol.md says, "Data links".
        """
        for label, make in ((b"client", client_proof), (b"server", server_proof)):
            told = b"reitunnel/1 attach " + label + SESSION + b"\0\0\0\7" + NONCE
            expected = hmac.new(SECRET, told + CHALLENGE + BINDING, "sha256").digest()
            self.assertEqual(expected, make(SECRET, attach(), CHALLENGE, BINDING))

    def test_everything_counts(self) -> None:
        """
        A proof is good for its session, link, nonces, channel and side alone.
        """
        proofs = [
            client_proof(SECRET, attach(), CHALLENGE, BINDING),
            server_proof(SECRET, attach(), CHALLENGE, BINDING),
            client_proof(b"K" * 32, attach(), CHALLENGE, BINDING),
            client_proof(SECRET, attach(8), CHALLENGE, BINDING),
            client_proof(SECRET, attach(session=b"S" * 16), CHALLENGE, BINDING),
            client_proof(SECRET, attach(nonce=b"N" * 32), CHALLENGE, BINDING),
            client_proof(SECRET, attach(), b"C" * 32, BINDING),
            client_proof(SECRET, attach(), CHALLENGE, b"p=tls-exporter,,4567"),
            client_proof(SECRET, attach(), CHALLENGE, b"n,,"),
            client_proof(SECRET, attach(), CHALLENGE, b"y,,"),
        ]
        self.assertTrue(same_proof(proofs[0], bytes(proofs[0])))
        for one, other in combinations(proofs, 2):
            self.assertFalse(same_proof(one, other))

    def test_challenge_of_another_size(self) -> None:
        """
        Nobody can have a client bind to a channel by a challenge that runs on into
        the binding.
        """
        for challenge in (b"", CHALLENGE[:-1], CHALLENGE + BINDING):
            self.assertRaises(
                RemoteProtocolError,
                client_proof,
                SECRET,
                attach(),
                challenge,
                b"",
            )
