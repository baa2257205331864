"""
Tests of L{reitunnel.relay.addresses}.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.relay import host_and_port, internet_address, joined, shown

V4 = IPv4Address("TCP", "192.0.2.1", 6000)
V6 = IPv6Address("TCP", "2001:db8::1", 6000)
UNIX = UNIXAddress("/run/reitunnel")


class AddressTests(SynchronousTestCase):
    def test_host_and_port(self) -> None:
        self.assertEqual(("192.0.2.1", 6000), host_and_port(V4))
        self.assertEqual(("2001:db8::1", 6000), host_and_port(V6))

    def test_host_and_port_of_another_kind(self) -> None:
        self.assertEqual(("", 0), host_and_port(UNIX))
        self.assertEqual(("", 0), host_and_port(None))

    def test_internet_address(self) -> None:
        for address in (V4, V6):
            self.assertEqual(address, internet_address(address.host, address.port))

    def test_shown(self) -> None:
        self.assertEqual("192.0.2.1:6000", shown(V4))
        self.assertEqual("[2001:db8::1]:6000", shown(V6))
        self.assertIn("/run/reitunnel", shown(UNIX))

    def test_joined(self) -> None:
        self.assertEqual("example.com:80", joined("example.com", 80))
        self.assertEqual("[::1]:80", joined("::1", 80))
