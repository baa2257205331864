"""
Tests for the C{addresses} hook.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface, providedBy
from zope.interface.verify import verifyObject

from reitunnel.errors import Code, ConfigError, Refused
from reitunnel.hooks.addresses import (
    AddressHook,
    AddressHookFactory,
    AddressLists,
    AddressOptions,
)
from reitunnel.interfaces import IClientHook, IStreamHook
from tests.hooks.building import built
from tests.hooks.fakes import FakeFacts, FakeSession, FakeStream


def address(host: str) -> IAddress:
    """
    The address of a connection.
    """
    if host.startswith("/"):
        return UNIXAddress(host)
    kind = IPv6Address if ":" in host else IPv4Address
    return kind("TCP", host, 40000)


def visitor_refused(hook: AddressHook, host: str) -> str:
    """
    Why a visitor is refused; empty if it is not.
    """
    stream = FakeStream(visitor=address(host))
    try:
        hook.on_stream_open(stream)
    except Refused as refused:
        return str(refused)
    hook.on_stream_close(stream, Code.NONE, "")
    return ""


def client_refused(hook: AddressHook, host: str) -> str:
    """
    Why a client is refused; empty if it is not.
    """
    client = FakeSession(facts=FakeFacts(peer=address(host)))
    try:
        hook.on_client_connect(client)
    except Refused as refused:
        return str(refused)
    hook.on_client_disconnect(client, Code.NONE, "")
    return ""


def of_visitors(**lists: Any) -> AddressHook:
    """
    A hook with lists for visitors.
    """
    return AddressHook(AddressOptions(visitors=AddressLists(**lists)))


class ListTests(SynchronousTestCase):
    def test_deny(self) -> None:
        hook = of_visitors(deny=("192.0.2.0/24", "2001:db8::/32"))
        for host in ("192.0.2.9", "::ffff:192.0.2.9", "2001:db8:7::1"):
            self.assertEqual("the address is denied", visitor_refused(hook, host))
        for host in ("192.0.3.9", "::ffff:192.0.3.9", "2001:db9::1", "/run/x"):
            self.assertEqual("", visitor_refused(hook, host))

    def test_allow(self) -> None:
        hook = of_visitors(allow=("192.0.2.0/24", "2001:db8::1"))
        for host in ("192.0.2.9", "::ffff:192.0.2.9", "2001:db8::1"):
            self.assertEqual("", visitor_refused(hook, host))
        for host in ("192.0.3.9", "2001:db8::2", "/run/x"):
            self.assertEqual(
                "the address is not among the allowed", visitor_refused(hook, host)
            )

    def test_deny_wins(self) -> None:
        hook = of_visitors(allow=("192.0.2.0/24",), deny=("192.0.2.128/25",))
        self.assertEqual("", visitor_refused(hook, "192.0.2.127"))
        self.assertIn("denied", visitor_refused(hook, "192.0.2.128"))
        self.assertIn("not among", visitor_refused(hook, "198.51.100.1"))

    def test_deny_wins_over_what_is_narrower(self) -> None:
        hook = of_visitors(allow=("192.0.2.7",), deny=("192.0.2.0/24",))
        self.assertIn("denied", visitor_refused(hook, "192.0.2.7"))

    def test_clients_and_visitors_apart(self) -> None:
        hook = AddressHook(
            AddressOptions(
                clients=AddressLists(allow=("192.0.2.0/24",)),
                visitors=AddressLists(allow=("198.51.100.0/24",)),
            )
        )
        self.assertEqual("", client_refused(hook, "192.0.2.1"))
        self.assertIn("not among", client_refused(hook, "198.51.100.1"))
        self.assertEqual("", visitor_refused(hook, "198.51.100.1"))
        self.assertIn("not among", visitor_refused(hook, "192.0.2.1"))

    def test_only_what_is_needed(self) -> None:
        lists = AddressLists(deny=("192.0.2.1",))
        cases: tuple[tuple[AddressOptions, set[type[Interface]]], ...] = (
            (AddressOptions(clients=lists), {IClientHook}),
            (AddressOptions(visitors=lists), {IStreamHook}),
            (AddressOptions(clients=lists, visitors=lists), {IClientHook, IStreamHook}),
        )
        for options, faces in cases:
            hook = AddressHook(options)
            self.assertEqual(faces, set(providedBy(hook)))
            for face in faces:
                verifyObject(face, hook)


class FileTests(SynchronousTestCase):
    def file(self, content: bytes) -> str:
        path = Path(self.mktemp()).absolute()
        path.write_bytes(content)
        return str(path)

    def test_files(self) -> None:
        allowed = self.file(b"# Ours\n\n192.0.2.0/24\n  2001:db8::/32  # six\n")
        denied = self.file(b"192.0.2.66\r\n")
        hook = of_visitors(
            allow=("198.51.100.1",), allow_file=allowed, deny_file=denied
        )
        for host in ("192.0.2.1", "2001:db8::9", "198.51.100.1"):
            self.assertEqual("", visitor_refused(hook, host))
        self.assertIn("denied", visitor_refused(hook, "192.0.2.66"))
        self.assertIn("not among", visitor_refused(hook, "203.0.113.1"))

    def test_empty_file_allows_nobody(self) -> None:
        hook = of_visitors(allow_file=self.file(b""))
        self.assertIn("not among", visitor_refused(hook, "192.0.2.1"))

    def test_mistakes(self) -> None:
        for content, words in (
            (b"192.0.2.0/24\n192.0.2.1/24\n", ', line 2: "192.0.2.1/24" has bits'),
            (b"# x\nexample.com\n", ", line 2: expected a network such as"),
            (b"\xff\n", ": it is not UTF-8"),
        ):
            file = self.file(content)
            error = self.assertRaises(ValueError, of_visitors, deny_file=file)
            self.assertIn(f"visitors.deny_file: {file}{words}", str(error))

    def test_missing(self) -> None:
        file = str(Path(self.mktemp()).absolute())
        error = self.assertRaises(ValueError, of_visitors, allow_file=file)
        self.assertEqual(
            f"visitors.allow_file: {file}: No such file or directory", str(error)
        )


class OptionTests(SynchronousTestCase):
    def mistake(self, table: Mapping[str, Any]) -> str:
        """
        What is wrong with a table.
        """
        error = self.assertRaises(ConfigError, built, AddressHookFactory(), **table)
        return str(error)

    def test_mistakes(self) -> None:
        for table, words in (
            ({}, "hooks[0]: needs clients or visitors, or both"),
            (
                {"clients": {}},
                (
                    "hooks[0].clients: needs one or more of allow, deny, allow_file, "
                    "deny_file"
                ),
            ),
            ({"clients": {"deny": []}}, "hooks[0].clients.deny: expected at least one"),
            (
                {"visitors": {"deny": ["192.0.2.0/24", "192.0.2.1/24"]}},
                (
                    'hooks[0].visitors.deny[1]: "192.0.2.1/24" has bits set behind '
                    'its prefix; "192.0.2.0/24" has not'
                ),
            ),
        ):
            self.assertEqual(words, self.mistake(table))

    def test_build(self) -> None:
        hook = built(AddressHookFactory(), visitors={"deny": ["192.0.2.0/24"]})
        assert isinstance(hook, AddressHook)
        self.assertIn("denied", visitor_refused(hook, "192.0.2.9"))
