"""
How a client proves that it knows a session, and sees that the server knows it too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from reitunnel.auth import ClientAuthenticator
from reitunnel.errors import AuthenticationFailed
from reitunnel.interfaces import ILinkFacts
from reitunnel.wire.messages import Challenge, Response
from reitunnel.wire.proofs import same_proof

Prove: TypeAlias = Callable[[bytes, bytes], bytes]
"""Makes a proof for the server's nonce and a channel binding."""


class Prover:
    """
    Proves it on one link, and judges the server's proof.
    """

    def __init__(self, authenticator: ClientAuthenticator, prove: Prove) -> None:
        """
        @param authenticator: knows how to bind the proof to the channel.
        @param prove: makes the client's proof.
        """
        self._authenticator = authenticator
        self._prove = prove
        self._nonce = b""
        self._binding = b""

    def answer(self, challenge: Challenge, facts: ILinkFacts) -> Response:
        """
        Give the client's proof.

        @raise AuthenticationFailed: when the server offers no way to give it that
            this client takes.
        """
        mechanism, self._binding = self._authenticator.choose_for_data_link(
            challenge.mechanisms, facts
        )
        self._nonce = challenge.data
        return Response(mechanism, self._prove(self._nonce, self._binding))

    def check(self, proof: bytes, prove: Prove) -> None:
        """
        Judge the server's proof.

        @param prove: makes what it should be.
        @raise AuthenticationFailed: when it is not that.
        """
        if not same_proof(proof, prove(self._nonce, self._binding)):
            raise AuthenticationFailed("the server does not know the session")
