"""
Counts against a bound, and the bound on connections that are still shaking hands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address as Address6
from ipaddress import IPv6Network

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import ITransport
from twisted.logger import Logger
from zope.interface import implementer

from reitunnel.errors import Code, SessionRefused
from reitunnel.interfaces import ILinkAdmission


class Gauge:
    """
    A number that may not exceed a limit.

    It is logged once when the limit is reached, and again only after half of it
    was free in between.

    @ivar used: the number now.
    """

    _log = Logger()

    def __init__(self, name: str, limit: int) -> None:
        """
        @param name: the configuration key of the limit.
        @param limit: how much may be taken at a time.
        """
        self.used = 0
        self._name = name
        self._limit = limit
        self._said = False

    def take(self) -> bool:
        """
        Take one, if there is one left.
        """
        if self.full:
            self.warn()
            return False
        self.used += 1
        return True

    def warn(self) -> None:
        """
        Log that the limit is reached, unless that was done.
        """
        if not self._said:
            self._said = True
            self._log.warn(
                "{key} is reached: more than {limit} are refused",
                key=self._name,
                limit=self._limit,
            )

    def change(self, limit: int) -> None:
        """
        Set another limit. What is taken above it stays taken.
        """
        self._limit = limit
        self._said = False

    @property
    def full(self) -> bool:
        """
        Whether there is none left.
        """
        return self.used >= self._limit

    def give(self) -> None:
        """
        Give one back.
        """
        self.used -= 1
        if self.used <= self._limit // 2:
            self._said = False


class Places:
    """
    The places for clients: how many there are, and how many of them one identity may
    have.
    """

    def __init__(self, limit: int, limit_per_identity: int) -> None:
        """
        @param limit_per_identity: 0 is none.
        """
        self._all = Gauge("limits.max_clients", limit)
        self._limit_per_identity = limit_per_identity
        self._identities: Counter[str] = Counter()

    def change(self, limit: int, limit_per_identity: int) -> None:
        """
        Set other limits. Places that are taken stay taken.
        """
        self._all.change(limit)
        self._limit_per_identity = limit_per_identity

    def check(self, identity: str) -> None:
        """
        See that there is a place.

        @raise SessionRefused: if there is none.
        """
        if self._all.full:
            self._all.warn()
            raise SessionRefused(Code.LIMIT, "the server has too many clients")
        limit = self._limit_per_identity
        if limit and self._identities[identity] >= limit:
            reason = "the server has too many clients with these credentials"
            raise SessionRefused(Code.LIMIT, reason)

    def take(self, identity: str) -> None:
        """
        Take a place.

        @raise SessionRefused: if there is none.
        """
        self.check(identity)
        self._all.take()
        self._identities[identity] += 1

    def give(self, identity: str) -> None:
        """
        Give a place back.
        """
        self._all.give()
        self._identities[identity] -= 1
        if not self._identities[identity]:
            del self._identities[identity]


def _nothing_to_do(transport: ITransport) -> None:
    """
    Nobody wants to know of connections.
    """


@implementer(ILinkAdmission)
class Admission:
    """
    Bounds the connections that have not authenticated yet, in all and from one
    address; of IPv6, from one network of 64 bits, because whoever has one address has
    them all. Unix sockets have no address: only the first bound holds for them.
    """

    _log = Logger()

    def __init__(
        self,
        limit: int,
        limit_per_address: int,
        accepted: Callable[[ITransport], None] = _nothing_to_do,
    ) -> None:
        """
        @param accepted: told of each connection that is asked for.
        """
        self._accepted = accepted
        self._all = Gauge("limits.max_handshakes", limit)
        self._limit_per_address = limit_per_address
        self._addresses: Counter[str] = Counter()
        self._pending: dict[ITransport, str] = {}

    def change(self, limit: int, limit_per_address: int) -> None:
        """
        Set other bounds, for the connections that come from now on.
        """
        self._all.change(limit)
        self._limit_per_address = limit_per_address

    def admit(self, transport: ITransport) -> bool:
        """
        Take a connection, if both bounds allow it. One that was taken already
        is taken once.
        """
        if transport in self._pending:
            return True
        self._accepted(transport)
        peer = transport.getPeer()
        host = _source(peer) if isinstance(peer, IPv4Address | IPv6Address) else ""
        if host and self._addresses[host] >= self._limit_per_address:
            self._log.info(
                "{host}: too many handshakes in progress, connection refused",
                host=host,
            )
            return False
        if not self._all.take():
            return False
        self._addresses[host] += 1
        self._pending[transport] = host
        return True

    def gone(self, transport: ITransport) -> None:
        """
        The connection was closed, or has authenticated. Saying so again does
        nothing.
        """
        host = self._pending.pop(transport, None)
        if host is not None:
            self._all.give()
            self._addresses[host] -= 1
            if not self._addresses[host]:
                del self._addresses[host]


def _source(peer: IPv4Address | IPv6Address) -> str:
    """
    What counts as one address.
    """
    if isinstance(peer, IPv4Address):
        return peer.host
    # A zone says which link it is, and is no part of the address.
    address = Address6(peer.host.partition("%")[0])
    mapped = address.ipv4_mapped
    return str(mapped or IPv6Network((address, 64), strict=False))
