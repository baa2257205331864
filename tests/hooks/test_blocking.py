"""
Tests for the C{block} hook.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface, providedBy
from zope.interface.verify import verifyObject

from reitunnel.errors import (
    AuthenticationFailed,
    Code,
    CodedError,
    ConfigError,
    InvalidHook,
    Refused,
    RemoteProtocolError,
    TunnelRefused,
)
from reitunnel.hooks import AsyncHook
from reitunnel.hooks.block_list import Block
from reitunnel.hooks.blocking import BlockHook, BlockHookFactory, BlockOptions
from reitunnel.interfaces import (
    IClientHook,
    IErrorHook,
    IReactorHook,
    IStreamHook,
    ITunnelHook,
)
from tests.hooks.building import built
from tests.hooks.fakes import FakeFacts, FakeSession, FakeStream, FakeTunnel

BAD = "192.0.2.1"


def address(host: str) -> IAddress:
    """
    The address of a connection.
    """
    if host.startswith("/"):
        return UNIXAddress(host)
    kind = IPv6Address if ":" in host else IPv4Address
    return kind("TCP", host, 40000)


def client(host: str) -> FakeSession:
    """
    A client from there.
    """
    return FakeSession(facts=FakeFacts(peer=address(host)))


class BlockCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_790_000_000)

    def hook(self, **options: Any) -> BlockHook:
        return BlockHook(
            BlockOptions(**{"failures": 2, "duration": 100.0, **options}), self.clock
        )

    def told(self, hook: BlockHook, error: CodedError, host: str = BAD) -> None:
        """
        Tell of an error that somebody from there caused.
        """
        error.peer = address(host)
        hook.on_error(error, "the handshake with somebody")

    def fail_twice(self, hook: BlockHook, host: str = BAD) -> None:
        for _ in range(2):
            self.told(hook, AuthenticationFailed("no"), host)

    def client_refused(self, hook: BlockHook, host: str = BAD) -> bool:
        try:
            hook.on_client_connect(client(host))
        except Refused as refused:
            self.assertEqual("the address is blocked", str(refused))
            self.assertTrue(refused.passing)
            return True
        return False

    def visitor_refused(self, hook: BlockHook, host: str = BAD) -> bool:
        try:
            hook.on_stream_open(FakeStream(visitor=address(host)))
        except Refused as refused:
            self.assertEqual("the address is blocked", str(refused))
            self.assertTrue(refused.passing)
            return True
        return False


class AutomaticTests(BlockCase):
    def test_blocked_for_a_time(self) -> None:
        hook = self.hook()
        self.told(hook, AuthenticationFailed("no"))
        self.assertFalse(self.client_refused(hook))
        self.told(hook, AuthenticationFailed("no"))
        self.assertTrue(self.client_refused(hook))
        self.assertTrue(self.visitor_refused(hook))
        self.assertFalse(self.client_refused(hook, "192.0.2.2"))
        self.clock.advance(99)
        self.assertTrue(self.client_refused(hook))
        self.clock.advance(1)
        self.assertFalse(self.client_refused(hook))
        self.assertFalse(self.visitor_refused(hook))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_said_once(self) -> None:
        hook = self.hook()
        with capturedLogs() as logs:
            for _ in range(5):
                self.fail_twice(hook)
        [event] = logs
        self.assertEqual("192.0.2.1/32", event["network"])
        self.assertEqual("authentication", event["kind"])

    def test_failures_while_blocked(self) -> None:
        """
        They do not make the block longer, and do not count after it.
        """
        hook = self.hook()
        self.fail_twice(hook)
        self.clock.advance(50)
        self.fail_twice(hook)
        self.told(hook, AuthenticationFailed("no"))
        self.clock.advance(50)
        self.assertFalse(self.client_refused(hook))
        self.told(hook, AuthenticationFailed("no"))
        self.assertFalse(self.client_refused(hook))

    def test_window(self) -> None:
        hook = self.hook(window=10.0)
        for _ in range(3):
            self.told(hook, AuthenticationFailed("no"))
            self.clock.advance(10)
        self.assertFalse(self.client_refused(hook))

    def test_every_kind(self) -> None:
        """
        Each failure counts as what it is, and not if that is not wanted.
        """
        tunnel = FakeTunnel(session=client(BAD))
        stream = FakeStream(visitor=address(BAD))
        ways = {
            "authentication": lambda hook: self.told(hook, AuthenticationFailed("no")),
            "handshake": lambda hook: self.told(hook, RemoteProtocolError("no")),
            "client": lambda hook: hook.on_client_disconnect(
                tunnel.session, Code.REFUSED, ""
            ),
            "tunnel": lambda hook: hook.on_tunnel_close(tunnel, Code.REFUSED, ""),
            "visitor": lambda hook: hook.on_stream_close(stream, Code.REFUSED, ""),
        }
        for counted in ways:
            for kind, way in ways.items():
                hook = self.hook(count=(counted,))
                way(hook)
                way(hook)
                self.assertEqual(kind == counted, hook.is_blocked(BAD), (counted, kind))

    def test_policy(self) -> None:
        hook = self.hook(count=("tunnel",))
        for _ in range(2):
            self.told(hook, TunnelRefused(Code.POLICY, "no"))
        self.assertTrue(hook.is_blocked(BAD))

    def test_kinds_together(self) -> None:
        hook = self.hook()
        self.told(hook, AuthenticationFailed("no"))
        hook.on_client_disconnect(client(BAD), Code.REFUSED, "no")
        self.assertTrue(hook.is_blocked(BAD))

    def test_orderly_ends(self) -> None:
        hook = self.hook(failures=1, count=("client", "tunnel", "visitor"))
        for code in set(Code) - {Code.REFUSED}:
            hook.on_client_disconnect(client(BAD), code, "")
            hook.on_tunnel_close(FakeTunnel(session=client(BAD)), code, "")
            hook.on_stream_close(FakeStream(visitor=address(BAD)), code, "")
        self.assertFalse(hook.is_blocked(BAD))

    def test_errors_of_nobody(self) -> None:
        hook = self.hook(failures=1, count=("authentication", "handshake", "tunnel"))
        for error in (AuthenticationFailed("no"), ValueError("no")):
            hook.on_error(error, "something")
        self.told(hook, AuthenticationFailed("no"), "/run/x")
        self.assertEqual((), hook.blocks)

    def test_never(self) -> None:
        hook = self.hook()
        for host in ("127.0.0.1", "::1", "::ffff:127.9.9.9"):
            self.fail_twice(hook, host)
            self.assertFalse(hook.is_blocked(host))
        hook = self.hook(never=("192.0.2.0/24",))
        self.fail_twice(hook, BAD)
        self.fail_twice(hook, "127.0.0.1")
        self.assertFalse(hook.is_blocked(BAD))
        self.assertTrue(hook.is_blocked("127.0.0.1"))

    def test_ipv6_networks(self) -> None:
        hook = self.hook()
        self.told(hook, AuthenticationFailed("no"), "2001:db8::1")
        self.told(hook, AuthenticationFailed("no"), "2001:db8::2")
        self.assertTrue(self.client_refused(hook, "2001:db8::3"))
        self.assertFalse(self.client_refused(hook, "2001:db8:0:1::1"))

    def test_visitors_left_alone(self) -> None:
        hook = self.hook(visitors=False, count=("visitor", "authentication"))
        self.fail_twice(hook)
        self.assertTrue(self.client_refused(hook))
        self.assertFalse(self.visitor_refused(hook))

    def test_bounded(self) -> None:
        hook = self.hook(failures=1, max_addresses=3)
        for number in range(50):
            self.told(hook, AuthenticationFailed("no"), f"192.0.2.{number}")
        self.assertEqual(
            ["192.0.2.47/32", "192.0.2.48/32", "192.0.2.49/32"],
            [block.network for block in hook.blocks],
        )


class ManualTests(BlockCase):
    def test_block_and_unblock(self) -> None:
        hook = self.hook()
        hook.block("192.0.2.0/24")
        hook.block("198.51.100.1", 10)
        self.assertTrue(self.client_refused(hook, "192.0.2.9"))
        self.assertTrue(self.visitor_refused(hook, "198.51.100.1"))
        self.assertEqual(
            (
                Block("192.0.2.0/24", inf, False),
                Block("198.51.100.1/32", self.clock.seconds() + 10, False),
            ),
            hook.blocks,
        )
        self.assertTrue(hook.unblock("192.0.2.0/24"))
        self.assertFalse(self.client_refused(hook, "192.0.2.9"))
        self.clock.advance(10)
        self.assertEqual((), hook.blocks)

    def test_whatever_never_says(self) -> None:
        hook = self.hook()
        hook.block("127.0.0.1")
        self.assertTrue(self.client_refused(hook, "127.0.0.1"))

    def test_unblock_an_automatic_one(self) -> None:
        """
        It begins anew.
        """
        hook = self.hook()
        self.fail_twice(hook)
        self.assertTrue(hook.unblock(BAD))
        self.told(hook, AuthenticationFailed("no"))
        self.assertFalse(hook.is_blocked(BAD))
        self.assertFalse(hook.unblock(BAD))
        self.told(hook, AuthenticationFailed("no"))
        self.assertFalse(hook.is_blocked(BAD))

    def test_texts_that_are_no_addresses(self) -> None:
        hook = self.hook()
        self.assertRaises(ValueError, hook.block, "example.com")
        self.assertRaises(ValueError, hook.unblock, "example.com")
        self.assertRaises(ValueError, hook.is_blocked, "192.0.2.0/24")
        for seconds in (0, -1):
            self.assertRaises(ValueError, hook.block, BAD, seconds)
        self.assertEqual((), hook.blocks)


class OptionTests(BlockCase):
    def built(self, table: Mapping[str, Any]) -> object:
        return built(BlockHookFactory(), **table)

    def test_only_what_is_needed(self) -> None:
        both: set[type[Interface]] = {IReactorHook, IClientHook}
        cases: tuple[tuple[dict[str, Any], set[type[Interface]]], ...] = (
            ({}, {IErrorHook, ITunnelHook, IStreamHook}),
            ({"visitors": False}, {IErrorHook, ITunnelHook}),
            ({"visitors": False, "count": ("client",)}, set()),
            ({"visitors": False, "count": ("visitor",)}, {IStreamHook}),
            ({"visitors": False, "count": ("handshake",)}, {IErrorHook}),
        )
        for options, faces in cases:
            hook = self.hook(**options)
            self.assertEqual(both | faces, set(providedBy(hook)))
            for face in both | faces:
                verifyObject(face, hook)

    def test_not_in_threads(self) -> None:
        self.assertRaises(InvalidHook, AsyncHook, self.hook())

    def test_build(self) -> None:
        hook = self.built({})
        assert isinstance(hook, BlockHook)
        for _ in range(9):
            self.told(hook, AuthenticationFailed("no"))
        self.assertFalse(hook.is_blocked(BAD))
        self.told(hook, AuthenticationFailed("no"))
        self.assertTrue(hook.is_blocked(BAD))

    def test_mistakes(self) -> None:
        for table, words in (
            ({"failures": 0}, "hooks[0].failures: expected an integer from 1 to 1000"),
            ({"count": []}, "hooks[0].count: expected at least one"),
            ({"count": ["x"]}, "hooks[0].count[0]: expected one of"),
            ({"never": ["x"]}, "hooks[0].never[0]: expected a network"),
        ):
            error = self.assertRaises(ConfigError, self.built, table)
            self.assertIn(words, str(error))
