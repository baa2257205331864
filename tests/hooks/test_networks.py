"""
Tests for sets of networks.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import address as twisted_address
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.hooks.networks import (
    Host,
    NetworkSet,
    host_of,
    parse_host,
    parse_network,
)

AnyAddress = IPv4Address | IPv6Address
AnyNetwork = IPv4Network | IPv6Network


def few_v4(draw: st.DrawFn) -> int:
    """
    Addresses that are close to each other, so that networks meet.
    """
    return 0xC0000200 + draw(st.integers(0, 1023))


@st.composite
def addresses(draw: st.DrawFn) -> AnyAddress:
    """
    Any address; some close together, some IPv4-mapped.
    """
    kind = draw(st.sampled_from(["v4", "v6", "near v4", "near v6", "mapped"]))
    if kind == "v4":
        return IPv4Address(draw(st.integers(0, 2**32 - 1)))
    if kind == "v6":
        return IPv6Address(draw(st.integers(0, 2**128 - 1)))
    if kind == "near v4":
        return IPv4Address(few_v4(draw))
    if kind == "near v6":
        return IPv6Address((0x20010DB8 << 96) + draw(st.integers(0, 1023)))
    return IPv6Address((0xFFFF << 32) + few_v4(draw))


@st.composite
def networks(draw: st.DrawFn) -> AnyNetwork:
    """
    Any network around any address.
    """
    around = draw(addresses())
    prefix = draw(
        st.integers(0, around.max_prefixlen)
        | st.integers(around.max_prefixlen - 12, around.max_prefixlen)
    )
    return ip_network(f"{around}/{prefix}", strict=False)


def plain(address: AnyAddress) -> AnyAddress:
    """
    An address without the IPv6 around an IPv4 address.
    """
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def plain_network(network: AnyNetwork) -> AnyNetwork:
    """
    A network without the IPv6 around IPv4 addresses.
    """
    inside = plain(network.network_address)
    if inside.version == network.version or network.prefixlen < 96:
        return network
    return ip_network(f"{inside}/{network.prefixlen - 96}")


def expected(address: AnyAddress, wanted: Iterable[AnyNetwork]) -> bool:
    """
    What ipaddress says.
    """
    return any(plain(address) in plain_network(network) for network in wanted)


def host(text: str) -> Host:
    """
    An address that is one.
    """
    parsed = parse_host(text)
    assert parsed is not None
    return parsed


class NetworkSetTests(SynchronousTestCase):
    @given(addresses(), st.lists(networks(), max_size=12))
    def test_as_ipaddress(self, address: AnyAddress, wanted: list[AnyNetwork]) -> None:
        found = NetworkSet(str(network) for network in wanted)
        self.assertEqual(expected(address, wanted), host(str(address)) in found)

    @given(st.lists(networks(), min_size=1, max_size=12), st.data())
    def test_edges(self, wanted: list[AnyNetwork], data: st.DataObject) -> None:
        """
        The first and last address of each network, and those next to them.
        """
        found = NetworkSet(str(network) for network in wanted)
        network = data.draw(st.sampled_from(wanted))
        for edge in (network.network_address, network.broadcast_address):
            for step in (-1, 0, 1):
                if not 0 <= int(edge) + step < 2**edge.max_prefixlen:
                    continue
                address = edge + step
                self.assertEqual(expected(address, wanted), host(str(address)) in found)

    def test_empty(self) -> None:
        self.assertFalse(NetworkSet())
        self.assertNotIn(host("192.0.2.1"), NetworkSet())
        self.assertTrue(NetworkSet(["192.0.2.1"]))
        self.assertTrue(NetworkSet(["2001:db8::/32"]))

    def test_everything_of_a_version(self) -> None:
        """
        All of IPv6 has no IPv4 in it, not even where a socket maps it.
        """
        six = NetworkSet(["::/0"])
        self.assertIn(host("2001:db8::1"), six)
        self.assertNotIn(host("192.0.2.1"), six)
        self.assertNotIn(host("::ffff:192.0.2.1"), six)
        four = NetworkSet(["0.0.0.0/0"])
        self.assertIn(host("::ffff:192.0.2.1"), four)
        self.assertNotIn(host("2001:db8::1"), four)

    def test_many(self) -> None:
        """
        A list of 40,000 networks finds what is in it and nothing else.
        """
        many = NetworkSet(f"10.{n >> 8}.{n & 255}.{n % 200}/32" for n in range(40_000))
        self.assertIn(host("10.156.63.199"), many)
        self.assertNotIn(host("10.156.63.198"), many)
        self.assertNotIn(host("10.156.64.0"), many)

    def test_texts_that_are_no_networks(self) -> None:
        for text in ("", "a", "192.0.2.0/33", "192.0.2", "::/129", "192.0.2.1/", "/8"):
            error = self.assertRaises(ValueError, parse_network, text)
            self.assertIn("expected a network such as", str(error))
            self.assertIn(f'got "{text}"', str(error))

    @given(
        networks().map(str)
        | st.builds(
            "{}/{}".format,
            addresses(),
            st.integers(-1, 130)
            | st.sampled_from(["", "024", "000024", "x", "255.255.255.0", "२४", "+8"]),
        )
        | st.text(alphabet="0123456789abcdef.:/%", max_size=24)
    )
    def test_read_as_ipaddress_does(self, text: str) -> None:
        try:
            network = ip_network(text)
        except ValueError:
            self.assertRaises(ValueError, parse_network, text)
        else:
            self.assertEqual(str(plain_network(network)), str(parse_network(text)))

    def test_bits_behind_the_prefix(self) -> None:
        for text, meant in (
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("2001:db8::1/32", "2001:db8::/32"),
        ):
            error = self.assertRaises(ValueError, parse_network, text)
            self.assertEqual(
                f'"{text}" has bits set behind its prefix; "{meant}" has not',
                str(error),
            )

    @given(networks())
    def test_shown(self, network: AnyNetwork) -> None:
        self.assertEqual(str(plain_network(network)), str(parse_network(str(network))))


class HostTests(SynchronousTestCase):
    @given(addresses())
    def test_as_ipaddress(self, address: AnyAddress) -> None:
        inside = plain(address)
        self.assertEqual(
            Host(inside.max_prefixlen, int(inside)), parse_host(str(address))
        )

    @given(st.text(alphabet="0123456789abcdef.:%/ x\0é", max_size=24))
    def test_texts(self, text: str) -> None:
        """
        Nothing that ipaddress takes for no address is one.
        """
        try:
            ip_address(text.partition("%")[0] if ":" in text else text)
        except ValueError:
            self.assertIsNone(parse_host(text))
        else:
            self.assertIsNotNone(parse_host(text))

    def test_zone(self) -> None:
        self.assertEqual(parse_host("fe80::1"), parse_host("fe80::1%eth0"))

    @given(addresses(), st.data())
    def test_network(self, address: AnyAddress, data: st.DataObject) -> None:
        inside = plain(address)
        prefix = data.draw(st.integers(0, inside.max_prefixlen))
        network = ip_network(f"{inside}/{prefix}", strict=False)
        found = host(str(address)).network(prefix)
        self.assertEqual(str(network), str(found))

    def test_origin(self) -> None:
        for text, origin in (
            ("192.0.2.1", "192.0.2.1/32"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ):
            self.assertEqual(origin, str(host(text).origin(64)))

    def test_of_addresses(self) -> None:
        four = twisted_address.IPv4Address("TCP", "192.0.2.1", 80)
        six = twisted_address.IPv6Address("TCP", "::ffff:192.0.2.1", 80)
        self.assertEqual(parse_host("192.0.2.1"), host_of(four))
        self.assertEqual(parse_host("192.0.2.1"), host_of(six))
        self.assertIsNone(host_of(twisted_address.UNIXAddress("/run/x")))
        self.assertIsNone(host_of(None))
