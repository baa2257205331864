"""
What a client says on a link that is to be the control link of a new session.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Final

from reitunnel.auth import ClientAuthenticator, ClientExchange
from reitunnel.client.handshaking import Begin, Granted
from reitunnel.errors import AuthenticationFailed, RemoteProtocolError
from reitunnel.interfaces import ILinkFacts
from reitunnel.relay import Link
from reitunnel.wire.handshake import ClientHandshake
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


class ClientGreeting:
    """
    Authenticates to a server, and checks that it is the right one.
    """

    def __init__(
        self,
        authenticator: ClientAuthenticator,
        instance: str,
        begin: Callable[[Link, ILinkFacts, Welcome, int], None],
        *,
        direct: bool,
        resume: bool,
    ) -> None:
        """
        @param instance: the client id.
        @param begin: begins the session, at once. It is told how many bytes of the
            link were the handshake's.
        @param direct: whether the client can dial data links.
        @param resume: whether the client can go on with a session on another link.
        """
        self._authenticator = authenticator
        self._instance = instance
        self._begin = begin
        self._capabilities = [
            *([DIRECT] if direct else []),
            *([RESUME] if resume else []),
        ]
        self._exchange: ClientExchange | None = None

    def first(self, handshake: ClientHandshake) -> bytes:
        """
        Introduce the client.
        """
        hello = Hello(
            versions=[VERSION],
            instance=self._instance,
            capabilities=self._capabilities,
            software=SOFTWARE,
        )
        return handshake.hello(hello)

    def answer(self, challenge: Challenge, facts: ILinkFacts) -> Response:
        """
        Choose a mechanism, then go on with it.
        """
        if self._exchange is not None:
            return Response(data=self._exchange.respond(challenge.data))
        self._exchange = self._authenticator.choose(challenge.mechanisms, facts)
        return Response(self._exchange.mechanism, self._exchange.first())

    def judge(self, granted: Granted) -> Begin:
        """
        See that it is the right server.
        """
        if not isinstance(granted, Welcome):
            raise RemoteProtocolError("an answer to something else than HELLO")
        if self._exchange is None:
            raise AuthenticationFailed("the server asked for no authentication")
        self._exchange.finish(granted.auth)
        return lambda link, facts, heard: self._begin(link, facts, granted, heard)
