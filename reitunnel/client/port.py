"""
A tunnel seen as a listening port, whose protocols serve the visitors in this process.
"""

from __future__ import annotations

import errno

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    ILoggingContext,
    IProtocol,
    IProtocolFactory,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.client.client import Client
from reitunnel.client.targets import name_of
from reitunnel.client.tunnel import ClientTunnel
from reitunnel.waiters import Waiters


@implementer(IProtocolFactory, ILoggingContext)
class PublishedFactory:
    """
    Stands before the factory of a port. The client starts and stops its targets with
    each session; a factory that listens is started once, and stopped once.
    """

    def __init__(self, factory: IProtocolFactory) -> None:
        """
        @param factory: what builds the protocols.
        """
        self._factory = factory
        self._visitors = False
        self._waiting: Waiters[None] = Waiters()

    def logPrefix(self) -> str:
        """
        Give the name of the factory itself: it is what the target is called.
        """
        return name_of(self._factory)

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        """
        Build the protocol for a visitor.
        """
        return self._factory.buildProtocol(addr)

    def doStart(self) -> None:
        """
        Visitors may come.
        """
        self._visitors = True

    def doStop(self) -> None:
        """
        The visitors are gone, and no more will come in this session.
        """
        self._visitors = False
        self._waiting.tell(None)

    def when_left(self) -> Deferred[None]:
        """
        Wait until the visitors of the session are gone.
        """
        return self._waiting.wait() if self._visitors else succeed(None)


@implementer(IListeningPort)
class TunnelPort:
    """
    What L{reitunnel.TunnelServerEndpoint} listens on: a public port of the server.

    It stays the same port over reconnects. While the link is lost it has no visitors.

    @ivar client: the client whose tunnel it is.
    @ivar tunnel: the tunnel.
    """

    _log = Logger()

    def __init__(
        self,
        client: Client,
        tunnel: ClientTunnel,
        factory: IProtocolFactory,
        published: PublishedFactory,
        *,
        owns_client: bool,
    ) -> None:
        """
        @param tunnel: a tunnel that is open.
        @param factory: what listens. It has been started.
        @param published: the target of the tunnel.
        @param owns_client: whether the client is stopped with the port.
        """
        address = tunnel.address
        assert address is not None
        self.client = client
        self.tunnel = tunnel
        self._address: IAddress = address
        self._factory = factory
        self._published = published
        self._owns_client = owns_client
        self._stopping = False
        self._stopped = False
        self._waiting: Waiters[None] = Waiters()

    def startListening(self) -> None:
        """
        It listens already.

        @raise CannotListenError: once it was stopped. Listen on the endpoint again.
        """
        if self._stopping:
            raise CannotListenError(
                self.tunnel.bind,
                self.tunnel.port,
                OSError(errno.EINVAL, "the tunnel is closed"),
            )

    def stopListening(self) -> Deferred[None]:
        """
        Close the tunnel. If the client belongs to the port it is stopped: visitors
        have C{timeouts.drain} seconds to end. If it does not, they are reset.

        @return: fires when the visitors are gone.
        """
        if self._stopped:
            return succeed(None)
        stopped = self._waiting.wait()
        if not self._stopping:
            self._stopping = True
            Deferred.fromCoroutine(self._stop()).addBoth(self._tell)
        return stopped

    def getHost(self) -> IAddress:
        """
        Give the public address, an C{IPv4Address} or C{IPv6Address}. While the link
        is lost it is the last one.
        """
        address = self.tunnel.address
        if address is not None:
            self._address = address
        return self._address

    async def _stop(self) -> None:
        # The address is gone with the tunnel.
        self.getHost()
        try:
            if self._owns_client:
                await self.client.stopService()
            else:
                self.tunnel.close()
                await self._published.when_left()
        finally:
            self._factory.doStop()

    def _tell(self, result: object) -> None:
        self._stopped = True
        if not isinstance(result, Failure):
            self._waiting.tell(None)
        elif self._waiting:
            self._waiting.fail(result)
        else:
            self._log.failure("a tunnel did not close in order", failure=result)
