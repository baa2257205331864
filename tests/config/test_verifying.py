"""
Tests of what is refused of a configuration that was made in code.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import AuthSettings, Client, ClientConfig, Secret, Server, ServerConfig
from reitunnel.config import (
    Monitoring,
    TunnelSettings,
    verify_client_config,
    verify_server_config,
)
from reitunnel.errors import ConfigError


class VerifyingTestCase(SynchronousTestCase):
    def mistakes(self, call: Callable[[], object]) -> list[str]:
        """
        What a call finds wrong.
        """
        error = self.assertRaises(ConfigError, call)
        return [str(mistake) for mistake in error.mistakes]

    def tokens(self) -> Path:
        """
        A file of tokens, without any.
        """
        file = Path(self.mktemp())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(0o600)
        return file


class ServerTests(VerifyingTestCase):
    def test_no_authentication(self) -> None:
        config = ServerConfig(listen=("tcp://127.0.0.1:7000",))
        [wrong] = self.mistakes(lambda: verify_server_config(config))
        self.assertTrue(wrong.startswith("auth: anybody could open tunnels"), wrong)
        reactor = MemoryReactorClock()
        self.assertEqual([wrong], self.mistakes(lambda: Server(reactor, config)))

    def test_plaintext(self) -> None:
        config = ServerConfig(
            listen=("tcp://0.0.0.0:7000",), auth=AuthSettings(tokens=self.tokens())
        )
        [wrong] = self.mistakes(lambda: verify_server_config(config))
        self.assertIn("plaintext beyond this machine", wrong)

    def test_not_an_address(self) -> None:
        config = ServerConfig(
            listen=("tcp://127.0.0.1:7000", "tls://x"), insecure_no_auth=True
        )
        self.assertEqual(
            ['listen[1]: "tls://x" names no port'],
            self.mistakes(lambda: verify_server_config(config)),
        )

    def test_monitoring(self) -> None:
        for address, said in (("x", "expected"), ("0.0.0.0:1", "would show everybody")):
            config = ServerConfig(
                listen=(),
                insecure_no_auth=True,
                monitoring=Monitoring(listen=address),
            )
            [wrong] = self.mistakes(functools.partial(verify_server_config, config))
            self.assertIn("monitoring.listen: ", wrong)
            self.assertIn(said, wrong)

    def test_told_so(self) -> None:
        verify_server_config(
            ServerConfig(
                listen=("tcp://0.0.0.0:7000",),
                insecure_no_auth=True,
                insecure_plaintext=True,
            )
        )

    def test_without_listeners(self) -> None:
        """
        Its links come by another way.
        """
        verify_server_config(
            ServerConfig(listen=(), auth=AuthSettings(tokens=self.tokens()))
        )


class ClientTests(VerifyingTestCase):
    def test_plaintext(self) -> None:
        config = ClientConfig(server="tcp://example.com:7000")
        [wrong] = self.mistakes(lambda: verify_client_config(config))
        self.assertIn("would be used in plaintext", wrong)
        reactor = MemoryReactorClock()
        self.assertEqual([wrong], self.mistakes(lambda: Client(reactor, config)))

    def test_not_an_address(self) -> None:
        config = ClientConfig(server="example.com")
        [wrong] = self.mistakes(lambda: verify_client_config(config))
        self.assertTrue(wrong.startswith("server: expected a URL such as"), wrong)

    def test_token_file_that_nobody_reads(self) -> None:
        file = Path("token")
        config = ClientConfig(server="tls://example.com:7000", token_file=file)
        self.assertEqual(
            [
                "token_file: is read by load_client_config only: give the token itself",
            ],
            self.mistakes(lambda: verify_client_config(config)),
        )

    def test_token_file_that_was_read(self) -> None:
        """
        That is what the loader returns.
        """
        verify_client_config(
            ClientConfig(
                server="tls://example.com:7000",
                token_file=Path("token"),
                token=Secret("x"),
            )
        )

    def test_without_tunnels(self) -> None:
        """
        They may be opened later.
        """
        verify_client_config(ClientConfig(server="tls://example.com:7000"))

    def test_same_port_twice(self) -> None:
        tunnel = TunnelSettings(port=8000, target="localhost:80")
        config = ClientConfig(server="tcp://localhost:7000", tunnels=(tunnel, tunnel))
        self.assertEqual(
            ["tunnels: port 8000 is asked for twice"],
            self.mistakes(lambda: verify_client_config(config)),
        )
