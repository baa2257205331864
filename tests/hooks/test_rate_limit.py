"""
Tests for the C{rate} hook.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import providedBy
from zope.interface.verify import verifyObject

from reitunnel.errors import Code, ConfigError, InvalidHook, Refused
from reitunnel.hooks import AsyncHook
from reitunnel.hooks.rate_limit import Rate, RateHook, RateHookFactory, RateOptions
from reitunnel.interfaces import IClientHook, IReactorHook, IStreamHook
from tests.hooks.building import built
from tests.hooks.fakes import FakeFacts, FakeSession, FakeStream, FakeTunnel

ONE = Rate(rate=1.0, burst=1)
TWO = Rate(rate=1.0, burst=2)


def address(host: str) -> IAddress:
    """
    The address of a connection.
    """
    if host.startswith("/"):
        return UNIXAddress(host)
    kind = IPv6Address if ":" in host else IPv4Address
    return kind("TCP", host, 40000)


class RateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_790_000_000)

    def hook(self, **options: Any) -> RateHook:
        return RateHook(RateOptions(**options), self.clock)

    def client(self, hook: RateHook, host: str, identity: str = "token:a") -> str:
        """
        Why a client is refused; empty if it is not.
        """
        facts = FakeFacts(peer=address(host))
        client = FakeSession(identity=identity, facts=facts)
        try:
            hook.on_client_connect(client)
        except Refused as refused:
            self.assertTrue(refused.passing)
            return str(refused)
        hook.on_client_disconnect(client, Code.NONE, "")
        return ""

    def visitor(self, hook: RateHook, host: str, identity: str = "token:a") -> str:
        """
        Why a visitor is refused; empty if it is not.
        """
        tunnel = FakeTunnel(session=FakeSession(identity=identity))
        stream = FakeStream(tunnel=tunnel, visitor=address(host))
        try:
            hook.on_stream_open(stream)
        except Refused as refused:
            self.assertTrue(refused.passing)
            return str(refused)
        hook.on_stream_close(stream, Code.NONE, "")
        return ""

    def test_clients_per_address(self) -> None:
        hook = self.hook(clients_per_address=TWO)
        words = "too many connections from this address"
        answers = [self.client(hook, "192.0.2.1", f"token:{n}") for n in range(3)]
        self.assertEqual(["", "", words], answers)
        self.assertEqual("", self.client(hook, "192.0.2.2"))
        self.clock.advance(1)
        self.assertEqual("", self.client(hook, "192.0.2.1"))
        self.assertEqual(words, self.client(hook, "192.0.2.1"))

    def test_clients_per_identity(self) -> None:
        hook = self.hook(clients_per_identity=ONE)
        self.assertEqual("", self.client(hook, "192.0.2.1", "token:a"))
        self.assertEqual(
            "the client connects too often", self.client(hook, "192.0.2.2", "token:a")
        )
        self.assertEqual("", self.client(hook, "192.0.2.1", "token:b"))

    def test_visitors_per_address(self) -> None:
        hook = self.hook(visitors_per_address=ONE)
        self.assertEqual("", self.visitor(hook, "192.0.2.1", "token:a"))
        self.assertEqual(
            "too many connections from this address",
            self.visitor(hook, "192.0.2.1", "token:b"),
        )
        self.assertEqual("", self.visitor(hook, "192.0.2.2"))

    def test_visitors_per_client(self) -> None:
        hook = self.hook(visitors_per_client=ONE)
        self.assertEqual("", self.visitor(hook, "192.0.2.1", "token:a"))
        self.assertEqual(
            "too many visitors of this client",
            self.visitor(hook, "192.0.2.2", "token:a"),
        )
        self.assertEqual("", self.visitor(hook, "192.0.2.3", "token:b"))

    def test_refused_takes_nothing(self) -> None:
        """
        An address that comes too often does not use up what its client may have for
        others.
        """
        hook = self.hook(visitors_per_address=ONE, visitors_per_client=TWO)
        self.assertEqual("", self.visitor(hook, "192.0.2.1"))
        for _ in range(5):
            self.assertIn("address", self.visitor(hook, "192.0.2.1"))
        self.assertEqual("", self.visitor(hook, "192.0.2.2"))
        self.assertIn("client", self.visitor(hook, "192.0.2.3"))
        self.clock.advance(1)
        self.assertEqual("", self.visitor(hook, "192.0.2.3"))

    def test_clients_and_visitors_apart(self) -> None:
        hook = self.hook(clients_per_address=ONE, visitors_per_address=ONE)
        self.assertEqual("", self.client(hook, "192.0.2.1"))
        self.assertEqual("", self.visitor(hook, "192.0.2.1"))

    def test_ipv6_networks(self) -> None:
        hook = self.hook(visitors_per_address=ONE)
        self.assertEqual("", self.visitor(hook, "2001:db8::1"))
        self.assertNotEqual("", self.visitor(hook, "2001:db8::ffff:1"))
        self.assertEqual("", self.visitor(hook, "2001:db8:0:1::1"))
        hook = self.hook(visitors_per_address=ONE, ipv6_prefix=128)
        self.assertEqual("", self.visitor(hook, "2001:db8::1"))
        self.assertEqual("", self.visitor(hook, "2001:db8::2"))

    def test_mapped(self) -> None:
        hook = self.hook(visitors_per_address=ONE)
        self.assertEqual("", self.visitor(hook, "192.0.2.1"))
        self.assertEqual("", self.visitor(hook, "192.0.2.2"))
        self.assertNotEqual("", self.visitor(hook, "::ffff:192.0.2.1"))

    def test_unix_sockets_are_one(self) -> None:
        hook = self.hook(visitors_per_address=ONE)
        self.assertEqual("", self.visitor(hook, "/run/a"))
        self.assertNotEqual("", self.visitor(hook, "/run/b"))

    def test_bounded(self) -> None:
        """
        Beyond the bound, the address that was let in longest ago begins anew.
        """
        hook = self.hook(visitors_per_address=ONE, max_buckets=2)
        for host in ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1"):
            self.assertEqual("", self.visitor(hook, host))
        self.assertNotEqual("", self.visitor(hook, "192.0.2.3"))

    def test_only_what_is_needed(self) -> None:
        clients = self.hook(clients_per_identity=ONE)
        visitors = self.hook(visitors_per_address=ONE)
        self.assertEqual({IReactorHook, IClientHook}, set(providedBy(clients)))
        self.assertEqual({IReactorHook, IStreamHook}, set(providedBy(visitors)))
        verifyObject(IClientHook, clients)
        verifyObject(IStreamHook, visitors)
        self.assertRaises(InvalidHook, AsyncHook, visitors)


class OptionTests(SynchronousTestCase):
    def built(self, table: Mapping[str, Any]) -> object:
        return built(RateHookFactory(), **table)

    def test_build(self) -> None:
        hook = self.built({"visitors_per_address": {"rate": 5, "burst": 10}})
        self.assertIsInstance(hook, RateHook)

    def test_mistakes(self) -> None:
        for table, words in (
            ({}, "hooks[0]: needs one or more of clients_per_address, clients_per_id"),
            ({"max_buckets": 5}, "hooks[0]: needs one or more of"),
            (
                {"visitors_per_client": {"rate": 0, "burst": 1}},
                "hooks[0].visitors_per_client.rate: expected a number",
            ),
            (
                {"visitors_per_client": {"rate": 1}},
                "hooks[0].visitors_per_client.burst: missing",
            ),
            ({"ipv6_prefix": 8}, "hooks[0].ipv6_prefix: expected an integer from 16"),
        ):
            error = self.assertRaises(ConfigError, self.built, table)
            self.assertIn(words, str(error))
