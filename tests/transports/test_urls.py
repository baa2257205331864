"""
Tests of L{reitunnel.transports.urls}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.transports import LinkURL


class ParseTests(SynchronousTestCase):
    def parts(self, text: str) -> tuple[str, str, int, str]:
        url = LinkURL.parse(text)
        self.assertEqual(text, url.text)
        self.assertEqual(text, str(url))
        return url.scheme, url.host, url.port, url.path

    def assert_refused(self, text: str, reason: str) -> None:
        error = self.assertRaises(ValueError, LinkURL.parse, text)
        self.assertIn(reason, str(error))
        self.assertNotIn("\n", str(error))

    def test_every_part(self) -> None:
        self.assertEqual(
            ("ws", "example.com", 8080, "/a/b"),
            self.parts("ws://example.com:8080/a/b"),
        )

    def test_plain(self) -> None:
        self.assertEqual(("tcp", "h", 7000, ""), self.parts("tcp://h:7000"))
        self.assertEqual(("tls", "h", 7000, ""), self.parts("tls://h:7000/"))

    def test_default_ports(self) -> None:
        self.assertEqual(("ws", "h", 80, "/"), self.parts("ws://h"))
        self.assertEqual(("wss", "h", 443, "/x"), self.parts("wss://h/x"))

    def test_port_needed(self) -> None:
        self.assert_refused("tcp://h", "names no port")
        self.assert_refused("tls://h", "names no port")

    def test_upper_case(self) -> None:
        self.assertEqual(
            ("tls", "example.com", 1, ""), self.parts("TLS://Example.COM:1")
        )

    def test_ipv6(self) -> None:
        self.assertEqual(("tls", "::1", 7000, ""), self.parts("tls://[::1]:7000"))
        self.assertEqual(("ws", "::", 80, "/"), self.parts("ws://[::]"))

    def test_ipv6_wrong(self) -> None:
        self.assert_refused("tls://::1:7000", "needs brackets")
        self.assert_refused("tls://[::1:7000", "a bracket is wrong")
        self.assert_refused("tls://[::1]7000", "a bracket is wrong")
        self.assert_refused("tls://[1.2.3.4]:7000", "not an IPv6 address")

    def test_ipv4(self) -> None:
        self.assertEqual(("tcp", "0.0.0.0", 0, ""), self.parts("tcp://0.0.0.0:0"))

    def test_international_name(self) -> None:
        self.assertEqual(
            ("wss", "xn--bcher-kva.example", 443, "/"),
            self.parts("wss://Bücher.example"),
        )

    def test_no_host(self) -> None:
        self.assert_refused("tls://:7000", "names no host")
        self.assert_refused("ws:///x", "names no host")

    def test_no_host_name(self) -> None:
        for name in ("-a", "a..b", "a*b", "a" * 64, ".".join(["a" * 60] * 5)):
            self.assert_refused(f"tls://{name}:1", "is not a host name")
        self.assert_refused(
            "tls://\N{SNOWMAN}\N{COMBINING ACUTE ACCENT}.x:1", "host name"
        )

    def test_ports_that_are_none(self) -> None:
        for port in ("", "x", "-1", "+1", "1_0", "\N{ARABIC-INDIC DIGIT ONE}"):
            self.assert_refused(f"tls://h:{port}", "is not a port")
        self.assert_refused("tls://h:65536", "there is no port 65536")

    def test_credentials_are_refused_and_not_repeated(self) -> None:
        error = self.assertRaises(ValueError, LinkURL.parse, "tls://me:hunter2@h:1")
        self.assertIn("user name", str(error))
        self.assertNotIn("hunter2", str(error))

    def test_query_and_fragment(self) -> None:
        self.assert_refused("ws://h/?a=b", "has a query")
        self.assert_refused("ws://h?a=b", "has a query")
        self.assert_refused("ws://h/#a", "has a query")

    def test_path_where_there_is_none(self) -> None:
        self.assert_refused("tls://h:1/x", "has a path")

    def test_path_that_is_none(self) -> None:
        self.assert_refused("ws://h/<", "escape it with %")

    def test_blanks(self) -> None:
        for text in ("ws://h/a b", "ws://h\n", " ws://h", "ws://h/\r\nHost:x"):
            self.assert_refused(text, "has blanks")

    def test_empty(self) -> None:
        self.assert_refused("", "empty")
        self.assert_refused("  ", "empty")

    def test_unknown_scheme(self) -> None:
        self.assert_refused("http://h", "http:// is not known")
        self.assert_refused("://h", "has no scheme")

    def test_endpoint_description(self) -> None:
        self.assertEqual(("endpoint", "", 0, ""), self.parts("unix:/run/x.sock"))

    def test_equality(self) -> None:
        self.assertEqual(LinkURL.parse("ws://h"), LinkURL.parse("ws://h"))
        self.assertNotEqual(LinkURL.parse("ws://h"), LinkURL.parse("wss://h"))

    @given(st.text(max_size=40))
    def test_whatever_is_written(self, text: str) -> None:
        for candidate in (text, f"ws://{text}", f"tls://h:{text}", f"wss://h/{text}"):
            try:
                url = LinkURL.parse(candidate)
            except ValueError as error:
                self.assertNotEqual("", str(error))
                continue
            self.assertEqual(candidate, url.text)
            if url.scheme != "endpoint":
                self.assertTrue(url.host.isascii())
                self.assertTrue(0 <= url.port <= 65535)
