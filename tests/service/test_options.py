"""
Tests of L{reitunnel.service.options}.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, get_args

import msgspec
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.config import (
    ClientConfig,
    PortRange,
    ServerConfig,
    TunnelSettings,
    flag_name,
)
from reitunnel.errors import ConfigError
from reitunnel.service.options import (
    CLIENT,
    SERVER,
    ClientOptions,
    ConfigOptions,
    Flag,
    ServerOptions,
    ServiceOptions,
)

OPEN = ("--listen", "tcp://127.0.0.1:0", "--insecure-no-auth")
SIDES: Sequence[
    tuple[type[ConfigOptions], Sequence[Flag], type[ServerConfig | ClientConfig]]
] = ((ServerOptions, SERVER, ServerConfig), (ClientOptions, CLIENT, ClientConfig))


def server(*arguments: str) -> ServerConfig:
    options = ServerOptions()
    options.parseOptions(arguments)
    return options.configuration()


def client(*arguments: str) -> ClientConfig:
    options = ClientOptions()
    options.parseOptions(arguments)
    return options.configuration()


def default_of(kind: type, path: str) -> Any:
    """
    The default of a key.
    """
    for key in path.split("."):
        [field] = [each for each in msgspec.structs.fields(kind) if each.name == key]
        value = field.default
        kind = type(value)
    return value


class FlagTests(SynchronousTestCase):
    """
    The flags and the keys that they stand for agree.
    """

    def test_names(self) -> None:
        """
        A mistake in a flag's value names the flag.
        """
        for _, flags, _ in SIDES:
            for flag in flags:
                self.assertEqual(f"--{flag.name}", flag_name(flag.key))

    def test_defaults(self) -> None:
        """
        The defaults that the help says are those of the configuration.
        """
        for _, flags, kind in SIDES:
            for flag in flags:
                shown = re.search(r"\[default: (.*)\]", flag.meaning)
                default = default_of(kind, flag.key)
                if shown is not None:
                    if isinstance(default, float):
                        default = int(default)
                    self.assertEqual(str(default), shown[1], flag.name)
                else:
                    self.assertIn(default, (None, False), flag.name)

    def test_choices(self) -> None:
        """
        The help says every choice there is.
        """
        count = 0
        for _, flags, kind in SIDES:
            for flag in flags:
                for choice in choices_of(kind, flag.key):
                    self.assertRegex(flag.meaning, rf"\b{choice}\b")
                    count += 1
        self.assertTrue(count > 20, count)

    def test_documented(self) -> None:
        """
        docs/configuration.md has a row for each flag.
        """
        root = Path(__file__).resolve().parents[2]
        text = (root / "docs" / "configuration.md").read_text()
        pairs = set(
            re.findall(r"^\| `--([-\w]+)` \| `([\w.]+)` \|", text, re.MULTILINE)
        )
        expected = {(flag.name, flag.key) for flag in (*SERVER, *CLIENT)}
        self.assertEqual(
            {("listen", "listen"), ("ports", "policy.ports")}, pairs - expected
        )
        self.assertEqual(set(), expected - pairs)


def choices_of(kind: type, path: str) -> tuple[str, ...]:
    """
    What a key may be, if that is one of a few words.
    """
    for key in path.split("."):
        [field] = [each for each in msgspec.structs.fields(kind) if each.name == key]
        found, kind = field.type, type(field.default)
    return tuple(each for each in get_args(found) if isinstance(each, str))


class ServerOptionsTests(SynchronousTestCase):
    def test_listen_repeats(self) -> None:
        config = server(*OPEN, "--listen=tcp://127.0.0.1:7001")
        self.assertEqual(("tcp://127.0.0.1:0", "tcp://127.0.0.1:7001"), config.listen)

    def test_ports_repeat(self) -> None:
        config = server(*OPEN, "--ports", "8080", "--ports", "9000-9009")
        ports = (PortRange(8080, 8080), PortRange(9000, 9009))
        self.assertEqual(ports, config.policy.ports)

    def test_every_flag(self) -> None:
        """
        Each flag sets its key.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        for name in ("pem", "tokens", "ca"):
            (directory / name).write_text("")
        config = server(
            "--listen", "tls://127.0.0.1:0", "--pem", f"{directory}/pem",
            "--tokens", f"{directory}/tokens", "--client-ca", f"{directory}/ca",
            "--require", "any", "--channel-binding", "require", "--max-conns", "7",
            "--timeout", "9", "--drain-timeout", "0", "--preset", "latency",
            "--buffer-size", "8192", "--log-format", "json", "--log-level", "debug",
            "--insecure-plaintext", "--timeout-preset", "unreliable",
        )  # fmt: skip
        auth = config.auth
        self.assertEqual(("pem", "tokens", "ca"), tuple(
            path.name for path in (config.pem, auth.tokens, auth.client_ca) if path
        ))  # fmt: skip
        self.assertEqual(("any", "require"), (auth.require, auth.channel_binding))
        self.assertEqual(7, config.limits.max_conns)
        self.assertEqual((9.0, 9.0), (config.timeouts.base, config.timeouts.handshake))
        self.assertEqual("unreliable", config.timeouts.preset)
        self.assertEqual(120.0, config.timeouts.stream_open)
        self.assertEqual(0.0, config.timeouts.drain)
        self.assertEqual(
            ("latency", 8192), (config.tuning.preset, config.tuning.buffer_size)
        )
        self.assertEqual(("json", "debug"), (config.log_format, config.log_level))
        self.assertTrue(config.insecure_plaintext)
        self.assertFalse(config.insecure_no_auth)
        self.assertTrue(server(*OPEN).insecure_no_auth)

    def test_flags_win_over_the_file(self) -> None:
        path = Path(self.mktemp())
        path.write_text('listen = ["tcp://127.0.0.1:1"]\nlog_level = "warn"\n')
        config = server("--config", str(path), *OPEN)
        self.assertEqual(("tcp://127.0.0.1:0",), config.listen)
        self.assertEqual("warn", config.log_level)
        self.assertEqual("error", server("-c", str(path), *OPEN, "--log-level=error")
                         .log_level)  # fmt: skip

    def test_mistakes_name_the_flag(self) -> None:
        error = self.assertRaises(
            ConfigError, server, *OPEN, "--max-conns", "x", "--ports", "0",
            "--drain-timeout", "-1",
        )  # fmt: skip
        self.assertEqual(
            ["--drain-timeout", "--max-conns", "--ports"],
            sorted(mistake.path for mistake in error.mistakes),
        )

    def test_arguments(self) -> None:
        """
        A server takes no argument.
        """
        self.assertRaises(UsageError, server, *OPEN, "tcp://127.0.0.1:1")

    def test_value_for_a_switch(self) -> None:
        self.assertRaises(UsageError, server, "--insecure-no-auth=no")


class ClientOptionsTests(SynchronousTestCase):
    URL = "tcp://127.0.0.1:7000"

    def test_flags_after_the_url(self) -> None:
        """
        Flags may stand before and after the server's address.
        """
        for arguments in (
            (self.URL, "-R", "6000:localhost:8080", "--client-id", "desk"),
            ("-R", "6000:localhost:8080", self.URL, "--client-id=desk"),
            ("--remote=6000:localhost:8080", "--client-id", "desk", "--", self.URL),
        ):
            config = client(*arguments)
            self.assertEqual(self.URL, config.server)
            self.assertEqual("desk", config.client_id)
            self.assertEqual(
                (TunnelSettings(port=6000, target="localhost:8080"),), config.tunnels
            )

    def test_remotes_repeat(self) -> None:
        config = client(
            self.URL, "-R0:unix:/run/a", "-R", "*:80:[::1]:81", "--insecure-plaintext"
        )
        self.assertEqual(
            (
                TunnelSettings(port=0, target="unix:/run/a"),
                TunnelSettings(port=80, bind="*", target="[::1]:81"),
            ),
            config.tunnels,
        )

    def test_every_flag(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        for name in ("ca", "pem", "token"):
            path = directory / name
            path.touch(0o600)
            path.write_text("secret")
        config = client(
            "tls://example.com:7000", "-R", "0:h:1", "--ca", f"{directory}/ca",
            "--pem", f"{directory}/pem", "--server-name", "name", "--token-file",
            f"{directory}/token", "--channel-binding", "require", "--client-id", "id",
            "--carrier", "direct", "--pool-size", "3", "--timeout", "9",
            "--drain-timeout", "1.5", "--preset", "throughput", "--buffer-size",
            "16384", "--log-format", "json", "--log-level", "error",
            "--insecure-plaintext",
        )  # fmt: skip
        self.assertEqual(("ca", "pem"), tuple(
            path.name for path in (config.ca, config.pem) if path
        ))  # fmt: skip
        self.assertEqual("secret", config.token.reveal() if config.token else "")
        self.assertEqual(
            ("name", "require", "id", "direct", 3),
            (
                config.server_name,
                config.channel_binding,
                config.client_id,
                config.carrier,
                config.pool_size,
            ),
        )
        self.assertEqual((9.0, 1.5), (config.timeouts.connect, config.timeouts.drain))
        self.assertEqual(
            ("throughput", 16384), (config.tuning.preset, config.tuning.buffer_size)
        )
        self.assertEqual(("json", "error"), (config.log_format, config.log_level))
        self.assertTrue(config.insecure_plaintext)

    def test_two_servers(self) -> None:
        error = self.assertRaises(UsageError, client, self.URL, "tcp://h:1")
        self.assertEqual(f"more than one server: {self.URL} tcp://h:1", str(error))

    def test_server_from_the_file(self) -> None:
        path = Path(self.mktemp())
        path.write_text(f'server = "{self.URL}"\n')
        self.assertEqual(self.URL, client("-c", str(path), "-R", "0:h:1").server)

    def test_unknown_flag(self) -> None:
        for arguments in (("--nope",), (self.URL, "--nope"), ("-R",)):
            self.assertRaises(UsageError, client, *arguments)


class ServiceOptionsTests(SynchronousTestCase):
    def test_commands(self) -> None:
        options = ServiceOptions()
        options.parseOptions(["client", "tcp://127.0.0.1:1", "-R", "0:h:1"])
        self.assertIsInstance(options.subOptions, ClientOptions)
        options = ServiceOptions()
        options.parseOptions(["server", *OPEN])
        self.assertIsInstance(options.subOptions, ServerOptions)

    def test_no_command(self) -> None:
        self.assertRaises(UsageError, ServiceOptions().parseOptions, [])

    def test_unknown_command(self) -> None:
        self.assertRaises(UsageError, ServiceOptions().parseOptions, ["serve"])


class HelpTests(SynchronousTestCase):
    def shown(self, *arguments: str) -> str:
        """
        What is printed before it exits with 0.
        """
        out = StringIO()
        with redirect_stdout(out):
            left = self.assertRaises(
                SystemExit, ServiceOptions().parseOptions, arguments
            )
        self.assertEqual(0, left.code)
        return out.getvalue()

    def test_every_flag(self) -> None:
        for command, flags in (("server", SERVER), ("client", CLIENT)):
            text = self.shown(command, "--help")
            self.assertTrue(text.startswith(f"Usage: [twistd -n] reitunnel {command} "))
            for flag in flags:
                self.assertIn(f" --{flag.name}", text)
            self.assertNotRegex(text, r"\S {3,}\S.* {3,}\S")

    def test_commands(self) -> None:
        text = self.shown("--help")
        self.assertRegex(text, r"\n    server +Take clients")
        self.assertRegex(text, r"\n    client +Connect services")

    def test_version(self) -> None:
        for arguments in (("--version",), ("server", "--version")):
            self.assertRegex(self.shown(*arguments), r"\Areitunnel \d+\.\d+.*\n\Z")
