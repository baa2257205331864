"""
The client's side of the handshake of a link on which its session is to go on.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_bytes
from typing import TypeAlias

from twisted.internet.interfaces import IReactorTime

from reitunnel.auth import ClientAuthenticator
from reitunnel.client.handshaking import FromServer, LinkHandshake
from reitunnel.errors import AuthenticationFailed, RemoteProtocolError
from reitunnel.interfaces import ILinkFacts
from reitunnel.relay import Link
from reitunnel.wire.messages import (
    NONCE_SIZE,
    VERSION,
    Challenge,
    Response,
    Resume,
    Resumed,
    Welcome,
)
from reitunnel.wire.proofs import client_resumes, same_proof, server_resumes

GoOn: TypeAlias = Callable[[Link, ILinkFacts, int, int], None]
"""
Takes the link, its facts, how many bytes of the session the server has received, and
how many bytes of the link were the handshake's. It raises C{SessionRefused} when the
session cannot go on.
"""


class Resumption(LinkHandshake):
    """
    Proves that a link belongs to a session that goes on there, and checks that the
    server knows the session too.
    """

    def __init__(
        self,
        clock: IReactorTime,
        timeout: float,
        authenticator: ClientAuthenticator,
        welcome: Welcome,
        received: int,
        go_on: GoOn,
    ) -> None:
        """
        @param timeout: how long the handshake may take, in seconds.
        @param authenticator: knows how to bind the proof to the channel.
        @param welcome: tells the session and its secret.
        @param received: how many bytes of the session this side has received.
        @param go_on: takes the link, at once.
        """
        super().__init__(clock, timeout)
        self._authenticator = authenticator
        self._secret = welcome.secret
        self._resume = Resume(
            [VERSION], welcome.session, received, token_bytes(NONCE_SIZE)
        )
        self._go_on = go_on
        self._nonce = b""
        self._binding = b""

    def _first(self) -> bytes:
        return self._handshake.resume(self._resume)

    def _heard(self, message: FromServer) -> None:
        match message:
            case Challenge(mechanisms, nonce):
                self._challenged(mechanisms, nonce)
            case Resumed(received, proof):
                self._resumed(received, proof)
            case _:
                raise RemoteProtocolError("an answer to something else than RESUME")

    def _challenged(self, mechanisms: list[str], nonce: bytes) -> None:
        mechanism, self._binding = self._authenticator.choose_for_data_link(
            mechanisms, self._facts
        )
        self._nonce = nonce
        proof = client_resumes(self._secret, self._resume, nonce, self._binding)
        self._link.write([self._handshake.respond(Response(mechanism, proof))])

    def _resumed(self, received: int, proof: bytes) -> None:
        expected = server_resumes(
            self._secret, self._resume, received, self._nonce, self._binding
        )
        if not same_proof(proof, expected):
            raise AuthenticationFailed("the server does not know the session")
        self._stop_clock()
        self._go_on(self._link, self._facts, received, self._handshake.heard)
        self._succeed()
