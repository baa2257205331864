"""
What a client says on a link that is to be a data link.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from secrets import token_bytes

from reitunnel.auth import ClientAuthenticator
from reitunnel.client.handshaking import Begin, Granted
from reitunnel.client.proving import Prover
from reitunnel.errors import RemoteProtocolError
from reitunnel.interfaces import ILinkFacts
from reitunnel.relay import Link
from reitunnel.wire.handshake import ClientHandshake
from reitunnel.wire.messages import (
    NONCE_SIZE,
    VERSION,
    Attach,
    Attached,
    Challenge,
    Response,
    Welcome,
)
from reitunnel.wire.proofs import client_proof, server_proof


class Attachment:
    """
    Proves that the link belongs to a session, and checks that the server knows the
    session too.
    """

    def __init__(
        self,
        authenticator: ClientAuthenticator,
        welcome: Welcome,
        number: int,
        begin: Callable[[int, Link], None],
    ) -> None:
        """
        @param authenticator: knows how to bind the proof to the channel.
        @param welcome: tells the session and its secret.
        @param number: the number of the link, which no other has had.
        @param begin: takes the link, at once.
        """
        self._secret = welcome.secret
        self._attach = Attach(
            [VERSION], welcome.session, number, token_bytes(NONCE_SIZE)
        )
        self._begin = begin
        prove = partial(client_proof, self._secret, self._attach)
        self._prover = Prover(authenticator, prove)

    def first(self, handshake: ClientHandshake) -> bytes:
        """
        Name the session and the link.
        """
        return handshake.attach(self._attach)

    def answer(self, challenge: Challenge, facts: ILinkFacts) -> Response:
        """
        Prove it.
        """
        return self._prover.answer(challenge, facts)

    def judge(self, granted: Granted) -> Begin:
        """
        See that the server knows the session.
        """
        if not isinstance(granted, Attached):
            raise RemoteProtocolError("an answer to something else than ATTACH")
        prove = partial(server_proof, self._secret, self._attach)
        self._prover.check(granted.proof, prove)
        return lambda link, facts, heard: self._begin(self._attach.link, link)
