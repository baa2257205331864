"""
The client's side of the handshake of a control link.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Final

from twisted.internet.interfaces import IReactorTime

from reitunnel.auth import ClientAuthenticator, ClientExchange
from reitunnel.client.handshaking import FromServer, LinkHandshake
from reitunnel.errors import AuthenticationFailed, RemoteProtocolError
from reitunnel.interfaces import ILinkFacts
from reitunnel.relay import Link
from reitunnel.wire.messages import (
    DIRECT,
    RESUME,
    VERSION,
    Challenge,
    Hello,
    Response,
    Welcome,
)

SOFTWARE: Final = f"reitunnel/{version('reitunnel')}"


class ClientGreeting(LinkHandshake):
    """
    Authenticates to a server, and checks that it is the right one.
    """

    def __init__(
        self,
        clock: IReactorTime,
        authenticator: ClientAuthenticator,
        instance: str,
        timeout: float,
        begin: Callable[[Link, ILinkFacts, Welcome, int], None],
        *,
        direct: bool,
        resume: bool,
    ) -> None:
        """
        @param instance: the client id.
        @param timeout: how long the handshake may take, in seconds.
        @param begin: begins the session, at once. It is told how many bytes of the
            link were the handshake's.
        @param direct: whether the client can dial data links.
        @param resume: whether the client can go on with a session on another link.
        """
        super().__init__(clock, timeout)
        self._authenticator = authenticator
        self._instance = instance
        self._begin = begin
        self._capabilities = [
            *([DIRECT] if direct else []),
            *([RESUME] if resume else []),
        ]
        self._exchange: ClientExchange | None = None

    def _first(self) -> bytes:
        hello = Hello(
            versions=[VERSION],
            instance=self._instance,
            capabilities=self._capabilities,
            software=SOFTWARE,
        )
        return self._handshake.hello(hello)

    def _heard(self, message: FromServer) -> None:
        if isinstance(message, Challenge):
            self._challenged(message)
        elif isinstance(message, Welcome):
            self._welcomed(message)
        else:
            raise RemoteProtocolError("an answer to something else than HELLO")

    def _challenged(self, challenge: Challenge) -> None:
        if self._exchange is None:
            self._exchange = self._authenticator.choose(
                challenge.mechanisms, self._facts
            )
            response = Response(self._exchange.mechanism, self._exchange.first())
        else:
            response = Response(data=self._exchange.respond(challenge.data))
        self._link.write([self._handshake.respond(response)])

    def _welcomed(self, welcome: Welcome) -> None:
        if self._exchange is None:
            raise AuthenticationFailed("the server asked for no authentication")
        self._exchange.finish(welcome.auth)
        self._stop_clock()
        self._begin(self._link, self._facts, welcome, self._handshake.heard)
        self._succeed()
