"""
What a client says on a link on which its session is to go on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from secrets import token_bytes
from typing import TypeAlias

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
    Challenge,
    Response,
    Resume,
    Resumed,
    Welcome,
)
from reitunnel.wire.proofs import client_resumes, server_resumes

GoOn: TypeAlias = Callable[[Link, ILinkFacts, int, int], None]
"""
Takes the link, its facts, how many bytes of the session the server has received, and
how many bytes of the link were the handshake's. It raises C{SessionRefused} when the
session cannot go on.
"""


class Resumption:
    """
    Proves that a session may go on on the link, and checks that the server knows the
    session too.
    """

    def __init__(
        self,
        authenticator: ClientAuthenticator,
        welcome: Welcome,
        received: int,
        go_on: GoOn,
    ) -> None:
        """
        @param authenticator: knows how to bind the proof to the channel.
        @param welcome: tells the session and its secret.
        @param received: how many bytes of the session this side has received.
        @param go_on: takes the link, at once.
        """
        self._secret = welcome.secret
        self._resume = Resume(
            [VERSION], welcome.session, received, token_bytes(NONCE_SIZE)
        )
        self._go_on = go_on
        prove = partial(client_resumes, self._secret, self._resume)
        self._prover = Prover(authenticator, prove)

    def first(self, handshake: ClientHandshake) -> bytes:
        """
        Name the session, and say how far this side has come.
        """
        return handshake.resume(self._resume)

    def answer(self, challenge: Challenge, facts: ILinkFacts) -> Response:
        """
        Prove it.
        """
        return self._prover.answer(challenge, facts)

    def judge(self, granted: Granted) -> Begin:
        """
        See that the server knows the session, and how far it has come.
        """
        if not isinstance(granted, Resumed):
            raise RemoteProtocolError("an answer to something else than RESUME")
        received = granted.received
        prove = partial(server_resumes, self._secret, self._resume, received)
        self._prover.check(granted.proof, prove)
        return lambda link, facts, heard: self._go_on(link, facts, received, heard)
