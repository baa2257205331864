"""
The tunnels that a client wants, whether they are open or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from reitunnel.client.targets import Target, TargetDialler
from reitunnel.client.tunnel import ClientTunnel
from reitunnel.config import ClientConfig, TunnelSettings
from reitunnel.errors import Code, TunnelRefused
from reitunnel.transports import TCPOptions

if TYPE_CHECKING:
    from reitunnel.client.client import Client


class WantedTunnels:
    """
    Those of the configuration, and those that were opened in code.

    @ivar options: the options of targets' sockets.
    """

    def __init__(self, client: Client, options: TCPOptions) -> None:
        self.options = options
        self._client = client
        self._all: list[ClientTunnel] = []
        self._configured: list[tuple[TunnelSettings, ClientTunnel]] = []

    def __iter__(self) -> Iterator[ClientTunnel]:
        """
        The tunnels as they are now, whatever comes of them meanwhile.
        """
        return iter(tuple(self._all))

    def __len__(self) -> int:
        """
        How many there are.
        """
        return len(self._all)

    def add(
        self, target: Target, bind: str, port: int, metadata: Mapping[str, str]
    ) -> ClientTunnel:
        """
        Want one more.

        @raise ValueError: when the target is text and not an address, or the tunnel
            cannot be asked for.
        """
        dialler = TargetDialler(
            self._client.reactor,
            target,
            self.options,
            self._client.config.timeouts.target,
        )
        return self._add(dialler, bind, port, metadata)

    def remove(self, wanted: ClientTunnel) -> None:
        """
        One is closed for good.
        """
        self._all.remove(wanted)

    def refuse(self, error: TunnelRefused) -> None:
        """
        Tell all who wait for one that they wait in vain.
        """
        for wanted in self:
            wanted.refused(error)

    def diallers_for(
        self, config: ClientConfig, options: TCPOptions
    ) -> Sequence[TargetDialler]:
        """
        Make what connects the visitors of the tunnels of a configuration.

        @raise ValueError: when a target is not an address.
        """
        return [
            TargetDialler(
                self._client.reactor, tunnel.target, options, config.timeouts.target
            )
            for tunnel in config.tunnels
        ]

    def configure(
        self, tunnels: Sequence[TunnelSettings], diallers: Sequence[TargetDialler]
    ) -> None:
        """
        Want the tunnels of a configuration, and those of the one before no more. One
        that is in both stays.

        @param diallers: for each, what L{diallers_for} has made.
        @raise ValueError: when one cannot be asked for.
        """
        left = [pair for pair in self._configured if not pair[1].closed]
        stays: dict[int, ClientTunnel] = {}
        for index, settings in enumerate(tunnels):
            found = next((pair for pair in left if pair[0] == settings), None)
            if found is not None:
                left.remove(found)
                stays[index] = found[1]
                found[1].dialler = diallers[index]
        # Before others are opened: they may want the same port.
        for _, wanted in left:
            wanted.close(Code.CLOSED, "it is not in the configuration any more")
        self._configured = []
        for index, settings in enumerate(tunnels):
            wanted = stays.get(index) or self._add(
                diallers[index], settings.bind, settings.port, settings.metadata
            )
            self._configured.append((settings, wanted))

    def _add(
        self, dialler: TargetDialler, bind: str, port: int, metadata: Mapping[str, str]
    ) -> ClientTunnel:
        wanted = ClientTunnel(self._client, dialler, bind, port, metadata)
        self._all.append(wanted)
        return wanted
