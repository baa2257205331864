"""
Connecting: a link and its handshake, as one endpoint that gives sessions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.client.greeting import ClientGreeting
from reitunnel.client.session import ClientSession
from reitunnel.errors import (
    Code,
    Refused,
    ReitunnelError,
    SessionRefused,
    TransportError,
)
from reitunnel.hooks import Asking
from reitunnel.interfaces import ILinkFacts
from reitunnel.relay import Link, LinkFactory
from reitunnel.wire.handshake import handshake_reader
from reitunnel.wire.messages import Welcome

if TYPE_CHECKING:
    from reitunnel.client.client import Client


class SessionProtocol(Protocol):
    """
    What a C{ClientService} holds while a session lives. The link's bytes do not
    pass here.
    """


@implementer(ITransport)
class _LinkHandle:
    """
    What a C{ClientService} closes: the link, in the way that links are closed. It
    carries nothing.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    def write(self, data: bytes) -> None:
        """
        Drop bytes.
        """

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        Drop bytes.
        """

    def loseConnection(self) -> None:
        """
        Close the link.
        """
        self._link.close()

    def getPeer(self) -> IAddress:
        """
        Give the server's address.
        """
        return self._link.transport.getPeer()

    def getHost(self) -> IAddress:
        """
        Give the address of this side.
        """
        return self._link.transport.getHost()


@implementer(IStreamClientEndpoint)
class SessionEndpoint:
    """
    Dials the server and shakes hands. What it connects is a whole session: its
    protocol loses its connection when the link of the session is gone.
    """

    _log = Logger()

    def __init__(self, client: Client, endpoint: IStreamClientEndpoint) -> None:
        self._client = client
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Begin a session.

        @return: fires with a protocol of the factory. It fails with
            L{TransportError} when no link can be made, and with
            L{SessionRefused} or L{ProtocolError} when the handshake fails.
            Cancelling it gives up.
        """
        return Asking(self._client.reactor, self._connect(protocolFactory)).result

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        client = self._client
        try:
            session, link = await self._begin()
        except Refused as refused:
            reason = f"a hook of this client refused the session: {refused}"
            error = SessionRefused(refused.code, reason)
            client.connection_failed(error)
            raise error from None
        except ReitunnelError as error:
            client.hooks.notify_error(error, f"connecting to {client.config.server}")
            client.connection_failed(error)
            raise
        except CancelledError:
            raise
        except Exception as error:
            # A defect: the ClientService would not say a word of it.
            self._log.failure("cannot connect")
            client.connection_failed(TransportError(f"{type(error).__name__}"))
            raise
        protocol = factory.buildProtocol(session.facts.peer)
        assert protocol is not None
        protocol.makeConnection(_LinkHandle(link))
        lost = Failure(ConnectionLost())
        link.closed.addCallback(lambda _: protocol.connectionLost(lost))
        return protocol

    async def _begin(self) -> tuple[ClientSession, Link]:
        """
        Dial, shake hands, and ask the hooks.
        """
        client = self._client
        begun: list[ClientSession] = []

        def begin(link: Link, facts: ILinkFacts, welcome: Welcome) -> None:
            session = ClientSession(client, link, facts, welcome, self._endpoint)
            session.mux.start()
            begun.append(session)

        greeting = ClientGreeting(
            client.reactor,
            client.authenticator,
            client.client_id,
            client.config.timeouts.handshake,
            begin,
            direct=client.wants_data_links,
        )
        link = Link(handshake_reader(), greeting, client.reactor)
        await self._endpoint.connect(LinkFactory(lambda: link))
        client.link_made(link)
        await greeting.outcome
        [session] = begun
        await session.decide()
        if not client.running:
            # A hook has stopped it.
            session.close(Code.SHUTDOWN, "the client is stopping")
            raise CancelledError
        client.session_begun(session)
        return session, link
