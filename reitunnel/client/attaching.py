"""
The client's side of the handshake of a data link.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_bytes

from twisted.internet.interfaces import IReactorTime

from reitunnel.auth import ClientAuthenticator
from reitunnel.client.handshaking import FromServer, LinkHandshake
from reitunnel.errors import AuthenticationFailed, RemoteProtocolError
from reitunnel.relay import Link
from reitunnel.wire.messages import (
    NONCE_SIZE,
    VERSION,
    Attach,
    Attached,
    Challenge,
    Response,
    Welcome,
)
from reitunnel.wire.proofs import client_proof, same_proof, server_proof


class Attachment(LinkHandshake):
    """
    Proves that a link belongs to a session, and checks that the server knows the
    session too.
    """

    def __init__(
        self,
        clock: IReactorTime,
        timeout: float,
        authenticator: ClientAuthenticator,
        welcome: Welcome,
        number: int,
        begin: Callable[[int, Link], None],
    ) -> None:
        """
        @param timeout: how long the handshake may take, in seconds.
        @param authenticator: knows how to bind the proof to the channel.
        @param welcome: tells the session and its secret.
        @param number: the number of the link, which no other has had.
        @param begin: takes the link, at once.
        """
        super().__init__(clock, timeout)
        self._authenticator = authenticator
        self._secret = welcome.secret
        self._attach = Attach(
            [VERSION], welcome.session, number, token_bytes(NONCE_SIZE)
        )
        self._begin = begin
        self._server_proof = b""

    def _first(self) -> bytes:
        return self._handshake.attach(self._attach)

    def _heard(self, message: FromServer) -> None:
        match message:
            case Challenge(mechanisms, nonce):
                self._challenged(mechanisms, nonce)
            case Attached(proof):
                self._attached(proof)
            case _:
                raise RemoteProtocolError("an answer to something else than ATTACH")

    def _challenged(self, mechanisms: list[str], nonce: bytes) -> None:
        mechanism, binding = self._authenticator.choose_for_data_link(
            mechanisms, self._facts
        )
        proof = client_proof(self._secret, self._attach, nonce, binding)
        self._server_proof = server_proof(self._secret, self._attach, nonce, binding)
        self._link.write([self._handshake.respond(Response(mechanism, proof))])

    def _attached(self, proof: bytes) -> None:
        if not same_proof(proof, self._server_proof):
            raise AuthenticationFailed("the server does not know the session")
        self._stop_clock()
        self._begin(self._attach.link, self._link)
        self._succeed()
