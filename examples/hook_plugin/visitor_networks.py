"""
A hook that lets in visitors of some networks only. In a configuration file::

    [[hooks]]
    name = "visitor-networks"
    allow = ["127.0.0.0/8", "192.0.2.0/24"]
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Annotated

from msgspec import Meta, Struct
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IReactorCore
from twisted.plugin import IPlugin
from zope.interface import implementer

from reitunnel import BaseHook, Refused
from reitunnel.interfaces import IHookFactory, IStream


class VisitorNetworksOptions(Struct, frozen=True, kw_only=True):
    """
    The keys of the table.

    @ivar allow: the networks.
    """

    allow: Annotated[list[str], Meta(min_length=1)]

    def __post_init__(self) -> None:
        """
        @raise ValueError: for what is no network; the user reads its message.
        """
        for text in self.allow:
            ip_network(text)


class VisitorNetworksHook(BaseHook):
    """
    Refuses the visitors of all other networks.
    """

    def __init__(self, allow: list[str]) -> None:
        self._allowed = [ip_network(text) for text in allow]

    def on_stream_open(self, stream: IStream) -> None:
        """
        Look where a visitor comes from. Returning lets it in.
        """
        visitor: object = stream.visitor
        if isinstance(visitor, IPv4Address | IPv6Address):
            host = ip_address(visitor.host)
            if any(host in network for network in self._allowed):
                return
        raise Refused("visitors of this network are not let in")


@implementer(IPlugin, IHookFactory)
class VisitorNetworksFactory:
    """
    Makes the hook of a table with its name.
    """

    name = "visitor-networks"
    description = "Lets in visitors of some networks only."
    options = VisitorNetworksOptions

    def build(
        self, options: VisitorNetworksOptions, reactor: IReactorCore
    ) -> VisitorNetworksHook:
        """
        Make the hook.
        """
        return VisitorNetworksHook(options.allow)
