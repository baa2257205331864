"""
Tests of L{reitunnel.config.load_server_config} and
L{reitunnel.config.load_client_config}.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.config import (
    ClientConfig,
    ClientPolicy,
    HookSettings,
    PortRange,
    Secret,
    ServerConfig,
    TunnelSettings,
    flag_name,
    load_client_config,
    load_server_config,
)
from reitunnel.errors import ConfigError


class LoadingTestCase(SynchronousTestCase):
    """
    Writes files, and loads them.
    """

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        # The real one may have a token.
        self.environ: dict[str, str] = {}

    def write(self, name: str, text: str, mode: int = 0o600) -> Path:
        """
        Write a file that only its owner can read, unless told otherwise.
        """
        path = self.directory / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def server(self, text: str, **flags: Any) -> ServerConfig:
        """
        Load a server's file. Flags are given with C{__} for a dot.
        """
        return load_server_config(self.write("server.toml", text), dotted(flags))

    def client(self, text: str, **flags: Any) -> ClientConfig:
        """
        Load a client's file.
        """
        path = self.write("client.toml", text)
        return load_client_config(path, dotted(flags), self.environ)

    def mistakes(
        self, load: Callable[..., object], *args: Any, **flags: Any
    ) -> list[str]:
        """
        The lines of the error that loading gives.
        """
        error = self.assertRaises(ConfigError, load, *args, **flags)
        lines = str(error).splitlines()
        self.assertEqual(lines, [str(mistake) for mistake in error.mistakes])
        return lines


def dotted(flags: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("__", "."): value for key, value in flags.items()}


OPEN = 'listen = ["tcp://127.0.0.1:7000"]\ninsecure_no_auth = true\n'
"""The least that a server's file must say."""

TO = 'server = "tls://example.com:7000"\n[[tunnels]]\nport = 6000\ntarget = "a:1"\n'
"""The least that a client's file must say."""


class ServerTests(LoadingTestCase):
    def test_defaults(self) -> None:
        self.assertEqual(
            ServerConfig(listen=("tcp://127.0.0.1:7000",), insecure_no_auth=True),
            self.server(OPEN),
        )

    def test_every_table(self) -> None:
        config = self.server(
            OPEN
            + """
            log_format = "json"
            [policy]
            ports = ["2000-3000", 8080, "80"]
            bind = ["localhost", "0:0:0:0:0:0:0:1"]
            [policy.clients."token:w*"]
            ports = [443]
            [limits]
            max_conns = 5
            [timeouts]
            hook = 1
            drain = 0
            [tuning]
            nodelay = false
            [[hooks]]
            name = "logging"
            sample = 3
            inner = { a = [1] }
            """
        )
        self.assertEqual("json", config.log_format)
        self.assertEqual(
            (PortRange(2000, 3000), PortRange(8080, 8080), PortRange(80, 80)),
            config.policy.ports,
        )
        self.assertEqual(("127.0.0.1", "::1"), config.policy.bind)
        self.assertEqual(
            {"token:w*": ClientPolicy(ports=(PortRange(443, 443),))},
            config.policy.clients,
        )
        self.assertEqual(5, config.limits.max_conns)
        self.assertEqual((1.0, 0.0), (config.timeouts.hook, config.timeouts.drain))
        self.assertIsInstance(config.timeouts.hook, float)
        self.assertFalse(config.tuning.nodelay)
        self.assertEqual(
            (
                HookSettings(
                    name="logging",
                    options={"sample": 3, "inner": {"a": [1]}},
                    directory=self.directory.absolute(),
                ),
            ),
            config.hooks,
        )

    def test_without_a_file(self) -> None:
        config = load_server_config(
            None, {"listen": ["tcp://127.0.0.1:7000"], "insecure_no_auth": True}
        )
        self.assertEqual(("tcp://127.0.0.1:7000",), config.listen)

    def test_paths_are_relative_to_the_file(self) -> None:
        self.write("tokens.toml", "")
        (self.directory / "pem").mkdir()
        config = self.server(
            'listen = ["tls://0.0.0.0:7000"]\npem = "pem"\n'
            'auth.tokens = "tokens.toml"\n'
        )
        directory = self.directory.absolute()
        self.assertEqual(directory / "tokens.toml", config.auth.tokens)
        self.assertEqual(directory / "pem", config.pem)

    def test_paths_of_flags_are_relative_to_the_working_directory(self) -> None:
        self.write("tokens.toml", "")
        path = self.directory / "tokens.toml"
        config = self.server(
            'listen = ["tcp://127.0.0.1:7000"]\n', auth__tokens=str(path)
        )
        self.assertEqual(path.absolute(), config.auth.tokens)

    def test_home_directory(self) -> None:
        self.write("tokens.toml", "")
        home = self.directory.absolute()
        self.patch(os, "environ", {**os.environ, "HOME": str(home)})
        config = self.server(
            'listen = ["tcp://127.0.0.1:7000"]\nauth.tokens = "~/tokens.toml"\n'
        )
        self.assertEqual(home / "tokens.toml", config.auth.tokens)

    def test_home_directory_of_nobody(self) -> None:
        error = self.assertRaises(
            ConfigError,
            self.server,
            'listen = ["tcp://127.0.0.1:7000"]\nauth.tokens = "~no-such-user/tokens"\n',
        )
        message = 'auth.tokens: no home directory for "~no-such-user/tokens"'
        self.assertIn(message, str(error))


class FlagTests(LoadingTestCase):
    def test_win_over_the_file(self) -> None:
        config = self.server(
            OPEN + "limits = { max_conns = 5, max_clients = 6 }\n",
            listen=["tcp://127.0.0.1:1", "tcp://127.0.0.1:2"],
            limits__max_conns=7,
        )
        self.assertEqual(("tcp://127.0.0.1:1", "tcp://127.0.0.1:2"), config.listen)
        self.assertEqual((7, 6), (config.limits.max_conns, config.limits.max_clients))

    def test_none_is_no_flag(self) -> None:
        config = self.server(OPEN + "limits.max_conns = 5", limits__max_conns=None)
        self.assertEqual(5, config.limits.max_conns)

    def test_text_stands_for_other_types(self) -> None:
        config = self.server(
            OPEN, limits__max_conns="7", timeouts__hook="0.5", tuning__nodelay="false"
        )
        self.assertEqual(
            (7, 0.5, False),
            (config.limits.max_conns, config.timeouts.hook, config.tuning.nodelay),
        )

    def test_text_does_not_stand_for_other_types_in_the_file(self) -> None:
        self.assertEqual(
            ['limits.max_conns: expected an integer from 1 to 1000000, got "7"'],
            self.mistakes(self.server, OPEN + 'limits.max_conns = "7"'),
        )

    def test_mistakes_name_the_flag(self) -> None:
        self.assertEqual(
            [
                (
                    '--listen: "tcp://0.0.0.0:1" may listen in plaintext beyond this '
                    "machine: use tls:// or wss://, a loopback address, or say "
                    "insecure_plaintext (--insecure-plaintext)"
                )
            ],
            self.mistakes(self.server, OPEN, listen=["tcp://0.0.0.0:1"]),
        )
        for path, value, message in (
            ("listen", ["x"], "--listen: expected a URL such as tls://0.0.0.0:7000 or"),
            ("limits.max_conns", "x", "--max-conns: expected an integer from 1 to"),
            ("limits.max_conns", "1_0", "--max-conns: expected an integer from 1 to"),
            ("timeouts.base", "-1", "--timeout: expected a number above 0 and at most"),
            ("timeouts.base", "nan", "--timeout: expected a number above 0 and at"),
            ("tuning.preset", "fast", "--preset: expected one of "),
            ("auth.tokens", "/no/such", "--tokens: no such file: /no/such"),
        ):
            (line,) = self.mistakes(
                load_server_config,
                None,
                {"listen": ["tcp://127.0.0.1:1"], "insecure_no_auth": True}
                | {path: value}
                if path != "auth.tokens"
                else {"listen": ["tcp://127.0.0.1:1"], path: value},
            )
            self.assertTrue(line.startswith(message), line)

    def test_names(self) -> None:
        for path, flag in {
            "listen": "--listen",
            "auth.tokens": "--tokens",
            "timeouts.base": "--timeout",
            "tunnels": "-R",
        }.items():
            self.assertEqual(flag, flag_name(path))

    def test_table_that_is_none(self) -> None:
        """
        A flag for a key in what the file says is not a table does not hide it.
        """
        self.assertEqual(
            ["limits: expected a table, got 3"],
            self.mistakes(self.server, OPEN + "limits = 3", limits__max_conns=7),
        )


class ClientTests(LoadingTestCase):
    def test_defaults(self) -> None:
        self.assertEqual(
            ClientConfig(
                server="tls://example.com:7000",
                tunnels=(TunnelSettings(port=6000, target="a:1"),),
            ),
            self.client(TO),
        )

    def test_tunnels(self) -> None:
        config = self.client(
            """
            server = "wss://example.com/tunnel"
            [[tunnels]]
            port = 0
            bind = "localhost"
            target = "unix:/run/app.sock"
            metadata = { name = "app" }
            [[tunnels]]
            port = 6001
            target = "localhost:8080"
            """
        )
        self.assertEqual(
            (
                TunnelSettings(
                    port=0,
                    bind="127.0.0.1",
                    target="unix:/run/app.sock",
                    metadata={"name": "app"},
                ),
                TunnelSettings(port=6001, target="localhost:8080"),
            ),
            config.tunnels,
        )

    def test_remotes_replace_the_tables(self) -> None:
        config = self.client(TO, tunnels=["*:1:b:2", "0:unix:/x"])
        self.assertEqual(
            (
                TunnelSettings(bind="*", port=1, target="b:2"),
                TunnelSettings(port=0, target="unix:/x"),
            ),
            config.tunnels,
        )

    def test_bad_remotes(self) -> None:
        self.assertEqual(
            [
                (
                    "-R: expected [bind:]port:host:hostport or [bind:]port:unix:/path, "
                    'got "6000"'
                ),
                '-R: "1:a:0": expected "host:port" or "unix:/path", got "a:0"',
            ],
            self.mistakes(self.client, TO, tunnels=["6000", "1:a:2", "1:a:0"]),
        )

    def test_remotes_are_not_for_the_file(self) -> None:
        self.assertEqual(
            ['tunnels[0]: expected a table, got "6000:a:1"'],
            self.mistakes(self.client, 'server = "tls://h:1"\ntunnels = ["6000:a:1"]'),
        )


class TokenTests(LoadingTestCase):
    def test_in_the_file(self) -> None:
        self.assertEqual(Secret("t0"), self.client('token = "t0"\n' + TO).token)

    def test_in_a_file_of_its_own(self) -> None:
        path = self.write("token", "t1\n")
        config = self.client('token_file = "token"\n' + TO)
        self.assertEqual(Secret("t1"), config.token)
        self.assertEqual(path.absolute(), config.token_file)

    def test_in_the_environment(self) -> None:
        """
        It wins over the file, which need not have a token that can be read.
        """
        self.environ["REITUNNEL_TOKEN"] = " t2\n"
        for text in ("", 'token = "t0"\n', 'token_file = "/no/such"\n'):
            config = self.client(text + TO)
            self.assertEqual((Secret("t2"), None), (config.token, config.token_file))

    def test_empty_environment(self) -> None:
        self.environ["REITUNNEL_TOKEN"] = ""
        self.assertEqual(Secret("t0"), self.client('token = "t0"\n' + TO).token)

    def test_flag_wins(self) -> None:
        path = self.write("token", "t1\n")
        self.environ["REITUNNEL_TOKEN"] = "t2"
        config = self.client('token = "t0"\n' + TO, token_file=str(path))
        self.assertEqual(Secret("t1"), config.token)

    def test_both(self) -> None:
        self.write("token", "t1\n")
        self.assertEqual(
            ["token: contradicts token_file"],
            self.mistakes(self.client, 'token = "t0"\ntoken_file = "token"\n' + TO),
        )

    def test_open_to_others(self) -> None:
        path = self.write("token", "t1\n", 0o644)
        self.assertEqual(
            [
                (
                    "token_file: open to others (mode 0644) and holds a secret: "
                    f"chmod 600 {path.absolute()}"
                )
            ],
            self.mistakes(self.client, 'token_file = "token"\n' + TO),
        )

    def test_configuration_open_to_others(self) -> None:
        path = self.write("client.toml", 'token = "t0"\n' + TO, 0o604)
        self.assertEqual(
            [f"token: open to others (mode 0604) and holds a secret: chmod 600 {path}"],
            self.mistakes(load_client_config, path, {}, {}),
        )

    def test_open_to_others_without_a_token(self) -> None:
        path = self.write("client.toml", TO, 0o644)
        self.assertIsNone(load_client_config(path, {}, {}).token)

    def test_files_that_cannot_be_used(self) -> None:
        directory = self.directory.absolute()
        (self.directory / "directory").mkdir()
        os.mkfifo(self.directory / "fifo", 0o600)
        self.write("empty", " \n")
        self.write("large", "x" * 5000)
        (self.directory / "binary").write_bytes(b"\xff\xfe")
        for name, message in {
            "missing": "cannot be read: No such file or directory: {}",
            "directory": "cannot be read: Is a directory: {}",
            "fifo": "not a file: {}",
            "empty": "holds no token: {}",
            "large": "larger than 4096 bytes: {}",
            "binary": "not UTF-8 text at byte 0: {}",
        }.items():
            self.assertEqual(
                ["token_file: " + message.format(directory / name)],
                self.mistakes(self.client, f'token_file = "{name}"\n' + TO),
            )

    def test_never_in_a_message(self) -> None:
        """
        What stands where the token should is not shown: it may well be one.
        """
        for value in ('["hunter2"]', '{ hunter2 = "hunter2" }', '" "', "271828"):
            (line,) = self.mistakes(self.client, f"token = {value}\n" + TO)
            self.assertTrue(line.startswith("token: expected text, got "), line)
            self.assertNotIn("hunter2", line)
            self.assertNotIn("271828", line)


class FileTests(LoadingTestCase):
    def test_not_toml(self) -> None:
        for text, message in {
            "a = \n": "line 1: not TOML: invalid value",
            "\na = 1\na = 2\n": "line 3: not TOML: cannot overwrite a value",
            "[a]\n[a]\n": "line 2: not TOML: cannot declare ('a',) twice",
        }.items():
            path = self.write("x.toml", text)
            self.assertEqual(
                [f"{path}, {message}"], self.mistakes(load_server_config, path)
            )

    def test_end_of_the_file(self) -> None:
        path = self.write("x.toml", 'a = """x')
        (line,) = self.mistakes(load_server_config, path)
        self.assertTrue(line.startswith(f"{path}: not TOML: "), line)

    def test_nested_too_deeply(self) -> None:
        path = self.write("x.toml", "a = " + "[" * 100_000)
        (line,) = self.mistakes(load_server_config, path)
        self.assertTrue(line.startswith(f"{path}"), line)

    def test_cannot_be_read(self) -> None:
        missing = self.directory / "missing.toml"
        self.assertEqual(
            [f"{missing}: cannot be read: No such file or directory"],
            self.mistakes(load_server_config, missing),
        )
        self.assertEqual(
            [f"{self.directory}: cannot be read: Is a directory"],
            self.mistakes(load_client_config, self.directory),
        )

    def test_not_text(self) -> None:
        path = self.directory / "x.toml"
        path.write_bytes(b"a = '\xff'")
        self.assertEqual(
            [f"{path}: not UTF-8 text at byte 5"],
            self.mistakes(load_server_config, path),
        )


class MistakeTests(LoadingTestCase):
    def test_every_mistake_in_the_order_of_the_file(self) -> None:
        text = """
            pem = 5
            listen = ["x", 3, "tcp://0.0.0.0:7000"]
            log_level = "loud"
            max_clients = 1
            colour = "red"
            [limits]
            max_client = 3
            max_tunnels = 0
            max_conns = 1.5
            [policy]
            ports = [70000, true, "2-1", "1024-65535"]
            bind = ["foo"]
            clients."token:a b".bind = 3
            [timeouts]
            handshake = nan
            hook = true
            drain = -1
            [[hooks]]
            name = ""
            [[hooks]]
            option = 1
        """
        self.assertEqual(
            [
                "pem: expected a path, got 5",
                (
                    "listen[0]: expected a URL such as tls://0.0.0.0:7000 or a Twisted "
                    'endpoint description, got "x"'
                ),
                "listen[1]: expected text, got 3",
                (
                    'log_level: expected one of "critical", "debug", "error", "info", '
                    '"warn", got "loud"'
                ),
                'max_clients: unknown key; did you mean "limits.max_clients"?',
                "colour: unknown key",
                'limits.max_client: unknown key; did you mean "max_clients"?',
                "limits.max_tunnels: expected an integer from 1 to 1000000, got 0",
                "limits.max_conns: expected an integer from 1 to 1000000, got 1.5",
                (
                    "policy.ports[0]: expected a port from 1 to 65535 or a range "
                    'such as "1024-65535", got "70000"'
                ),
                "policy.ports[1]: expected a port or a range, got true",
                'policy.ports[2]: the range "2-1" ends before it begins',
                'policy.bind[0]: expected an IP address, "localhost" or "*", got "foo"',
                'policy.clients."token:a b".bind: expected a list, got 3',
                (
                    "timeouts.handshake: expected a number above 0 and at most 86400, "
                    "got NaN"
                ),
                "timeouts.hook: expected a number above 0 and at most 86400, got true",
                "timeouts.drain: expected a number from 0 to 86400, got -1",
                'hooks[0].name: expected text that is not empty, got ""',
                "hooks[1].name: missing",
                # And what only a combination shows.
                (
                    "auth: anybody could open tunnels: set auth.tokens (--tokens) or "
                    "auth.client_ca, or say insecure_no_auth (--insecure-no-auth)"
                ),
                (
                    'listen: "tcp://0.0.0.0:7000" may listen in plaintext beyond this '
                    "machine: use tls:// or wss://, a loopback address, or say "
                    "insecure_plaintext (--insecure-plaintext)"
                ),
            ],
            self.mistakes(self.server, text),
        )

    def test_missing_keys(self) -> None:
        self.assertEqual(
            ["listen: missing (--listen)"],
            self.mistakes(self.server, "insecure_no_auth = true"),
        )
        self.assertEqual(
            [
                "tunnels[0].target: missing",
                "tunnels[1].port: missing",
                "server: missing (the server's address)",
            ],
            self.mistakes(
                self.client, '[[tunnels]]\nport=1\n[[tunnels]]\ntarget="a:1"'
            ),
        )

    def test_empty_list(self) -> None:
        self.assertEqual(
            ["listen: expected at least one"],
            self.mistakes(self.server, "listen = []\ninsecure_no_auth = true"),
        )

    def test_wrong_shapes(self) -> None:
        for text, message in {
            "limits = []": "limits: expected a table, got a list",
            "hooks = {}": "hooks: expected a list, got a table",
            "hooks = [1]": "hooks[0]: expected a table, got 1",
            "policy.clients = 1": "policy.clients: expected a table, got 1",
            "log_format = 1979-05-27": (
                'log_format: expected one of "json", "text", got a date or time'
            ),
            "policy.clients.token = 1": "policy.clients.token: expected a table, got 1",
        }.items():
            self.assertEqual([message], self.mistakes(self.server, OPEN + text))

    def test_metadata(self) -> None:
        for metadata, message in {
            "{ a = 1 }": ".a: expected text of at most 1024 characters, got 1",
            "[]": ": expected a table, got a list",
            f'{{ {"k" * 256} = "" }}': (
                f".{'k' * 256}: expected text of at most 255 characters, "
                f'got "{"k" * 60}..."'
            ),
            "{" + ",".join(f'k{i} = ""' for i in range(33)) + "}": (
                ": expected at most 32 keys"
            ),
        }.items():
            self.assertEqual(
                ["tunnels[0].metadata" + message],
                self.mistakes(self.client, TO + f"metadata = {metadata}"),
            )

    def test_client_id(self) -> None:
        self.assertEqual(
            "laptop one", self.client('client_id = "laptop one"\n' + TO).client_id
        )
        for value in ("", " x", r"a\nb"):
            self.assertEqual(
                ["client_id: expected printable text without spaces around it"],
                self.mistakes(self.client, f'client_id = "{value}"\n' + TO),
            )

    def test_carrier(self) -> None:
        for carrier in ("auto", "mux", "direct"):
            config = self.client(f'carrier = "{carrier}"\n' + TO)
            self.assertEqual(carrier, config.carrier)
        self.assertEqual(
            ['carrier: expected one of "auto", "direct", "mux", got "pigeon"'],
            self.mistakes(self.client, 'carrier = "pigeon"\n' + TO),
        )

    def test_pool_size(self) -> None:
        for size in (0, 1, 100):
            self.assertEqual(size, self.client(f"pool_size = {size}\n" + TO).pool_size)
        for size in (-1, 101):
            self.assertEqual(
                [f"pool_size: expected an integer from 0 to 100, got {size}"],
                self.mistakes(self.client, f"pool_size = {size}\n" + TO),
            )

    def test_one_line_each(self) -> None:
        """
        Text from the file cannot break a message into lines.
        """
        self.assertEqual(
            [
                (
                    'log_level: expected one of "critical", "debug", "error", "info", '
                    r'"warn", got "a\nb"'
                )
            ],
            self.mistakes(self.server, OPEN + r'log_level = "a\nb"'),
        )
        (line,) = self.mistakes(self.server, OPEN + '"a\\nb" = 1')
        self.assertEqual(r'"a\nb": unknown key', line)


class ReadAgainTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()

    def test_client_without_tunnels(self) -> None:
        """
        It makes sense for a program that opens them itself.
        """
        file = self.directory / "client.toml"
        file.write_text('server = "tls://example.com:7000"\n')
        config = load_client_config(file, environ={}, needs_tunnels=False)
        self.assertEqual((), config.tunnels)
        with self.assertRaises(ConfigError) as caught:
            load_client_config(file, environ={})
        [mistake] = caught.exception.mistakes
        self.assertEqual("tunnels", mistake.path)

    def test_directory(self) -> None:
        """
        Paths are relative to it, wherever the process is by now.
        """
        (self.directory / "a").mkdir()
        file = self.directory / "a" / "server.toml"
        file.write_text('listen = ["tls://0.0.0.0:1"]\nauth.tokens = "tokens"\n')
        for name in ("a/tokens", "server.pem"):
            (self.directory / name).write_text("")
        config = load_server_config(
            "a/server.toml", {"pem": "server.pem"}, directory=self.directory
        )
        self.assertEqual(self.directory / "server.pem", config.pem)
        self.assertEqual(self.directory / "a" / "tokens", config.auth.tokens)
