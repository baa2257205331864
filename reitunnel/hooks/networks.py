"""
Sets of networks, v4 and v6: whether an address is in one of them, quickly for many of
them too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from ipaddress import (
    IPv4Network,
    IPv6Network,
    ip_address,
    ip_network,
)
from socket import AF_INET, AF_INET6, inet_pton
from typing import Final, NamedTuple

from twisted.internet.address import IPv4Address, IPv6Address

_MAPPED_PREFIX: Final = bytes(10) + b"\xff\xff"
_V4_BITS: Final = 32
_V6_BITS: Final = 128
_MAPPED_BITS: Final = _V6_BITS - _V4_BITS


class Host(NamedTuple):
    """
    An address as numbers.

    An IPv4-mapped IPv6 address (C{::ffff:192.0.2.1}, RFC 4291, section 2.5.5.2), as a
    socket for both versions gives it, is the IPv4 address inside. A zone
    (C{fe80::1%eth0}) says nothing of the address.

    @ivar bits: 32 or 128.
    @ivar number: the address.
    """

    bits: int
    number: int

    def network(self, prefix: int) -> Network:
        """
        Give the network that this address is in.

        @param prefix: how many bits the network's addresses have in common.
        """
        shift = self.bits - prefix
        return Network(self.bits, prefix, self.number >> shift << shift)

    def origin(self, ipv6_prefix: int) -> Network:
        """
        Give what counts as one place that somebody comes from: an IPv4 address, or a
        network of IPv6 addresses, because whoever has one of those has them all.

        @param ipv6_prefix: how many bits the addresses of the latter have in common.
        """
        return self.network(_V4_BITS if self.bits == _V4_BITS else ipv6_prefix)


def parse_host(text: str) -> Host | None:
    """
    Read an address.

    @return: L{None} if it is none.
    """
    # Not by ipaddress, which takes several times as long.
    try:
        if ":" not in text:
            return Host(_V4_BITS, int.from_bytes(inet_pton(AF_INET, text)))
        packed = inet_pton(AF_INET6, text.partition("%")[0])
    except (OSError, ValueError):
        # ValueError: it is not ASCII, or has a NUL in it.
        return None
    if packed.startswith(_MAPPED_PREFIX):
        return Host(_V4_BITS, int.from_bytes(packed[12:]))
    return Host(_V6_BITS, int.from_bytes(packed))


def host_of(address: object) -> Host | None:
    """
    Read the address of a connection's end.

    @return: L{None} if it is not one of the Internet: a Unix socket has none.
    """
    if isinstance(address, IPv4Address | IPv6Address):
        return parse_host(address.host)
    return None


class Network(NamedTuple):
    """
    A network as numbers.

    One of IPv4-mapped IPv6 addresses (C{::ffff:192.0.2.0/120}) is the IPv4 network
    inside.

    @ivar bits: 32 or 128.
    @ivar prefix: how many bits its addresses have in common.
    @ivar first: its first address.
    """

    bits: int
    prefix: int
    first: int

    @property
    def last(self) -> int:
        """
        Its last address.
        """
        return self.first | (1 << self.bits - self.prefix) - 1

    def __str__(self) -> str:
        if self.bits == _V4_BITS:
            return str(IPv4Network((self.first, self.prefix)))
        return str(IPv6Network((self.first, self.prefix)))


def parse_network(text: str) -> Network:
    """
    Read a network in CIDR notation (C{192.0.2.0/24}, C{2001:db8::/32}), or a single
    address.

    @raise ValueError: if it is neither, or has bits set behind its prefix; the
        message is for people.
    """
    quickly = _parse_usual(text)
    if quickly is not None:
        return quickly
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError(_wrong(text)) from None
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        inside = network.network_address.ipv4_mapped
        if inside is not None:
            return Network(_V4_BITS, network.prefixlen - _MAPPED_BITS, int(inside))
    return Network(
        network.max_prefixlen, network.prefixlen, int(network.network_address)
    )


class NetworkSet:
    """
    Some networks, of both versions.

    Networks that overlap or touch become one range, and an address is found among the
    ranges by bisection: 20 steps for a million of them.
    """

    def __init__(self, networks: Iterable[Network | str] = ()) -> None:
        """
        @param networks: the networks, in any order.
        @raise ValueError: if a text is no network; the message is for people.
        """
        parsed = [
            parse_network(each) if isinstance(each, str) else each for each in networks
        ]
        self._v4 = _Ranges(each for each in parsed if each.bits == _V4_BITS)
        self._v6 = _Ranges(each for each in parsed if each.bits == _V6_BITS)

    def __contains__(self, host: Host) -> bool:
        ranges = self._v4 if host.bits == _V4_BITS else self._v6
        return host.number in ranges

    def __bool__(self) -> bool:
        return bool(self._v4 or self._v6)


class _Ranges:
    """
    Ranges of numbers, which do not touch.
    """

    def __init__(self, networks: Iterable[Network]) -> None:
        self._first: list[int] = []
        self._last: list[int] = []
        for first, last in sorted((each.first, each.last) for each in networks):
            if self._last and first <= self._last[-1] + 1:
                self._last[-1] = max(self._last[-1], last)
            else:
                self._first.append(first)
                self._last.append(last)

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._first, number)
        return place > 0 and number <= self._last[place - 1]

    def __len__(self) -> int:
        return len(self._first)


def _parse_usual(text: str) -> Network | None:
    """
    Read a network in the usual form, in half of the time that ipaddress takes: a list
    may have a million.

    @return: L{None} if it has another form, or is none.
    """
    address, slash, digits = text.partition("/")
    host = parse_host(address)
    if host is None or "%" in address:
        return None
    if not slash:
        return Network(host.bits, host.bits, host.number)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 3):
        return None
    prefix = int(digits)
    if ":" in address and host.bits == _V4_BITS:
        prefix -= _MAPPED_BITS
    if not 0 <= prefix <= host.bits:
        return None
    network = host.network(prefix)
    return network if network.first == host.number else None


def _wrong(text: str) -> str:
    """
    Say what is wrong with a text that is no network.
    """
    address, slash, _ = text.partition("/")
    if slash:
        try:
            meant = ip_network(text, strict=False)
            ip_address(address)
        except ValueError:
            pass
        else:
            return f'"{text}" has bits set behind its prefix; "{meant}" has not'
    return (
        'expected a network such as "192.0.2.0/24" or "2001:db8::/32", or an address, '
        f'got "{text}"'
    )
