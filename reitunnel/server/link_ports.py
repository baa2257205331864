"""
The ports on which a server listens for links.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory
from twisted.logger import Logger

from reitunnel.errors import TransportError
from reitunnel.server.descriptors import Descriptors
from reitunnel.server.setup import default_bind_of, shown_address
from reitunnel.transports import LinkURL, ServerTransportSettings, server_endpoint

LinkFactoryMaker: TypeAlias = Callable[[Callable[[], str]], IProtocolFactory]
"""
Makes the factory for the links of a port, of what tells the address that tunnels get
when the client asks for none.
"""


class LinkPorts:
    """
    Listens on the addresses of a configuration.

    @ivar settings: what the endpoints are told.
    """

    def __init__(
        self,
        reactor: Any,
        settings: ServerTransportSettings,
        descriptors: Descriptors,
        make_factory: LinkFactoryMaker,
        log: Logger,
    ) -> None:
        """
        @param descriptors: pauses the ports while there are few descriptors.
        @param log: the server's.
        """
        self.settings = settings
        self._reactor = reactor
        self._descriptors = descriptors
        self._make_factory = make_factory
        self._log = log
        self._ports: dict[str, IListeningPort] = {}

    @property
    def addresses(self) -> tuple[IAddress, ...]:
        """
        Where the server listens, in the order of the configuration.
        """
        return tuple(port.getHost() for port in self._ports.values())

    async def open(self, wanted: Sequence[str]) -> None:
        """
        Listen on the addresses of a configuration.

        @raise TransportError: when it cannot listen on one. L{close} the others then.
        """
        for text in wanted:
            self._ports[text] = await self._listen(text, self.settings)
        if self._ports:
            self._log.info(
                "listening on {addresses}",
                addresses=", ".join(
                    shown_address(text, port.getHost())
                    for text, port in self._ports.items()
                ),
            )

    async def close(self) -> None:
        """
        Listen no more.
        """
        ports, self._ports = self._ports, {}
        await self._descriptors.close(ports.values())

    async def open_others(
        self,
        wanted: Sequence[str],
        settings: ServerTransportSettings,
        opened: dict[str, IListeningPort],
    ) -> None:
        """
        Listen on what another configuration has besides.

        @param settings: what those endpoints are told.
        @param opened: takes the ports, also those that were opened before one fails.
        @raise TransportError: when it cannot listen on one.
        """
        for text in wanted:
            if text not in self._ports:
                opened[text] = await self._listen(text, settings)

    def become(
        self, wanted: Sequence[str], opened: Mapping[str, IListeningPort]
    ) -> Sequence[IListeningPort]:
        """
        Take over the addresses of another configuration.

        @param opened: what L{open_others} has opened for it.
        @return: the ports that are not wanted any more, to be closed.
        """
        former = self._ports
        every = {**former, **opened}
        self._ports = {text: every[text] for text in wanted}
        gone = [text for text in former if text not in self._ports]
        for text in gone:
            self._log.info("not listening on {address} any more", address=text)
        return [former[text] for text in gone]

    async def _listen(
        self, text: str, settings: ServerTransportSettings
    ) -> IListeningPort:
        url = LinkURL.parse(text)
        factory = self._make_factory(lambda: default_bind_of(port.getHost()))
        try:
            endpoint = server_endpoint(self._reactor, url, settings)
            port: IListeningPort = await endpoint.listen(factory)
            self._descriptors.watch(port, links=True)
        except CannotListenError as error:
            detail = getattr(error.socketError, "strerror", None)
            reason = detail or str(error.socketError)
            raise TransportError(f"{text}: cannot listen: {reason}") from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise TransportError(f"{text}: cannot listen: {reason}") from None
        return port
