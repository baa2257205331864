"""
Tests of L{reitunnel.config.parse_remote}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.config import TunnelSettings, parse_remote, parse_target


class RemoteTests(SynchronousTestCase):
    def test_forms(self) -> None:
        for text, (bind, port, target) in {
            "6000:localhost:8080": ("", 6000, "localhost:8080"),
            "0:localhost:8080": ("", 0, "localhost:8080"),
            "127.0.0.1:6000:localhost:8080": ("127.0.0.1", 6000, "localhost:8080"),
            "localhost:6000:localhost:8080": ("127.0.0.1", 6000, "localhost:8080"),
            "*:6000:localhost:8080": ("*", 6000, "localhost:8080"),
            ":6000:localhost:8080": ("*", 6000, "localhost:8080"),
            "[::1]:6000:[fe80::1]:8080": ("::1", 6000, "[fe80::1]:8080"),
            "[::]:6000:10.0.0.1:80": ("::", 6000, "10.0.0.1:80"),
            "6000:[::1]:8080": ("", 6000, "[::1]:8080"),
            "6000:unix:/run/app.sock": ("", 6000, "unix:/run/app.sock"),
            "6000:unix:/run/a:1": ("", 6000, "unix:/run/a:1"),
            "[::1]:0:unix:/run/[a]": ("::1", 0, "unix:/run/[a]"),
        }.items():
            self.assertEqual(
                TunnelSettings(bind=bind, port=port, target=target),
                parse_remote(text),
                text,
            )

    def test_incomplete(self) -> None:
        for text in (
            "",
            "6000",
            "6000:",
            "localhost:8080",
            "localhost",
            "[::1]",
            "[::1",
            "[::1]6000:localhost:8080",
        ):
            error = self.assertRaises(ValueError, parse_remote, text)
            self.assertEqual(
                "expected [bind:]port:host:hostport or [bind:]port:unix:/path, "
                f'got "{text}"',
                str(error),
            )

    def test_wrong(self) -> None:
        for text, message in {
            "65536:localhost:80": 'expected a port from 0 to 65535, got "65536"',
            "127.0.0.1:x:localhost:80": 'expected a port from 0 to 65535, got "x"',
            "web:6000:localhost:80": (
                'expected an IP address, "localhost" or "*", got "web"'
            ),
            "[]:6000:localhost:80": (
                'expected an IP address, "localhost" or "*", got "[]"'
            ),
            "::1:6000:localhost:80": 'expected a port from 0 to 65535, got ""',
            "6000:localhost:0": (
                'expected "host:port" or "unix:/path", got "localhost:0"'
            ),
            "6000:localhost": 'expected "host:port" or "unix:/path", got "localhost"',
            "6000:unix:x": 'expected an absolute path after "unix:", got "unix:x"',
        }.items():
            error = self.assertRaises(ValueError, parse_remote, text)
            self.assertEqual(f'"{text}": {message}', str(error))

    @given(
        bind=st.one_of(st.none(), st.ip_addresses()),
        port=st.integers(0, 65535),
        host=st.one_of(st.ip_addresses(), st.just("localhost")),
        target_port=st.integers(1, 65535),
    )
    def test_every_address(
        self, bind: object, port: int, host: object, target_port: int
    ) -> None:
        def bracketed(value: object) -> str:
            return f"[{value}]" if ":" in str(value) else str(value)

        target = f"{bracketed(host)}:{target_port}"
        prefix = "" if bind is None else f"{bracketed(bind)}:"
        tunnel = parse_remote(f"{prefix}{port}:{target}")
        self.assertEqual("" if bind is None else str(bind), tunnel.bind)
        self.assertEqual((port, target), (tunnel.port, tunnel.target))

    @given(st.text(alphabet=st.sampled_from("0123456789:[]*unix/.lo -")))
    def test_any_text(self, text: str) -> None:
        """
        Whatever the text, it is a tunnel whose parts make sense, or refused.
        """
        try:
            tunnel = parse_remote(text)
        except ValueError as error:
            self.assertIn(text, str(error))
        else:
            parse_target(tunnel.target)
