"""
The client's side of the handshake of a data link.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_bytes

from twisted.internet.interfaces import IReactorTime

from reitunnel.client.handshaking import LinkHandshake
from reitunnel.errors import AuthenticationFailed, RemoteProtocolError
from reitunnel.relay import Link
from reitunnel.wire.messages import (
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
        session: bytes,
        secret: bytes,
        number: int,
        begin: Callable[[int, Link], None],
    ) -> None:
        """
        @param session: the session's id.
        @param secret: the session's secret.
        @param number: the number of the link, which no other has had.
        @param begin: takes the link, at once.
        """
        super().__init__(clock, timeout)
        self._secret = secret
        self._attach = Attach([VERSION], session, number, token_bytes(32))
        self._begin = begin
        self._challenge = b""

    def _first(self) -> bytes:
        return self._handshake.attach(self._attach)

    def _heard(self, message: Challenge | Welcome | Attached) -> None:
        binding = self._facts.channel_binding or b""
        if isinstance(message, Challenge):
            self._challenge = message.data
            proof = client_proof(self._secret, self._attach, message.data, binding)
            self._link.write([self._handshake.respond(Response(data=proof))])
        elif isinstance(message, Attached):
            expected = server_proof(
                self._secret, self._attach, self._challenge, binding
            )
            if not same_proof(message.proof, expected):
                raise AuthenticationFailed("the server does not know the session")
            self._stop_clock()
            self._begin(self._attach.link, self._link)
            self._succeed()
        else:
            raise RemoteProtocolError("WELCOME on a data link")
