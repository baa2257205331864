"""
Tests of the addresses in L{reitunnel.config}.
"""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.config import (
    HostTarget,
    LinkAddress,
    UnixTarget,
    is_loopback,
    parse_bind,
    parse_link_address,
    parse_monitor_address,
    parse_target,
)
from reitunnel.transports import LinkURL


def listener(text: str) -> LinkAddress:
    return parse_link_address(text, listening=True)


class LoopbackTests(SynchronousTestCase):
    def test_loopback(self) -> None:
        for host in (
            "localhost",
            "LocalHost.",
            "127.0.0.1",
            "127.8.9.10",
            "::1",
            "::ffff:127.0.0.1",
        ):
            self.assertTrue(is_loopback(host), host)

    def test_not_loopback(self) -> None:
        for host in (
            "",
            "*",
            "0.0.0.0",
            "::",
            "10.0.0.1",
            "::ffff:10.0.0.1",
            "localhost.example.com",
            "notlocalhost",
            "128.0.0.1",
            "example.com",
        ):
            self.assertFalse(is_loopback(host), host)


class URLTests(SynchronousTestCase):
    def test_tls(self) -> None:
        self.assertEqual(
            LinkAddress("tls", is_url=True, host="0.0.0.0", tls=True, exposed=False),
            listener("tls://0.0.0.0:7000"),
        )

    def test_exposed(self) -> None:
        for text, exposed in {
            "tcp://0.0.0.0:7000": True,
            "tcp://[::]:7000": True,
            "tcp://127.0.0.1:7000": False,
            "tcp://[::1]:7000": False,
            "tcp://localhost:7000": False,
            "ws://example.com/path": True,
            "ws://127.0.0.1:8080/path": False,
            "wss://example.com/path": False,
            "tls://example.com:7000": False,
        }.items():
            self.assertEqual(exposed, listener(text).exposed, text)

    def test_host_of_ipv6(self) -> None:
        self.assertEqual("::1", listener("tcp://[::1]:7000").host)

    def test_plugins_scheme(self) -> None:
        """
        Of a scheme that a plugin may have, only the plugin can say what it does.
        """
        address = listener("quic://0.0.0.0:7000")
        self.assertEqual((None, False), (address.tls, address.exposed))

    def test_refused(self) -> None:
        for text, message in {
            "tls://:7000": '"tls://:7000" names no host; 0.0.0.0 and [::] mean every '
            "address",
            "tls://example.com": '"tls://example.com" names no port',
            "ws://h/?a=b": '"ws://h/?a=b" has a query or a fragment; neither has a use',
            "tls://h:1/x": '"tls://h:1/x" has a path; only ws:// and wss:// have one',
            "://h:1": '"://h:1" has no scheme such as tls://',
            "tls://h:70000": 'there is no port 70000, as in "tls://h:70000"',
            "tls://a*b:1": '"a*b" in "tls://a*b:1" is not a host name',
        }.items():
            error = self.assertRaises(ValueError, listener, text)
            self.assertEqual(message, str(error))

    def test_the_same_rules_for_settings_and_links(self) -> None:
        """
        What a configuration takes, a transport takes, and the other way round.
        """
        for text in (
            *("tls://h:1", "TLS://H:1/", "ws://Bücher.example", "ws://[fe80::1%eth0]"),
            *(
                "tls://",
                "tls://h",
                "tls://h:",
                "tls://h:1x",
                "tls://a..b:1",
                "tls://-:1",
            ),
            *("ws://h/a b", "ws://h/<", "tls://::1:7", "tls://[::1]7", "tcp://h\n:1"),
            "wss://me:secret@h",
        ):
            found = []
            for parse in (listener, LinkURL.parse):
                try:
                    url = parse(text)
                except ValueError as error:
                    found.append(str(error))
                else:
                    found.append(f"{url.scheme} {url.host}")
            self.assertEqual(found[0], found[1], text)

    def test_password_is_not_repeated(self) -> None:
        error = self.assertRaises(ValueError, listener, "tls://me:hunter2@h:7000")
        self.assertNotIn("hunter2", str(error))


class EndpointTests(SynchronousTestCase):
    def test_exposed_listeners(self) -> None:
        for text, exposed in {
            "unix:/run/reitunnel.sock": False,
            "tcp:7000": True,
            "tcp:7000:interface=127.0.0.1": False,
            "tcp:7000:127.0.0.1": False,
            "tcp:interface=127.0.0.1:port=7000": False,
            r"tcp6:7000:interface=\:\:1": False,
            r"tcp6:7000:interface=\:\:": True,
            "tcp:port=7000:interface=0.0.0.0": True,
            "ssl:7000:privateKey=a.pem": False,
            "systemd:domain=INET:index=0": True,
            "haproxy:tcp:7000": True,
            "haproxy:tcp:7000:interface=127.0.0.1": False,
            "haproxy:unix:/run/x": False,
            "no-such-type:x": True,
        }.items():
            self.assertEqual(exposed, listener(text).exposed, text)

    def test_exposed_dialling(self) -> None:
        for text, exposed in {
            "tcp:example.com:7000": True,
            "tcp:127.0.0.1:7000": False,
            "tcp:host=localhost:port=7000": False,
            "tcp:port=7000:host=10.0.0.1": True,
            "unix:/run/reitunnel.sock": False,
            "tls:example.com:7000": False,
            "onion:abcdef.onion:7000": False,
        }.items():
            address = parse_link_address(text, listening=False)
            self.assertEqual(exposed, address.exposed, text)

    def test_tls(self) -> None:
        """
        TLS that an endpoint of another house speaks is not ours to bind to.
        """
        for text, tls in {
            "unix:/run/x": False,
            "tcp:7000": False,
            "ssl:7000": None,
        }.items():
            self.assertEqual(tls, listener(text).tls, text)

    def test_refused(self) -> None:
        for text in ("", "tcp", "7000", "/run/x", "a b:c", ":7000"):
            error = self.assertRaises(ValueError, listener, text)
            self.assertEqual(
                "expected a URL such as tls://0.0.0.0:7000 or a Twisted endpoint "
                f'description, got "{text}"',
                str(error),
            )


class BindTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        for text, address in {
            "127.0.0.1": "127.0.0.1",
            "0.0.0.0": "0.0.0.0",
            "::": "::",
            "0:0:0:0:0:0:0:1": "::1",
            "localhost": "127.0.0.1",
            "*": "*",
        }.items():
            self.assertEqual(address, parse_bind(text))

    def test_refused(self) -> None:
        for text in ("", "example.com", "127.1", "[::1]", "1.2.3.4:80"):
            error = self.assertRaises(ValueError, parse_bind, text)
            self.assertEqual(
                f'expected an IP address, "localhost" or "*", got "{text}"', str(error)
            )


class TargetTests(SynchronousTestCase):
    def test_hosts(self) -> None:
        for text, target in {
            "localhost:8080": HostTarget("localhost", 8080),
            "10.0.0.1:1": HostTarget("10.0.0.1", 1),
            "[::1]:65535": HostTarget("::1", 65535),
            "my_host.example:80": HostTarget("my_host.example", 80),
        }.items():
            self.assertEqual(target, parse_target(text))

    def test_unix(self) -> None:
        self.assertEqual(
            UnixTarget(Path("/run/a:b.sock")), parse_target("unix:/run/a:b.sock")
        )

    def test_refused(self) -> None:
        for text in (
            "",
            ":",
            "8080",
            ":8080",
            "localhost",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            "localhost:+80",
            "localhost:\uff18\uff10",
            "localhost: 80",
            "lo cal:80",
            "::1:80",
            "[::1]",
            "[localhost]:80",
            "http://localhost:80",
        ):
            error = self.assertRaises(ValueError, parse_target, text)
            self.assertEqual(
                f'expected "host:port" or "unix:/path", got "{text}"', str(error)
            )

    def test_unix_refused(self) -> None:
        for text in ("unix:", "unix:relative", "unix:/a\0b"):
            error = self.assertRaises(ValueError, parse_target, text)
            self.assertEqual(
                f'expected an absolute path after "unix:", got "{text}"', str(error)
            )


class MonitorAddressTests(SynchronousTestCase):
    """
    Where the pages of a running process are.
    """

    def test_good(self) -> None:
        for text, address in {
            "127.0.0.1:9100": HostTarget("127.0.0.1", 9100),
            "localhost:0": HostTarget("127.0.0.1", 0),
            "0.0.0.0:80": HostTarget("0.0.0.0", 80),
            "[::1]:9100": HostTarget("::1", 9100),
            "unix:/run/x.sock": UnixTarget(Path("/run/x.sock")),
        }.items():
            self.assertEqual(address, parse_monitor_address(text), text)

    def test_refused(self) -> None:
        for text in (
            "",
            "9100",
            ":9100",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:65536",
            "::1:9100",
            "example.com:9100",
            "http://127.0.0.1:9100",
        ):
            error = self.assertRaises(ValueError, parse_monitor_address, text)
            self.assertEqual(
                'expected "address:port", with an IP address, or "unix:/path", got '
                f'"{text}"',
                str(error),
            )
        error = self.assertRaises(ValueError, parse_monitor_address, "unix:x")
        self.assertIn("expected an absolute path", str(error))


class AnyTextTests(SynchronousTestCase):
    """
    No text does more than raise L{ValueError}, with one line for people.
    """

    @given(st.text(alphabet=st.sampled_from("tcplsw:/[]@?#%=\\*.0123456789é \n\0")))
    def test_any(self, text: str) -> None:
        for parse in (listener, parse_bind, parse_target, parse_monitor_address):
            try:
                parse(text)
            except ValueError as error:
                self.assertTrue(str(error))
