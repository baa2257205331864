"""
Connecting: a link and its handshake, as one endpoint that gives sessions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

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
from reitunnel.client.handshaking import Dialogue, LinkHandshake
from reitunnel.client.resuming import Resumption
from reitunnel.client.session import ClientSession
from reitunnel.errors import (
    Code,
    ProtocolError,
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


_PASSING: Final = frozenset(
    {Code.LIMIT, Code.SHUTDOWN, Code.TIMEOUT, Code.INTERNAL, Code.LINK_LOST}
)
"""A session that was refused a link for one of these may get another one later."""


class _NotYet(Exception):
    """
    A session that waits for a link does not have it yet.

    @ivar error: why.
    """

    def __init__(self, error: ReitunnelError) -> None:
        super().__init__(error)
        self.error = error


class SessionProtocol(Protocol):
    """
    What a C{ClientService} holds while a session has a link. The link's bytes do not
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
    Dials the server and shakes hands. What it connects is a whole session, a new one
    or the one that waits for a link: its protocol loses its connection when the link
    of the session is gone.
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
            session, link = await self._go_on() or await self._begin()
        except Refused as refused:
            reason = f"a hook of this client refused the session: {refused}"
            error = SessionRefused(refused.code, reason)
            client.connection_failed(error)
            raise error from None
        except _NotYet as error:
            client.connection_failed(error.error)
            raise error.error from None
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

    async def _go_on(self) -> tuple[ClientSession, Link] | None:
        """
        Dial, and go on there with the session that waits for it, if there is one.

        @return: the session and its link; L{None} if there is none, or none any more.
        @raise _NotYet: when it may still be possible later.
        """
        client = self._client
        session = client.waiting_session
        if session is None:
            return None
        resumption = Resumption(
            client.authenticator, session.welcome, session.received, session.resume
        )
        try:
            link = await self._shake_hands(resumption)
        except TransportError as error:
            raise _NotYet(error) from None
        except ProtocolError as error:
            session.give_up(error)
        except SessionRefused as refused:
            if refused.code in _PASSING and session.end is None:
                raise _NotYet(refused) from None
            session.give_up(refused)
        else:
            return session, link
        return None

    async def _begin(self) -> tuple[ClientSession, Link]:
        """
        Dial, shake hands, and ask the hooks.
        """
        client = self._client
        begun: list[ClientSession] = []

        def begin(
            link: Link, facts: ILinkFacts, welcome: Welcome, handshake: int
        ) -> None:
            session = ClientSession(client, link, facts, welcome, self._endpoint)
            session.mux.start(handshake)
            begun.append(session)

        greeting = ClientGreeting(
            client.authenticator,
            client.client_id,
            begin,
            direct=client.wants_data_links,
            resume=client.config.timeouts.resume > 0,
        )
        link = await self._shake_hands(greeting)
        [session] = begun
        await session.decide()
        if not client.running:
            # A hook has stopped it.
            session.close(Code.SHUTDOWN, "the client is stopping")
            raise CancelledError
        client.session_begun(session)
        if not client.running:
            # Whoever waited for the session has stopped it, and it closes the session.
            raise CancelledError
        return session, link

    async def _shake_hands(self, dialogue: Dialogue) -> Link:
        """
        Dial, and have a dialogue with the server.

        @return: the link, which has got its use.
        """
        client = self._client
        handshake = LinkHandshake(
            client.reactor, client.config.timeouts.handshake, dialogue
        )
        link = Link(handshake_reader(), handshake, client.reactor)
        await self._endpoint.connect(LinkFactory(lambda: link))
        client.link_made(link)
        await handshake.outcome
        return link
